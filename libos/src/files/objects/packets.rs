//! Local datagrams and sequenced packets (unix(7)): messages that come whole, with their sender's name.
//!
//! Owns the boundaries of what a local socket has received; the bytes lie in its `PageQueue`. A stream has a boundary only where
//! descriptors or credentials come with bytes. Must never keep a sender's number beyond that sender's life.

use super::stream::Manner;
use super::unix::{EVERYTHING, READABLE, ROOM, State, Unix, WRITABLE, WRITABLE_PART, copied};
use super::vector::{Gather, Scatter};
use super::{Errno, Files, Host, Objects, Result};
use alloc::vec::Vec;
use linux_raw_sys::general::{POLLERR, POLLHUP, POLLRDHUP};

/// Messages that a socket takes of senders that it is not connected to (`max_dgram_qlen`): one more is let in.
const QUEUE: usize = 10;
/// A message may not be longer than the send buffer without this (unix_dgram_sendmsg).
const OVERHEAD_BYTES: usize = 32;
/// Nobody, as a socket's number.
const NOBODY: u32 = u32::MAX;

/// What a local socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// `SOCK_STREAM`
    Stream,
    /// `SOCK_DGRAM`
    Datagram,
    /// `SOCK_SEQPACKET`
    Packets,
    /// Of netlink (`inet::netlink`).
    Netlink,
}

/// Process, user and group of a sender.
pub(crate) type Credentials = [u32; 3];

/// What is sent along with bytes.
pub(crate) struct Passing {
    /// Open file descriptions, each counted once for being here.
    pub rights: Vec<u32>,
    /// What the sender says of itself (`SCM_CREDENTIALS`).
    pub credentials: Option<Credentials>,
}

/// A message, or the bytes of a stream that something came with.
pub(crate) struct Record {
    /// Bytes of a stream before it.
    plain: usize,
    pub bytes: usize,
    /// What it takes of its sender's buffer, and who that is.
    charge: usize,
    sender: u32,
    /// The name of its sender.
    name: Vec<u8>,
    pub rights: Vec<u32>,
    credentials: Option<Credentials>,
}

/// What a read learnt besides the bytes.
pub(crate) struct Received {
    /// The sender's name, empty if it has none.
    pub name: Vec<u8>,
    /// Bytes of the message.
    pub whole_bytes: usize,
    /// There was more than the room for it.
    pub is_truncated: bool,
    /// See [`Passing`].
    pub rights: Vec<u32>,
    /// See [`Passing`].
    pub credentials: Option<Credentials>,
}

impl Record {
    /// How many bytes one read of a stream may take: what comes with bytes comes with the first of them, and ends the read.
    pub(super) fn stream_limit(&self) -> usize {
        if self.credentials.is_some() && self.plain > 0 {
            return self.plain;
        }
        self.plain + self.bytes
    }
}

/// What Linux accounts for a message of `bytes` bytes: a header, and memory by powers of two, or pages where it is long.
pub(super) fn charge(bytes: usize) -> usize {
    const HEADER: usize = 256;
    const SHARED: usize = 320;
    const MOST_LINEAR: usize = 16_384 - SHARED;
    let paged = bytes.saturating_sub(MOST_LINEAR).next_multiple_of(4096);
    let linear = bytes.saturating_sub(paged).next_multiple_of(64) + SHARED;
    HEADER + linear.next_power_of_two() + paged
}

impl Unix {
    /// Bytes `before..before + bytes` of a stream came with something.
    #[cold]
    pub(super) fn append_record(&mut self, passing: Passing, before: usize, bytes: usize) {
        let known: usize = self
            .records
            .iter()
            .map(|each| each.plain + each.bytes)
            .sum();
        self.records.push_back(Record {
            plain: before - known,
            bytes,
            charge: 0,
            sender: NOBODY,
            name: Vec::new(),
            rights: passing.rights,
            credentials: passing.credentials,
        });
    }
}

