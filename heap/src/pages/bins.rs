//! Free runs by size class: good fit in O(1), after Masmano et al. 2004 (TLSF).
//!
//! Classes are exact up to 7 pages. Above, each power of two has four classes.
//! A run found in the class above a request is at most a quarter too large and needs no search.
//! This module holds the lists and the bitmap of nonempty lists. The runs in the lists
//! are exactly the runs in the table.

use super::table::{FreeRun, NONE, Page, Table};

/// Classes for runs of up to 2^32 pages: 8 exact ones and 4 for each of 29 powers of two.
const CLASSES: usize = 8 + 4 * 29;

const _: () = assert!(CLASSES <= u128::BITS as usize);

/// The lists.
pub(super) struct Bins {
    filled: u128,
    heads: [Page; CLASSES],
}

/// Returns the class that keeps a run of `pages` pages. Each run in it has
/// at least the class's lower bound.
const fn class_of(pages: u32) -> usize {
    if pages < 8 {
        return pages as usize;
    }
    let magnitude = pages.ilog2();
    let quarter = (pages >> (magnitude - 2)) & 3;
    8 + (magnitude as usize - 3) * 4 + quarter as usize
}

/// Returns the lowest class in which every run has at least `pages` pages.
const fn class_above(pages: u32) -> usize {
    if pages < 8 {
        return pages as usize;
    }
    let step = 1 << (pages.ilog2() - 2);
    match pages.checked_add(step - 1) {
        Some(rounded) => class_of(rounded),
        None => CLASSES,
    }
}

impl Bins {
    /// Bins without runs.
    pub(super) const EMPTY: Self = Self {
        filled: 0,
        heads: [NONE; CLASSES],
    };

    /// Adds a free run. O(1).
    pub(super) fn insert(&mut self, table: &Table, run: &FreeRun) {
        let class = class_of(run.pages());
        let next = self.heads[class];
        if next != NONE {
            table.set_previous(next, run.start);
        }
        table.enter(run, next, NONE);
        self.heads[class] = run.start;
        self.filled |= 1 << class;
    }

    /// Removes a free run. O(1).
    pub(super) fn remove(&mut self, table: &Table, run: &FreeRun) {
        let (next, previous) = table.links(run.start);
        if next != NONE {
            table.set_previous(next, previous);
        }
        if previous != NONE {
            table.set_next(previous, next);
        } else {
            let class = class_of(run.pages());
            self.heads[class] = next;
            if next == NONE {
                self.filled &= !(1 << class);
            }
        }
        table.erase(run);
    }

    /// Finds a run of at least `pages` pages, in the smallest class first.
    /// O(1): in the class that also holds smaller runs, only the first run is examined.
    pub(super) fn find(&self, table: &Table, pages: u32) -> Option<FreeRun> {
        let lowest = class_of(pages);
        let above = class_above(pages);
        if above != lowest {
            let first = self.first(table, lowest).filter(|run| run.pages() >= pages);
            if first.is_some() {
                return first;
            }
        }
        let filled = self.filled.checked_shr(above as u32).unwrap_or(0);
        if filled == 0 {
            return None;
        }
        self.first(table, above + filled.trailing_zeros() as usize)
    }

    /// Finds any run of at least `pages` pages that `fits`. O(runs): only for requests
    /// that would be refused otherwise.
    pub(super) fn search(
        &self,
        table: &Table,
        pages: u32,
        fits: impl Fn(&FreeRun) -> bool,
    ) -> Option<FreeRun> {
        self.runs(table, class_of(pages))
            .find(|run| run.pages() >= pages && fits(run))
    }

    /// Returns the largest run. O(runs in its class).
    pub(super) fn largest(&self, table: &Table) -> Option<FreeRun> {
        let highest = self.filled.checked_ilog2()? as usize;
        self.runs(table, highest).max_by_key(FreeRun::pages)
    }

    /// Iterates over all runs of class `lowest` and above.
    pub(super) fn runs<'a>(
        &'a self,
        table: &'a Table,
        lowest: usize,
    ) -> impl Iterator<Item = FreeRun> + 'a {
        (lowest..CLASSES).flat_map(move |class| {
            let next = |run: &FreeRun| table.starting_at(table.links(run.start).0);
            core::iter::successors(self.first(table, class), next)
        })
    }

    fn first(&self, table: &Table, class: usize) -> Option<FreeRun> {
        match *self.heads.get(class)? {
            NONE => None,
            start => table.starting_at(start),
        }
    }
}

#[cfg(test)]
mod tests;
