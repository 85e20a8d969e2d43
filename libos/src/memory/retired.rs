//! Ranges that the application unmapped: closed, so that touching one is a fault, and not yet free.
//!
//! Closing costs a call of the monitor, which is the dearer the more memory a machine has. So closings are rationed: a
//! program that unmaps now and then has every range closed; one that unmaps all the time spends a hundredth of its time on
//! it, and its other ranges are free at once.
//! Owns the ranges until they are given to the page source, which takes them all when it runs short (`release_all`).

use super::access::{self, Reason};
use super::{Rights, account};
use crate::platform::boot_info;
use crate::single::Single;
use crate::time::monotonic_ns;
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::Run;
use core::ptr::NonNull;

/// Ranges kept closed at most.
const MOST_RANGES: usize = 64;
/// They are kept up to this part of the image's memory.
const KEPT_PART: u64 = 16;
/// Closings that need not wait for time to pass, unless they took as long as [`AT_ONCE_NS`] together.
const AT_ONCE: u32 = 128;
const AT_ONCE_NS: u64 = 50_000_000;
/// After that, the time from one to the next, in times of what the last one took.
const PAUSE: u64 = 100;

struct Retired {
    /// The oldest first.
    ranges: [(usize, usize); MOST_RANGES],
    count: usize,
    bytes: usize,
    closings: u32,
    /// What they took in all.
    spent_ns: u64,
    /// When the next one may be.
    next_ns: u64,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static RETIRED: Single<Retired> = unsafe {
    Single::new(Retired {
        ranges: [(0, 0); MOST_RANGES],
        count: 0,
        bytes: 0,
        closings: 0,
        spent_ns: 0,
        next_ns: 0,
    })
};

/// Closes a range that is unmapped and that its owner keeps, if that is within what closings may cost; whether it is
/// closed now.
pub fn close_unmapped(start: usize, end: usize) -> bool {
    let before = monotonic_ns();
    let may = RETIRED.with(|retired| {
        let at_once = retired.closings < AT_ONCE && retired.spent_ns < AT_ONCE_NS;
        at_once || before >= retired.next_ns
    });
    // SAFETY: the application has just said that it no longer uses the range; its owner opens what it touches.
    if !may || !unsafe { access::set(start, end, Rights::None, Reason::Unmapped) } {
        return false;
    }
    let now = monotonic_ns();
    RETIRED.with(|retired| {
        retired.closings = retired.closings.saturating_add(1);
        retired.spent_ns += now - before;
        // It will be opened again, at the same price.
        retired.next_ns = now + 2 * PAUSE * (now - before);
    });
    true
}

/// Takes over a range of the application's memory that is mapped no more, or above its break.
pub fn retire(start: usize, end: usize) {
    let most = (boot_info().total_bytes / KEPT_PART) as usize;
    if end - start > most || !close_unmapped(start, end) {
        release(start, end);
        return;
    }
    while let Some((start, end)) = RETIRED.with(|retired| {
        let is_full = retired.count == MOST_RANGES || retired.bytes + (end - start) > most;
        if is_full { retired.take(0) } else { None }
    }) {
        release(start, end);
    }
    RETIRED.with(|retired| {
        retired.ranges[retired.count] = (start, end);
        retired.count += 1;
        retired.bytes += end - start;
    });
}

impl Retired {
    fn take(&mut self, index: usize) -> Option<(usize, usize)> {
        let (start, end) = *self.ranges[..self.count].get(index)?;
        self.ranges.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.bytes -= end - start;
        Some((start, end))
    }
}

/// Takes the ranges that reach into `start..end` back; parts outside become free. Answers through `take` what lies inside.
pub fn take_back(start: usize, end: usize, mut take: impl FnMut(usize, usize)) {
    let overlapping = |retired: &mut Retired| {
        let met = |&(s, e): &(usize, usize)| s < end && start < e;
        let index = retired.ranges[..retired.count].iter().position(met)?;
        retired.take(index)
    };
    while let Some((s, e)) = RETIRED.with(overlapping) {
        for (from, to) in [(s, start), (end, e)] {
            if from < to {
                release(from, to);
            }
        }
        take(s.max(start), e.min(end));
    }
}

/// Frees what is retired in `start..end`, for its owner wants to have it again.
pub fn release_in(start: usize, end: usize) {
    if start < end {
        take_back(start, end, release);
    }
}

/// Whether the page at this address is retired.
pub fn covers(page: usize) -> bool {
    RETIRED.with(|retired| {
        let ranges = &retired.ranges[..retired.count];
        ranges
            .iter()
            .any(|&(start, end)| (start..end).contains(&page))
    })
}

/// Frees memory of the application's mappings.
pub fn release(start: usize, end: usize) {
    access::open(start, end);
    let Some(first) = NonNull::new(start as *mut u8) else {
        return;
    };
    // SAFETY: the range was mapped by the application, so this account handed it out, and it is mapped no more.
    unsafe {
        account().free(Run {
            start: first,
            pages: (end - start) / PAGE_BYTES,
        })
    }
}

/// Gives all ranges to the page source, which has no more; whether there were any. Takes no memory: it may be called
/// while a heap asks for pages.
#[cold]
pub fn release_all() -> bool {
    let mut any = false;
    while let Some((start, end)) = RETIRED.with(|retired| retired.take(0)) {
        release(start, end);
        any = true;
    }
    any
}
