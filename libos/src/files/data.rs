//! The bytes of one regular file: a flat table of pages, and optionally a first part that
//! stays in place where the boot archive put it.
//! Owns its pages; must never leave an operation that failed half done. (Over 400 lines:
//! every operation rests on the invariants below, which no part of the file could state alone.)
//!
//! ```text
//!   bytes    0 .. first*4096        .. +tail       first*4096 ..          length
//!            |---- in place ------------------|    |-- table[0] --|-- table[1] --|
//!                     the archive                    a page, or a hole (zeros)
//! ```
//!
//! Invariants:
//! 1. `tail` is not 0 only while `table[0]` is a hole: the file's page `first` lies in place
//!    for its first `tail` bytes, all of them below `length`; what follows them is a hole.
//! 2. In the page that holds byte `length`, bytes from there on are arbitrary: whoever raises
//!    `length` clears them first. So appending never clears what it then overwrites.
//! 3. Pages wholly beyond `length` (from `fallocate`) are zero.
//! 4. Each page of a window (`windows`) is in the table, and stays where it is.

mod windows;

use super::error::{Errno, Result};
use crate::memory::Rights;
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Pages, Run};
use core::ptr::NonNull;
pub(crate) use windows::Place;
use windows::Window;

/// Largest file size, as on Linux.
pub(crate) const MAX_LENGTH: u64 = i64::MAX as u64;
/// Tables with more entries than this are not kept when a file becomes empty.
const KEPT_ENTRIES: usize = 64;
const PAGE: u64 = PAGE_BYTES as u64;

/// A part of a file.
pub(crate) enum Extent<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many zeros.
    Hole(usize),
}

/// See the module.
pub(crate) struct Data {
    length: u64,
    table: Vec<Option<NonNull<u8>>>,
    first: usize,
    tail: usize,
    place: NonNull<u8>,
    held: usize,
    windows: Vec<Window>,
}

fn split(offset: u64) -> (usize, usize) {
    ((offset / PAGE) as usize, (offset % PAGE) as usize)
}

fn pages_for(bytes: u64) -> usize {
    bytes.div_ceil(PAGE) as usize
}

impl Data {
    /// An empty file.
    pub const fn new() -> Self {
        Self {
            length: 0,
            table: Vec::new(),
            first: 0,
            tail: 0,
            place: NonNull::dangling(),
            held: 0,
            windows: Vec::new(),
        }
    }

    /// A file whose contents stay where they are, also when written.
    pub fn in_place(bytes: &'static mut [u8]) -> Self {
        let (first, tail) = split(bytes.len() as u64);
        let length = bytes.len() as u64;
        Self {
            length,
            table: Vec::new(),
            first,
            tail,
            place: NonNull::from(bytes).cast(),
            held: 0,
            windows: Vec::new(),
        }
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Pages of memory behind it, in place or held.
    pub fn resident_pages(&self) -> usize {
        self.held + self.first + usize::from(self.tail > 0)
    }

    /// Pages held from the page source.
    pub fn held_pages(&self) -> usize {
        self.held
    }

    /// Where page `page` begins and how many of its bytes are there; `None` for a hole.
    #[inline]
    fn find(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        if page >= self.first {
            if let Some(&Some(start)) = self.table.get(page - self.first) {
                return Some((start, PAGE_BYTES));
            }
            if page > self.first || self.tail == 0 {
                return None;
            }
            // SAFETY: invariant 1: `tail` bytes of this page lie in place.
            return Some((unsafe { self.place.add(page * PAGE_BYTES) }, self.tail));
        }
        // SAFETY: pages below `first` lie in place, whole.
        Some((unsafe { self.place.add(page * PAGE_BYTES) }, PAGE_BYTES))
    }

    /// The bytes from `offset` on, as far as they lie together; `None` at the end.
    #[inline]
    pub fn extent(&self, offset: u64) -> Option<Extent<'_>> {
        if offset >= self.length {
            return None;
        }
        let (page, within) = split(offset);
        let room = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
        if page < self.first {
            let at = page * PAGE_BYTES + within;
            // SAFETY: pages below `first` lie in place, one after the other.
            return Some(Extent::Bytes(unsafe {
                core::slice::from_raw_parts(
                    self.place.as_ptr().add(at),
                    room.min(self.first * PAGE_BYTES - at),
                )
            }));
        }
        let left = room.min(PAGE_BYTES - within);
        self.touch(page, Rights::Read);
        Some(match self.find(page) {
            Some((start, valid)) if within < valid => {
                let bytes = left.min(valid - within);
                // SAFETY: `find` promises `valid` bytes, initialised or written since (invariant 2).
                Extent::Bytes(unsafe {
                    core::slice::from_raw_parts(start.as_ptr().add(within), bytes)
                })
            }
            _ => Extent::Hole(left),
        })
    }

