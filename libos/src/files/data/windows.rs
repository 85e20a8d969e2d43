//! Parts of a file that mappings show: a window is a run of file pages that lie one behind the other in memory,
//! and stay there, so that a mapping, `read` and `write` have the same bytes.
//!
//! The pages are closed where the application may not touch them: past the end of the file, where a mapping is
//! for reading, and after the last mapping is gone. The library OS opens what it is about to touch (`touch`).
//! Owns the list of windows and the closing of their pages past the end. The run of a window may be longer than
//! the file; its pages past the end are zero.

use super::{Data, PAGE_BYTES, pages_for};
use crate::files::error::{Errno, Result};
use crate::memory::{self, Rights};
use alloc::vec::Vec;
use bespoke_heap::{Contents, Pages, Run};
use core::ptr::NonNull;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// First page of the file.
    page: usize,
    pages: usize,
    start: NonNull<u8>,
    /// Whether a mapping shows it; else it is kept closed only so that touching it is a fault.
    is_mapped: bool,
}

impl Window {
    fn end(&self) -> usize {
        self.page + self.pages
    }

    fn overlaps(&self, page: usize, count: usize) -> bool {
        self.page < page + count && page < self.end()
    }

    /// Address of a page of the file, or of the end of the window.
    fn address(&self, page: usize) -> usize {
        self.start.addr().get() + (page - self.page) * PAGE_BYTES
    }

    /// The part of the window in pages `from..to`, which overlaps it.
    fn part(&self, from: usize, to: usize) -> Self {
        let (from, to) = (from.max(self.page), to.min(self.end()));
        Self {
            page: from,
            pages: to - from,
            // SAFETY: inside the window, or at its end.
            start: unsafe { self.start.add((from - self.page) * PAGE_BYTES) },
            ..*self
        }
    }
}

/// How a mapping is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anywhere.
    Any,
    /// It must begin at this address, by what lies there already.
    At(usize),
    /// Over these pages, which the caller gives to the file: open and zero.
    Given(NonNull<u8>),
}

impl Data {
    /// Opens page `page` of the file for the library OS, where it is in a window.
    #[inline]
    pub(super) fn touch(&self, page: usize, rights: Rights) {
        if !self.windows.is_empty() {
            self.touch_window(page, rights);
        }
    }

    #[cold]
    fn touch_window(&self, page: usize, rights: Rights) {
        if let Some(window) = self.windows.iter().find(|window| window.overlaps(page, 1)) {
            let start = window.address(page);
            memory::open_for(start, start + PAGE_BYTES, rights);
        }
    }

    /// Whether a mapping shows some of the file.
    pub fn is_mapped(&self) -> bool {
        self.windows.iter().any(|window| window.is_mapped)
    }

    /// Whether the page must stay where it is.
    pub(super) fn is_in_window(&self, page: usize) -> bool {
        self.windows.iter().any(|window| window.overlaps(page, 1))
    }

    /// A page for entry `index` of the table, behind the page before it if that can be: so a larger window can later
    /// be made in place.
    pub(super) fn allocate_behind(
        &self,
        pages: &Pages,
        index: usize,
        contents: Contents,
    ) -> Option<Run> {
        let before = index.checked_sub(1).and_then(|before| self.table[before]);
        if let Some(start) = before {
            // SAFETY: the page is the file's own; `extend` finds whether the one behind it is free.
            if unsafe { pages.extend(Run { start, pages: 1 }, 1, contents) } {
                return Some(Run {
                    // SAFETY: the page behind, which is ours now.
                    start: unsafe { start.add(PAGE_BYTES) },
                    pages: 1,
                });
            }
        }
        pages.allocate(1, 1, contents)
    }

    /// Frees the pages from entry `keep` of the table on; those in windows stay, zero.
    pub(super) fn free_around_windows(&mut self, pages: &Pages, keep: usize) {
        for index in keep..self.table.len() {
            let page = self.first + index;
            if self.is_in_window(page) {
                self.touch_window(page, Rights::Write);
                if let Some(start) = self.table[index] {
                    // SAFETY: a whole page of the file, opened just now.
                    unsafe { start.write_bytes(0, PAGE_BYTES) };
                }
            } else if let Some(start) = self.table[index].take() {
                self.free_page(pages, start);
            }
        }
        self.trim_table();
    }

