//! Descriptors that are passed over local sockets (`SCM_RIGHTS`, unix(7)), and who passes them (`SCM_CREDENTIALS`).
//!
//! An open file description that is on its way is counted as if a descriptor were open on it, so that it outlives its
//! sender's. Sockets that only messages in each other's queues hold are found and closed (`collect`). Owns nothing; must never
//! forget a description that it has counted.

use super::control::{self, Room};
use super::packets::{Credentials, Passing, Received};
use super::{Errno, Files, Guest, Host, Object, Objects, Result, Waitable};
use crate::files::locks::Owner;
use alloc::vec::Vec;
use linux_raw_sys::general::O_CLOEXEC;
use linux_raw_sys::net::{
    MSG_CMSG_CLOEXEC, MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET, msghdr,
};

/// Most descriptors of a message (`SCM_MAX_FD`).
const MOST: usize = 253;
/// User and group of a sender that was not asked who it is (`overflowuid`).
const UNKNOWN: Credentials = [0, 65_534, 65_534];
const NUMBER: usize = size_of::<i32>();

impl Objects {
    /// These descriptions are on their way no more; [`Files::drop_rights`] closes them.
    pub(super) fn give_up_rights(&mut self, rights: Vec<u32>) {
        // There is room for all that are on their way (`Files::hold`).
        self.dropped.extend(rights);
    }
}

impl<H: Host> Files<H> {
    /// What the control messages of a `sendmsg` over a local socket say.
    #[inline(never)]
    pub(super) fn passed(&mut self, guest: Guest, message: &msghdr) -> Result<()> {
        let mut passing = Passing {
            rights: Vec::new(),
            credentials: None,
        };
        let parsed = control::for_each(guest, message, |message| {
            match (message.level, message.kind) {
                (SOL_SOCKET, SCM_RIGHTS) => self.take_along(&mut passing.rights, message.data),
                (SOL_SOCKET, SCM_CREDENTIALS) => {
                    passing.credentials = Some(credentials(message.data)?);
                    Ok(())
                }
                (SOL_SOCKET, _) => Err(Errno::INVAL),
                _ => Ok(()),
            }
        });
        if parsed.is_err() {
            self.objects.give_up_rights(passing.rights);
            self.drop_rights();
            return parsed;
        }
        if !passing.rights.is_empty() || passing.credentials.is_some() {
            self.objects.passing = Some(passing);
        }
        Ok(())
    }

    fn take_along(&mut self, rights: &mut Vec<u32>, data: &[u8]) -> Result<()> {
        let count = data.len() / NUMBER;
        if rights.len() + count > MOST {
            return Err(Errno::INVAL);
        }
        rights.try_reserve(count).map_err(|_| Errno::NOMEM)?;
        for number in data.chunks_exact(NUMBER) {
            let descriptor = i32::from_ne_bytes(number.try_into().map_err(|_| Errno::INVAL)?);
            let descriptor = usize::try_from(descriptor).map_err(|_| Errno::BADF)?;
            let index = self.descriptors.index(descriptor)?;
            self.hold(index as u32)?;
            rights.push(index as u32);
        }
        Ok(())
    }

    fn hold(&mut self, index: u32) -> Result<()> {
        let on_their_way = self.objects.on_their_way + 1;
        let room = on_their_way - self.objects.dropped.len();
        let dropped = &mut self.objects.dropped;
        dropped.try_reserve(room).map_err(|_| Errno::NOMEM)?;
        self.objects.on_their_way = on_their_way;
        self.end_rights = Some(Self::collect);
        self.descriptors.hold(index);
        Ok(())
    }

    /// A send that left what was to be passed has failed, or sent nothing.
    pub(super) fn drop_passing(&mut self) {
        if let Some(passing) = self.objects.passing.take() {
            self.objects.give_up_rights(passing.rights);
        }
        self.drop_rights();
    }

    /// Closes the descriptions that are on their way no more, and what those alone held.
    pub(crate) fn drop_rights(&mut self) {
        while let Some(index) = self.objects.dropped.pop() {
            self.objects.on_their_way -= 1;
            if let Some((inode, object)) = self.descriptors.let_go(index) {
                self.locks
                    .release(inode, Owner::description(index as usize));
                self.objects.locks_released(&self.host);
                self.inodes.unreference(inode);
                if let Object::Waitable(waitable) = object {
                    self.leave_socket_file(waitable);
                    self.objects.release(&self.host, waitable);
                }
            }
        }
    }

    /// What the last read from a local socket learnt, for a caller that asks. With `peek` the descriptors stay on their way, too.
    pub(super) fn take_received(&mut self, peek: bool) -> Option<Received> {
        let mut received = self.objects.received.take()?;
        if peek {
            for count in 0..received.rights.len() {
                if self.hold(received.rights[count]).is_err() {
                    received.rights.truncate(count);
                    break;
                }
            }
        }
        Some(received)
    }

