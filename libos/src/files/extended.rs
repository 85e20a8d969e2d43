//! Calls that came later with flags of their own: `openat2`, and `preadv2` and `pwritev2`. Owns nothing.

use super::descriptors::Object;
use super::inode::{InodeId, Kind};
use super::namespace::KNOWN;
use super::objects::Waitable;
use super::transfer::At;
use super::walk::MAX_LINKS;
use super::{Errno, Files, Guest, Host, Result};
use alloc::vec::Vec;
use linux_raw_sys::general::*;

/// Flags of `open` with `O_PATH`.
const PATH_FLAGS: u64 = (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC) as u64;
const NO_XDEV: u64 = 1;
const NO_MAGICLINKS: u64 = 2;
const NO_SYMLINKS: u64 = 4;
const BENEATH: u64 = 8;
const IN_ROOT: u64 = 16;
const CACHED: u64 = 32;
const RESOLVE: u64 = NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH | IN_ROOT | CACHED;
/// `struct open_how` as it first was.
const HOW_BYTES: usize = 24;
/// Flags of `preadv2` and `pwritev2`.
const RWF_KNOWN: u32 = 0x1f;

/// Where a limited resolution ends.
struct End {
    directory: InodeId,
    /// The name there; `.` for the directory itself.
    name: Vec<u8>,
}

