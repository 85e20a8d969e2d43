//! Memory at addresses beyond the end of RAM: what the application reserves without using it, and mappings at
//! addresses of its choice.
//!
//! A far region takes address space alone. Its pages become memory ("are committed") when they may be used: up to
//! [`AT_ONCE_BYTES`] at once, what is more when it is touched, by a fault in the application's code or a look of the library
//! OS before it follows a pointer. Each committed page is paid for with one of the page source, so an image never has more
//! memory than it was given. On virtual machines the far page shows that page; a process gets other memory from the host, and
//! gives that page back.
//!
//! The library OS runs on the stack of whoever calls it, and cannot serve faults of its own: `crate::calls::probe` touches
//! the stack before, and an interrupt makes room itself ([`room`]). Owns the list of committed pages.

use super::regions::{Backing, Region};
use super::{REGIONS, Rights, access, account, beyond, shared};
use crate::calls::{errno, probe};
use crate::platform::{self, boot_info};
use crate::single::Single;
use crate::{signals, stats};
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::PLATFORM_PROCESS;
use bespoke_heap::{Contents, Run};
use core::ptr::NonNull;

/// Committed at once where it may be used. Of more, a quarter of this at the end: a stack would begin there.
const AT_ONCE_BYTES: usize = 1 << 20;
/// Committed before and behind what is touched.
const AROUND_BYTES: usize = 32 << 10;
/// Where the search for free addresses begins.
const FIRST: usize = 0x2000_0000_0000;
/// Reservations of this size and more begin at a multiple of it.
const HUGE_BYTES: usize = 2 << 20;

/// Committed pages, and those of the page source that pay for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: usize,
    end: usize,
    ram: usize,
    /// The pages are those of a file, which owns them.
    is_alias: bool,
}

impl Piece {
    fn part(&self, start: usize, end: usize) -> Self {
        let (start, end) = (start.max(self.start), end.min(self.end));
        Self {
            start,
            end,
            ram: self.ram + (start - self.start),
            ..*self
        }
    }
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static PIECES: Single<Pieces> = unsafe { Single::new(Pieces(Vec::new())) };

/// Disjoint and sorted.
struct Pieces(Vec<Piece>);

impl Pieces {
    fn after(&self, address: usize) -> usize {
        self.0.partition_point(|piece| piece.end <= address)
    }

    /// The first part of `start..end` that is committed.
    fn first(&self, start: usize, end: usize) -> Option<Piece> {
        let piece = self.0.get(self.after(start))?;
        (start < end && piece.start < end).then(|| piece.part(start, end))
    }

    /// The first part of `start..end` that is not.
    fn gap(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let mut at = start;
        for piece in &self.0[self.after(start)..] {
            if piece.start > at {
                return (at < end).then_some((at, piece.start.min(end)));
            }
            at = piece.end;
        }
        (at < end).then_some((at, end))
    }

    /// Adds a piece that overlaps none; there is room.
    fn insert(&mut self, piece: Piece) {
        let index = self.after(piece.start);
        let before = index.checked_sub(1).and_then(|at| self.0.get_mut(at));
        match before {
            Some(before)
                if before.end == piece.start
                    && before.is_alias == piece.is_alias
                    && before.ram + (before.end - before.start) == piece.ram =>
            {
                before.end = piece.end;
            }
            _ => self.0.insert(index, piece),
        }
    }