    /// Gives a receiver what came with bytes: credentials if it wants them, and descriptors as far as there is room.
    #[inline(never)]
    pub(super) fn put_received(
        &mut self,
        guest: Guest,
        socket: u32,
        received: Option<Received>,
        room: &mut Room,
        flags: u32,
    ) -> Result<()> {
        let (mut rights, mut credentials) = (Vec::new(), None);
        let is_message = received.is_some();
        if let Some(received) = received {
            (rights, credentials) = (received.rights, received.credentials);
        }
        let own = [crate::files::PROCESS_ID as u32, 0, 0];
        let state = &self.objects.unix[socket];
        let wants = state.passes_credentials();
        let is_stream = state.sort == super::packets::Sort::Stream;
        let told = match credentials {
            // Who writes to a stream is this program.
            None if is_stream => own,
            other => other.unwrap_or(UNKNOWN),
        };
        let mut done = Ok(());
        if room.is_missing() {
            if wants || !rights.is_empty() {
                room.flags |= MSG_CTRUNC;
            }
        } else if wants && (is_message || is_stream) {
            let bytes = told.map(u32::to_ne_bytes);
            done = room.put(guest, SOL_SOCKET, SCM_CREDENTIALS, bytes.as_flattened());
        }
        if done.is_ok() && !rights.is_empty() && !room.is_missing() {
            done = self.put_rights(guest, &rights, room, flags & MSG_CMSG_CLOEXEC != 0);
        }
        self.objects.give_up_rights(rights);
        self.drop_rights();
        done
    }

    fn put_rights(
        &mut self,
        guest: Guest,
        rights: &[u32],
        room: &mut Room,
        close_on_exec: bool,
    ) -> Result<()> {
        let mut numbers = [[0; NUMBER]; MOST];
        let fitting = room.fitting(NUMBER).min(rights.len());
        let mut count = 0;
        while count < fitting {
            // With no number left the rest is lost, and the receiver told so.
            let Ok(descriptor) = self.descriptors.lowest_closed(0) else {
                break;
            };
            let flags = if close_on_exec { O_CLOEXEC } else { 0 };
            self.descriptors
                .install(rights[count], descriptor, flags != 0);
            numbers[count] = (descriptor as i32).to_ne_bytes();
            count += 1;
        }
        if count < rights.len() {
            room.flags |= MSG_CTRUNC;
        }
        if count == 0 {
            return Ok(());
        }
        let bytes = numbers[..count].as_flattened();
        room.put(guest, SOL_SOCKET, SCM_RIGHTS, bytes)
    }

    /// Closes local sockets that nothing holds but messages that nobody can receive any more, those in the queues of such
    /// sockets. Complexity: all descriptions, for each of the longest chain of them.
    pub(super) fn collect(&mut self) {
        self.drop_rights();
        if !self.objects.has_rights() {
            return;
        }
        let count = self.descriptors.count();
        let mut reached = Vec::new();
        if reached.try_reserve_exact(count).is_err() {
            // They are found when there is memory.
            return;
        }
        reached.resize(count, false);
        let mut held = Vec::new();
        if held.try_reserve_exact(count).is_err() {
            return;
        }
        held.resize(count, 0_u32);
        let mut next = 0;
        while let Some(socket) = self.objects.unix.next_from(next) {
            for index in self.objects.unix[socket].rights() {
                held[index as usize] += 1;
            }
            next = socket + 1;
        }
        let mut changed = true;
        let mut roots = true;
        while changed {
            changed = false;
            for index in 0..count {
                if roots && self.descriptors.holders(index) > held[index] {
                    reached[index] = true;
                }
                let Some(Waitable::Unix(socket)) = self.descriptors.waitable(index) else {
                    continue;
                };
                if reached[index] {
                    changed |= self.reach(socket, &mut reached);
                }
            }
            roots = false;
        }
        for index in 0..count {
            if reached[index] || held[index] == 0 {
                continue;
            }
            if let Some(Waitable::Unix(socket)) = self.descriptors.waitable(index) {
                self.empty(socket);
            }
        }
        self.drop_rights();
    }

    /// Marks what the messages of `socket` hold; whether that was news.
    fn reach(&self, socket: u32, reached: &mut [bool]) -> bool {
        let mut news = false;
        let state = &self.objects.unix[socket];
        let waiting = state
            .pending
            .iter()
            .map(|&number| &self.objects.unix[number]);
        for state in core::iter::once(state).chain(waiting) {
            for index in state.rights() {
                news |= !core::mem::replace(&mut reached[index as usize], true);
            }
        }
        news
    }

    fn empty(&mut self, socket: u32) {
        let state = &mut self.objects.unix[socket];
        let mut rights = Vec::new();
        for record in &mut state.records {
            rights.append(&mut record.rights);
        }
        self.objects.give_up_rights(rights);
    }
}

/// A `struct ucred` that a sender may say.
fn credentials(data: &[u8]) -> Result<Credentials> {
    let words: [u8; 12] = data.try_into().map_err(|_| Errno::INVAL)?;
    let word =
        |at: usize| u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let said = [word(0), word(4), word(8)];
    match said {
        // There is no other process.
        [pid, _, _] if pid != crate::files::PROCESS_ID as u32 => Err(Errno::SRCH),
        [_, u32::MAX, _] | [_, _, u32::MAX] => Err(Errno::INVAL),
        _ => Ok(said),
    }
}

impl super::unix::Unix {
    fn rights(&self) -> impl Iterator<Item = u32> + '_ {
        self.records
            .iter()
            .flat_map(|record| record.rights.iter().copied())
    }
}
