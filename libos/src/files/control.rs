//! Calls on descriptors as such: close, dup, fcntl, flock, ioctl.
//! Must keep the rule that closing any descriptor of a file (but one by `O_PATH`) ends the process's
//! record locks on it, and closing the last one of a description ends the description's own.

use super::descriptors::{Flock, Object};
use super::inode::Kind;
use super::locks::{Lock, Owner};
use super::objects::{End, Waitable};
use super::{Errno, Files, Guest, Host, Result};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, TCGETS, TIOCGWINSZ};

/// Status flags that `F_SETFL` may change. Linux ignores `O_ASYNC` on files that cannot send a signal.
const CHANGEABLE: u32 = O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT;
/// `F_SETSIG`, `F_GETSIG`, `F_GETOWN_EX` and what that tells (<asm-generic/fcntl.h>).
const F_SETSIG: u32 = 10;
const F_GETSIG: u32 = 11;
const F_GETOWN_EX: u32 = 16;
const F_OWNER_TID: u32 = 0;
/// `close_range` flags.
const RANGE_UNSHARE: u32 = 1 << 1;
const RANGE_CLOEXEC: u32 = 1 << 2;
/// The whole of a lockable file.
const LAST_BYTE: u64 = i64::MAX as u64;

impl<H: Host> Files<H> {
    /// `close`
    #[inline(never)]
    pub(crate) fn close(&mut self, descriptor: usize) -> Result {
        // One that only names its file (`O_PATH`) has nothing to do with locks.
        let is_path = matches!(self.descriptors.get(descriptor)?.object, Object::Path);
        let (index, inode, last) = self.descriptors.close(descriptor)?;
        if !is_path {
            self.locks.release(inode, Owner::PROCESS);
        }
        if last.is_some() {
            self.locks.release(inode, Owner::description(index));
        }
        self.objects.locks_released(&self.host);
        match last {
            Some(object) => {
                self.inodes.unreference(inode);
                if let Object::Waitable(waitable) = object {
                    self.close_waitable(waitable);
                }
            }
            // Messages may hold it, and it them.
            None if self.objects.has_rights() => self.let_rights_go(),
            None => {}
        }
        Ok(0)
    }

    /// Closes an object that nothing holds any more, and descriptions that only its messages held.
    #[inline(never)]
    fn close_waitable(&mut self, waitable: Waitable) {
        self.leave_socket_file(waitable);
        self.objects.release(&self.host, waitable);
        if self.objects.has_rights() {
            self.let_rights_go();
        }
    }

    /// Messages hold open file descriptions: closes those that nobody can receive any more.
    #[cold]
    pub(crate) fn let_rights_go(&mut self) {
        if let Some(end) = self.end_rights {
            end(self);
        }
    }

    /// `close_range`
    pub(crate) fn close_range(&mut self, first: usize, last: usize, flags: u32) -> Result {
        let (first, last) = (first as u32 as usize, last as u32 as usize);
        if first > last || flags & !(RANGE_UNSHARE | RANGE_CLOEXEC) != 0 {
            return Err(Errno::INVAL);
        }
        for descriptor in first..self.descriptors.len().min(last.saturating_add(1)) {
            if self.descriptors.index(descriptor).is_err() {
                continue;
            }
            if flags & RANGE_CLOEXEC != 0 {
                self.descriptors.set_close_on_exec(descriptor, true)?;
            } else {
                self.close(descriptor)?;
            }
        }
        Ok(0)
    }

    /// `dup`, `F_DUPFD`, `F_DUPFD_CLOEXEC`: the lowest closed descriptor from `from` on.
    pub(crate) fn duplicate(
        &mut self,
        descriptor: usize,
        from: usize,
        close_on_exec: bool,
    ) -> Result {
        self.descriptors.index(descriptor)?;
        let new = self.descriptors.lowest_closed(from)?;
        self.descriptors.share(descriptor, new, close_on_exec)?;
        Ok(new)
    }

    /// `dup2` (`same`: a descriptor onto itself is fine) and `dup3`.
    pub(crate) fn duplicate_to(
        &mut self,
        from: usize,
        to: usize,
        flags: u32,
        same: bool,
    ) -> Result {
        let (from, to) = (from as u32 as usize, to as u32 as usize);
        if flags & !O_CLOEXEC != 0 {
            return Err(Errno::INVAL);
        }
        if from == to {
            return if same {
                self.descriptors.index(from).map(|_| to)
            } else {
                Err(Errno::INVAL)
            };
        }
        if to >= self.descriptors.limit() {
            return Err(Errno::BADF);
        }
        self.descriptors.index(from)?;
        if self.descriptors.index(to).is_ok() {
            self.close(to)?;
        }
        self.descriptors.share(from, to, flags & O_CLOEXEC != 0)?;
        Ok(to)
    }

