//! Inodes: what a file is, apart from its names. Owns every inode and, through them, every
//! page of the file system; an inode lives while a name, an open description, the working
//! directory or a child directory refers to it.

use super::data::Data;
use super::directory::Directory;
use super::error::{Errno, Result};
use super::objects::Node;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bespoke_heap::Pages;
use core::ops::{Index, IndexMut};
use linux_raw_sys::general::{S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK};

/// Number of an inode; `st_ino` is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeId(pub u32);

impl InodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);
}

/// A character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// Swallows, and is empty.
    Null,
    /// Swallows, and gives zeros.
    Zero,
    /// Full, and gives zeros.
    Full,
    /// Gives random bytes; `urandom` differs in its number alone.
    Random { urandom: bool },
    /// The controlling terminal.
    Terminal,
    /// Console descriptor 0, 1 or 2.
    Console { descriptor: u32, terminal: bool },
}

/// What a file is.
pub(crate) enum Kind {
    /// Not in use; the next free inode.
    Free(Option<InodeId>),
    /// A regular file.
    Regular(Data),
    /// A directory.
    Directory(Directory),
    /// A symbolic link and its target.
    Link(Vec<u8>),
    /// A device.
    Device(Device),
    /// What has no name: a pipe, a socket, an event file. File type bits.
    Anonymous(u32),
    /// The name of a local socket, and its number while it is open.
    Socket(Option<u32>),
    /// A file of a rare kind.
    Node(Box<dyn Node>),
}

