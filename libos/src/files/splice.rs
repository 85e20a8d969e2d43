//! Calls that move bytes into or out of a pipe: `splice`, `tee`, `vmsplice`. Bytes are copied.
//! Owns nothing; must never take a byte out of a pipe that the target did not take.

use super::descriptors::Object;
use super::inode::Kind;
use super::objects::{Gather, Scatter, Waitable};
use super::transfer::{At, MAX_TRANSFER};
use super::{Errno, Files, Guest, Host, Result};
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::{
    O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, O_RDONLY, POLLERR, POLLIN, POLLOUT,
};

const NONBLOCK: u32 = 1 << 1;
/// `SPLICE_F_MOVE`, `SPLICE_F_NONBLOCK`, `SPLICE_F_MORE`, `SPLICE_F_GIFT`.
const FLAGS: u32 = 0b1111;
/// Bytes copied at once: what a pipe with room takes whole.
const BOUNCE: usize = PAGE_BYTES;

impl<H: Host> Files<H> {
    /// The pipe or FIFO behind a descriptor.
    fn pipe_behind(&mut self, descriptor: usize) -> Result<Option<Waitable>> {
        let description = self.descriptors.get(descriptor)?;
        if description.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        let Object::Waitable(waitable) = description.object else {
            return Ok(None);
        };
        let is_pipe = self.objects.is_pipe(waitable);
        Ok(is_pipe.then_some(waitable))
    }

