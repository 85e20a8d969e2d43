//! Descriptors and the open file descriptions behind them.
//! Owns both tables; must never let a description outlive its last descriptor.
//!
//! A description's [`Object`] says what it is; descriptors, `dup`, `close` and `fcntl` do not look
//! inside.

use super::directory::Name;
use super::error::{Errno, Result};
use super::generated::Snapshot;
use super::inode::InodeId;
use super::objects::Waitable;
use alloc::vec::Vec;
use linux_raw_sys::general::{O_ACCMODE, O_PATH, O_RDONLY, O_RDWR, O_WRONLY};

/// Descriptors a process may have (the hard `RLIMIT_NOFILE`). The table grows with use.
pub const MAX_DESCRIPTORS: usize = 65_536;

/// What an open file description refers to.
pub(crate) enum Object {
    /// Not in use; the next free one.
    Free(Option<usize>),
    /// A regular file.
    Regular,
    /// A regular file whose seals limit writes.
    Sealed,
    /// A directory; the last name that was listed, so that changes do not disturb a listing.
    Directory(Option<Name>),
    /// `/dev/null`.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/full`.
    Full,
    /// `/dev/random`, `/dev/urandom`.
    Random,
    /// The text of a generated file.
    Snapshot(Snapshot),
    /// A generated directory, by its path.
    Listing(Vec<u8>),
    /// The console: descriptors of the host to read from and write to.
    Console { input: u32, output: u32 },
    /// Opened with `O_PATH`: names a file, does not open it.
    Path,
    /// Something that calls can wait on.
    Waitable(Waitable),
}

/// `flock` state of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flock {
    /// Not locked.
    None,
    /// `LOCK_SH`
    Shared,
    /// `LOCK_EX`
    Exclusive,
}

/// An open file description.
pub(crate) struct Description {
    /// What it refers to.
    pub object: Object,
    /// The inode, for all but descriptions without a file.
    pub inode: InodeId,
    /// Different for every description there ever was.
    pub serial: u64,
    /// Access mode and status flags (`O_*`).
    pub flags: u32,
    /// File position.
    pub position: u64,
    /// Descriptors that share it.
    pub descriptors: u32,
    /// `flock` state.
    pub flock: Flock,
}

impl Description {
    /// `EBADF` unless it may be read.
    #[inline(always)]
    pub fn readable(&self) -> Result<()> {
        if self.flags & O_PATH == 0 && matches!(self.flags & O_ACCMODE, O_RDONLY | O_RDWR) {
            Ok(())
        } else {
            Err(Errno::BADF)
        }
    }

    /// `EBADF` unless it may be written.
    #[inline(always)]
    pub fn writable(&self) -> Result<()> {
        if self.flags & O_PATH == 0 && matches!(self.flags & O_ACCMODE, O_WRONLY | O_RDWR) {
            Ok(())
        } else {
            Err(Errno::BADF)
        }
    }
}

#[derive(Clone, Copy)]
struct Descriptor {
    description: u32,
    close_on_exec: bool,
}

const CLOSED: Descriptor = Descriptor {
    description: u32::MAX,
    close_on_exec: false,
};

/// The tables.
pub(crate) struct Descriptors {
    table: Vec<Descriptor>,
    descriptions: Vec<Description>,
    free: Option<usize>,
    /// Descriptions ever opened.
    opened: u64,
    /// The soft `RLIMIT_NOFILE`.
    limit: usize,
    /// No descriptor below this is closed.
    lowest: usize,
}

impl Descriptors {
    /// Nothing open.
    pub const fn new() -> Self {
        Self {
            table: Vec::new(),
            descriptions: Vec::new(),
            free: None,
            opened: 0,
            limit: MAX_DESCRIPTORS,
            lowest: 0,
        }
    }

    /// The description behind a descriptor.
    #[inline(always)]
    pub fn index(&self, descriptor: usize) -> Result<usize> {
        match self.table.as_slice().get(descriptor as u32 as usize) {
            Some(entry) if entry.description != u32::MAX => Ok(entry.description as usize),
            _ => Err(Errno::BADF),
        }
    }

    /// See [`Descriptors::index`].
    #[inline(always)]
    pub fn get(&self, descriptor: usize) -> Result<&Description> {
        Ok(&self.descriptions.as_slice()[self.index(descriptor)?])
    }

    /// See [`Descriptors::index`].
    #[inline(always)]
    pub fn get_mut(&mut self, descriptor: usize) -> Result<&mut Description> {
        let index = self.index(descriptor)?;
        Ok(&mut self.descriptions.as_mut_slice()[index])
    }

    /// All descriptions in use.
    pub fn descriptions(&self) -> impl Iterator<Item = &Description> {
        self.descriptions
            .iter()
            .filter(|description| description.descriptors > 0)
    }

    /// The inodes of all descriptions in use.
    pub fn inodes_mut(&mut self) -> impl Iterator<Item = &mut InodeId> {
        let used = |description: &&mut Description| description.descriptors > 0;
        self.descriptions
            .iter_mut()
            .filter(used)
            .map(|description| &mut description.inode)
    }

    /// A file got seals.
    pub fn seal(&mut self, inode: InodeId) {
        for description in &mut self.descriptions {
            if description.inode == inode && matches!(description.object, Object::Regular) {
                description.object = Object::Sealed;
            }
        }
    }

