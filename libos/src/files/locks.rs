//! Advisory record locks (`fcntl`) of the process and of open file descriptions.
//! Owns the held ranges; must never wait: who has to (`objects::locks`) asks again when something was released.

use super::error::{Errno, Result};
use super::inode::InodeId;
use alloc::vec::Vec;

/// Who holds a lock. Locks of one owner never conflict with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    /// The process (`F_SETLK`).
    pub const PROCESS: Self = Self(u32::MAX);

    /// An open file description (`F_OFD_SETLK`), by its index.
    pub fn description(index: usize) -> Self {
        Self(index as u32)
    }
}

/// A held range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The file.
    pub inode: InodeId,
    /// The holder.
    pub owner: Owner,
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// A write lock.
    pub exclusive: bool,
}

impl Lock {
    fn overlaps(&self, other: &Lock) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn touches(&self, other: &Lock) -> bool {
        self.start <= other.end.saturating_add(1) && other.start <= self.end.saturating_add(1)
    }

    fn same_holder(&self, other: &Lock) -> bool {
        self.inode == other.inode && self.owner == other.owner
    }
}

/// All record locks.
pub(crate) struct Locks {
    held: Vec<Lock>,
}

impl Locks {
    /// None.
    pub const fn new() -> Self {
        Self { held: Vec::new() }
    }

    /// A lock of someone else that `wanted` conflicts with, the lowest one.
    pub fn conflict(&self, wanted: &Lock) -> Option<Lock> {
        let clash = |held: &&Lock| {
            held.inode == wanted.inode
                && held.owner != wanted.owner
                && (held.exclusive || wanted.exclusive)
                && held.overlaps(wanted)
        };
        self.held
            .iter()
            .filter(clash)
            .min_by_key(|held| held.start)
            .copied()
    }

    /// The lowest lock that the owner of `range` holds in it.
    pub fn own(&self, range: &Lock) -> Option<Lock> {
        let own = |held: &&Lock| held.same_holder(range) && held.overlaps(range);
        self.held
            .iter()
            .filter(own)
            .min_by_key(|held| held.start)
            .copied()
    }

    /// Sets (`locked`) or clears the range of `wanted` for its owner; ranges of one owner and
    /// kind that touch become one.
    ///
    /// # Errors
    ///
    /// `EAGAIN` on a conflict, `ENOLCK` out of memory; nothing changed then.
    pub fn set(&mut self, wanted: Lock, locked: bool) -> Result<()> {
        if locked && self.conflict(&wanted).is_some() {
            return Err(Errno::AGAIN);
        }
        self.held.try_reserve(2).map_err(|_| Errno::NOLCK)?;
        let mut merged = wanted;
        let mut index = 0;
        while let Some(&held) = self.held.get(index) {
            if !held.same_holder(&wanted) {
                index += 1;
                continue;
            }
            let join = locked && held.exclusive == wanted.exclusive;
            if join && held.touches(&merged) {
                merged.start = merged.start.min(held.start);
                merged.end = merged.end.max(held.end);
                self.held.swap_remove(index);
            } else if !join && held.overlaps(&wanted) {
                let left = (held.start < wanted.start).then(|| Lock {
                    end: wanted.start - 1,
                    ..held
                });
                let right = (held.end > wanted.end).then(|| Lock {
                    start: wanted.end + 1,
                    ..held
                });
                match (left, right) {
                    (Some(left), Some(right)) => {
                        self.held[index] = left;
                        self.held.push(right);
                        index += 1;
                    }
                    (Some(part), None) | (None, Some(part)) => {
                        self.held[index] = part;
                        index += 1;
                    }
                    (None, None) => {
                        self.held.swap_remove(index);
                    }
                }
            } else {
                index += 1;
            }
        }
        if locked {
            self.held.push(merged);
        }
        Ok(())
    }

    /// Releases everything `owner` holds on `inode`.
    #[inline]
    pub fn release(&mut self, inode: InodeId, owner: Owner) {
        if !self.held.is_empty() {
            self.held
                .retain(|held| held.inode != inode || held.owner != owner);
        }
    }
}
