//! Bins against a plain list of runs: what is found is there, is long enough, and is of the smallest class that has one.

use super::super::table::{ENTRY_BYTES, FreeRun, Page, Table};
use super::{Bins, CLASSES, class_above, class_of};
use std::vec;
use std::vec::Vec;

#[test]
fn every_run_of_the_class_above_fits() {
    for pages in (1..5000).chain([1 << 20, (1 << 20) + 1, u32::MAX >> 1]) {
        let above = class_above(pages);
        assert!(
            class_of(pages) <= above && above <= class_of(pages) + 1,
            "{pages}"
        );
        // The smallest run of a class is the first that is kept in it.
        let kept_below = class_of(pages - 1);
        assert!(
            above > kept_below || class_of(pages) == kept_below,
            "{pages}"
        );
        // Nor is the class above another one where all of its own fit: they would not be found.
        if class_of(pages) != kept_below {
            assert_eq!(above, class_of(pages), "{pages}");
        }
    }
    assert!(class_of(u32::MAX) < CLASSES);
}

#[test]
fn a_class_is_at_most_a_quarter_wide() {
    for pages in 8u32..4096 {
        let same = (pages..)
            .take_while(|other| class_of(*other) == class_of(pages))
            .count() as u32;
        assert!(same <= pages / 4 + 1, "{pages}");
    }
}

#[test]
fn classes_rise_with_length_and_none_is_left_out() {
    let mut last = 0;
    for pages in 1..100_000 {
        let class = class_of(pages);
        assert!(class == last || class == last + 1, "{pages}");
        last = class;
    }
    assert_eq!(class_above(u32::MAX), CLASSES);
    assert_eq!(class_of(u32::MAX), CLASSES - 1);
}

/// Pages that a table describes; none of them exists.
const PAGES: Page = 4096;

/// Bins over a table of their own, and what is in them.
struct Filled {
    bins: Bins,
    table: Table,
    runs: Vec<(Page, Page)>,
    _memory: Vec<u64>,
}

impl Filled {
    fn new() -> Self {
        let mut memory = vec![0u64; PAGES as usize * ENTRY_BYTES / 8 + 1];
        // SAFETY: zero, large enough for the pages, and kept as long as the table.
        let table = unsafe { Table::at(memory.as_mut_ptr().expose_provenance()) };
        Self {
            bins: Bins::EMPTY,
            table,
            runs: Vec::new(),
            _memory: memory,
        }
    }

    fn insert(&mut self, start: Page, pages: Page) {
        let run = FreeRun::dirty(start, start + pages);
        self.bins.insert(&self.table, &run);
        self.runs.push((start, pages));
    }

    fn remove(&mut self, index: usize) {
        let (start, _) = self.runs.swap_remove(index);
        let run = self.table.starting_at(start).expect("it is in the table");
        self.bins.remove(&self.table, &run);
        assert!(self.table.starting_at(start).is_none());
    }

    /// What the bins hold, against the list.
    fn check(&self) {
        let runs = self.bins.runs(&self.table, 0);
        let mut held: Vec<_> = runs.map(|run| (run.start, run.pages())).collect();
        let mut expected = self.runs.clone();
        held.sort_unstable();
        expected.sort_unstable();
        assert_eq!(held, expected);
        let longest = self.runs.iter().map(|run| run.1).max();
        let largest = self.bins.largest(&self.table).map(|run| run.pages());
        assert_eq!(largest, longest);
    }

    fn check_find(&self, pages: Page) {
        let fits = |run: &&(Page, Page)| run.1 >= pages;
        let Some(found) = self.bins.find(&self.table, pages) else {
            // Only the class of the request itself may hold one that was not looked at.
            let missed = self.runs.iter().filter(fits);
            assert!(
                missed.clone().all(|run| class_of(run.1) == class_of(pages)),
                "{pages} pages of {:?}",
                self.runs
            );
            return;
        };
        let found = (found.start, found.pages());
        assert!(self.runs.contains(&found));
        assert!(found.1 >= pages, "{found:?} for {pages} pages");
        let classes = self.runs.iter().map(|run| class_of(run.1));
        let least = classes.filter(|&class| class >= class_above(pages)).min();
        let class = class_of(found.1);
        assert!(
            class == class_of(pages) || Some(class) == least,
            "{found:?} for {pages} pages of {:?}",
            self.runs
        );
    }
}

/// A run one page too short is in the class of the request, and first of it.
#[test]
fn a_run_one_page_too_short_is_not_found() {
    for pages in 2..600 {
        let mut filled = Filled::new();
        filled.insert(1, pages - 1);
        let found = filled.bins.find(&filled.table, pages);
        assert!(found.is_none(), "{pages} pages in {}", pages - 1);
        let found = filled.bins.search(&filled.table, pages, |_| true);
        assert!(found.is_none(), "{pages} pages in {}", pages - 1);
        filled.insert(1000, pages);
        let found = filled.bins.find(&filled.table, pages).expect("it fits");
        assert_eq!((found.start, found.pages()), (1000, pages));
        let found = filled.bins.search(&filled.table, pages, |_| true);
        assert_eq!(found.expect("it fits").start, 1000);
    }
}

#[test]
fn a_search_sees_every_run_that_is_long_enough() {
    let mut filled = Filled::new();
    let lengths = [3, 40, 41, 43, 44, 100, 700];
    for (index, pages) in (1..).zip(lengths) {
        filled.insert(index * 500, pages);
    }
    let found = |pages, start: Page| {
        let run = filled
            .bins
            .search(&filled.table, pages, |run| run.start == start);
        run.map(|run| run.pages())
    };
    for (index, length) in (1..).zip(lengths) {
        assert_eq!(found(length, index * 500), Some(length));
        assert_eq!(found(length + 1, index * 500), None);
    }
    let none = filled.bins.search(&filled.table, 1, |_| false);
    assert!(none.is_none());
}

/// 20,000 random changes and requests.
#[test]
fn bins_behave_as_a_list_of_runs() {
    let mut filled = Filled::new();
    let mut state = 1u64;
    let mut random = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 33) % limit) as Page
    };
    for _ in 0..20_000 {
        let start = 1 + random(u64::from(PAGES) - 2);
        let magnitude = random(8);
        let pages = 1 + random(1 << magnitude);
        let is_free = |run: &(Page, Page)| run.0 >= start + pages || start >= run.0 + run.1;
        match random(3) {
            0 if start + pages < PAGES && filled.runs.iter().all(is_free) => {
                filled.insert(start, pages);
            }
            1 if !filled.runs.is_empty() => {
                let index = random(filled.runs.len() as u64);
                filled.remove(index as usize);
            }
            _ => filled.check_find(pages),
        }
        filled.check();
    }
    while !filled.runs.is_empty() {
        filled.remove(0);
        filled.check();
    }
    assert_eq!(filled.bins.filled, 0);
}