    /// Copies up to `bytes` from a pipe to `to`, which takes as many as it can.
    fn drain_pipe(
        &mut self,
        pipe: Waitable,
        bytes: usize,
        mut to: impl FnMut(&mut Self, &[u8]) -> Result,
    ) -> Result {
        let mut bounce = [0; BOUNCE];
        let mut done = 0;
        while done < bytes {
            let want = (bytes - done).min(BOUNCE);
            let mut scatter = Scatter::of(&mut bounce[..want]);
            let got = match self.objects.peek_pipe(&self.host, pipe, &mut scatter) {
                Ok(0) => break,
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let put = match to(self, &bounce[..got]) {
                Ok(put) => put,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let mut taken = Scatter::of(&mut bounce[..put]);
            self.objects.try_read(&self.host, pipe, &mut taken)?;
            done += put;
            if put < got {
                break;
            }
        }
        Ok(done)
    }

    fn has_room(&mut self, pipe: Waitable) -> Result<bool> {
        let ready = self.objects.readiness(pipe);
        if ready & POLLERR != 0 {
            return Err(Errno::PIPE_SIGNAL);
        }
        Ok(ready & POLLOUT != 0)
    }

    /// Copies up to `bytes` into a pipe, from what `from` reads.
    fn fill_pipe(
        &mut self,
        pipe: Waitable,
        bytes: usize,
        mut from: impl FnMut(&mut Self, &mut [u8], usize) -> Result,
    ) -> Result {
        let mut bounce = [0; BOUNCE];
        let mut done = 0;
        while done < bytes && self.has_room(pipe)? {
            let want = (bytes - done).min(BOUNCE);
            let got = match from(self, &mut bounce[..want], done) {
                Ok(0) => break,
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let mut gather = Gather::of(&bounce[..got]);
            done += self.objects.try_write(&self.host, pipe, &mut gather)?;
        }
        Ok(done)
    }

    /// `splice`
    pub(crate) fn splice(
        &mut self,
        guest: Guest,
        (from, from_at): (usize, usize),
        (to, to_at): (usize, usize),
        bytes: usize,
        flags: u32,
    ) -> Result {
        if bytes == 0 {
            return Ok(0);
        }
        if flags & !FLAGS != 0 {
            return Err(Errno::INVAL);
        }
        let (source, target) = (self.pipe_behind(from)?, self.pipe_behind(to)?);
        if source.is_some() && from_at != 0 || target.is_some() && to_at != 0 {
            return Err(Errno::SPIPE);
        }
        let at = |address: usize| match address {
            0 => Ok(None),
            _ => guest.read::<u64>(address).map(Some),
        };
        let (from_offset, to_offset) = (at(from_at)?, at(to_at)?);
        self.descriptors.get(from)?.readable()?;
        self.descriptors.get(to)?.writable()?;
        let bytes = bytes.min(MAX_TRANSFER);
        let nonblock = flags & NONBLOCK != 0;
        match (source, target) {
            (Some(source), Some(target)) => {
                if self.objects.is_same_pipe(source, target) {
                    return Err(Errno::INVAL);
                }
                let either = self.flags_of(from)? | self.flags_of(to)?;
                let no_wait = nonblock || either & O_NONBLOCK != 0;
                if !self.has_room(target)? {
                    return self.would_block(to, POLLOUT, 0, no_wait);
                }
                let moved = self.drain_pipe(source, bytes, |files, bytes| {
                    let mut gather = Gather::of(bytes);
                    files.objects.try_write(&files.host, target, &mut gather)
                });
                self.or_wait(from, POLLIN, moved, no_wait)
            }
            (Some(source), None) => {
                if self.flags_of(to)? & O_APPEND != 0 {
                    return Err(Errno::INVAL);
                }
                let mut place = match to_offset {
                    None => At::Position,
                    Some(offset) if self.is_regular(to) => At::argument(offset as usize)?,
                    Some(_) => return Err(Errno::INVAL),
                };
                let is_waitable = matches!(self.descriptors.get(to)?.object, Object::Waitable(_));
                let moved = self.drain_pipe(source, bytes, |files, bytes| {
                    let put = match files.descriptors.get(to)?.object {
                        Object::Waitable(waitable) => {
                            let mut gather = Gather::of(bytes);
                            files
                                .objects
                                .try_write(&files.host, waitable, &mut gather)?
                        }
                        _ => files.write(to, bytes, place)?,
                    };
                    place = place.after(put);
                    Ok(put)
                });
                if let (Ok(done), Some(offset)) = (moved, to_offset) {
                    guest.write(to_at, offset + done as u64)?;
                }
                let empty = self.objects.readiness(source) & POLLIN == 0;
                match moved {
                    Err(Errno::AGAIN) if !empty && is_waitable => {
                        self.would_block(to, POLLOUT, 0, nonblock)
                    }
                    Err(Errno::PIPE) => Err(Errno::PIPE_SIGNAL),
                    _ => self.or_wait(from, POLLIN, moved, nonblock),
                }
            }
            (None, Some(target)) => {
                if from_offset.is_some() && !self.is_regular(from) {
                    return Err(Errno::INVAL);
                }
                if matches!(self.descriptors.get(from)?.object, Object::Directory(_)) {
                    return Err(Errno::INVAL);
                }
                let start = from_offset.map(|offset| At::argument(offset as usize));
                let start = start.transpose()?.unwrap_or(At::Position);
                let no_wait = nonblock || self.flags_of(to)? & O_NONBLOCK != 0;
                if !self.has_room(target)? {
                    return self.would_block(to, POLLOUT, 0, no_wait);
                }
                let moved = self.fill_pipe(target, bytes, |files, buffer, done| {
                    match files.descriptors.get(from)?.object {
                        Object::Waitable(waitable) => {
                            let mut scatter = Scatter::of(buffer);
                            files.objects.try_read(&files.host, waitable, &mut scatter)
                        }
                        _ => files.read(from, buffer, start.after(done)),
                    }
                });
                if let (Ok(done), Some(offset)) = (moved, from_offset) {
                    guest.write(from_at, offset + done as u64)?;
                }
                self.or_wait(from, POLLIN, moved, nonblock)
            }
            (None, None) => Err(Errno::INVAL),
        }
    }

    fn is_regular(&self, descriptor: usize) -> bool {
        self.descriptors
            .get(descriptor)
            .is_ok_and(|open| matches!(self.inodes[open.inode].kind, Kind::Regular(_)))
    }

    fn or_wait(&mut self, descriptor: usize, events: u32, moved: Result, no_wait: bool) -> Result {
        match moved {
            Err(Errno::AGAIN) => self.would_block(descriptor, events, 0, no_wait),
            other => other,
        }
    }

    /// `tee`
    pub(crate) fn tee(&mut self, from: usize, to: usize, bytes: usize, flags: u32) -> Result {
        if flags & !FLAGS != 0 {
            return Err(Errno::INVAL);
        }
        if bytes == 0 {
            return Ok(0);
        }
        let (source, target) = (self.pipe_behind(from)?, self.pipe_behind(to)?);
        self.descriptors.get(from)?.readable()?;
        self.descriptors.get(to)?.writable()?;
        let (Some(source), Some(target)) = (source, target) else {
            return Err(Errno::INVAL);
        };
        if self.objects.is_same_pipe(source, target) {
            return Err(Errno::INVAL);
        }
        let either = self.flags_of(from)? | self.flags_of(to)?;
        let no_wait = flags & NONBLOCK != 0 || either & O_NONBLOCK != 0;
        let there = self.objects.readable_bytes(&self.host, source)?;
        let mut buffer = Vec::new();
        let count = there.min(bytes);
        buffer.try_reserve_exact(count).map_err(|_| Errno::NOMEM)?;
        buffer.resize(count, 0);
        let mut scatter = Scatter::of(&mut buffer);
        let got = self.objects.peek_pipe(&self.host, source, &mut scatter);
        let got = match got {
            Err(Errno::AGAIN) => return self.would_block(from, POLLIN, 0, no_wait),
            other => other?,
        };
        if got == 0 {
            return Ok(0);
        }
        if !self.has_room(target)? {
            return self.would_block(to, POLLOUT, 0, no_wait);
        }
        let mut gather = Gather::of(&buffer[..got]);
        self.objects.try_write(&self.host, target, &mut gather)
    }

    /// `vmsplice`
    pub(crate) fn splice_memory(
        &mut self,
        guest: Guest,
        descriptor: usize,
        spans: usize,
        count: usize,
        flags: u32,
    ) -> Result {
        if flags & !FLAGS != 0 {
            return Err(Errno::INVAL);
        }
        let pipe = self.pipe_behind(descriptor)?;
        let pipe = pipe.ok_or(Errno::BADF)?;
        let reads = self.flags_of(descriptor)? & O_ACCMODE == O_RDONLY;
        let events = if reads { POLLIN } else { POLLOUT };
        if Self::vector(guest, spans, count)?.is_empty() {
            return Ok(0);
        }
        let ready = self.objects.readiness(pipe);
        if flags & NONBLOCK != 0 && ready & (events | POLLERR) == 0 {
            return Err(Errno::AGAIN);
        }
        if reads {
            self.read_vector(guest, descriptor, spans, count, At::Position)
        } else {
            self.write_vector(guest, descriptor, spans, count, At::Position)
        }
    }
}
