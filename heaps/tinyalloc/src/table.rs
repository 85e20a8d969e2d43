//! The table of blocks and its three lists, as published; the steps have the same names.
//! It manages `base..limit` but never accesses the blocks themselves.

use bespoke_heap::C_ALIGN;
use core::ptr::NonNull;

/// A remainder of at least this many bytes becomes a separate block.
const SPLIT_THRESHOLD: usize = 16;

/// Position of an entry in a list: a pointer to a table entry.
pub(crate) type Link = NonNull<Entry>;

/// One block.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// First byte; 0 while fresh.
    pub address: usize,
    next: Option<Link>,
    /// Bytes.
    pub size: usize,
}

/// The lists.
pub(crate) struct Table {
    free: Option<Link>,
    used: Option<Link>,
    fresh: Option<Link>,
    /// End of the highest block ever used.
    top: usize,
    limit: usize,
}

fn get(link: Link) -> Entry {
    // SAFETY: links are made of table entries only, initialised by `Table::start`.
    unsafe { link.read() }
}

fn set(link: Link, entry: Entry) {
    // SAFETY: as in `get`; the table alone refers to its entries.
    unsafe { link.write(entry) }
}

fn set_next(link: Link, next: Option<Link>) {
    set(link, Entry { next, ..get(link) });
}

impl Table {
    /// A table without blocks.
    pub(crate) const EMPTY: Self = Self {
        free: None,
        used: None,
        fresh: None,
        top: 0,
        limit: 0,
    };

    /// Makes a table of `blocks` entries at `base`; the rest of `bytes`
    /// is for their blocks. O(blocks).
    ///
    /// # Safety
    ///
    /// The memory belongs to the table forever, is aligned to 16 and longer than the entries.
    pub(crate) unsafe fn start(base: NonNull<u8>, bytes: usize, blocks: usize) -> Self {
        let entries = base.cast::<Entry>();
        let mut next = None;
        for index in (0..blocks).rev() {
            // SAFETY: the caller promises room for all entries.
            let entry = unsafe { entries.add(index) };
            set(
                entry,
                Entry {
                    address: 0,
                    next,
                    size: 0,
                },
            );
            next = Some(entry);
        }
        let start = base.addr().get();
        let top = (start + blocks * size_of::<Entry>()).next_multiple_of(C_ALIGN);
        Self {
            free: None,
            used: None,
            fresh: next,
            top,
            limit: start + bytes,
        }
    }

    /// Allocates by first fit. The highest free block may grow up to the limit. O(free blocks).
    pub(crate) fn allocate(&mut self, bytes: usize) -> Option<Entry> {
        let size = bytes.checked_next_multiple_of(C_ALIGN)?;
        let mut before = None;
        let mut at = self.free;
        while let Some(link) = at {
            let entry = get(link);
            let is_top =
                entry.address + entry.size >= self.top && size <= self.limit - entry.address;
            if is_top || entry.size >= size {
                self.unlink_free(before, entry.next);
                return Some(self.take(link, entry, size, is_top));
            }
            before = at;
            at = entry.next;
        }
        self.take_fresh(size)
    }

    fn unlink_free(&mut self, before: Option<Link>, next: Option<Link>) {
        match before {
            Some(before) => set_next(before, next),
            None => self.free = next,
        }
    }

    /// Moves a free block to the used ones, and splits it at `size` if enough is left.
    fn take(&mut self, link: Link, entry: Entry, size: usize, is_top: bool) -> Entry {
        let mut taken = Entry {
            next: self.used,
            ..entry
        };
        self.used = Some(link);
        if is_top {
            taken.size = size;
            self.top = entry.address + size;
            set(link, taken);
            return taken;
        }
        let excess = entry.size - size;
        match self.fresh {
            Some(rest) if excess >= SPLIT_THRESHOLD => {
                taken.size = size;
                set(link, taken);
                self.fresh = get(rest).next;
                set(
                    rest,
                    Entry {
                        address: entry.address + size,
                        next: None,
                        size: excess,
                    },
                );
                self.insert_free(rest);
                self.compact();
            }
            _ => set(link, taken),
        }
        taken
    }

    fn take_fresh(&mut self, size: usize) -> Option<Entry> {
        let link = self.fresh?;
        if size > self.limit - self.top {
            return None;
        }
        self.fresh = get(link).next;
        let entry = Entry {
            address: self.top,
            next: self.used,
            size,
        };
        set(link, entry);
        self.used = Some(link);
        self.top += size;
        Some(entry)
    }

    /// Returns the used entry whose block contains `address`, and its
    /// predecessor in the list. O(used blocks).
    pub(crate) fn find_used(&self, address: usize) -> Option<(Option<Link>, Entry)> {
        let mut before = None;
        let mut at = self.used;
        while let Some(link) = at {
            let entry = get(link);
            if address.wrapping_sub(entry.address) < entry.size {
                return Some((before, entry));
            }
            before = at;
            at = entry.next;
        }
        None
    }

    /// Frees the used entry behind `before` (the first one if `None`). O(free blocks).
    pub(crate) fn free(&mut self, before: Option<Link>) {
        let Some(link) = before.map_or(self.used, |before| get(before).next) else {
            return;
        };
        let next = get(link).next;
        match before {
            Some(before) => set_next(before, next),
            None => self.used = next,
        }
        self.insert_free(link);
        self.compact();
    }

    /// Adds an entry to the free list, by address.
    fn insert_free(&mut self, link: Link) {
        let address = get(link).address;
        let mut before = None;
        let mut at = self.free;
        while let Some(other) = at.filter(|other| get(*other).address < address) {
            before = at;
            at = get(other).next;
        }
        set_next(link, at);
        match before {
            Some(before) => set_next(before, Some(link)),
            None => self.free = Some(link),
        }
    }

    /// Merges adjacent free blocks; their entries become fresh again.
    /// Walks the whole list, as published.
    fn compact(&mut self) {
        let mut at = self.free;
        while let Some(link) = at {
            let mut entry = get(link);
            let mut next = entry.next;
            while let Some(behind) =
                next.filter(|next| get(*next).address == entry.address + entry.size)
            {
                let merged = get(behind);
                entry.size += merged.size;
                next = merged.next;
                set(
                    behind,
                    Entry {
                        address: 0,
                        next: self.fresh,
                        size: 0,
                    },
                );
                self.fresh = Some(behind);
            }
            entry.next = next;
            set(link, entry);
            at = next;
        }
    }
}