impl Objects {
    /// `done` bytes of a stream were read, or looked at, up to the end of its first record at most.
    #[cold]
    pub(super) fn pass_record(&mut self, socket: u32, done: usize, peek: bool) -> Result<()> {
        let records = &mut self.unix[socket].records;
        let Some(first) = records.front_mut() else {
            return Ok(());
        };
        if done <= first.plain {
            if !peek {
                first.plain -= done;
            }
            return Ok(());
        }
        let received = Received {
            name: Vec::new(),
            whole_bytes: done,
            is_truncated: false,
            credentials: first.credentials,
            rights: Vec::new(),
        };
        if peek {
            let rights = numbers(&first.rights)?;
            self.set_received(Received { rights, ..received });
            return Ok(());
        }
        let left = first.plain + first.bytes - done;
        let rights = core::mem::take(&mut first.rights);
        records.pop_front();
        if let Some(next) = records.front_mut() {
            next.plain += left;
        }
        self.set_received(Received { rights, ..received });
        Ok(())
    }

    fn set_received(&mut self, received: Received) {
        self.forget_received();
        self.received = Some(received);
    }

    /// Nobody asks what the last read learnt: descriptors that came are closed (`Files::drop_rights`).
    pub fn forget_received(&mut self) {
        if let Some(received) = self.received.take() {
            self.give_up_rights(received.rights);
        }
    }

    /// Sends all of `from` as one message to `target`, or the peer. `EAGAIN`: there is no room, and [`Objects::packet_queue`]
    /// tells when to try again.
    #[cold]
    pub fn send_packet(
        &mut self,
        host: &dyn Host,
        socket: u32,
        target: Option<u32>,
        from: &mut Gather<'_>,
    ) -> Result {
        let bytes = from.remaining();
        let state = &mut self.unix[socket];
        let is_datagram = state.sort == Sort::Datagram;
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let target = match (target, state.state) {
            (Some(target), _) if is_datagram => target,
            (_, State::Connected(peer)) => peer,
            (_, State::Left) if is_datagram => {
                state.state = State::Unconnected;
                return Err(Errno::CONNREFUSED);
            }
            (_, State::Left) => return Err(Errno::PIPE),
            (_, State::Unconnected | State::Listening(_)) => return Err(Errno::NOTCONN),
        };
        let state = &self.unix[socket];
        if bytes > state.send_limit() - OVERHEAD_BYTES {
            return Err(Errno::MSGSIZE);
        }
        if state.no_more_out {
            return Err(Errno::PIPE);
        }
        if state.charged >= state.send_limit() {
            return Err(Errno::AGAIN);
        }
        let other = &self.unix[target];
        if is_datagram && !self.may_send(socket, target) {
            return Err(Errno::PERM);
        }
        if other.no_more_in {
            return Err(Errno::PIPE);
        }
        if is_datagram && self.is_full(socket, target) {
            return Err(Errno::AGAIN);
        }
        let credited = state.passes_credentials() || other.passes_credentials();
        let own = [crate::files::PROCESS_ID as u32, 0, 0];
        let name = copied(&state.name)?;
        let other = &mut self.unix[target];
        other.records.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        let mut done = other.incoming.fill_last(from, usize::MAX);
        while from.remaining() > 0 {
            match other.incoming.append(&self.pages, from) {
                Ok(count) => done += count,
                Err(error) => {
                    // A part of a message is none.
                    other.incoming.drop_last(&self.pages, done);
                    return Err(error);
                }
            }
        }
        let passing = self.passing.take();
        let (rights, credentials) = passing.map_or((Vec::new(), None), |passing| {
            (passing.rights, passing.credentials)
        });
        let charge = charge(bytes);
        let other = &mut self.unix[target];
        other.records.push_back(Record {
            plain: 0,
            bytes,
            charge,
            sender: socket,
            name,
            rights,
            credentials: credentials.or(credited.then_some(own)),
        });
        let queue = other.queue;
        self.unix[socket].charged += charge;
        self.notify(host, queue, READABLE);
        Ok(bytes)
    }

    /// A message for `socket` that no socket sends.
    #[cfg(feature = "net")]
    pub(super) fn deliver(&mut self, host: &dyn Host, socket: u32, bytes: &[u8]) -> Result<()> {
        let mut from = Gather::of(bytes);
        let state = &mut self.unix[socket];
        state.records.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        let mut done = 0;
        while from.remaining() > 0 {
            match state.incoming.append(&self.pages, &mut from) {
                Ok(count) => done += count,
                Err(error) => {
                    state.incoming.drop_last(&self.pages, done);
                    return Err(error);
                }
            }
        }
        state.records.push_back(Record {
            plain: 0,
            bytes: bytes.len(),
            charge: 0,
            sender: NOBODY,
            name: Vec::new(),
            rights: Vec::new(),
            credentials: None,
        });
        let queue = state.queue;
        self.notify(host, queue, READABLE);
        Ok(())
    }

