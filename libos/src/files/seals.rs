//! Files without a name: `memfd_create` with its seals, and `O_TMPFILE`.
//!
//! What is special about such a file stands in bits of its inode's mode that are no permissions. A file whose seals
//! limit writes is [`Object::Sealed`] to its descriptors, so that writing to others does not ask.

use super::data::Data;
use super::descriptors::Object;
use super::inode::{InodeId, Kind};
use super::transfer::At;
use super::{Errno, Files, Host, Result};
use alloc::vec::Vec;
use linux_raw_sys::general::{
    AT_SYMLINK_NOFOLLOW, F_ADD_SEALS, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK,
    F_SEAL_WRITE, MFD_ALLOW_SEALING, MFD_CLOEXEC, O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY,
    O_EXCL, O_LARGEFILE, O_NOCTTY, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TRUNC,
};

/// It may be given a name (`O_TMPFILE` without `O_EXCL`).
pub(super) const LINKABLE: u32 = 1 << 16;
/// It was made by `memfd_create`.
const MEMFD: u32 = 1 << 17;
/// From this bit on: its seals.
const SEALS: u32 = 20;
const ALL_SEALS: u32 =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
/// `MFD_NOEXEC_SEAL`, `MFD_EXEC`.
const MFD_EXEC_FLAGS: u32 = 0x8 | 0x10;
/// Bytes in a name, so that `memfd:` fits before it.
const MAX_NAME: usize = 249;

/// The name that a file was made with, for the link in `/proc/self/fd`.
pub(super) struct MemfdName {
    inode: InodeId,
    pub name: Vec<u8>,
}

impl<H: Host> Files<H> {
    /// `memfd_create`
    pub(crate) fn make_memory_file(&mut self, name: &[u8], flags: u32) -> Result {
        // Seals of execution say nothing here; huge pages are not there.
        if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC_FLAGS) != 0
            || flags & MFD_EXEC_FLAGS == MFD_EXEC_FLAGS
            || name.len() > MAX_NAME
        {
            return Err(Errno::INVAL);
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(name.len())
            .map_err(|_| Errno::NOMEM)?;
        copy.extend_from_slice(name);
        let is_there = |inode: InodeId| self.inodes[inode].mode & MEMFD != 0;
        self.memfd_names.retain(|known| is_there(known.inode));
        self.memfd_names.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        let seals = match flags {
            _ if flags & MFD_ALLOW_SEALING != 0 || flags & 0x8 != 0 => 0,
            _ => F_SEAL_SEAL,
        };
        let mode = if flags & 0x8 != 0 { 0o666 } else { 0o777 };
        let close_on_exec = if flags & MFD_CLOEXEC != 0 {
            O_CLOEXEC
        } else {
            0
        };
        let mode = mode | MEMFD | seals << SEALS;
        let (inode, descriptor) = self.open_unnamed(mode, O_RDWR | close_on_exec)?;
        self.memfd_names.retain(|known| known.inode != inode);
        self.memfd_names.push(MemfdName { inode, name: copy });
        Ok(descriptor)
    }

    /// The name that `memfd_create` gave a file.
    pub(super) fn memfd_name(&self, inode: InodeId) -> Option<&[u8]> {
        if self.inodes[inode].mode & MEMFD == 0 {
            return None;
        }
        let mut names = self.memfd_names.iter();
        let known = names.find(|known| known.inode == inode)?;
        Some(&known.name)
    }

    /// `open` with `O_TMPFILE` in a directory.
    #[cold]
    pub(super) fn open_temporary(
        &mut self,
        base: usize,
        path: &[u8],
        flags: u32,
        mode: u32,
    ) -> Result {
        if flags & O_DIRECTORY == 0 || flags & O_CREAT != 0 || flags & O_ACCMODE == O_RDONLY {
            return Err(Errno::INVAL);
        }
        let follows = match flags & O_NOFOLLOW {
            0 => 0,
            _ => AT_SYMLINK_NOFOLLOW,
        };
        let directory = self.target(base, path, follows)?;
        self.inodes[directory].directory()?;
        let linkable = if flags & O_EXCL == 0 { LINKABLE } else { 0 };
        let mode = mode & 0o7777 & !self.umask | linkable;
        let flags = flags & !(O_EXCL | O_NOCTTY | O_TRUNC);
        Ok(self.open_unnamed(mode, flags)?.1)
    }

    fn open_unnamed(&mut self, mode: u32, flags: u32) -> Result<(InodeId, usize)> {
        let descriptor = self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        let now = self.now();
        let kind = Kind::Regular(Data::new());
        let inode = self.inodes.create(kind, mode, now)?;
        self.inodes[inode].references += 1;
        self.descriptors.open(
            descriptor,
            Object::Regular,
            inode,
            flags & !O_CLOEXEC | O_LARGEFILE,
            flags & O_CLOEXEC != 0,
        );
        Ok((inode, descriptor))
    }

