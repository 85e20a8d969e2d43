//! `mremap`: shrinks in place, grows in place when the pages behind are free, else moves. Owns nothing.

use super::regions::{Backing, Region};
use super::{REGIONS, Rights, access, account, check, clear, insert, is_aligned, limits, munmap};
use super::{page_count, reserve, shared, take};
use crate::calls::{Outcome, errno};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Run};
use core::ptr::NonNull;
use linux_raw_sys::general::MREMAP_MAYMOVE;

/// `mremap`. A new address cannot be named (`MREMAP_FIXED`), and the old pages do not stay (`MREMAP_DONTUNMAP`).
pub fn mremap(start: usize, old_bytes: usize, new_bytes: usize, flags: usize) -> Outcome {
    if !is_aligned(start) || flags as u32 & !MREMAP_MAYMOVE != 0 {
        return Err(errno::EINVAL);
    }
    let old_count = page_count(old_bytes).map_err(|_| errno::EINVAL)?;
    let new_count = page_count(new_bytes)?;
    let end = start
        .checked_add(old_count * PAGE_BYTES)
        .ok_or(errno::EINVAL)?;
    if new_count <= old_count {
        if !REGIONS.with(|regions| regions.touches(start, start + 1)) {
            return Err(errno::EFAULT);
        }
        if new_count < old_count {
            let kept_end = start + new_count * PAGE_BYTES;
            munmap(kept_end, end - kept_end)?;
        }
        return Ok(start);
    }
    // One mapping, as Linux wants it.
    let region = REGIONS
        .with(|regions| regions.first(start, end))
        .filter(|region| region.start == start && region.end == end)
        .ok_or(errno::EFAULT)?;
    let may_move = flags as u32 & MREMAP_MAYMOVE != 0;
    limits::allow(
        new_count - old_count,
        region.rights == Rights::Write && region.backing.is_data(),
    )?;
    match region.backing {
        Backing::File(file) => shared::grow(region, file, new_count, may_move),
        _ => grow(region, new_count, may_move),
    }
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
    // SAFETY: the region is the application's and ends at `end`, or `extend` finds the pages
    // behind it taken.
    if !is_taken && unsafe { account().extend(run, new_count - old_count, Contents::Zero) } {
        let more = Region {
            start: end,
            end: new_end,
            ..region
        };
        insert(more)?;
        return Ok(start);
    }
    if !may_move {
        return Err(errno::ENOMEM);
    }
    let moved = take(new_count)?;
    if region.backing.is_memory() {
        access::open_for(start, end, Rights::Read);
        // SAFETY: both ranges are mapped and open, disjoint, and at least the old length long.
        unsafe { (moved as *mut u8).copy_from_nonoverlapping(start as *const u8, end - start) };
    }
    munmap(start, end - start)?;
    reserve()?;
    check::forget();
    let moved_region = Region {
        start: moved,
        end: moved + new_count * PAGE_BYTES,
        ..region
    };
    insert(moved_region)?;
    Ok(moved)
}

/// `MADV_DONTNEED` of anonymous pages: they read as zero, with the rights they have.
pub fn discard(region: &Region) -> Result<(), isize> {
    clear(region.start, region.end);
    super::apply(region)
}