    /// Whether `target` takes what `socket` sends: it is connected to nobody else.
    pub(super) fn may_send(&self, socket: u32, target: u32) -> bool {
        match self.unix[target].state {
            State::Connected(peer) => peer == socket,
            State::Left => false,
            _ => true,
        }
    }

    /// Whether `target` has as many messages of others as it takes.
    fn is_full(&self, socket: u32, target: u32) -> bool {
        target != socket
            && self.unix_peer(target) != Some(socket)
            && self.unix[target].records.len() > QUEUE
    }

    /// Which socket's queue tells, with [`ROOM`], that a message which found no room may be sent.
    pub(super) fn packet_queue(&self, socket: u32, target: Option<u32>) -> super::waiters::Queue {
        let target = target.or(self.unix_peer(socket));
        match target {
            Some(target) if self.is_full(socket, target) => self.unix[target].queue,
            _ => self.unix[socket].queue,
        }
    }

    /// Reads a message; what does not fit is lost. `EAGAIN`: there is none.
    #[cold]
    pub(super) fn read_packet(
        &mut self,
        host: &dyn Host,
        socket: u32,
        to: &mut Scatter<'_>,
        peek: bool,
    ) -> Result {
        let state = &mut self.unix[socket];
        if state.sort == Sort::Packets
            && matches!(state.state, State::Unconnected | State::Listening(_))
        {
            return Err(Errno::NOTCONN);
        }
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let Some(first) = state.records.front_mut() else {
            let ended = state.no_more_in && state.sort == Sort::Packets;
            return if ended { Ok(0) } else { Err(Errno::AGAIN) };
        };
        let bytes = first.bytes;
        let mut received = Received {
            name: Vec::new(),
            whole_bytes: bytes,
            is_truncated: to.remaining() < bytes,
            rights: Vec::new(),
            credentials: first.credentials,
        };
        if peek {
            received.name = copied(&first.name)?;
            received.rights = numbers(&first.rights)?;
            let done = state.incoming.peek(to, bytes);
            self.set_received(received);
            return Ok(done);
        }
        let done = state.incoming.read(&self.pages, to, bytes);
        state.incoming.discard(&self.pages, bytes - done);
        let Some(first) = state.records.pop_front() else {
            return Ok(done);
        };
        let (left, queue) = (state.records.len(), state.queue);
        received.name = first.name;
        received.rights = first.rights;
        self.set_received(received);
        self.release_charge(host, first.sender, first.charge);
        if left == QUEUE {
            self.notify(host, queue, ROOM);
            self.tell_senders(host, socket);
        }
        Ok(done)
    }

    fn release_charge(&mut self, host: &dyn Host, sender: u32, charge: usize) {
        if sender == NOBODY {
            return;
        }
        let state = &mut self.unix[sender];
        state.charged -= charge;
        if state.charged * WRITABLE_PART <= state.send_limit() {
            let queue = state.queue;
            self.notify(host, queue, WRITABLE | ROOM);
        }
    }

    /// `target` has room again: those connected to it may write.
    #[cold]
    fn tell_senders(&mut self, host: &dyn Host, target: u32) {
        let mut next = 0;
        while let Some(sender) = self.unix.next_from(next) {
            if self.unix[sender].sort == Sort::Datagram && self.unix_peer(sender) == Some(target) {
                let queue = self.unix[sender].queue;
                self.notify(host, queue, WRITABLE);
            }
            next = sender + 1;
        }
    }

    /// Connects datagrams to `target`, or to nobody: what came from others is lost.
    #[cold]
    pub fn connect_packets(&mut self, host: &dyn Host, socket: u32, target: Option<u32>) -> Result {
        if let Some(target) = target
            && !self.may_send(socket, target)
        {
            return Err(Errno::PERM);
        }
        let old = self.unix_peer(socket);
        let was_left = self.unix[socket].state == State::Left;
        self.unix[socket].state = target.map_or(State::Unconnected, State::Connected);
        if (old.is_some() || was_left) && old != target && !self.unix[socket].records.is_empty() {
            self.drop_records(host, socket);
            if let Some(old) = old
                && self.unix_peer(old) == Some(socket)
            {
                self.unix[old].error = Some(Errno::CONNRESET);
                let queue = self.unix[old].queue;
                self.notify(host, queue, EVERYTHING);
            }
        }
        let queue = self.unix[socket].queue;
        self.notify(host, queue, WRITABLE);
        Ok(0)
    }

