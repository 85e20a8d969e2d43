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
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => &bytes[..*length as usize],
            Self::Heap(bytes) => bytes,
        }
    }
}

/// The first bytes of a name as a number that orders as they do: most names differ there.
#[inline(always)]
fn beginning(name: &[u8]) -> u64 {
    match name.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        // A name has no NUL, so the zeros behind a short one sort it before all it begins.
        None => name
            .iter()
            .rev()
            .fold(0, |word, &byte| word >> 8 | u64::from(byte) << 56),
    }
}

/// A name and what it leads to.
pub(crate) struct Entry {
    beginning: u64,
    /// The inode.
    pub inode: InodeId,
    /// The name, without slash or NUL.
    pub name: Name,
}

impl Entry {
    /// Lets `name` lead to `inode`.
    pub fn new(name: Name, inode: InodeId) -> Self {
        Self {
            beginning: beginning(name.bytes()),
            inode,
            name,
        }
    }
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
        let wanted = beginning(name);
        self.entries.binary_search_by(|entry| {
            let order = entry.beginning.cmp(&wanted);
            order.then_with(|| entry.name.bytes().cmp(name))
        })
    }

    /// The entries, by name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Makes sure that the next `more` calls of [`Directory::insert`] find room.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        self.entries.try_reserve(more).map_err(|_| Errno::NOSPC)
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

    /// Inodes change their numbers.
    pub fn renumber(&mut self, exchanged: impl Fn(InodeId) -> InodeId) {
        for entry in &mut self.entries {
            entry.inode = exchanged(entry.inode);
        }
    }

    /// Whether it has no names.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