/// One file.
pub(crate) struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `07777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that lead here (directories: as Linux counts them).
    pub links: u32,
    /// Open descriptions, working directory, child directories.
    pub references: u32,
    /// Last access, nanoseconds since the epoch.
    pub accessed: i64,
    /// Last change of contents.
    pub modified: i64,
    /// Last change of the inode.
    pub changed: i64,
}

impl Inode {
    /// Permission bits and file type.
    pub fn full_mode(&self) -> u32 {
        let kind = match &self.kind {
            Kind::Free(_) => 0,
            Kind::Regular(_) => S_IFREG,
            Kind::Directory(_) => S_IFDIR,
            Kind::Link(_) => S_IFLNK,
            Kind::Device(Device::Console {
                terminal: false, ..
            }) => S_IFIFO,
            Kind::Device(_) => S_IFCHR,
            Kind::Anonymous(file_type) => *file_type,
            Kind::Socket(_) => S_IFSOCK,
            Kind::Node(node) => node.file_type(),
        };
        kind | self.mode & 0o7777
    }

    /// The directory it is.
    #[inline]
    pub fn directory(&self) -> Result<&Directory> {
        if let Kind::Directory(directory) = &self.kind {
            Ok(directory)
        } else {
            Err(Errno::NOTDIR)
        }
    }

    /// See [`Inode::directory`].
    pub fn directory_mut(&mut self) -> Result<&mut Directory> {
        if let Kind::Directory(directory) = &mut self.kind {
            Ok(directory)
        } else {
            Err(Errno::NOTDIR)
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Contents were read or mapped. As `relatime`: kept only as far as it tells reads before from reads after
    /// a change.
    #[inline]
    pub fn note_access(&mut self, now: impl FnOnce() -> i64) {
        if self.accessed <= self.modified || self.accessed <= self.changed {
            self.accessed = now();
        }
    }

    /// Contents or names changed at `now`.
    #[inline]
    pub fn touch(&mut self, now: i64) {
        self.modified = now;
        self.changed = now;
    }
}

/// All inodes.
pub(crate) struct Inodes {
    slots: Vec<Inode>,
    free: Option<InodeId>,
    used: usize,
    /// Where file data comes from.
    pub pages: Pages,
}

impl Inodes {
    /// Some directory that holds a name of `inode`, and the place of that name. O(names).
    pub fn find_name(&self, inode: InodeId) -> Option<(InodeId, usize)> {
        let directories = self.slots.iter().enumerate();
        directories
            .filter_map(|(index, slot)| Some((index, slot.directory().ok()?)))
            .find_map(|(index, directory)| {
                let mut entries = directory.entries().iter();
                let slot = entries.position(|entry| entry.inode == inode)?;
                Some((InodeId(index as u32), slot))
            })
    }
}

impl Index<InodeId> for Inodes {
    type Output = Inode;
    #[inline(always)]
    fn index(&self, id: InodeId) -> &Inode {
        &self.slots.as_slice()[id.0 as usize]
    }
}

impl IndexMut<InodeId> for Inodes {
    #[inline(always)]
    fn index_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.slots.as_mut_slice()[id.0 as usize]
    }
}

impl Inodes {
    /// No inodes; data will come from `pages`.
    pub const fn new(pages: Pages) -> Self {
        Self {
            slots: Vec::new(),
            free: None,
            used: 0,
            pages,
        }
    }

    /// Two inodes change their numbers.
    pub fn swap(&mut self, one: InodeId, other: InodeId) {
        self.slots.swap(one.0 as usize, other.0 as usize);
    }

    /// All inodes, in use or not.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Inode> {
        self.slots.iter_mut()
    }

    /// Inodes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Pages that files hold from the page source.
    pub fn held_pages(&self) -> usize {
        let held = |inode: &Inode| {
            if let Kind::Regular(data) = &inode.kind {
                data.held_pages()
            } else {
                0
            }
        };
        self.slots.iter().map(held).sum()
    }

    /// The data of a regular file, with the account it grows on.
    #[inline(always)]
    pub fn data_mut(&mut self, id: InodeId) -> Result<(&mut Data, &Pages)> {
        match &mut self.slots.as_mut_slice()[id.0 as usize].kind {
            Kind::Regular(data) => Ok((data, &self.pages)),
            Kind::Directory(_) => Err(Errno::ISDIR),
            _ => Err(Errno::INVAL),
        }
    }

    /// Room for `more` inodes at once, so that booting does not grow the table by steps.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        self.slots.try_reserve(more).map_err(|_| Errno::NOSPC)
    }

    /// A new inode with no links and no references. A directory refers to its parent.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    pub fn create(&mut self, kind: Kind, mode: u32, now: i64) -> Result<InodeId> {
        if self.free.is_none() {
            self.slots.try_reserve(1).map_err(|_| Errno::NOSPC)?;
        }
        let parent = if let Kind::Directory(directory) = &kind {
            Some(directory.parent)
        } else {
            None
        };
        let inode = Inode {
            kind,
            mode,
            uid: 0,
            gid: 0,
            links: 0,
            references: 0,
            accessed: now,
            modified: now,
            changed: now,
        };
        let id = match self.free {
            Some(id) => {
                if let Kind::Free(next) = self[id].kind {
                    self.free = next;
                }
                self[id] = inode;
                id
            }
            None => {
                self.slots.push(inode);
                InodeId(self.slots.len() as u32 - 1)
            }
        };
        self.used += 1;
        if let Some(parent) = parent {
            self[parent].references += 1;
        }
        Ok(id)
    }

    /// Frees the inode, and parents only it kept alive, if nothing refers to it any more.
    pub fn collect(&mut self, mut id: InodeId) {
        loop {
            let inode = &mut self.slots[id.0 as usize];
            if inode.links > 0 || inode.references > 0 || matches!(inode.kind, Kind::Free(_)) {
                return;
            }
            let kind = core::mem::replace(&mut inode.kind, Kind::Free(self.free));
            self.free = Some(id);
            self.used -= 1;
            match kind {
                Kind::Regular(mut data) => return data.release(&self.pages),
                Kind::Directory(directory) => {
                    id = directory.parent;
                    self[id].references -= 1;
                }
                _ => return,
            }
        }
    }

    /// Drops one reference.
    pub fn unreference(&mut self, id: InodeId) {
        self[id].references -= 1;
        self.collect(id);
    }
}