    /// Copies from `offset` on; answers the bytes copied, less than asked only at the end.
    #[inline]
    pub fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> usize {
        let asked = buffer.len();
        while !buffer.is_empty() {
            let Some(extent) = self.extent(offset) else {
                break;
            };
            let count = match extent {
                Extent::Bytes(bytes) => {
                    let count = bytes.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    count
                }
                Extent::Hole(bytes) => {
                    let count = bytes.min(buffer.len());
                    buffer[..count].fill(0);
                    count
                }
            };
            buffer = &mut core::mem::take(&mut buffer)[count..];
            offset += count as u64;
        }
        asked - buffer.len()
    }

    /// Writes `bytes` at `offset`, growing the file; answers the bytes written, less than
    /// asked when pages ran out on the way. `offset + bytes.len()` is at most [`MAX_LENGTH`].
    ///
    /// # Errors
    ///
    /// `ENOSPC` when not one byte could be written; the file is then as it was.
    #[inline]
    pub fn write_at(&mut self, pages: &Pages, offset: u64, bytes: &[u8]) -> Result {
        if offset > self.length && !bytes.is_empty() {
            self.clear_gap(offset);
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = split(offset + done as u64);
            let count = (PAGE_BYTES - within).min(bytes.len() - done);
            let start = match self.writable(pages, page, within, count) {
                Ok(start) => start,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            // SAFETY: `writable` promises `count` bytes at `within`; a page of a file never
            // overlaps a buffer of the application.
            unsafe {
                start
                    .add(within)
                    .copy_from_nonoverlapping(NonNull::from(&bytes[done..]).cast(), count)
            };
            done += count;
        }
        let before = self.length;
        self.length = before.max(offset + done as u64);
        self.show_growth(before);
        Ok(done)
    }

    /// Makes bytes `within .. within + count` of `page` writable; the caller writes them all.
    /// A page that is new reads as zero around them, as far as the file goes.
    #[inline]
    fn writable(
        &mut self,
        pages: &Pages,
        page: usize,
        within: usize,
        count: usize,
    ) -> Result<NonNull<u8>> {
        self.touch(page, Rights::Write);
        match self.find(page) {
            Some((start, valid)) if within + count <= valid => Ok(start),
            Some(_) => self.move_tail(pages),
            None => {
                let start = self.insert(pages, page, Contents::Any)?;
                let end = within + count;
                let page_start = page as u64 * PAGE;
                // SAFETY: both ranges lie in the new page.
                unsafe {
                    start.write_bytes(0, within);
                    if self.length > page_start + end as u64 {
                        start.add(end).write_bytes(0, PAGE_BYTES - end);
                    }
                }
                Ok(start)
            }
        }
    }

    /// Gives page `page`, a hole, memory.
    fn insert(&mut self, pages: &Pages, page: usize, contents: Contents) -> Result<NonNull<u8>> {
        let index = page - self.first;
        if index >= self.table.len() {
            self.table
                .try_reserve(index + 1 - self.table.len())
                .map_err(|_| Errno::NOSPC)?;
            self.table.resize(index + 1, None);
        }
        let run = match self.windows.is_empty() {
            true => pages.allocate(1, 1, contents),
            false => self.allocate_behind(pages, index, contents),
        };
        let Some(run) = run else {
            self.trim_table();
            return Err(Errno::NOSPC);
        };
        self.table[index] = Some(run.start);
        self.held += 1;
        Ok(run.start)
    }

    /// Drops holes at the end of the table, which a failed operation may have left.
    fn trim_table(&mut self) {
        while let Some(None) = self.table.last() {
            self.table.pop();
        }
        if self.table.is_empty() {
            self.table = Vec::new();
        }
    }

    /// Moves the bytes of the page that is partly in place to a page of its own.
    fn move_tail(&mut self, pages: &Pages) -> Result<NonNull<u8>> {
        let (from, tail) = self.find(self.first).ok_or(Errno::NOSPC)?;
        let start = self.insert(pages, self.first, Contents::Any)?;
        // SAFETY: `tail` bytes lie in place (invariant 1) and the new page is longer.
        unsafe {
            start.copy_from_nonoverlapping(from, tail);
            start.add(tail).write_bytes(0, PAGE_BYTES - tail);
        }
        self.tail = 0;
        Ok(start)
    }

    /// Clears what `length` is about to uncover in its own page (invariant 2).
    fn clear_gap(&mut self, new_length: u64) {
        let (page, within) = split(self.length);
        if within == 0 {
            return;
        }
        self.touch(page, Rights::Write);
        if let Some((start, valid)) = self.find(page) {
            let room = usize::try_from(new_length - self.length).unwrap_or(usize::MAX);
            let end = within.saturating_add(room).min(valid);
            if within < end {
                // SAFETY: `find` promises `valid` bytes.
                unsafe { start.add(within).write_bytes(0, end - within) };
            }
        }
    }

    /// Sets the length: cuts, or grows by a hole. Needs no memory.
    pub fn set_length(&mut self, pages: &Pages, length: u64) {
        let before = self.length;
        if length > before {
            self.clear_gap(length);
        } else {
            self.cut_windows(length);
            let keep = pages_for(length);
            self.free_from(pages, keep);
            if keep <= self.first {
                self.first = keep;
                self.tail = 0;
            } else if keep == self.first + 1 {
                self.tail = self.tail.min(length as usize - self.first * PAGE_BYTES);
            }
            if keep == 0 && self.table.capacity() > KEPT_ENTRIES && self.windows.is_empty() {
                self.table = Vec::new();
            }
        }
        self.length = length;
        self.show_growth(before);
    }

    fn free_from(&mut self, pages: &Pages, page: usize) {
        let keep = page.saturating_sub(self.first);
        if !self.windows.is_empty() {
            return self.free_around_windows(pages, keep);
        }
        while self.table.len() > keep {
            if let Some(Some(start)) = self.table.pop() {
                self.free_page(pages, start);
            }
        }
    }

    fn free_page(&mut self, pages: &Pages, start: NonNull<u8>) {
        self.held -= 1;
        // SAFETY: the page came from `insert` on this account and left the table.
        unsafe { pages.free(Run { start, pages: 1 }) };
    }

    /// Returns everything to the page source.
    pub fn release(&mut self, pages: &Pages) {
        self.forget_windows();
        self.set_length(pages, 0);
        self.table = Vec::new();
    }

    /// Makes `offset .. offset + bytes` read as zero and returns whole pages; the length stays.
    pub fn punch(&mut self, pages: &Pages, offset: u64, bytes: u64) {
        let covered = (self.first + self.table.len().max(1)) as u64 * PAGE;
        let end = offset.saturating_add(bytes).min(covered);
        let mut at = offset;
        while at < end {
            let (page, within) = split(at);
            let count = (PAGE_BYTES - within).min((end - at) as usize);
            self.touch(page, Rights::Write);
            let frees = count == PAGE_BYTES && !self.is_in_window(page);
            let entry = page
                .checked_sub(self.first)
                .and_then(|index| self.table.get_mut(index));
            if let Some(entry) = entry.filter(|entry| frees && entry.is_some()) {
                if let Some(start) = entry.take() {
                    self.free_page(pages, start);
                }
            } else if let Some((start, valid)) = self.find(page) {
                let stop = (within + count).min(valid);
                if within < stop {
                    // SAFETY: `find` promises `valid` bytes.
                    unsafe { start.add(within).write_bytes(0, stop - within) };
                }
            }
            at += count as u64;
        }
    }

    /// Gives every page of `offset .. offset + bytes` memory, so that writes there cannot
    /// run out; raises the length unless `keep_length`.
    ///
    /// # Errors
    ///
    /// `ENOSPC`; the file is then as it was.
    pub fn preallocate(
        &mut self,
        pages: &Pages,
        offset: u64,
        bytes: u64,
        keep_length: bool,
    ) -> Result<()> {
        let end = offset + bytes;
        let (from, to) = ((offset / PAGE) as usize, pages_for(end));
        let mut filled = Vec::new();
        if let Err(error) = self.fill(pages, from.max(self.first), to, &mut filled) {
            for index in filled {
                if let Some(start) = self.table.get_mut(index).and_then(Option::take) {
                    self.free_page(pages, start);
                }
            }
            self.trim_table();
            return Err(error);
        }
        if !keep_length && end > self.length {
            self.set_length(pages, end);
        }
        Ok(())
    }

    /// Fills holes with zero pages; `filled` names the entries of the table that were holes.
    fn fill(
        &mut self,
        pages: &Pages,
        from: usize,
        to: usize,
        filled: &mut Vec<usize>,
    ) -> Result<()> {
        for page in from..to {
            match self.find(page) {
                Some((_, PAGE_BYTES)) => {}
                Some(_) => {
                    self.move_tail(pages)?;
                }
                None => {
                    filled.try_reserve(1).map_err(|_| Errno::NOSPC)?;
                    self.insert(pages, page, Contents::Zero)?;
                    filled.push(page - self.first);
                }
            }
        }
        Ok(())
    }

    /// `SEEK_DATA` (`data`) and `SEEK_HOLE`: the next offset from `offset` on that is of the
    /// kind, to the page; `None` when there is none. The end of the file counts as a hole.
    pub fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        if offset >= self.length {
            return None;
        }
        let mut at = offset;
        while at < self.length {
            let (page, _) = split(at);
            if self.find(page).is_some() == data {
                return Some(at);
            }
            if data && page >= self.first + self.table.len() {
                return None;
            }
            at = (page as u64 + 1) * PAGE;
        }
        if data { None } else { Some(self.length) }
    }
}
