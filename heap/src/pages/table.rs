//! Boundary tags of free runs, out of band: one 16-byte entry a page, in one piece.
//!
//! ```text
//!   page        .. | s        s+1  ...        s+n-1 | ..       a free run of n >= 2 pages
//!   entry       0  | HEAD      ?               TAIL | 0
//!                  | n                         n    |
//!                  | next                 dirty low |
//!                  | previous            dirty high |
//!
//!   a free run of one page: SINGLE | dirty? | next | previous
//! ```
//!
//! An entry that is not the first or last of a free run always has 0 in its first word.
//! Therefore a neighbour can be examined in O(1), and zero memory is
//! a valid table without free runs.
//! Callers pass only pages in `0..pages`.

/// Index of a page. The first page of the source's memory is page 1.
pub(super) type Page = u32;

/// Page 0 does not exist: it ends lists.
pub(super) const NONE: Page = 0;

const HEAD: u32 = 1;
const TAIL: u32 = 2;
const SINGLE: u32 = 3;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

const _: () = assert!(ENTRY_BYTES == bespoke_abi::PAGE_ENTRY_BYTES);

#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    tag: u32,
    /// Pages of the run. For a single page: whether it is dirty.
    length: u32,
    a: u32,
    b: u32,
}

/// A free run. Pages outside `dirty_low..dirty_high` are known to be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FreeRun {
    /// First page.
    pub start: Page,
    /// One past the last page.
    pub end: Page,
    /// First page that may be nonzero.
    pub dirty_low: Page,
    /// One past the last such page. If it is not above `dirty_low`, there is none.
    pub dirty_high: Page,
}

impl FreeRun {
    /// A run of pages that were in use until now.
    pub(super) const fn dirty(start: Page, end: Page) -> Self {
        Self {
            start,
            end,
            dirty_low: start,
            dirty_high: end,
        }
    }

    /// Length in pages.
    pub(super) const fn pages(&self) -> u32 {
        self.end - self.start
    }

    /// Length in pages of the part that may be nonzero.
    pub(super) const fn dirty_pages(&self) -> u32 {
        self.dirty_high.saturating_sub(self.dirty_low)
    }

    /// Returns the part of the run in `start..end`, with its share of the dirty pages.
    pub(super) fn part(&self, start: Page, end: Page) -> Self {
        Self {
            start,
            end,
            dirty_low: self.dirty_low.clamp(start, end),
            dirty_high: self.dirty_high.clamp(start, end),
        }
    }

    /// Joins this run and the run directly behind it.
    pub(super) fn join(&self, behind: &Self) -> Self {
        let (dirty_low, dirty_high) = match (self.dirty_pages(), behind.dirty_pages()) {
            (0, _) => (behind.dirty_low, behind.dirty_high),
            (_, 0) => (self.dirty_low, self.dirty_high),
            _ => (self.dirty_low, behind.dirty_high),
        };
        Self {
            start: self.start,
            end: behind.end,
            dirty_low,
            dirty_high,
        }
    }
}

/// The table.
pub(super) struct Table(*mut Entry);

impl Table {
    /// A table without entries.
    pub(super) const EMPTY: Self = Self(core::ptr::null_mut());

    /// The table at address `start`.
    ///
    /// # Safety
    ///
    /// At `start` lie [`ENTRY_BYTES`] zero bytes for each page that callers
    /// will name, owned by the table.
    pub(super) const unsafe fn at(start: usize) -> Self {
        Self(core::ptr::without_provenance_mut::<Entry>(start))
    }

    fn read(&self, page: Page) -> Entry {
        // SAFETY: the maker's promise covers every page of the source, and no other is named.
        unsafe { self.0.add(page as usize).read() }
    }

    fn write(&self, page: Page, entry: Entry) {
        // SAFETY: as in `read`; the table alone refers to this memory.
        unsafe { self.0.add(page as usize).write(entry) };
    }

    /// Adds a free run between its neighbours in a list.
    pub(super) fn enter(&self, run: &FreeRun, next: Page, previous: Page) {
        let length = run.pages();
        if length == 1 {
            let dirty = run.dirty_pages();
            self.write(
                run.start,
                Entry {
                    tag: SINGLE,
                    length: dirty,
                    a: next,
                    b: previous,
                },
            );
        } else {
            self.write(
                run.start,
                Entry {
                    tag: HEAD,
                    length,
                    a: next,
                    b: previous,
                },
            );
            self.write(
                run.end - 1,
                Entry {
                    tag: TAIL,
                    length,
                    a: run.dirty_low,
                    b: run.dirty_high,
                },
            );
        }
    }

    /// Removes a free run.
    pub(super) fn erase(&self, run: &FreeRun) {
        let empty = Entry {
            tag: 0,
            length: 0,
            a: 0,
            b: 0,
        };
        self.write(run.start, empty);
        self.write(run.end - 1, empty);
    }

    /// Returns the free run that starts at `page`, if there is one.
    pub(super) fn starting_at(&self, page: Page) -> Option<FreeRun> {
        let entry = self.read(page);
        match entry.tag {
            SINGLE => Some(Self::single(page, entry)),
            HEAD => {
                let end = page + entry.length;
                let tail = self.read(end - 1);
                Some(FreeRun {
                    start: page,
                    end,
                    dirty_low: tail.a,
                    dirty_high: tail.b,
                })
            }
            _ => None,
        }
    }

    /// Returns the free run whose last page is `page`, if there is one.
    pub(super) fn ending_with(&self, page: Page) -> Option<FreeRun> {
        let entry = self.read(page);
        match entry.tag {
            SINGLE => Some(Self::single(page, entry)),
            TAIL => {
                let end = page + 1;
                Some(FreeRun {
                    start: end - entry.length,
                    end,
                    dirty_low: entry.a,
                    dirty_high: entry.b,
                })
            }
            _ => None,
        }
    }

    fn single(page: Page, entry: Entry) -> FreeRun {
        FreeRun {
            start: page,
            end: page + 1,
            dirty_low: page,
            dirty_high: page + entry.length,
        }
    }

    /// Returns the next and the previous run in the list of the free run at `start`.
    pub(super) fn links(&self, start: Page) -> (Page, Page) {
        let entry = self.read(start);
        (entry.a, entry.b)
    }

    /// Sets the next run of the free run at `start`.
    pub(super) fn set_next(&self, start: Page, next: Page) {
        let entry = self.read(start);
        self.write(start, Entry { a: next, ..entry });
    }

    /// Sets the previous run of the free run at `start`.
    pub(super) fn set_previous(&self, start: Page, previous: Page) {
        let entry = self.read(start);
        self.write(
            start,
            Entry {
                b: previous,
                ..entry
            },
        );
    }
}
