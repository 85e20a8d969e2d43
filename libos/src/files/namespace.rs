//! Calls that make, find, move and remove names. Must never change anything before all
//! that can fail has been done. The order of checks is Linux's, so errors are too.

use super::data::Data;
use super::descriptors::Object;
use super::directory::{Directory, Entry, Name};
use super::generated::Opened;
use super::inode::{InodeId, Kind};
use super::seals::LINKABLE;
use super::walk::{Last, Slash, Spot};
use super::{Errno, Files, Host, Result};
use alloc::vec::Vec;
use linux_raw_sys::general::*;

/// Flags of `open`.
pub(super) const KNOWN: u32 = O_ACCMODE
    | O_CREAT
    | O_EXCL
    | O_NOCTTY
    | O_TRUNC
    | O_APPEND
    | O_NONBLOCK
    | O_SYNC
    | FASYNC
    | O_DIRECT
    | O_LARGEFILE
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_NOATIME
    | O_CLOEXEC
    | O_PATH
    | __O_TMPFILE;
/// Flags of `open` that `F_GETFL` does not tell.
const NOT_KEPT: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;

impl<H: Host> Files<H> {
    /// `openat`
    pub(crate) fn open(&mut self, directory: usize, path: &[u8], flags: u32, mode: u32) -> Result {
        self.before_open(path);
        // As on Linux, flags that nobody knows are ignored.
        let mut flags = flags & KNOWN;
        if flags & O_PATH != 0 {
            flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        }
        if flags & __O_TMPFILE != 0 {
            return self.open_temporary(directory, path, flags, mode);
        }
        if flags & O_CREAT != 0 && flags & O_DIRECTORY != 0 {
            return Err(Errno::INVAL);
        }
        let base = self.base_or_absent(directory, path)?;
        let descriptor = self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        let base = base.ok_or(Errno::BADF)?;
        let create = flags & O_CREAT != 0;
        let follow = flags & O_NOFOLLOW == 0 && !(create && flags & O_EXCL != 0);
        let slashes = if create {
            Slash::Refused
        } else {
            Slash::Follows
        };
        let spot = match self.inodes.locate(base, path, follow, slashes) {
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                match self.open_generated(directory, path, flags).ok_or(error)?? {
                    Opened::Descriptor(descriptor) => return Ok(descriptor),
                    Opened::Link(inode) if self.is_sealed(inode) => {
                        return self.open_sealed(inode, flags);
                    }
                    // As if its own name had been given.
                    Opened::Link(inode) => Spot {
                        last: Last::Name,
                        parent: InodeId::ROOT,
                        name: b"",
                        slot: 0,
                        inode: Some(inode),
                        slash: false,
                    },
                }
            }
            other => other?,
        };
        let slash = spot.slash;
        let (inode, object) = match spot.inode {
            Some(inode) => (inode, self.open_existing(inode, slash, flags)?),
            None if !create => return self.open_missing(directory, path, flags),
            None => {
                let (parent, name) = (spot.parent, Name::new(spot.name)?);
                (
                    self.place(parent, name, Kind::Regular(Data::new()), mode & !self.umask)?,
                    Object::Regular,
                )
            }
        };
        self.inodes[inode].references += 1;
        let large = if flags & O_PATH == 0 { O_LARGEFILE } else { 0 };
        self.descriptors.open(
            descriptor,
            object,
            inode,
            flags & !NOT_KEPT | large,
            flags & O_CLOEXEC != 0,
        );
        Ok(descriptor)
    }

    /// An empty path is an error at once; a bad directory descriptor only after the table is full.
    fn base_or_absent(&self, directory: usize, path: &[u8]) -> Result<Option<InodeId>> {
        match self.base(directory, path) {
            Err(Errno::BADF) => Ok(None),
            other => other.map(Some),
        }
    }

    fn open_existing(&mut self, inode: InodeId, slash: bool, flags: u32) -> Result<Object> {
        let is_directory = self.inodes[inode].is_directory();
        if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
            return Err(Errno::EXIST);
        }
        if flags & O_CREAT != 0 && is_directory {
            return Err(Errno::ISDIR);
        }
        if (flags & O_DIRECTORY != 0 || slash) && !is_directory {
            return Err(Errno::NOTDIR);
        }
        if flags & O_PATH != 0 {
            return Ok(Object::Path);
        }
        if is_directory && (flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0) {
            return Err(Errno::ISDIR);
        }
        let object = self.object(inode, flags)?;
        if flags & O_TRUNC != 0 && matches!(object, Object::Regular) {
            let now = self.now();
            let (data, pages) = self.inodes.data_mut(inode)?;
            data.set_length(pages, 0);
            self.inodes[inode].touch(now);
        }
        Ok(object)
    }

    /// Where a new name goes: its directory and its copy. `directory`: a trailing slash is fine.
    pub(super) fn vacant(
        &self,
        base: usize,
        path: &[u8],
        directory: bool,
    ) -> Result<(InodeId, Name)> {
        let spot = self
            .inodes
            .locate(self.base(base, path)?, path, false, Slash::Kept)?;
        if spot.last != Last::Name || spot.inode.is_some() {
            return Err(Errno::EXIST);
        }
        if spot.slash && !directory || self.inodes[spot.parent].links == 0 {
            return Err(Errno::NOENT);
        }
        Ok((spot.parent, Name::new(spot.name)?))
    }

    /// `mkdirat`
    pub(crate) fn make_directory(&mut self, base: usize, path: &[u8], mode: u32) -> Result {
        let (parent, name) = self.vacant(base, path, true)?;
        let mode = mode & 0o1777 & !self.umask;
        self.place(parent, name, Kind::Directory(Directory::new(parent)), mode)?;
        Ok(0)
    }

    /// `symlinkat`
    pub(crate) fn make_link(&mut self, target: &[u8], base: usize, path: &[u8]) -> Result {
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        let (parent, name) = self.vacant(base, path, false)?;
        let mut copy = Vec::new();
        copy.try_reserve_exact(target.len())
            .map_err(|_| Errno::NOSPC)?;
        copy.extend_from_slice(target);
        self.place(parent, name, Kind::Link(copy), 0o777)?;
        Ok(0)
    }

    /// `linkat`
    pub(crate) fn link(
        &mut self,
        from_base: usize,
        from: &[u8],
        to_base: usize,
        to: &[u8],
        flags: u32,
    ) -> Result {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let inode = if from.is_empty() && flags & AT_EMPTY_PATH != 0 {
            self.base_inode(from_base)?
        } else {
            let follows = match flags & AT_SYMLINK_FOLLOW {
                0 => AT_SYMLINK_NOFOLLOW,
                _ => 0,
            };
            self.target(from_base, from, follows)?
        };
        let (parent, name) = self.vacant(to_base, to, false)?;
        if self.inodes[inode].is_directory() {
            return Err(Errno::PERM);
        }
        if self.inodes[inode].links == 0 && self.inodes[inode].mode & LINKABLE == 0 {
            return Err(Errno::NOENT);
        }
        // On Linux `/dev` is a file system of its own.
        if matches!(self.inodes[inode].kind, Kind::Device(_)) {
            return Err(Errno::XDEV);
        }
        self.inodes[parent].directory_mut()?.reserve(1)?;
        let now = self.now();
        let file = &mut self.inodes[inode];
        file.links = file.links.checked_add(1).ok_or(Errno::MLINK)?;
        file.mode &= !LINKABLE;
        file.changed = now;
        let above = &mut self.inodes[parent];
        above.touch(now);
        above.directory_mut()?.insert(Entry::new(name, inode));
        Ok(0)
    }

    /// `readlinkat`
    pub(crate) fn read_link(&mut self, base: usize, path: &[u8], buffer: &mut [u8]) -> Result {
        if buffer.is_empty() {
            return Err(Errno::INVAL);
        }
        let inode = if path.is_empty() {
            self.base_inode(base)?
        } else {
            match self.inodes.lookup(self.base(base, path)?, path, false) {
                Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                    let made = self.read_generated_link(base, path, buffer);
                    return match made {
                        Err(Errno::NOENT) => Err(self.or_missing(base, error)),
                        other => other,
                    };
                }
                other => other?,
            }
        };
        let Kind::Link(target) = &self.inodes[inode].kind else {
            return Err(if path.is_empty() {
                Errno::NOENT
            } else {
                Errno::INVAL
            });
        };
        let count = target.len().min(buffer.len());
        buffer[..count].copy_from_slice(&target[..count]);
        self.accessed(inode);
        Ok(count)
    }

    /// A file is read other than by `read`, which keeps the time itself.
    pub(super) fn accessed(&mut self, inode: InodeId) {
        let now = self.now();
        let inode = &mut self.inodes[inode];
        if inode.accessed <= inode.modified || inode.accessed <= inode.changed {
            inode.accessed = now;
        }
    }

    /// `unlinkat`
    pub(crate) fn unlink(&mut self, base: usize, path: &[u8], flags: u32) -> Result {
        if flags & !AT_REMOVEDIR != 0 {
            return Err(Errno::INVAL);
        }
        let spot = self
            .inodes
            .locate(self.base(base, path)?, path, false, Slash::Kept)?;
        let (parent, slot) = (spot.parent, spot.slot);
        let inode = if flags & AT_REMOVEDIR != 0 {
            self.removable_directory(&spot)?
        } else {
            self.removable_file(&spot)?
        };
        let now = self.now();
        self.inodes[parent].directory_mut()?.remove(slot);
        self.inodes[parent].touch(now);
        self.lost_name(inode, parent, now);
        Ok(0)
    }

    fn removable_directory(&self, spot: &Spot<'_>) -> Result<InodeId> {
        match spot.last {
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
            Last::Root => return Err(Errno::BUSY),
            Last::Name => {}
        }
        let inode = spot.inode.ok_or(Errno::NOENT)?;
        if self.inodes[inode].directory()?.is_empty() {
            Ok(inode)
        } else {
            Err(Errno::NOTEMPTY)
        }
    }

    fn removable_file(&self, spot: &Spot<'_>) -> Result<InodeId> {
        if spot.last != Last::Name {
            return Err(Errno::ISDIR);
        }
        let inode = spot.inode.ok_or(Errno::NOENT)?;
        match self.inodes[inode].is_directory() {
            true => Err(Errno::ISDIR),
            false if spot.slash => Err(Errno::NOTDIR),
            false => Ok(inode),
        }
    }

    /// A name in `parent` no longer leads to `inode`.
    fn lost_name(&mut self, inode: InodeId, parent: InodeId, now: i64) {
        let gone = &mut self.inodes[inode];
        gone.changed = now;
        if gone.is_directory() {
            gone.links = 0;
            self.inodes[parent].links -= 1;
        } else {
            gone.links -= 1;
        }
        self.inodes.collect(inode);
    }

    /// `renameat2`
    pub(crate) fn rename(
        &mut self,
        from_base: usize,
        from: &[u8],
        to_base: usize,
        to: &[u8],
        flags: u32,
    ) -> Result {
        let exchange = flags & RENAME_EXCHANGE != 0;
        let keep = flags & RENAME_NOREPLACE != 0;
        if flags & !(RENAME_EXCHANGE | RENAME_NOREPLACE) != 0 || exchange && keep {
            return Err(Errno::INVAL);
        }
        let old = self
            .inodes
            .locate(self.base(from_base, from)?, from, false, Slash::Kept)?;
        let new = self
            .inodes
            .locate(self.base(to_base, to)?, to, false, Slash::Kept)?;
        if old.last != Last::Name {
            return Err(Errno::BUSY);
        }
        if new.last != Last::Name {
            return Err(if keep { Errno::EXIST } else { Errno::BUSY });
        }
        let inode = old.inode.ok_or(Errno::NOENT)?;
        if keep && new.inode.is_some() {
            return Err(Errno::EXIST);
        }
        if exchange && new.inode.is_none() {
            return Err(Errno::NOENT);
        }
        // As for links.
        if matches!(self.inodes[inode].kind, Kind::Device(_)) {
            return Err(Errno::XDEV);
        }
        let is_directory = self.inodes[inode].is_directory();
        let target_is_directory = new
            .inode
            .is_some_and(|inode| self.inodes[inode].is_directory());
        if exchange && new.slash && !target_is_directory {
            return Err(Errno::NOTDIR);
        }
        if !is_directory && (old.slash || !exchange && new.slash) {
            return Err(Errno::NOTDIR);
        }
        if old.parent != new.parent && self.inodes.is_above(inode, new.parent) {
            return Err(Errno::INVAL);
        }
        if let Some(target) = new.inode {
            if old.parent != new.parent && self.inodes.is_above(target, old.parent) {
                return Err(if exchange {
                    Errno::INVAL
                } else {
                    Errno::NOTEMPTY
                });
            }
            if target == inode {
                return Ok(0);
            }
            if !exchange {
                match (is_directory, target_is_directory) {
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    (true, true) if !self.inodes[target].directory()?.is_empty() => {
                        return Err(Errno::NOTEMPTY);
                    }
                    _ => {}
                }
            }
        } else if self.inodes[new.parent].links == 0 {
            return Err(Errno::NOENT);
        }
        let (old_parent, old_slot, new_parent, new_slot) =
            (old.parent, old.slot, new.parent, new.slot);
        let target = new.inode;
        let name = if target.is_none() {
            Some(Name::new(new.name)?)
        } else {
            None
        };
        if target.is_none() {
            self.inodes[new_parent].directory_mut()?.reserve(1)?;
        }
        // Nothing fails from here on.
        let now = self.now();
        match (target, name) {
            (Some(target), _) if exchange => {
                self.inodes[old_parent]
                    .directory_mut()?
                    .replace(old_slot, target);
                self.inodes[new_parent]
                    .directory_mut()?
                    .replace(new_slot, inode);
                self.moved(target, new_parent, old_parent, now);
            }
            (Some(_), _) => {
                self.inodes[new_parent]
                    .directory_mut()?
                    .replace(new_slot, inode);
                self.inodes[old_parent].directory_mut()?.remove(old_slot);
            }
            (None, Some(name)) => {
                self.inodes[old_parent].directory_mut()?.remove(old_slot);
                self.inodes[new_parent]
                    .directory_mut()?
                    .insert(Entry::new(name, inode));
            }
            (None, None) => return Err(Errno::NOENT),
        }
        self.moved(inode, old_parent, new_parent, now);
        self.inodes[old_parent].touch(now);
        self.inodes[new_parent].touch(now);
        if let Some(target) = target.filter(|_| !exchange) {
            self.lost_name(target, new_parent, now);
        }
        Ok(0)
    }

    /// `inode` changed its directory; a directory takes its `..` along.
    fn moved(&mut self, inode: InodeId, from: InodeId, to: InodeId, now: i64) {
        self.inodes[inode].changed = now;
        if from != to && self.inodes[inode].is_directory() {
            if let Ok(directory) = self.inodes[inode].directory_mut() {
                directory.parent = to;
            }
            self.inodes[from].links -= 1;
            self.inodes[to].links += 1;
            self.inodes[to].references += 1;
            self.inodes.unreference(from);
        }
    }
}