    /// Number of descriptors in the table, open or not.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The lowest closed descriptor from `from` on; its place in the table exists afterwards.
    ///
    /// # Errors
    ///
    /// `EMFILE` at the limit, `ENOMEM`.
    pub fn lowest_closed(&mut self, from: usize) -> Result {
        let mut descriptor = from.max(self.lowest);
        while self
            .table
            .get(descriptor)
            .is_some_and(|entry| entry.description != u32::MAX)
        {
            descriptor += 1;
        }
        if from <= self.lowest {
            self.lowest = descriptor;
        }
        self.make_place(descriptor)?;
        Ok(descriptor)
    }

    fn make_place(&mut self, descriptor: usize) -> Result<()> {
        if descriptor >= self.limit {
            return Err(Errno::MFILE);
        }
        if descriptor >= self.table.len() {
            let more = descriptor + 1 - self.table.len();
            self.table.try_reserve(more).map_err(|_| Errno::NOMEM)?;
            self.table.resize(descriptor + 1, CLOSED);
        }
        Ok(())
    }

    /// Makes sure that the next [`Descriptors::open`] finds room for a description.
    pub fn reserve(&mut self) -> Result<()> {
        if self.free.is_none() {
            self.descriptions.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        }
        Ok(())
    }

    /// Puts a new description behind `descriptor`, which [`Descriptors::lowest_closed`] gave;
    /// call [`Descriptors::reserve`] first.
    pub fn open(
        &mut self,
        descriptor: usize,
        object: Object,
        inode: InodeId,
        flags: u32,
        close_on_exec: bool,
    ) {
        self.opened += 1;
        let description = Description {
            serial: self.opened,
            object,
            inode,
            flags,
            position: 0,
            descriptors: 1,
            flock: Flock::None,
        };
        let index = match self.free {
            Some(index) => {
                if let Object::Free(next) = self.descriptions[index].object {
                    self.free = next;
                }
                self.descriptions[index] = description;
                index
            }
            None => {
                self.descriptions.push(description);
                self.descriptions.len() - 1
            }
        };
        self.table[descriptor] = Descriptor {
            description: index as u32,
            close_on_exec,
        };
    }

    /// Lets `to` (closed, or any number below the limit) share the description of `from`.
    pub fn share(&mut self, from: usize, to: usize, close_on_exec: bool) -> Result<()> {
        let index = self.index(from)?;
        self.make_place(to)?;
        self.descriptions[index].descriptors += 1;
        self.table[to] = Descriptor {
            description: index as u32,
            close_on_exec,
        };
        Ok(())
    }

    /// Counts the description as if one more descriptor were open on it.
    pub fn hold(&mut self, index: u32) {
        self.descriptions[index as usize].descriptors += 1;
    }

    /// Undoes [`Descriptors::hold`]; what the description referred to, if nothing else holds it.
    pub fn let_go(&mut self, index: u32) -> Option<(InodeId, Object)> {
        let description = &mut self.descriptions[index as usize];
        description.descriptors -= 1;
        let inode = description.inode;
        (description.descriptors == 0).then(|| (inode, self.free_description(index as usize)))
    }

    fn free_description(&mut self, index: usize) -> Object {
        let free = Object::Free(self.free);
        self.free = Some(index);
        core::mem::replace(&mut self.descriptions[index].object, free)
    }

    /// Opens `descriptor`, which [`Descriptors::lowest_closed`] gave, on a description that is there.
    pub fn install(&mut self, index: u32, descriptor: usize, close_on_exec: bool) {
        self.hold(index);
        self.table[descriptor] = Descriptor {
            description: index,
            close_on_exec,
        };
    }

    /// Places for descriptions, in use or not.
    pub fn count(&self) -> usize {
        self.descriptions.len()
    }

    /// How many descriptors and messages hold the description of a place.
    pub fn holders(&self, index: usize) -> u32 {
        self.descriptions[index].descriptors
    }

    /// What the description of a place refers to, if calls can wait on it.
    pub fn waitable(&self, index: usize) -> Option<Waitable> {
        match self.descriptions[index].object {
            Object::Waitable(waitable) => Some(waitable),
            _ => None,
        }
    }

    /// Descriptors a process may have now (the soft `RLIMIT_NOFILE`).
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Sets the soft limit, at most [`MAX_DESCRIPTORS`].
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MAX_DESCRIPTORS);
    }

    /// Closes a descriptor; answers the index of its description, the inode, and, if it was the
    /// last one, what it referred to.
    pub fn close(&mut self, descriptor: usize) -> Result<(usize, InodeId, Option<Object>)> {
        let index = self.index(descriptor)?;
        self.table[descriptor as u32 as usize] = CLOSED;
        self.lowest = self.lowest.min(descriptor as u32 as usize);
        let description = &mut self.descriptions[index];
        description.descriptors -= 1;
        let last = (description.descriptors == 0).then(|| {
            let free = Object::Free(self.free);
            self.free = Some(index);
            core::mem::replace(&mut description.object, free)
        });
        Ok((index, description.inode, last))
    }

    /// The `FD_CLOEXEC` flag.
    pub fn close_on_exec(&self, descriptor: usize) -> Result<bool> {
        self.index(descriptor)?;
        Ok(self.table[descriptor as u32 as usize].close_on_exec)
    }

    /// Sets the `FD_CLOEXEC` flag.
    pub fn set_close_on_exec(&mut self, descriptor: usize, on: bool) -> Result<()> {
        self.index(descriptor)?;
        self.table[descriptor as u32 as usize].close_on_exec = on;
        Ok(())
    }
}
