//! Which pages of the image's memory are not readable and writable now, for whatever reason: the application's
//! protection, an unmapped range, the end of a mapped file, the guard of a stack.
//!
//! Owns the list; all changes of access go through it, so that the library OS knows before it follows a pointer.
//! A change costs a call of the monitor (65 us on a software KVM) and is made only when something changes.

use super::Rights;
use crate::platform;
use crate::single::Single;
use alloc::vec::Vec;

/// Why pages are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By their protection, or as a guard.
    Protected,
    /// Nothing is mapped there.
    Unmapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Closed {
    start: usize,
    end: usize,
    /// `None` or `Read`.
    rights: Rights,
    reason: Reason,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static CLOSED: Single<Vec<Closed>> = unsafe { Single::new(Vec::new()) };

/// Gives the whole pages `start..end` these rights; whether the monitor did, and there was memory to remember it.
/// Making pages readable and writable always succeeds.
///
/// # Safety
///
/// Nobody uses the pages in a way they do not allow from now on.
pub unsafe fn set(start: usize, end: usize, rights: Rights, reason: Reason) -> bool {
    let is_open = rights == Rights::Write;
    let proceed = CLOSED.with(|closed| {
        let first = closed.partition_point(|range| range.end <= start);
        let covering = closed.get(first).filter(|range| range.start < end);
        match covering {
            None if is_open => Proceed::Done,
            Some(range) if range.start <= start && end <= range.end && range.rights == rights => {
                match range.reason == reason {
                    true => Proceed::Done,
                    false => Proceed::Remember,
                }
            }
            _ => Proceed::Ask,
        }
    });
    if let Proceed::Done = proceed {
        return true;
    }
    // Opening a whole range takes no memory: a page source that runs short does so (`retired`). One that would be cut in two
    // is opened whole where there is none.
    let whole = CLOSED.with(|closed| {
        let holds = |range: &&Closed| range.start < start && end < range.end;
        closed
            .iter()
            .find(holds)
            .map(|range| (range.start, range.end))
    });
    let (mut start, mut end) = (start, end);
    match whole {
        Some(whole) if is_open && !reserve() => (start, end) = whole,
        _ if !is_open && !reserve() => return false,
        _ => {}
    }
    if let Proceed::Ask = proceed {
        // SAFETY: the caller's promise.
        if !unsafe { platform::protect(start, end - start, rights) } && !is_open {
            return false;
        }
    }
    CLOSED.with(|closed| remember(closed, start, end, rights, reason));
    super::check::forget();
    true
}

/// Room for two more ranges: one that is cut out of the middle of another makes two. The memory is taken while the list
/// is not in use, for a page source that runs short opens ranges.
fn reserve() -> bool {
    const MORE: usize = 2;
    loop {
        let (length, room) = CLOSED.with(|closed| (closed.len(), closed.capacity()));
        if room - length >= MORE {
            return true;
        }
        let mut larger = Vec::new();
        if larger.try_reserve(2 * length + 4 * MORE).is_err() {
            return false;
        }
        CLOSED.with(|closed| {
            if closed.len() + MORE <= larger.capacity() {
                larger.append(closed);
                core::mem::swap(closed, &mut larger);
            }
        });
    }
}

enum Proceed {
    Done,
    Remember,
    Ask,
}

fn remember(closed: &mut Vec<Closed>, start: usize, end: usize, rights: Rights, reason: Reason) {
    let first = closed.partition_point(|range| range.end <= start);
    let mut at = first;
    while let Some(range) = closed.get(at).copied().filter(|range| range.start < end) {
        let (before, behind) = (
            Closed {
                end: start,
                ..range
            },
            Closed {
                start: end,
                ..range
            },
        );
        match (range.start < start, end < range.end) {
            (true, true) => {
                closed[at] = before;
                closed.insert(at + 1, behind);
                at += 1;
                break;
            }
            (true, false) => {
                closed[at] = before;
                at += 1;
            }
            (false, true) => {
                closed[at] = behind;
                break;
            }
            (false, false) => {
                closed.remove(at);
            }
        }
    }
    if rights == Rights::Write {
        return;
    }
    let mut new = Closed {
        start,
        end,
        rights,
        reason,
    };
    // Unmapped ranges are opened one by one, as they were closed.
    let alike = |other: &Closed| {
        other.rights == rights && other.reason == reason && reason == Reason::Protected
    };
    if let Some(next) = closed
        .get(at)
        .filter(|next| next.start == end && alike(next))
    {
        new.end = next.end;
        closed.remove(at);
    }
    match at.checked_sub(1).map(|before| closed[before]) {
        Some(before) if before.end == start && alike(&before) => closed[at - 1].end = new.end,
        _ => closed.insert(at, new),
    }
}

/// Makes pages readable and writable.
pub fn open(start: usize, end: usize) {
    // SAFETY: makes memory usable; nobody is harmed.
    unsafe { set(start, end, Rights::Write, Reason::Protected) };
}

/// Makes the pages of `start..end` that do not allow `rights` readable and writable.
pub fn open_for(start: usize, end: usize, rights: Rights) {
    while let Some(range) = first_closed(start, end, rights) {
        open(range.start.max(start), range.end.min(end));
    }
}

fn first_closed(start: usize, end: usize, rights: Rights) -> Option<Closed> {
    CLOSED.with(|closed| {
        let first = closed.partition_point(|range| range.end <= start);
        let met = closed[first..].iter().take_while(|range| range.start < end);
        met.copied().find(|range| range.rights < rights)
    })
}

/// How far `rights` are given from `address` on, at most to `end`.
pub fn reach(address: usize, end: usize, rights: Rights) -> usize {
    first_closed(address, end, rights).map_or(end, |range| range.start.max(address))
}

/// The memory around `address`, which is open, up to what is closed.
pub fn open_around(address: usize) -> core::ops::Range<usize> {
    CLOSED.with(|closed| {
        let next = closed.partition_point(|range| range.end <= address);
        let start = next.checked_sub(1).map_or(0, |before| closed[before].end);
        match closed.get(next) {
            // Readable, at most.
            Some(range) if range.start <= address => address..address,
            Some(range) => start..range.start,
            None => start..usize::MAX,
        }
    })
}

/// Where what is closed at `address` ends, and why it is closed, if it is.
pub fn closed_end(address: usize) -> Option<(usize, Reason)> {
    CLOSED.with(|closed| {
        let range = closed.get(closed.partition_point(|range| range.end <= address))?;
        (range.start <= address).then_some((range.end, range.reason))
    })
}

/// Why the page at `address` is closed, if it is, to reading or to writing.
pub fn reason(address: usize) -> Option<Reason> {
    first_closed(address, address + 1, Rights::Write).map(|range| range.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Against a map of pages: 20,000 random operations on the list alone.
    #[test]
    fn the_list_behaves_as_a_map_of_pages() {
        let mut list: Vec<Closed> = Vec::new();
        let mut model: BTreeMap<usize, (Rights, Reason)> = BTreeMap::new();
        let mut seed = 4711u64;
        let mut random = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % limit) as usize
        };
        for _ in 0..20_000 {
            let start = random(60);
            let end = start + 1 + random(12);
            let rights = [Rights::None, Rights::Read, Rights::Write][random(3)];
            let reason = [Reason::Protected, Reason::Unmapped][random(2)];
            remember(&mut list, start, end, rights, reason);
            for page in start..end {
                match rights {
                    Rights::Write => model.remove(&page),
                    _ => model.insert(page, (rights, reason)),
                };
            }
            let told: BTreeMap<_, _> = list
                .iter()
                .flat_map(|range| {
                    (range.start..range.end).map(|page| (page, (range.rights, range.reason)))
                })
                .collect();
            assert_eq!(told, model);
            for pair in list.windows(2) {
                let touching = pair[0].end == pair[1].start
                    && pair[0].rights == pair[1].rights
                    && pair[0].reason == Reason::Protected
                    && pair[1].reason == Reason::Protected;
                assert!(pair[0].end <= pair[1].start && !touching, "{pair:?}");
            }
        }
    }
}
