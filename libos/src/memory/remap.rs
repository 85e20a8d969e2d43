//! `mremap`: shrinks in place, grows in place when the pages behind are free, else moves, or goes where it is told.
//! Owns nothing.

use super::regions::{Backing, Region};
use super::{
    REGIONS, Rights, access, account, check, clear, far, insert, is_aligned, limits, munmap,
};
use super::{apply, free_unmapped, page_count, place, place_at, reserve, shared};
use crate::calls::{Outcome, errno};
use crate::platform;
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Run};
use core::ptr::NonNull;
use linux_raw_sys::general::{MAP_FIXED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE};

/// `mremap`. Pages of files are moved to addresses beyond RAM alone.
pub fn mremap(
    start: usize,
    old_bytes: usize,
    new_bytes: usize,
    flags: usize,
    to: usize,
) -> Outcome {
    let flags = flags as u32;
    let has = |flag: u32| flags & flag != 0;
    let known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    let names_place = has(MREMAP_FIXED | MREMAP_DONTUNMAP);
    if !is_aligned(start) || flags & !known != 0 || names_place && !has(MREMAP_MAYMOVE) {
        return Err(errno::EINVAL);
    }
    let old_count = page_count(old_bytes).map_err(|_| errno::EINVAL)?;
    let new_count = page_count(new_bytes)?;
    if has(MREMAP_DONTUNMAP) && old_count != new_count {
        return Err(errno::EINVAL);
    }
    let end = start
        .checked_add(old_count * PAGE_BYTES)
        .ok_or(errno::EINVAL)?;
    let is_mapped = REGIONS.with(|regions| regions.touches(start, start + 1));
    if names_place {
        if !is_mapped {
            return Err(errno::EFAULT);
        }
        return relocate(start..end, new_count, flags, to);
    }
    if new_count <= old_count {
        if !is_mapped {
            return Err(errno::EFAULT);
        }
        if new_count < old_count {
            let kept_end = start + new_count * PAGE_BYTES;
            munmap(kept_end, end - kept_end)?;
        }
        return Ok(start);
    }
    let region = whole(start, end)?;
    allow(&region, new_count - old_count)?;
    match region.backing {
        Backing::File(file) => shared::grow(region, file, new_count, has(MREMAP_MAYMOVE)),
        _ => grow(region, new_count, has(MREMAP_MAYMOVE)),
    }
}

/// The part of one mapping, as Linux wants it.
fn whole(start: usize, end: usize) -> Result<Region, isize> {
    REGIONS
        .with(|regions| regions.first(start, end))
        .filter(|region| region.start == start && region.end == end)
        // The stack, by whose growth libraries learn where it ends, is mapped, and what is before it is not free.
        .ok_or_else(|| {
            let is_mapped = REGIONS.with(|regions| regions.touches(start, end));
            match !is_mapped && check::own_memory(start, end) {
                true => errno::ENOMEM,
                false => errno::EFAULT,
            }
        })
}

fn allow(region: &Region, more: usize) -> Result<(), isize> {
    let is_data = region.rights == Rights::Write && region.backing.is_data();
    limits::allow(more, is_data)
}

/// To an address that is given, or with the old pages left, empty.
fn relocate(from: core::ops::Range<usize>, new_count: usize, flags: u32, to: usize) -> Outcome {
    let is_fixed = flags & MREMAP_FIXED != 0;
    let keeps = flags & MREMAP_DONTUNMAP != 0;
    let bytes = new_count * PAGE_BYTES;
    let to_end = to.checked_add(bytes).filter(|end| *end <= check::HIGHEST);
    let (true, Some(to_end)) = (is_aligned(to), to_end) else {
        return Err(errno::EINVAL);
    };
    if is_fixed && from.start < to_end && to < from.end {
        return Err(errno::EINVAL);
    }
    let kept_end = from.end.min(from.start + bytes);
    let region = whole(from.start, kept_end)?;
    if let Backing::File(file) = region.backing {
        // Two addresses of one mapping are not told apart from two mappings.
        if keeps || !is_fixed || !far::offers(to, to_end) {
            return Err(errno::ENOMEM);
        }
        place_at(to, bytes, MAP_FIXED)?;
        if kept_end < from.end {
            munmap(kept_end, from.end - kept_end)?;
        }
        return shared::relocate(region, file, new_count, to);
    }
    let more = new_count - region.bytes() / PAGE_BYTES;
    allow(&region, if keeps { new_count } else { more })?;
    let place = match is_fixed {
        true => place_at(to, bytes, MAP_FIXED)?,
        false => place(0, new_count, 0)?,
    };
    if kept_end < from.end {
        munmap(kept_end, from.end - kept_end)?;
    }
    move_to(region, place, new_count, keeps)
}

