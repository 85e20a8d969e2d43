//! Directories: names and the inodes they lead to, sorted by name.
//! Owns the names; must never allocate without being able to fail.

use super::error::{Errno, Result};
use super::inode::InodeId;
use alloc::vec::Vec;

const INLINE: usize = 30;

/// A name in a directory. Names that fit are kept without an allocation.
pub(crate) enum Name {
    /// Length and bytes.
    Inline(u8, [u8; INLINE]),
    /// Longer names.
    Heap(Vec<u8>),
}

impl Name {
    /// A copy of `bytes`, at most 255 of them.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.len() <= INLINE {
            let mut inline = [0; INLINE];
            inline[..bytes.len()].copy_from_slice(bytes);
            return Ok(Self::Inline(bytes.len() as u8, inline));
        }
        let mut heap = Vec::new();
        heap.try_reserve_exact(bytes.len())
            .map_err(|_| Errno::NOSPC)?;
        heap.extend_from_slice(bytes);
        Ok(Self::Heap(heap))
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => &bytes[..*length as usize],
            Self::Heap(bytes) => bytes,
        }
    }
}

/// A name and what it leads to.
pub(crate) struct Entry {
    /// The inode.
    pub inode: InodeId,
    /// The name, without slash or NUL.
    pub name: Name,
}

/// See the module. `.` and `..` are not among the entries.
pub(crate) struct Directory {
    /// The directory that `..` leads to; its own for the root.
    pub parent: InodeId,
    entries: Vec<Entry>,
}

impl Directory {
    /// An empty directory.
    pub const fn new(parent: InodeId) -> Self {
        Self {
            parent,
            entries: Vec::new(),
        }
    }

    /// Where `name` is, or where it would stand. O(log n).
    #[inline]
    pub fn find(&self, name: &[u8]) -> core::result::Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| entry.name.bytes().cmp(name))
    }

    /// The entries, by name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Makes sure that the next [`Directory::insert`] finds room.
    pub fn reserve(&mut self) -> Result<()> {
        self.entries.try_reserve(1).map_err(|_| Errno::NOSPC)
    }

    /// Adds a name that is not there yet; call [`Directory::reserve`] first. O(n).
    pub fn insert(&mut self, entry: Entry) {
        if let Err(slot) = self.find(entry.name.bytes()) {
            self.entries.insert(slot, entry);
        }
    }

    /// Removes the entry in `slot`. O(n).
    pub fn remove(&mut self, slot: usize) -> Entry {
        self.entries.remove(slot)
    }

    /// Lets the entry in `slot` lead to `inode`; answers what it led to.
    pub fn replace(&mut self, slot: usize, inode: InodeId) -> InodeId {
        core::mem::replace(&mut self.entries[slot].inode, inode)
    }

    /// Whether it has no names.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
