//! Whether the application may read or write at an address: what stands between its pointers and the library OS.
//!
//! ```text
//!   image start .. text end     constants, text                     read
//!   data start .. image end     data, bss                           write
//!   the main stack                                                  write
//!   behind those .. RAM's end   what the monitor gave, heaps, mmap  write, but for closed pages, and not
//!                                                                   past what is mapped or in use
//! ```
//! Memory of the library OS itself is not told from the application's: there is no protection between the two, and
//! none is claimed. Owns the bounds.

use super::{REGIONS, Rights, access, beyond};
use crate::platform::boot_info;
use crate::single::Single;
use crate::{linux_stack, pages};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::{PLATFORM_PVH, Span};
use core::ops::Range;

/// Transfers from this size on are compared with the pages in use, of which each costs a look.
const LARGE_BYTES: usize = 128 << 10;

/// End of the user half of the address space.
pub const HIGHEST: usize = 1 << 47;

/// What was learned: all that is shorter than [`LARGE_BYTES`] and lies in these bounds is allowed.
#[derive(Clone, Copy)]
struct Known {
    start: usize,
    bytes: usize,
}

const NOTHING: Known = Known { start: 0, bytes: 0 };

/// One for each kind of memory.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static KNOWN: Single<[Known; 4]> = unsafe { Single::new([NOTHING; 4]) };
const STACK: usize = 0;
const RAM: usize = 1;
const DATA: usize = 2;
const CONSTANTS: usize = 3;

/// Something was mapped, unmapped, closed or opened.
pub fn forget() {
    KNOWN.with(|known| *known = [NOTHING; 4]);
}

/// How many bytes from `address` on are known to be allowed so, without looking; 0 when nothing is known.
#[inline]
pub fn known(address: usize, rights: Rights) -> usize {
    #[cfg(test)]
    if !super::tests::is_guests(address) {
        // Most host tests run in memory of Linux's, of which nothing is known here.
        let is_allowed = (PAGE_BYTES..HIGHEST).contains(&address);
        return if is_allowed { HIGHEST - address } else { 0 };
    }
    KNOWN.with(|known| {
        for (kind, known) in known.iter().enumerate() {
            let offset = address.wrapping_sub(known.start);
            if offset < known.bytes {
                return match kind != CONSTANTS || rights == Rights::Read {
                    true => known.bytes - offset,
                    false => 0,
                };
            }
        }
        0
    })
}

/// Whether the application may use all of `bytes` bytes at `address` so.
#[inline]
pub fn allows(address: usize, bytes: usize, rights: Rights) -> bool {
    bytes <= known(address, rights).min(LARGE_BYTES) || reach(address, bytes, rights) == bytes
}

/// How many of `bytes` bytes from `address` on the application may use so, up to the first that it may not.
#[cold]
#[inline(never)]
pub fn reach(address: usize, bytes: usize, rights: Rights) -> usize {
    #[cfg(test)]
    if !super::tests::is_guests(address) {
        let is_allowed = bytes <= known(address, rights);
        return if is_allowed { bytes } else { 0 };
    }
    if beyond::is_far(address) {
        let end = beyond::reach(address, address.saturating_add(bytes), rights);
        return end - address;
    }
    let Some((zone, kind)) = zone(address, rights) else {
        return 0;
    };
    let wanted = address.saturating_add(bytes).min(zone.end);
    let mut end = access::reach(address, wanted, rights);
    if kind == RAM {
        let mapped = REGIONS.with(|regions| {
            regions
                .touches(address, address + 1)
                .then(|| regions.reach(address, end, rights))
        });
        end = match mapped {
            Some(end) => end,
            None if end.saturating_sub(address) >= LARGE_BYTES => pages().used_reach(address, end),
            None => end,
        };
    }
    if end == wanted {
        learn(address, zone, kind);
    }
    end.saturating_sub(address)
}

/// The memory that `address` lies in, which may be used so, and its kind.
fn zone(address: usize, rights: Rights) -> Option<(Range<usize>, usize)> {
    let info = boot_info();
    let range = |span: Span| span.start as usize..(span.start + span.bytes) as usize;
    let (ram, stack) = (range(info.ram), range(info.stack));
    if ram.contains(&address) {
        return Some((ram, RAM));
    }
    if stack.contains(&address) {
        return Some((stack, STACK));
    }
    let mut image_end = 0;
    for (segment, writable, _) in linux_stack::segments() {
        image_end = image_end.max(segment.end);
        if segment.contains(&address) {
            return match (writable, rights) {
                (true, _) => Some((segment, DATA)),
                (false, Rights::Read) => Some((segment, CONSTANTS)),
                (false, _) => None,
            };
        }
    }
    // The boot information with its strings; on a stock machine they lie right behind the image.
    let strings = match info.platform {
        PLATFORM_PVH => image_end..stack.start - PAGE_BYTES,
        _ => stack.end.max(image_end)..ram.start,
    };
    strings.contains(&address).then_some((strings, DATA))
}

/// Remembers the memory around `address` in which nothing is closed and no mapping begins or ends.
fn learn(address: usize, zone: Range<usize>, kind: usize) {
    let open = access::open_around(address);
    let Some(alike) = REGIONS.with(|regions| regions.around(address)) else {
        return;
    };
    let info = boot_info();
    // From the stack to the end of RAM lies nothing that is not the application's to write: data, if anything, and what the
    // monitor gave. One look then finds stack and heap.
    let zone = match kind {
        STACK | RAM => info.stack.start as usize..(info.ram.start + info.ram.bytes) as usize,
        _ => zone,
    };
    let start = zone.start.max(open.start).max(alike.start);
    let end = zone.end.min(open.end).min(alike.end);
    KNOWN.with(|known| {
        known[kind] = Known {
            start,
            bytes: end.saturating_sub(start),
        }
    });
}

/// Whether all of the range is writable memory of the application that no mapping of it made: data, stack, heaps.
pub fn own_memory(start: usize, end: usize) -> bool {
    match zone(start, Rights::Write) {
        Some((zone, kind)) => {
            end <= zone.end && (kind != RAM || pages().used_reach(start, end) >= end)
        }
        None => false,
    }
}