impl<H: Host> Files<H> {
    /// `openat2`
    pub(crate) fn open_how(
        &mut self,
        guest: Guest,
        base: usize,
        path: usize,
        how: usize,
        bytes: usize,
    ) -> Result {
        if bytes < HOW_BYTES {
            return Err(Errno::INVAL);
        }
        if bytes > 4096 {
            return Err(Errno::TOOBIG);
        }
        let [flags, mode, resolve] = guest.read::<[u64; 3]>(how)?;
        let rest = guest.bytes(how + HOW_BYTES, bytes - HOW_BYTES)?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(Errno::TOOBIG);
        }
        let creates = flags as u32 & (O_CREAT | __O_TMPFILE) != 0;
        if flags & !u64::from(KNOWN) != 0
            || resolve & !RESOLVE != 0
            || resolve & BENEATH != 0 && resolve & IN_ROOT != 0
            || mode != 0 && !creates
            || mode & !0o7777 != 0
            || flags as u32 & O_PATH != 0 && flags & !PATH_FLAGS != 0
        {
            return Err(Errno::INVAL);
        }
        if resolve & CACHED != 0 && flags as u32 & (O_TRUNC | O_CREAT | __O_TMPFILE) != 0 {
            return Err(Errno::AGAIN);
        }
        let path = guest.path(path)?;
        let (flags, mode) = (flags as u32, mode as u32);
        if resolve & !CACHED == 0 {
            return self.open(base, path, flags, mode);
        }
        let start = self.base_inode(base)?;
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let follows = flags & O_NOFOLLOW == 0 && flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL;
        let end = self.resolve(start, path, follows, resolve)?;
        // The name is one in this directory, for as long as the call takes.
        let before = core::mem::replace(&mut self.working_directory, end.directory);
        let answer = self.open(AT_FDCWD as usize, &end.name, flags, mode);
        self.working_directory = before;
        answer
    }

    fn resolve(&self, start: InodeId, path: &[u8], follows: bool, resolve: u64) -> Result<End> {
        let mut rest = copy_of(path)?;
        let (mut at, mut links) = (start, 0);
        let root = |at: InodeId| match resolve {
            _ if resolve & BENEATH != 0 => Err(Errno::XDEV),
            _ if resolve & IN_ROOT != 0 => Ok(start),
            _ => Ok(if at == InodeId::ROOT {
                at
            } else {
                InodeId::ROOT
            }),
        };
        loop {
            if rest.first() == Some(&b'/') {
                at = root(at)?;
                let from = rest.iter().position(|&byte| byte != b'/');
                rest.drain(..from.unwrap_or(rest.len()));
            }
            let length = rest.iter().position(|&byte| byte == b'/');
            let name = copy_of(&rest[..length.unwrap_or(rest.len())])?;
            let beyond = rest[name.len()..].iter().position(|&byte| byte != b'/');
            let is_last = beyond.is_none();
            if at == InodeId::ROOT && name == b"proc" && resolve & (BENEATH | IN_ROOT) == 0 {
                return self.resolve_generated(&rest, resolve);
            }
            match &name[..] {
                b"" | b"." => {}
                b".." if at == start && resolve & BENEATH != 0 => return Err(Errno::XDEV),
                b".." if at == start && resolve & IN_ROOT != 0 => {}
                b".." => at = self.inodes[at].directory()?.parent,
                _ => {
                    let directory = self.inodes[at].directory()?;
                    let found = directory.find(&name).ok();
                    let found = found.map(|slot| directory.entries()[slot].inode);
                    match found.map(|inode| (inode, &self.inodes[inode].kind)) {
                        Some((_, Kind::Link(target))) if !is_last || follows => {
                            links += 1;
                            if resolve & NO_SYMLINKS != 0 || links > MAX_LINKS {
                                return Err(Errno::LOOP);
                            }
                            let mut whole = copy_of(target)?;
                            let behind = &rest[name.len()..];
                            whole.try_reserve(behind.len()).map_err(|_| Errno::NOMEM)?;
                            whole.extend_from_slice(behind);
                            rest = whole;
                            continue;
                        }
                        _ if is_last => {
                            // With its slashes, which ask for a directory.
                            return Ok(End {
                                directory: at,
                                name: rest,
                            });
                        }
                        Some((inode, _)) => at = inode,
                        None => return Err(Errno::NOENT),
                    }
                }
            }
            match beyond {
                Some(beyond) => drop(rest.drain(..name.len() + beyond)),
                None => {
                    return Ok(End {
                        directory: at,
                        name: copy_of(b".")?,
                    });
                }
            }
        }
    }

    /// A path of `/proc`, which is another file system, with links of its own kind.
    fn resolve_generated(&self, rest: &[u8], resolve: u64) -> Result<End> {
        let mut name = copy_of(b"/")?;
        name.try_reserve(rest.len()).map_err(|_| Errno::NOMEM)?;
        name.extend_from_slice(rest);
        if resolve & NO_XDEV != 0 {
            return Err(Errno::XDEV);
        }
        if resolve & (NO_SYMLINKS | NO_MAGICLINKS) != 0 && self.is_generated_link(&name) {
            return Err(Errno::LOOP);
        }
        Ok(End {
            directory: InodeId::ROOT,
            name,
        })
    }

    /// `preadv2` (`writes`: `pwritev2`); an offset of -1 stands for the position.
    pub(crate) fn vector_with_flags(
        &mut self,
        guest: Guest,
        (descriptor, spans, count): (usize, usize, usize),
        offset: usize,
        flags: u32,
        writes: bool,
    ) -> Result {
        let at = match offset {
            usize::MAX => At::Position,
            _ => At::argument(offset)?,
        };
        let description = self.descriptors.get(descriptor)?;
        if writes {
            description.writable()?;
        } else {
            description.readable()?;
        }
        Self::vector(guest, spans, count)?;
        if flags & !RWF_KNOWN != 0 || !writes && flags & RWF_APPEND != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        // Files are in memory; others are asked first.
        if let (Object::Waitable(waitable), true) = (&description.object, flags & RWF_NOWAIT != 0) {
            let waitable: Waitable = *waitable;
            let wanted = if writes { POLLOUT } else { POLLIN } | POLLERR | POLLHUP;
            if let At::Offset(_) = at {
                return Err(Errno::SPIPE);
            }
            if self.objects.readiness(waitable) & wanted == 0 {
                return Err(Errno::AGAIN);
            }
        }
        if !writes {
            return self.read_vector(guest, descriptor, spans, count, at);
        }
        let before = self.descriptors.get(descriptor)?.flags;
        if flags & RWF_APPEND != 0 {
            self.descriptors.get_mut(descriptor)?.flags |= O_APPEND;
        }
        let answer = self.write_vector(guest, descriptor, spans, count, at);
        self.descriptors.get_mut(descriptor)?.flags = before;
        answer
    }
}

fn copy_of(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Errno::NOMEM)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
