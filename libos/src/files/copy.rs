//! Calls that copy between descriptors: `sendfile` and `copy_file_range`.
//! Owns nothing; must never count a byte as copied that the target did not take.

use super::data::Extent;
use super::descriptors::Object;
use super::inode::Kind;
use super::objects::Gather;
use super::transfer::{At, MAX_TRANSFER};
use super::{Errno, Files, Guest, Host, Result, ZEROS};
use linux_raw_sys::general::{O_APPEND, O_PATH, POLLOUT};

/// Bytes copied at once, through a buffer on the stack.
const BOUNCE: usize = 1024;

impl<H: Host> Files<H> {
    /// Copies up to `count` bytes between descriptors; answers the bytes copied.
    fn copy(&mut self, from: (usize, At), to: (usize, At), count: usize) -> Result {
        let mut bounce = [0; BOUNCE];
        let mut done = 0;
        let (mut source, mut target) = (from.1, to.1);
        while done < count {
            let want = (count - done).min(BOUNCE);
            let got = self.read(from.0, &mut bounce[..want], source)?;
            if got == 0 {
                break;
            }
            let put = match self.write(to.0, &bounce[..got], target) {
                Ok(put) => put,
                Err(error) => {
                    self.step_back(from, got);
                    if done == 0 {
                        return Err(error);
                    }
                    break;
                }
            };
            done += put;
            (source, target) = (source.after(put), target.after(put));
            if put < got {
                self.step_back(from, got - put);
                break;
            }
        }
        Ok(done)
    }

    /// Undoes the part of a read that could not be written.
    fn step_back(&mut self, (descriptor, at): (usize, At), bytes: usize) {
        if let (At::Position, Ok(description)) = (at, self.descriptors.get_mut(descriptor)) {
            description.position -= bytes as u64;
        }
    }

    /// `sendfile`: from a regular file to anything writable.
    pub(crate) fn send(
        &mut self,
        guest: Guest,
        to: usize,
        from: usize,
        offset: usize,
        count: usize,
    ) -> Result {
        let source = self.descriptors.get(from)?;
        source.readable()?;
        let regular = matches!(source.object, Object::Regular | Object::Sealed);
        let target = self.descriptors.get(to)?;
        target.writable()?;
        if target.flags & O_APPEND != 0 {
            return Err(Errno::INVAL);
        }
        if !regular && count > 0 {
            return match (&source.object, &target.object) {
                (Object::Waitable(_), _) if offset != 0 => Err(Errno::SPIPE),
                (
                    Object::Null
                    | Object::Zero
                    | Object::Full
                    | Object::Random
                    | Object::Snapshot(_),
                    Object::Regular | Object::Sealed | Object::Null | Object::Zero,
                ) if offset == 0 => self.copy(
                    (from, At::Position),
                    (to, At::Position),
                    count.min(MAX_TRANSFER),
                ),
                _ => Err(Errno::INVAL),
            };
        }
        if count == 0 {
            return Ok(0);
        }
        check_count(count)?;
        let count = count.min(MAX_TRANSFER);
        if let Object::Waitable(_) = target.object {
            return self.send_to_stream(guest, to, from, offset, count);
        }
        if offset == 0 {
            return self.copy((from, At::Position), (to, At::Position), count);
        }
        let start = guest.read::<u64>(offset)?;
        let done = self.copy(
            (from, At::argument(start as usize)?),
            (to, At::Position),
            count,
        )?;
        guest.write(offset, start + done as u64)?;
        Ok(done)
    }

    /// Sends from the pages of a file. What a wait interrupts is answered as a short transfer.
    fn send_to_stream(
        &mut self,
        guest: Guest,
        to: usize,
        from: usize,
        offset: usize,
        count: usize,
    ) -> Result {
        let source = self.descriptors.get(from)?;
        let start = if offset == 0 {
            source.position
        } else {
            guest.read::<u64>(offset)?
        };
        let At::Offset(start) = At::argument(start as usize)? else {
            return Err(Errno::INVAL);
        };
        let (inode, mut done) = (source.inode, 0);
        while done < count {
            let Kind::Regular(data) = &self.inodes[inode].kind else {
                return Err(Errno::INVAL);
            };
            let bytes = match data.extent(start + done as u64) {
                None => break,
                Some(Extent::Bytes(bytes)) => bytes,
                Some(Extent::Hole(bytes)) => &ZEROS[..bytes.min(ZEROS.len())],
            };
            let bytes = &bytes[..bytes.len().min(count - done)];
            let Object::Waitable(waitable) = self.descriptors.get(to)?.object else {
                return Err(Errno::BADF);
            };
            match self
                .objects
                .try_write(&self.host, waitable, &mut Gather::of(bytes))
            {
                Ok(sent) => {
                    done += sent;
                    if sent < bytes.len() {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(Errno::AGAIN) => return self.would_block(to, POLLOUT, 0, false),
                Err(Errno::PIPE) => return Err(Errno::PIPE_SIGNAL),
                Err(error) => return Err(error),
            }
        }
        if offset == 0 {
            self.descriptors.get_mut(from)?.position = start + done as u64;
        } else {
            guest.write(offset, start + done as u64)?;
        }
        Ok(done)
    }

    /// `copy_file_range`
    pub(crate) fn copy_range(
        &mut self,
        guest: Guest,
        from: (usize, usize),
        to: (usize, usize),
        count: usize,
        flags: usize,
    ) -> Result {
        let (source, target) = (self.descriptors.get(from.0)?, self.descriptors.get(to.0)?);
        if (source.flags | target.flags) & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        let start = if from.1 == 0 {
            source.position
        } else {
            guest.read::<u64>(from.1)?
        };
        let put = if to.1 == 0 {
            target.position
        } else {
            guest.read::<u64>(to.1)?
        };
        if flags != 0 {
            return Err(Errno::INVAL);
        }
        for description in [source, target] {
            match description.object {
                Object::Regular | Object::Sealed => {}
                Object::Directory(_) => return Err(Errno::ISDIR),
                _ => return Err(Errno::INVAL),
            }
        }
        source.readable()?;
        target.writable()?;
        if target.flags & O_APPEND != 0 {
            return Err(Errno::BADF);
        }
        let ends = [start, put].map(|from| from.checked_add(count as u64));
        if ends.contains(&None) {
            return Err(Errno::OVERFLOW);
        }
        check_count(count)?;
        let count = count.min(MAX_TRANSFER);
        let (At::Offset(a), At::Offset(b)) =
            (At::argument(start as usize)?, At::argument(put as usize)?)
        else {
            return Err(Errno::INVAL);
        };
        let Kind::Regular(data) = &self.inodes[source.inode].kind else {
            return Err(Errno::INVAL);
        };
        let left = data.length().saturating_sub(a);
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if source.inode == target.inode && a < b + count as u64 && b < a + count as u64 {
            return Err(Errno::INVAL);
        }
        let done = self.copy((from.0, At::Offset(a)), (to.0, At::Offset(b)), count)?;
        for ((descriptor, address), offset) in [(from, a), (to, b)] {
            if address == 0 {
                self.descriptors.get_mut(descriptor)?.position = offset + done as u64;
            } else {
                guest.write(address, offset + done as u64)?;
            }
        }
        Ok(done)
    }
}

/// Linux refuses a count that is negative when it is signed.
fn check_count(count: usize) -> Result<()> {
    isize::try_from(count).map(drop).map_err(|_| Errno::INVAL)
}