fn grow(region: Region, new_count: usize, may_move: bool) -> Outcome {
    let (start, end) = (region.start, region.end);
    let old_count = region.bytes() / PAGE_BYTES;
    let new_end = start + new_count * PAGE_BYTES;
    reserve()?;
    let is_taken = REGIONS.with(|regions| regions.touches(end, end + PAGE_BYTES));
    let run = Run {
        start: NonNull::new(start as *mut u8).ok_or(errno::EFAULT)?,
        pages: old_count,
    };
    let is_far = far::is_far(start);
    let grows = if is_far {
        let is_free = !REGIONS.with(|regions| regions.touches(end, new_end));
        is_free && far::offers(end, new_end)
    } else {
        let more = new_count - old_count;
        // SAFETY: the region is the application's and ends at `end`, or `extend` finds the pages behind it taken.
        !is_taken && unsafe { account().extend(run, more, Contents::Zero) }
    };
    if grows {
        let more = Region {
            start: end,
            end: new_end,
            ..region
        };
        super::insert_or_free(more)?;
        return Ok(start);
    }
    if !may_move {
        return Err(errno::ENOMEM);
    }
    let moved = match region.rights {
        Rights::None => super::reservation(new_count)?,
        _ => place(0, new_count, 0)?,
    };
    move_to(region, moved, new_count, false)
}

/// Moves what a region shows to `place`, which is zero and in no region.
fn move_to(region: Region, place: usize, new_count: usize, keeps: bool) -> Outcome {
    let moved = Region {
        start: place,
        end: place + new_count * PAGE_BYTES,
        ..region
    };
    if region.backing.is_memory() && !copy(&region, place) {
        free_unmapped(moved.start, moved.end);
        apply(&region)?;
        return Err(errno::ENOMEM);
    }
    if keeps {
        discard(&region)?;
    } else {
        munmap(region.start, region.bytes())?;
    }
    reserve()?;
    check::forget();
    insert(moved)?;
    Ok(place)
}

/// Copies what there is of a region to zero memory at `to`; whether there was enough of it.
fn copy(region: &Region, to: usize) -> bool {
    let mut at = region.start;
    while at < region.end {
        let part = match far::is_far(at) {
            false => Some((at, region.end)),
            true => far::committed(at, region.end),
        };
        let Some((start, end)) = part else {
            return true;
        };
        match far::is_far(start) {
            false => access::open_for(start, end, Rights::Read),
            true => far::protect(start, end, Rights::Read),
        }
        let place = to + (start - region.start);
        let place_end = place + (end - start);
        if far::is_far(place) && !far::commit(place, place_end, Rights::Write) {
            return false;
        }
        // SAFETY: both are memory, open, and disjoint.
        unsafe { (place as *mut u8).copy_from_nonoverlapping(start as *const u8, end - start) };
        at = end;
    }
    true
}

/// `MADV_DONTNEED` of anonymous pages: they read as zero, with the rights they have.
pub fn discard(region: &Region) -> Result<(), isize> {
    clear(region.start, region.end);
    match far::is_far(region.start) {
        // It becomes memory when it is touched.
        true if !platform::faults_end() => Ok(()),
        _ => apply(region),
    }
}