    /// The file is about to end at `length`, before its end now: what the last page shows behind it becomes zero,
    /// and pages past it are closed once they are cleared.
    pub(super) fn cut_windows(&mut self, length: u64) {
        if self.windows.is_empty() {
            return;
        }
        self.forget_unmapped();
        let (page, within) = super::split(length);
        if within > 0 && self.is_in_window(page) {
            self.touch_window(page, Rights::Write);
            if let Some((start, valid)) = self.find(page) {
                // SAFETY: `find` promises `valid` bytes.
                unsafe { start.add(within).write_bytes(0, valid - within) };
            }
        }
    }

    /// The length was set: opens what mappings show of a file that grew, closes what lies past the end of one that
    /// was cut.
    #[inline]
    pub(super) fn show_growth(&self, before: u64) {
        if !self.windows.is_empty() && pages_for(before) != pages_for(self.length) {
            self.show_change(before);
        }
    }

    #[cold]
    fn show_change(&self, before: u64) {
        let (old, new) = (pages_for(before), pages_for(self.length));
        for window in self.windows.iter().filter(|window| window.is_mapped) {
            let at = |page: usize| window.address(page.clamp(window.page, window.end()));
            if old < new {
                memory::show(at(old), at(new));
            } else {
                memory::hide(at(new), at(old));
            }
        }
    }

    /// Makes pages `page .. page + count` one window; answers its address.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when there is no run of that length, and when another window that is mapped holds a part of these
    /// pages and cannot grow in place.
    pub fn map(
        &mut self,
        pages: &Pages,
        page: usize,
        count: usize,
        place: Place,
    ) -> Result<NonNull<u8>> {
        self.forget_unmapped();
        self.windows.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        self.leave_place(pages)?;
        let end = page.checked_add(count).ok_or(Errno::NOMEM)?;
        if end > self.table.len() {
            let more = end - self.table.len();
            self.table.try_reserve(more).map_err(|_| Errno::NOMEM)?;
        }
        let result = self.place_window(pages, page, count, place);
        self.trim_table();
        result
    }

    fn place_window(
        &mut self,
        pages: &Pages,
        page: usize,
        count: usize,
        place: Place,
    ) -> Result<NonNull<u8>> {
        let end = page + count;
        let mut met = self
            .windows
            .iter()
            .enumerate()
            .filter(|(_, window)| window.overlaps(page, count));
        let one = met.next().map(|(index, window)| (index, *window));
        let is_alone = met.next().is_none();
        drop(met);
        let fits = |start: NonNull<u8>| match place {
            Place::Any => true,
            Place::At(address) => start.addr().get() == address,
            Place::Given(_) => false,
        };
        if let Some((index, window)) = one {
            if !is_alone || window.page > page {
                return Err(Errno::NOMEM);
            }
            // SAFETY: the window reaches as far.
            let start = unsafe { window.start.add((page - window.page) * PAGE_BYTES) };
            if !fits(start) {
                return Err(Errno::NOMEM);
            }
            if end > window.end() {
                self.grow_run(pages, window.start, window.page, window.end(), end)?;
                self.windows[index].pages = end - window.page;
            }
            return Ok(start);
        }
        if self.table.len() < end {
            self.table.resize(end, None);
        }
        let start = match place {
            Place::Given(start) => {
                self.move_to(pages, start, page, page, end);
                start
            }
            _ => {
                let adjoining = self.table[page].filter(|&start| fits(start));
                let together = adjoining.map_or(page, |start| self.together(page, end, start));
                match adjoining {
                    Some(start)
                        if together > page
                            && self.grow_run(pages, start, page, together, end).is_ok() =>
                    {
                        start
                    }
                    _ if matches!(place, Place::At(_)) => return Err(Errno::NOMEM),
                    _ => {
                        let run = pages.allocate(count, 1, Contents::Zero);
                        let start = run.ok_or(Errno::NOMEM)?.start;
                        self.move_to(pages, start, page, page, end);
                        start
                    }
                }
            }
        };
        self.windows.push(Window {
            page,
            pages: count,
            start,
            is_mapped: true,
        });
        self.clear_past_end(page, end);
        Ok(start)
    }

