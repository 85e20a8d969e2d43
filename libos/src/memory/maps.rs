//! What the application sees at which addresses, as `/proc/self/maps` and `statm` tell it. Owns nothing.

use super::access::{self, Reason};
use super::regions::Backing;
use super::{REGIONS, Rights};
use crate::platform::boot_info;
use crate::{linux_stack, pages, stats};
use bespoke_abi::PAGE_BYTES;
use core::ops::Range;

/// A run of pages that are alike.
#[derive(Debug)]
pub struct Shown {
    /// Addresses.
    pub range: Range<usize>,
    /// `r`, `w`, `x`, and `s` or `p`, or `-`.
    pub rights: [u8; 4],
    /// The number of the inode that it shows, and from which byte on.
    pub file: Option<(u32, u64)>,
    /// Linux's name for what is no file.
    pub name: &'static str,
}

fn letters(rights: Rights, is_shared: bool) -> [u8; 4] {
    let letter = |has, letter| if has { letter } else { b'-' };
    [
        letter(rights >= Rights::Read, b'r'),
        letter(rights == Rights::Write, b'w'),
        b'-',
        if is_shared { b's' } else { b'p' },
    ]
}

/// Calls `each` for all that is mapped, in the order of addresses, until it refuses.
pub fn visit(mut each: impl FnMut(Shown) -> bool) {
    let mut at = 0;
    while let Some(shown) = next(at) {
        at = shown.range.end;
        if !each(shown) {
            return;
        }
    }
}

/// The first run from `at` on.
fn next(at: usize) -> Option<Shown> {
    let info = boot_info();
    let stack = info.stack.start as usize..(info.stack.start + info.stack.bytes) as usize;
    let mut first: Option<Shown> = None;
    let mut offer = |range: Range<usize>, rights, name| {
        let is_first = first
            .as_ref()
            .is_none_or(|first| range.start < first.range.start);
        if at < range.end && is_first {
            first = Some(Shown {
                range: range.start.max(at)..range.end,
                rights,
                file: None,
                name,
            });
        }
    };
    for (range, is_writable, is_text) in linux_stack::segments() {
        let rights = match (is_writable, is_text) {
            (true, _) => *b"rw-p",
            (_, true) => *b"r-xp",
            _ => *b"r--p",
        };
        offer(range, rights, "");
    }
    offer(stack, *b"rw-p", "[stack]");
    let ram = info.ram.start as usize..used_end();
    let mut start = ram.start.max(at);
    while start < ram.end {
        let end = match access::closed_end(start) {
            Some((end, Reason::Unmapped)) => end,
            _ => pages().free_reach(start),
        };
        if end == start {
            break;
        }
        start = end;
    }
    if start < ram.end {
        offer(heap(start, ram.end), heap_rights(start), "[heap]");
    }
    let region = REGIONS.with(|regions| regions.first(at, usize::MAX));
    match region {
        Some(region)
            if first
                .as_ref()
                .is_none_or(|first| region.start <= first.range.start) =>
        {
            let is_shared = matches!(region.backing, Backing::File(_) | Backing::Shared);
            let file = match region.backing {
                Backing::File(file) => Some((file.inode.0, (file.page * PAGE_BYTES) as u64)),
                _ => None,
            };
            Some(Shown {
                range: region.start..region.end,
                rights: letters(region.rights, is_shared),
                file,
                name: "",
            })
        }
        _ => first,
    }
}

/// Memory of heaps from `start` on, alike, in no region.
fn heap(start: usize, end: usize) -> Range<usize> {
    let region = REGIONS.with(|regions| regions.first(start, end));
    let end = region.map_or(end, |region| region.start);
    let end = match access::closed_end(start) {
        Some((closed_end, _)) => closed_end.min(end),
        None => pages().used_reach(start, access::reach(start, end, Rights::Write)),
    };
    start..end.max(start)
}

fn heap_rights(start: usize) -> [u8; 4] {
    let allows = |rights| access::reach(start, start + PAGE_BYTES, rights) > start;
    let rights = match (allows(Rights::Write), allows(Rights::Read)) {
        (true, _) => Rights::Write,
        (_, true) => Rights::Read,
        _ => Rights::None,
    };
    letters(rights, false)
}

/// Where RAM ends that was ever used.
fn used_end() -> usize {
    let info = boot_info();
    let untouched = stats().pages.untouched.get() as usize * PAGE_BYTES;
    (info.ram.start + info.ram.bytes) as usize - untouched.min(info.ram.bytes as usize)
}

/// Pages of text and of data, and those mapped beyond RAM.
pub fn sizes() -> (u64, u64, u64) {
    let pages = |bytes: usize| (bytes / PAGE_BYTES) as u64;
    let sum = |is_text| {
        let segments = linux_stack::segments().filter(|(_, writable, text)| match is_text {
            true => *text,
            false => *writable,
        });
        segments.map(|(range, ..)| pages(range.len())).sum()
    };
    let ram = boot_info().ram;
    let beyond = REGIONS.with(|regions| regions.bytes_from((ram.start + ram.bytes) as usize));
    (sum(true), sum(false), pages(beyond))
}