    pub(super) fn seals(&self, inode: InodeId) -> u32 {
        self.inodes[inode].mode >> SEALS
    }

    /// Whether seals of a file limit what may be done with it.
    pub(super) fn is_sealed(&self, inode: InodeId) -> bool {
        self.seals(inode) & !F_SEAL_SEAL != 0
    }

    /// Opens a file with seals by its descriptor's link.
    #[cold]
    pub(super) fn open_sealed(&mut self, inode: InodeId, flags: u32) -> Result {
        if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
            return Err(Errno::EXIST);
        }
        if flags & O_DIRECTORY != 0 {
            return Err(Errno::NOTDIR);
        }
        if flags & O_TRUNC != 0 {
            self.allows_length(inode, 0, false)?;
            self.resize(inode, 0)?;
        }
        let descriptor = self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        self.inodes[inode].references += 1;
        let (object, large) = match flags & O_PATH {
            0 => (Object::Sealed, O_LARGEFILE),
            _ => (Object::Path, 0),
        };
        let kept = flags & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC) | large;
        let close_on_exec = flags & O_CLOEXEC != 0;
        self.descriptors
            .open(descriptor, object, inode, kept, close_on_exec);
        Ok(descriptor)
    }

    /// Why a descriptor may not be mapped shared to write to.
    pub(crate) fn refusal_to_map(&self, descriptor: usize) -> Errno {
        match self.descriptors.get(descriptor) {
            Ok(description) if description.writable().is_ok() => Errno::PERM,
            _ => Errno::ACCES,
        }
    }

    /// `F_ADD_SEALS`, `F_GET_SEALS`
    #[cold]
    pub(super) fn seal(&mut self, descriptor: usize, command: u32, more: u32) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let inode = description.inode;
        if self.inodes[inode].mode & MEMFD == 0 {
            return Err(Errno::INVAL);
        }
        let seals = self.seals(inode);
        if command != F_ADD_SEALS {
            return Ok(seals as usize);
        }
        description.writable().map_err(|_| Errno::PERM)?;
        // `F_SEAL_EXEC` would be kept in vain.
        if more & !ALL_SEALS != 0 {
            return Err(Errno::INVAL);
        }
        if seals & F_SEAL_SEAL != 0 {
            return Err(Errno::PERM);
        }
        if more & F_SEAL_WRITE != 0
            && seals & F_SEAL_WRITE == 0
            && let Kind::Regular(data) = &self.inodes[inode].kind
            && data.is_mapped()
        {
            return Err(Errno::BUSY);
        }
        self.inodes[inode].mode |= more << SEALS;
        self.descriptors.seal(inode);
        Ok(0)
    }

    /// Writes to a file whose seals may forbid it.
    #[cold]
    pub(super) fn write_sealed(&mut self, descriptor: usize, bytes: &[u8], at: At) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let (inode, position) = (description.inode, description.position);
        let seals = self.seals(inode);
        if bytes.is_empty() {
            return Ok(0);
        }
        if seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::PERM);
        }
        let Kind::Regular(data) = &self.inodes[inode].kind else {
            return Err(Errno::INVAL);
        };
        let offset = match at {
            At::Offset(offset) => offset,
            At::Position => position,
        };
        let room = usize::try_from(data.length().saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = match seals & F_SEAL_GROW {
            0 => bytes,
            _ if room == 0 => return Err(Errno::PERM),
            _ => &bytes[..bytes.len().min(room)],
        };
        self.descriptors.get_mut(descriptor)?.object = Object::Regular;
        let answer = self.write(descriptor, bytes, at);
        self.descriptors.get_mut(descriptor)?.object = Object::Sealed;
        answer
    }

    /// Whether the seals of a file let it be written.
    pub(super) fn may_be_written(&self, inode: InodeId) -> bool {
        self.seals(inode) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) == 0
    }

    /// Whether the seals of a file let it get this length, its contents change.
    pub(super) fn allows_length(&self, inode: InodeId, length: u64, changes: bool) -> Result<()> {
        let (seals, Kind::Regular(data)) = (self.seals(inode), &self.inodes[inode].kind) else {
            return Ok(());
        };
        let refused = length < data.length() && seals & F_SEAL_SHRINK != 0
            || length > data.length() && seals & F_SEAL_GROW != 0
            || changes && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0;
        if refused { Err(Errno::PERM) } else { Ok(()) }
    }
}