    /// Up to which page the pages from `page` on lie one behind the other, the first at `start`.
    fn together(&self, page: usize, end: usize, start: NonNull<u8>) -> usize {
        let lies_there = |&at: &usize| {
            let expected = start.addr().get() + (at - page) * PAGE_BYTES;
            self.table[at].is_some_and(|place| place.addr().get() == expected)
        };
        (page..end).take_while(lies_there).count() + page
    }

    /// Makes pages `from..end` lie behind those before them, whose first, `page`, is at `start`.
    fn grow_run(
        &mut self,
        pages: &Pages,
        start: NonNull<u8>,
        page: usize,
        from: usize,
        end: usize,
    ) -> Result<()> {
        if from == end {
            return Ok(());
        }
        if self
            .windows
            .iter()
            .any(|window| window.overlaps(from, end - from))
        {
            return Err(Errno::NOMEM);
        }
        let run = Run {
            start,
            pages: from - page,
        };
        // SAFETY: the pages are the file's, handed out on this account; `extend` looks whether those behind are free.
        if !unsafe { pages.extend(run, end - from, Contents::Zero) } {
            return Err(Errno::NOMEM);
        }
        if self.table.len() < end {
            self.table.resize(end, None);
        }
        // SAFETY: the pages just added, behind the run.
        let added = unsafe { start.add((from - page) * PAGE_BYTES) };
        self.move_to(pages, added, from, from, end);
        self.clear_past_end(from, end);
        Ok(())
    }

    /// Moves pages `from..end` to zero memory of this account in which page `page` has its place at `start`.
    fn move_to(&mut self, pages: &Pages, start: NonNull<u8>, page: usize, from: usize, end: usize) {
        for at in from..end {
            // SAFETY: the memory reaches to page `end`.
            let target = unsafe { start.add((at - page) * PAGE_BYTES) };
            self.held += 1;
            if let Some(old) = self.table[at].replace(target) {
                // SAFETY: both are whole pages, the file's, and different.
                unsafe { target.copy_from_nonoverlapping(old, PAGE_BYTES) };
                self.free_page(pages, old);
            }
        }
    }

    /// Clears what the last page of the file shows behind the end, if it is among these (invariant 2 leaves it
    /// arbitrary).
    fn clear_past_end(&self, from: usize, end: usize) {
        let (page, within) = super::split(self.length);
        if within > 0
            && (from..end).contains(&page)
            && let Some((start, valid)) = self.find(page)
        {
            // SAFETY: `find` promises `valid` bytes; the page was just placed and is open.
            unsafe { start.add(within).write_bytes(0, valid - within) };
        }
    }

    /// Takes what lies in place to pages of its own: bytes of an archive are not aligned to pages.
    fn leave_place(&mut self, pages: &Pages) -> Result<()> {
        let in_place = self.first + usize::from(self.tail > 0);
        if in_place == 0 {
            return Ok(());
        }
        let mut table: Vec<Option<NonNull<u8>>> = Vec::new();
        let rest = self.table.len().max(usize::from(self.tail > 0));
        table
            .try_reserve(self.first + rest)
            .map_err(|_| Errno::NOMEM)?;
        let run = pages.allocate(in_place, 1, Contents::Any);
        let start = run.ok_or(Errno::NOMEM)?.start;
        let bytes = self.first * PAGE_BYTES + self.tail;
        // SAFETY: so many bytes lie in place (invariant 1), and the run is at least as long.
        unsafe {
            start.copy_from_nonoverlapping(self.place, bytes);
            start
                .add(bytes)
                .write_bytes(0, in_place * PAGE_BYTES - bytes);
        }
        for index in 0..in_place {
            // SAFETY: inside the run.
            table.push(Some(unsafe { start.add(index * PAGE_BYTES) }));
        }
        let moved_tail = usize::from(self.tail > 0);
        table.extend(self.table.iter().skip(moved_tail));
        self.held += in_place;
        (self.table, self.first, self.tail) = (table, 0, 0);
        Ok(())
    }