    /// Takes out the first part of `start..end` that is committed; there is room for one more.
    fn take(&mut self, start: usize, end: usize) -> Option<Piece> {
        let index = self.after(start);
        let cut = self.first(start, end)?;
        let whole = self.0[index];
        match (whole.start < cut.start, cut.end < whole.end) {
            (false, false) => {
                self.0.remove(index);
            }
            (true, false) => self.0[index] = whole.part(0, cut.start),
            (false, true) => self.0[index] = whole.part(cut.end, usize::MAX),
            (true, true) => {
                self.0[index] = whole.part(0, cut.start);
                self.0.insert(index + 1, whole.part(cut.end, usize::MAX));
            }
        }
        Some(cut)
    }
}

pub use super::beyond::is_far;

static ANSWERS: beyond::Far = beyond::Far {
    reach,
    touched,
    room,
    is_shown,
    show: show_grown,
    hide: hide_cut,
};

/// Calls `each` for what shows pages of `start..end`, which lie there, elsewhere, with where they lie.
fn each_alias(start: usize, end: usize, mut each: impl FnMut(Region, usize)) {
    let mut at = 0;
    while let Some(region) = REGIONS.with(|regions| regions.first_alias(at, start, end)) {
        at = region.end;
        if let Backing::File(file) = region.backing {
            each(region, file.home);
        }
    }
}

fn show_grown(start: usize, end: usize) {
    each_alias(start, end, |region, home| {
        // Where that cannot be done, touching the page is a fault.
        show(region.start, region.end, home, region.rights);
    });
}

fn hide_cut(start: usize, end: usize) {
    each_alias(start, end, |region, _| decommit(region.start, region.end));
}

/// Whether all of the addresses can be mapped.
pub fn offers(start: usize, end: usize) -> bool {
    // Not seen through by the compiler, which would call `far` where nothing begins it.
    beyond::begin(core::hint::black_box(&ANSWERS));
    let [all, kept] = platform::far();
    let is_apart = kept.is_empty() || end <= kept.start || kept.end <= start;
    all.start <= start && end <= all.end && is_apart
}

/// Addresses for `bytes` bytes that are not mapped.
pub fn find(bytes: usize) -> Result<usize, isize> {
    let alignment = if bytes >= HUGE_BYTES {
        HUGE_BYTES
    } else {
        PAGE_BYTES
    };
    let mut at = FIRST;
    loop {
        let end = at.checked_add(bytes).ok_or(errno::ENOMEM)?;
        if !offers(at, end) {
            return Err(errno::ENOMEM);
        }
        match REGIONS.with(|regions| regions.first(at, end)) {
            None => return Ok(at),
            Some(met) => {
                let behind =
                    REGIONS.with(|regions| regions.reach(met.start, usize::MAX, Rights::None));
                at = behind.max(met.end).next_multiple_of(alignment);
            }
        }
    }
}

/// Pages that are free, all together.
pub fn free_pages() -> usize {
    let pages = &stats().pages;
    let free = pages.total.get().saturating_sub(pages.held.get()) as usize;
    free.max(account().source().largest_free_pages())
}

/// Gives the pages of a region that is in the list its rights, and commits what may be used at once.
///
/// # Errors
///
/// `ENOMEM`.
pub fn apply(region: &Region) -> Result<(), isize> {
    if let Backing::File(file) = region.backing {
        let valid_end = shared::valid_end(region, &file);
        if valid_end < region.end {
            signals::explain_bus();
            decommit(valid_end, region.end);
        }
        return match show(region.start, valid_end, file.home, region.rights) {
            true => Ok(()),
            false => Err(errno::ENOMEM),
        };
    }
    protect(region.start, region.end, region.rights);
    if region.rights == Rights::None || !region.backing.is_memory() {
        return Ok(());
    }
    let at_once = match region.bytes() {
        bytes if bytes <= AT_ONCE_BYTES || platform::faults_end() => region.start,
        _ => region.end - AT_ONCE_BYTES / 4,
    };
    if at_once > region.start {
        become_lazy();
    }
    match commit(at_once, region.end, region.rights) {
        true => Ok(()),
        false => Err(errno::ENOMEM),
    }
}

/// Serves faults, and has stacks probed, from now on: some memory comes as it is touched.
pub fn become_lazy() {
    signals::explain_bus();
    let ram = boot_info().ram;
    probe::begin((ram.start + ram.bytes) as usize);
}

/// A stack of `bytes` bytes, whole pages, of which the end is memory; its start. `None` when there is none.
pub fn stack(bytes: usize, at_once: usize) -> Option<usize> {
    super::reserve().ok()?;
    let start = find(bytes).ok()?;
    let region = Region {
        start,
        end: start + bytes,
        rights: Rights::Write,
        backing: Backing::Anonymous,
    };
    let at_once = match platform::faults_end() {
        true if bytes / PAGE_BYTES <= free_pages() / 16 => bytes,
        true => at_once.max(boot_info().stack.bytes as usize / 4),
        false => at_once,
    };
    let at_once = at_once.next_multiple_of(PAGE_BYTES).min(bytes);
    REGIONS.with(|regions| regions.insert(region));
    super::check::forget();
    if commit(region.end - at_once, region.end, Rights::Write) {
        become_lazy();
        return Some(start);
    }
    // A failure here changes nothing: the addresses are mapped and lead nowhere.
    let _ = super::munmap(start, bytes);
    None
}

/// Makes memory of the `bytes` bytes below the stack pointer, as far as the stack goes and there is memory.
fn room(stack_pointer: usize, bytes: usize) {
    let page = stack_pointer.saturating_sub(1) / PAGE_BYTES * PAGE_BYTES;
    if !is_far(page) {
        return;
    }
    if let Some(region) = REGIONS.with(|regions| regions.whole(page))
        && region.backing.is_memory()
    {
        let start = (page - bytes.next_multiple_of(PAGE_BYTES)).max(region.start);
        commit(start, page + PAGE_BYTES, region.rights);
    }
}

/// Whether there is memory for all of these pages that have none.
pub fn admits(start: usize, end: usize) -> bool {
    let mut missing = 0;
    let mut at = start;
    while let Some((from, to)) = PIECES.with(|pieces| pieces.gap(at, end)) {
        missing += (to - from) / PAGE_BYTES;
        at = to;
    }
    missing <= free_pages()
}

/// Makes zero memory of what is none in `start..end`; whether there was enough.
pub fn commit(start: usize, end: usize, rights: Rights) -> bool {
    let contents = match boot_info().platform {
        // It is not the memory that is seen.
        PLATFORM_PROCESS => Contents::Any,
        _ => Contents::Zero,
    };
    while let Some((from, to)) = PIECES.with(|pieces| pieces.gap(start, end)) {
        let mut pages = (to - from) / PAGE_BYTES;
        let run = loop {
            match account().allocate(pages, 1, contents) {
                Some(run) => break run,
                None if pages > 1 => pages = pages.div_ceil(2),
                None => return false,
            }
        };
        let (ram, bytes) = (run.start.addr().get(), pages * PAGE_BYTES);
        // SAFETY: nothing is committed there, and the run is ours.
        if !reserve() || !unsafe { platform::show(from, bytes, ram, rights) } {
            // SAFETY: allocated above, and not used.
            unsafe { account().free(run) };
            return false;
        }
        let piece = Piece {
            start: from,
            end: from + bytes,
            ram,
            is_alias: false,
        };
        PIECES.with(|pieces| pieces.insert(piece));
    }
    true
}

/// Shows pages of a file, which lie from `home` on, at `start..end`, too, with these rights; whether that could be done. The
/// pages stay open where they lie: on the host both are one.
pub fn show(start: usize, end: usize, home: usize, rights: Rights) -> bool {
    while let Some((from, to)) = PIECES.with(|pieces| pieces.gap(start, end)) {
        let ram = home + (from - start);
        access::open(ram, ram + (to - from));
        if !share(ram, to - from) || !reserve() {
            return false;
        }
        // SAFETY: nothing is shown there, and the pages are for the application to see.
        if !unsafe { platform::show_too(from, to - from, ram, rights) } {
            return false;
        }
        let piece = Piece {
            start: from,
            end: to,
            ram,
            is_alias: true,
        };
        PIECES.with(|pieces| pieces.insert(piece));
    }
    protect(start, end, rights);
    true
}

/// Whether one of these pages, where it lies, is shown elsewhere, too.
pub fn is_shown(start: usize, end: usize) -> bool {
    PIECES.with(|pieces| {
        let mut aliases = pieces.0.iter().filter(|piece| piece.is_alias);
        aliases.any(|piece| piece.ram < end && start < piece.ram + (piece.end - piece.start))
    })
}

/// Makes pages such that they can be shown at several addresses, which takes a copy in a process; whether that could be done.
fn share(start: usize, bytes: usize) -> bool {
    if boot_info().platform != PLATFORM_PROCESS {
        return true;
    }
    const MOST_PAGES: usize = 16;
    let Some(copy) = account().allocate(MOST_PAGES, 1, Contents::Any) else {
        return false;
    };
    let mut at = start;
    let mut is_done = true;
    while at < start + bytes && is_done {
        let end = (start + bytes).min(at + MOST_PAGES * PAGE_BYTES);
        // What is shown already stays what it is.
        let next = (at..end)
            .step_by(PAGE_BYTES)
            .find(|page| is_shown(*page, page + 1));
        let part_end = next.unwrap_or(end);
        if part_end > at {
            let page = at as *mut u8;
            // SAFETY: open pages of a file, and as much memory for a copy.
            unsafe {
                copy.start
                    .copy_from_nonoverlapping(NonNull::new_unchecked(page), part_end - at);
                is_done = platform::share(at, part_end - at);
                page.copy_from_nonoverlapping(copy.start.as_ptr(), part_end - at);
            }
        }
        at = part_end + if next.is_some() { PAGE_BYTES } else { 0 };
    }
    // SAFETY: allocated above, and not used any more.
    unsafe { account().free(copy) };
    is_done
}

/// Room for two more pieces. The memory is taken while the list is not in use.
fn reserve() -> bool {
    const MORE: usize = 2;
    let (length, room) = PIECES.with(|pieces| (pieces.0.len(), pieces.0.capacity()));
    if room - length >= MORE {
        return true;
    }
    let mut larger = Vec::new();
    if larger.try_reserve(2 * length + 4 * MORE).is_err() {
        return false;
    }
    PIECES.with(|pieces| {
        larger.append(&mut pieces.0);
        pieces.0 = larger;
    });
    true
}

/// Gives the memory of `start..end` back. Where there is no room to remember the rest, it stays, cleared.
pub fn decommit(start: usize, end: usize) {
    let mut at = start;
    while let Some(piece) = PIECES.with(|pieces| pieces.first(at, end)) {
        at = piece.end;
        if !reserve() {
            protect(piece.start, piece.end, Rights::Write);
            // SAFETY: committed, and just opened; nobody needs what it holds.
            unsafe { (piece.start as *mut u8).write_bytes(0, piece.end - piece.start) };
            continue;
        }
        PIECES.with(|pieces| pieces.take(piece.start, piece.end));
        // SAFETY: whoever calls has no more use of the pages.
        unsafe { platform::hide(piece.start, piece.end - piece.start) };
        if let Some(start) = NonNull::new(piece.ram as *mut u8).filter(|_| !piece.is_alias) {
            let pages = (piece.end - piece.start) / PAGE_BYTES;
            // SAFETY: taken by `commit`, and shown nowhere any more.
            unsafe { account().free(Run { start, pages }) };
        }
    }
}

/// Gives what is committed of `start..end` these rights.
pub fn protect(start: usize, end: usize, rights: Rights) {
    let mut at = start;
    while let Some(piece) = PIECES.with(|pieces| pieces.first(at, end)) {
        at = piece.end;
        // Pieces that lie side by side, at once.
        while let Some(next) = PIECES.with(|pieces| pieces.first(at, end))
            && next.start == at
        {
            at = next.end;
        }
        // SAFETY: pages of the application, which asked for this.
        unsafe { platform::protect(piece.start, at - piece.start, rights) };
    }
}

/// The first committed part of `start..end`.
pub fn committed(start: usize, end: usize) -> Option<(usize, usize)> {
    let piece = PIECES.with(|pieces| pieces.first(start, end))?;
    Some((piece.start, piece.end))
}

/// How far from `address` on there is memory, at most to `end`, where a region with `rights` is; commits it.
fn reach(address: usize, end: usize, rights: Rights) -> usize {
    let mut at = address;
    while at < end {
        let Some(region) = REGIONS.with(|regions| regions.first(at, at + 1)) else {
            break;
        };
        let whole = REGIONS.with(|regions| regions.reach(at, end, rights));
        if whole == at {
            break;
        }
        let pages = at / PAGE_BYTES * PAGE_BYTES..whole.next_multiple_of(PAGE_BYTES);
        if !region.backing.is_memory() || !commit(pages.start, pages.end, region.rights) {
            let gap = PIECES.with(|pieces| pieces.gap(pages.start, pages.end));
            at = gap.map_or(whole, |(from, _)| from.clamp(at, whole));
            break;
        }
        at = whole;
    }
    at
}

/// The application touched `address`, which is no memory: commits it, if it is of a region that may be used.
fn touched(address: usize) -> bool {
    let page = address / PAGE_BYTES * PAGE_BYTES;
    let usable = |region: &Region| {
        region.rights > Rights::None && region.backing.is_memory() && is_far(page)
    };
    let Some(region) = REGIONS.with(|regions| regions.whole(page)).filter(usable) else {
        return false;
    };
    if committed(page, page + PAGE_BYTES).is_some() {
        // It is memory, and not to be used so.
        return false;
    }
    let start = region.start.max(page.saturating_sub(AROUND_BYTES));
    let end = region.end.min(page + AROUND_BYTES);
    commit(start, end, region.rights) || commit(page, page + PAGE_BYTES, region.rights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const PAGE: usize = PAGE_BYTES;

    /// Against a map of pages: 20,000 random operations on the list alone. Each page keeps the page that pays for it.
    #[test]
    fn pieces_behave_as_a_map_of_pages() {
        let mut pieces = Pieces(Vec::new());
        let mut model: BTreeMap<usize, (usize, bool)> = BTreeMap::new();
        let mut seed = 99u64;
        let mut random = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % limit) as usize
        };
        for _ in 0..20_000 {
            let (start, pages) = (random(60), 1 + random(12));
            let (from, to) = (start * PAGE, (start + pages) * PAGE);
            let gap = (start..start + pages).find(|page| !model.contains_key(page));
            let gap_end = gap.map(|first| {
                let taken = (first..start + pages).find(|page| model.contains_key(page));
                (first * PAGE, taken.unwrap_or(start + pages) * PAGE)
            });
            assert_eq!(pieces.gap(from, to), gap_end);
            match random(2) {
                0 => {
                    while let Some((at, end)) = pieces.gap(from, to) {
                        let (ram, is_alias) = ((1000 + random(100)) * PAGE, random(2) == 0);
                        pieces.insert(Piece {
                            start: at,
                            end,
                            ram,
                            is_alias,
                        });
                        for page in at / PAGE..end / PAGE {
                            model.insert(page, (ram + page * PAGE - at, is_alias));
                        }
                    }
                }
                _ => {
                    while let Some(piece) = pieces.take(from, to) {
                        assert!(from <= piece.start && piece.end <= to);
                        for page in piece.start / PAGE..piece.end / PAGE {
                            let ram = piece.ram + page * PAGE - piece.start;
                            assert_eq!(model.remove(&page), Some((ram, piece.is_alias)));
                        }
                    }
                    assert_eq!(pieces.first(from, to), None);
                }
            }
            let told = pieces.0.iter().flat_map(|piece| {
                let ram = move |page| piece.ram + page * PAGE - piece.start;
                let pages = piece.start / PAGE..piece.end / PAGE;
                pages.map(move |page| (page, (ram(page), piece.is_alias)))
            });
            assert_eq!(told.collect::<BTreeMap<_, _>>(), model);
            let disjoint = |pair: &[Piece]| pair[0].end <= pair[1].start;
            assert!(pieces.0.windows(2).all(disjoint));
        }
    }
}