    /// All that came is lost.
    #[cold]
    fn drop_records(&mut self, host: &dyn Host, socket: u32) {
        let state = &mut self.unix[socket];
        state.incoming.release(&self.pages);
        for record in core::mem::take(&mut state.records) {
            self.release_charge(host, record.sender, record.charge);
            self.give_up_rights(record.rights);
        }
    }

    /// A socket that was taken out of the table is to be forgotten: its messages have no sender, those it has got are lost, and
    /// datagrams to it are refused.
    #[cold]
    pub(super) fn forget_sender(&mut self, host: &dyn Host, socket: u32, state: &mut Unix) {
        let is_datagram = state.sort == Sort::Datagram;
        if is_datagram || state.charged > 0 {
            let mut next = 0;
            while let Some(other) = self.unix.next_from(next) {
                let other_state = &mut self.unix[other];
                for record in &mut other_state.records {
                    if record.sender == socket {
                        record.sender = NOBODY;
                    }
                }
                if is_datagram && other_state.state == State::Connected(socket) {
                    other_state.state = State::Left;
                    // Without memory for it the name is lost.
                    other_state.left_name = copied(&state.name).unwrap_or_default();
                    let queue = other_state.queue;
                    self.notify(host, queue, WRITABLE | ROOM);
                }
                next = other + 1;
            }
            self.notify(host, state.queue, ROOM);
        }
        if state.sort == Sort::Stream && state.records.is_empty() {
            return;
        }
        let has_unread = !state.records.is_empty();
        for record in core::mem::take(&mut state.records) {
            if record.sender != socket {
                self.release_charge(host, record.sender, record.charge);
            }
            self.give_up_rights(record.rights);
        }
        // The peer learns of what was not read.
        if has_unread
            && let State::Connected(peer) = state.state
            && !is_datagram
        {
            self.unix[peer].error = Some(Errno::CONNRESET);
        }
    }

    /// What poll(2) says of datagrams.
    #[cold]
    pub(super) fn datagram_readiness(&self, socket: u32) -> u32 {
        let state = &self.unix[socket];
        let mut ready = 0;
        if state.error.is_some() {
            ready |= POLLERR;
        }
        if state.no_more_in {
            ready |= POLLRDHUP | READABLE;
        }
        if state.no_more_in && state.no_more_out {
            ready |= POLLHUP;
        }
        if !state.records.is_empty() {
            ready |= READABLE;
        }
        let peer_is_full = self
            .unix_peer(socket)
            .is_some_and(|peer| self.is_full(socket, peer));
        if state.charged * WRITABLE_PART <= state.send_limit() && !peer_is_full {
            ready |= WRITABLE;
        }
        ready
    }

    /// Bytes that were sent and not received, as Linux counts them (`SIOCOUTQ`).
    #[cold]
    pub fn unix_unsent(&self, socket: u32) -> Result {
        let state = &self.unix[socket];
        match (state.state, state.sort) {
            (State::Listening(_), _) => Err(Errno::INVAL),
            (State::Connected(peer), Sort::Stream) => {
                let bytes = self.unix[peer].incoming.bytes();
                Ok(if bytes == 0 { 0 } else { charge(bytes) })
            }
            (_, Sort::Stream) => Ok(0),
            _ => Ok(state.charged),
        }
    }
}

impl<H: Host> Files<H> {
    /// A message to `target`, or the peer, found no room.
    pub(super) fn wait_to_send(
        &mut self,
        descriptor: usize,
        socket: u32,
        target: Option<u32>,
        manner: Manner,
    ) -> Result {
        let queue = self.objects.packet_queue(socket, target);
        self.would_block_on(descriptor, queue, ROOM, 0, manner.no_wait)
    }
}

/// The same numbers again.
fn numbers(of: &[u32]) -> Result<Vec<u32>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(of.len()).map_err(|_| Errno::NOMEM)?;
    copy.extend_from_slice(of);
    Ok(copy)
}