    /// Takes the first part of a mapped window in these pages out of the list; what is left of that window stays in it.
    /// `None` also when there is no room to remember what is left: the window then stays as it is.
    fn take_window(&mut self, page: usize, count: usize) -> Option<Window> {
        self.windows.try_reserve(2).ok()?;
        let is_met = |window: &Window| window.is_mapped && window.overlaps(page, count);
        let index = self.windows.iter().position(is_met)?;
        let window = self.windows.swap_remove(index);
        let cut = window.part(page, page + count);
        let rests = [window.part(0, cut.page), window.part(cut.end(), usize::MAX)];
        self.windows
            .extend(rests.into_iter().filter(|rest| rest.pages > 0));
        Some(cut)
    }

    /// Mappings show pages `page .. page + count` no more. They stay closed while nobody needs them if `keep_closed`.
    pub fn unmap(&mut self, pages: &Pages, page: usize, count: usize, keep_closed: bool) {
        while let Some(cut) = self.take_window(page, count) {
            let valid_end = pages_for(self.length).clamp(cut.page, cut.end());
            memory::open(cut.address(valid_end), cut.address(cut.end()));
            for past in valid_end..cut.end() {
                if let Some(start) = self.table.get_mut(past).and_then(Option::take) {
                    self.free_page(pages, start);
                }
            }
            let mut left = cut.part(cut.page, valid_end);
            if left.pages == 0 {
                continue;
            }
            let (start, end) = (left.address(left.page), left.address(left.end()));
            if keep_closed && memory::close_unmapped(start, end) {
                left.is_mapped = false;
                // There is room: `take_window` makes it, for two parts.
                self.windows.push(left);
            } else {
                memory::open(start, end);
            }
        }
        self.trim_table();
    }

    /// Moves pages `page .. page + count`, which one mapping shows, away from their addresses, which are the
    /// caller's from then on, open. What they hold is lost unless `keeps`, for a file that nobody can reach.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing was moved.
    pub fn vacate(&mut self, pages: &Pages, page: usize, count: usize, keeps: bool) -> Result<()> {
        let valid_end = match keeps {
            true => pages_for(self.length).clamp(page, page + count),
            false => page,
        };
        let target = match valid_end - page {
            0 => None,
            kept => Some(pages.allocate(kept, 1, Contents::Any).ok_or(Errno::NOMEM)?),
        };
        let Some(cut) = self
            .take_window(page, count)
            .filter(|cut| cut.pages == count)
        else {
            // SAFETY: allocated above, and not used.
            target
                .into_iter()
                .for_each(|run| unsafe { pages.free(run) });
            return Err(Errno::NOMEM);
        };
        memory::open(cut.address(page), cut.address(page + count));
        for at in page..page + count {
            let old = self.table.get_mut(at).and_then(Option::take);
            match (old, target) {
                (Some(old), Some(run)) if at < valid_end => {
                    // SAFETY: the run has a page for each that is kept; both are whole pages.
                    self.table[at] = Some(unsafe {
                        let new = run.start.add((at - page) * PAGE_BYTES);
                        new.copy_from_nonoverlapping(old, PAGE_BYTES);
                        new
                    });
                }
                _ => self.held -= 1,
            }
        }
        self.trim_table();
        Ok(())
    }

    fn forget_unmapped(&mut self) {
        for window in self.windows.iter().filter(|window| !window.is_mapped) {
            memory::open(window.address(window.page), window.address(window.end()));
        }
        self.windows.retain(|window| window.is_mapped);
    }

    /// Nothing is mapped any more, nor will be.
    pub(super) fn forget_windows(&mut self) {
        for window in &self.windows {
            memory::open(window.address(window.page), window.address(window.end()));
        }
        self.windows = Vec::new();
    }

    /// Pages of the file as far as it goes.
    pub fn length_pages(&self) -> usize {
        pages_for(self.length)
    }
}