    /// `fcntl`
    #[inline(never)]
    pub(crate) fn fcntl(
        &mut self,
        guest: Guest,
        descriptor: usize,
        command: usize,
        argument: usize,
    ) -> Result {
        let path_only = self.descriptors.get(descriptor)?.flags & O_PATH != 0;
        let command = command as u32;
        match command {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                if argument as u32 as usize >= self.descriptors.limit() {
                    return Err(Errno::INVAL);
                }
                self.duplicate(
                    descriptor,
                    argument as u32 as usize,
                    command == F_DUPFD_CLOEXEC,
                )
            }
            F_GETFD => Ok(usize::from(self.descriptors.close_on_exec(descriptor)?)),
            F_SETFD => {
                self.descriptors
                    .set_close_on_exec(descriptor, argument as u32 & FD_CLOEXEC != 0)?;
                Ok(0)
            }
            F_GETFL => Ok(self.descriptors.get(descriptor)?.flags as usize),
            _ if path_only => Err(Errno::BADF),
            // Nobody gets a signal when a descriptor becomes ready.
            F_SETFL
                if argument as u32 & FASYNC != 0
                    && matches!(
                        self.descriptors.get(descriptor)?.object,
                        Object::Waitable(_) | Object::Console { .. }
                    ) =>
            {
                Err(Errno::INVAL)
            }
            F_GETOWN | F_GETSIG => Ok(0),
            F_GETOWN_EX => {
                guest.write(argument, [F_OWNER_TID, 0])?;
                Ok(0)
            }
            F_SETOWN | F_SETSIG if argument == 0 => Ok(0),
            F_ADD_SEALS | F_GET_SEALS => self.seal(descriptor, command, argument as u32),
            // No lease is given, and so none can be given back.
            F_SETLEASE if argument as u32 <= F_UNLCK => Err(Errno::AGAIN),
            F_GETLEASE => Ok(F_UNLCK as usize),
            F_GETPIPE_SZ | F_SETPIPE_SZ => {
                let bytes = (command == F_SETPIPE_SZ).then_some(argument);
                match self.descriptors.get(descriptor)?.object {
                    Object::Waitable(Waitable::Pipe(pipe, _)) => {
                        self.objects.pipe_capacity(&self.host, pipe, bytes)
                    }
                    Object::Waitable(Waitable::Other(object)) => {
                        self.objects.other_capacity(&self.host, object, bytes)
                    }
                    _ => Err(Errno::BADF),
                }
            }
            F_SETFL => {
                let description = self.descriptors.get_mut(descriptor)?;
                description.flags = description.flags & !CHANGEABLE | argument as u32 & CHANGEABLE;
                if let Object::Waitable(Waitable::Pipe(pipe, End::Write)) = description.object {
                    self.objects
                        .set_packets(pipe, argument as u32 & O_DIRECT != 0);
                }
                Ok(0)
            }
            F_GETLK | F_SETLK | F_SETLKW => {
                self.record_lock(guest, descriptor, command, argument, Owner::PROCESS)
            }
            F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
                let owner = Owner::description(self.descriptors.index(descriptor)?);
                self.record_lock(guest, descriptor, command, argument, owner)
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn record_lock(
        &mut self,
        guest: Guest,
        descriptor: usize,
        command: u32,
        address: usize,
        owner: Owner,
    ) -> Result {
        let asked: flock = guest.read(address)?;
        let description = self.descriptors.get(descriptor)?;
        let inode = description.inode;
        if owner != Owner::PROCESS && asked.l_pid != 0 {
            return Err(Errno::INVAL);
        }
        let origin = match asked.l_whence as u32 {
            SEEK_SET => 0,
            SEEK_CUR => description.position as i64,
            SEEK_END => {
                if let Kind::Regular(data) = &self.inodes[inode].kind {
                    data.length() as i64
                } else {
                    0
                }
            }
            _ => return Err(Errno::INVAL),
        };
        let (start, end) = range(origin, asked.l_start, asked.l_len)?;
        let wanted = Lock {
            inode,
            owner,
            start,
            end,
            exclusive: asked.l_type as u32 == F_WRLCK,
        };
        let locks = matches!(asked.l_type as u32, F_RDLCK | F_WRLCK);
        if !locks && asked.l_type as u32 != F_UNLCK {
            return Err(Errno::INVAL);
        }
        if command == F_GETLK || command == F_OFD_GETLK {
            if !locks && command == F_GETLK {
                return Err(Errno::INVAL);
            }
            let mut answer = asked;
            // Asking to unlock asks for the description's own locks (Linux 6.5).
            let found = if locks {
                self.locks.conflict(&wanted)
            } else {
                self.locks.own(&wanted)
            };
            match found {
                None => answer.l_type = F_UNLCK as i16,
                Some(held) => {
                    answer.l_type = (if held.exclusive { F_WRLCK } else { F_RDLCK }) as i16;
                    answer.l_whence = SEEK_SET as i16;
                    answer.l_start = held.start as i64;
                    answer.l_len = if held.end == LAST_BYTE {
                        0
                    } else {
                        (held.end - held.start + 1) as i64
                    };
                    answer.l_pid = if held.owner == Owner::PROCESS {
                        super::PROCESS_ID
                    } else {
                        -1
                    };
                }
            }
            guest.write(address, answer)?;
            return Ok(0);
        }
        match asked.l_type as u32 {
            F_RDLCK => description.readable()?,
            F_WRLCK => description.writable()?,
            _ => {}
        }
        match self.locks.set(wanted, locks) {
            // However long: as on Linux, locks of descriptions, one of which is in every conflict of one process, are
            // no part of its search for deadlocks.
            Err(Errno::AGAIN) if command == F_SETLKW || command == F_OFD_SETLKW => {
                self.wait_for_lock(descriptor)
            }
            other => {
                // A write lock may have become a read lock, too.
                self.objects.locks_released(&self.host);
                other.map(|()| 0)
            }
        }
    }

    /// `flock`
    pub(crate) fn flock(&mut self, descriptor: usize, operation: usize) -> Result {
        let wanted = match operation as u32 & !LOCK_NB {
            LOCK_SH => Flock::Shared,
            LOCK_EX => Flock::Exclusive,
            LOCK_UN => Flock::None,
            _ => return Err(Errno::INVAL),
        };
        let own = self.descriptors.get(descriptor)?;
        if own.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        let clash = self.descriptors.descriptions().any(|other| {
            !core::ptr::eq(own, other)
                && other.inode == own.inode
                && (other.flock == Flock::Exclusive && wanted != Flock::None
                    || other.flock != Flock::None && wanted == Flock::Exclusive)
        });
        let description = self.descriptors.get_mut(descriptor)?;
        if clash {
            // A lock is converted by releasing it first.
            description.flock = Flock::None;
            self.objects.locks_released(&self.host);
            if operation as u32 & LOCK_NB == 0 {
                return self.wait_for_lock(descriptor);
            }
            return Err(Errno::AGAIN);
        }
        description.flock = wanted;
        self.objects.locks_released(&self.host);
        Ok(0)
    }

    /// `ioctl`: what files and terminals answer.
    pub(crate) fn ioctl(
        &mut self,
        guest: Guest,
        descriptor: usize,
        request: usize,
        address: usize,
    ) -> Result {
        let description = self.descriptors.get(descriptor)?;
        if description.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        match request as u32 {
            FIOCLEX | FIONCLEX => {
                self.descriptors
                    .set_close_on_exec(descriptor, request as u32 == FIOCLEX)?;
                return Ok(0);
            }
            FIONBIO => {
                let on = guest.read::<i32>(address)? != 0;
                let description = self.descriptors.get_mut(descriptor)?;
                description.flags =
                    description.flags & !O_NONBLOCK | if on { O_NONBLOCK } else { 0 };
                return Ok(0);
            }
            _ => {}
        }
        match (&description.object, request as u32) {
            (Object::Regular | Object::Sealed, FIONREAD) => {
                let Kind::Regular(data) = &self.inodes[description.inode].kind else {
                    return Err(Errno::NOTTY);
                };
                let left = data.length() as i64 - description.position as i64;
                guest.write(address, left as i32)?;
                Ok(0)
            }
            (&Object::Waitable(waitable), FIONREAD) => {
                let bytes = self.objects.readable_bytes(&self.host, waitable)?;
                guest.write(address, bytes as i32)?;
                Ok(0)
            }
            (&Object::Waitable(waitable), request) => match self.socket_control {
                Some(control) => control(self, guest, waitable, [request as usize, address]),
                None => Err(Errno::NOTTY),
            },
            (&Object::Console { output, .. }, TIOCGWINSZ) => {
                let window = self
                    .terminal(description.inode, output)
                    .ok_or(Errno::NOTTY)?;
                guest.write(
                    address,
                    winsize {
                        ws_row: window.rows,
                        ws_col: window.columns,
                        ws_xpixel: 0,
                        ws_ypixel: 0,
                    },
                )?;
                Ok(0)
            }
            (&Object::Console { output, .. }, TCGETS) => {
                self.terminal(description.inode, output)
                    .ok_or(Errno::NOTTY)?;
                guest.write(address, usual_terminal())?;
                Ok(0)
            }
            _ => Err(Errno::NOTTY),
        }
    }
}

/// First and last byte of a lock.
fn range(origin: i64, start: i64, length: i64) -> Result<(u64, u64)> {
    let start = origin.checked_add(start).ok_or(Errno::OVERFLOW)?;
    if start < 0 {
        return Err(Errno::INVAL);
    }
    let (start, end) = match length {
        0 => (start, i64::MAX),
        1.. => (start, start.checked_add(length - 1).ok_or(Errno::OVERFLOW)?),
        _ => (
            start
                .checked_add(length)
                .filter(|&start| start >= 0)
                .ok_or(Errno::INVAL)?,
            start - 1,
        ),
    };
    Ok((start as u64, end as u64))
}

/// The settings of a terminal in its usual, line-wise state.
fn usual_terminal() -> termios {
    let mut c_cc = [0; 19];
    c_cc[..17].copy_from_slice(&[3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0]);
    termios {
        c_iflag: ICRNL | IXON | IUTF8,
        c_oflag: OPOST | ONLCR,
        c_cflag: CS8 | CREAD | B38400,
        c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        c_line: 0,
        c_cc,
    }
}
