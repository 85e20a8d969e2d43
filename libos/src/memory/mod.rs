//! Anonymous memory for the application: mmap, munmap, mremap, mprotect, madvise, brk.
//!
//! Owns the list of mapped regions; everything outside the list is refused, so a stray
//! `munmap` cannot damage the page source. Must never hand out memory that is not zero.

mod brk;
mod regions;

pub use brk::brk;

use crate::calls::{Outcome, errno};
use crate::single::Single;
use crate::{component_pages, components, pages, platform};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Pages, Run};
use core::ptr::NonNull;
use linux_raw_sys::general::{
    MADV_DONTNEED, MADV_FREE, MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MREMAP_FIXED,
    MREMAP_MAYMOVE, PROT_EXEC, PROT_READ, PROT_WRITE, SEGV_ACCERR, SEGV_MAPERR, SIGSEGV,
};
use regions::Regions;

/// From this size on, cleared memory goes back to the host instead of being overwritten.
const GIVE_BACK_BYTES: usize = 2 << 20;
/// Mappings of at least this many pages start on a huge page boundary when there is room.
const HUGE_PAGES: usize = 512;

static REGIONS: Single<Regions> = Single::new(Regions::new());

fn account() -> Pages {
    component_pages(components::MMAP)
}

fn page_count(bytes: usize) -> Option<usize> {
    (bytes > 0 && bytes <= isize::MAX as usize).then(|| bytes.div_ceil(PAGE_BYTES))
}

fn is_aligned(address: usize) -> bool {
    address.is_multiple_of(PAGE_BYTES)
}

fn take(page_count: usize) -> Result<usize, isize> {
    let alignment = if page_count >= HUGE_PAGES {
        HUGE_PAGES
    } else {
        1
    };
    let run = account()
        .allocate(page_count, alignment, Contents::Zero)
        .or_else(|| account().allocate(page_count, 1, Contents::Zero))
        .ok_or(errno::ENOMEM)?;
    Ok(run.start.addr().get())
}

/// Frees part of a region that has been taken out of the list.
fn release(start: usize, bytes: usize) {
    let Some(first) = NonNull::new(start as *mut u8) else {
        return;
    };
    // SAFETY: the range was in the list of regions, so this account handed it out, and the
    // application has just said that it no longer uses it.
    unsafe {
        account().free(Run {
            start: first,
            pages: bytes / PAGE_BYTES,
        })
    }
}

/// Makes a mapped range read as zero again.
fn clear(start: usize, bytes: usize) {
    // SAFETY: the range lies in a region of the application, which asked for this.
    unsafe {
        if bytes < GIVE_BACK_BYTES || !platform::give_back(start, bytes) {
            (start as *mut u8).write_bytes(0, bytes);
        }
    }
}

/// `mmap` of anonymous memory; file mappings are `calls::map_file`. Shared mappings are
/// private ones: there is one process.
pub fn mmap(hint: usize, bytes: usize, protection: usize, flags: usize) -> Outcome {
    let count = page_count(bytes).ok_or(errno::EINVAL)?;
    if flags as u32 & MAP_ANONYMOUS == 0 {
        return Err(errno::ENODEV);
    }
    if protection as u32 & PROT_EXEC != 0 {
        // Writable memory is never executable in an image.
        return Err(errno::EACCES);
    }
    if flags as u32 & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        return map_fixed(hint, count * PAGE_BYTES, protection, flags as u32);
    }
    REGIONS.with(|regions| regions.reserve())?;
    let start = take(count)?;
    REGIONS.with(|regions| regions.insert(start, start + count * PAGE_BYTES));
    if protection as u32 & (PROT_READ | PROT_WRITE) == 0 {
        mprotect(start, bytes, protection)?;
    }
    Ok(start)
}

/// Fixed mappings replace memory that is mapped already; other addresses cannot be had.
fn map_fixed(start: usize, bytes: usize, protection: usize, flags: u32) -> Outcome {
    let end = start.checked_add(bytes).ok_or(errno::EINVAL)?;
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    if flags & MAP_FIXED_NOREPLACE != 0 {
        return Err(errno::EEXIST);
    }
    if !REGIONS.with(|regions| regions.covers(start, end)) {
        return Err(errno::ENOMEM);
    }
    mprotect(start, bytes, (PROT_READ | PROT_WRITE) as usize)?;
    clear(start, bytes);
    mprotect(start, bytes, protection)?;
    Ok(start)
}

/// `munmap`; parts that are not mapped are ignored, as Linux does.
pub fn munmap(start: usize, bytes: usize) -> Outcome {
    let count = page_count(bytes).ok_or(errno::EINVAL)?;
    let end = start.checked_add(count * PAGE_BYTES).ok_or(errno::EINVAL)?;
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    REGIONS.with(|regions| {
        regions.reserve()?;
        while let Some((start, end)) = regions.remove_first(start, end) {
            unprotect(regions, start, end);
            release(start, end - start);
        }
        Ok(0)
    })
}

fn unprotect(regions: &mut Regions, start: usize, end: usize) {
    while let Some((start, end)) = regions.take_protected(start, end) {
        // SAFETY: makes memory usable; nobody is harmed.
        unsafe { platform::protect(start, end - start, true) };
    }
}

/// `mprotect`. No access at all is enforced by the monitor; everything else is read-write,
/// and executable memory is refused.
pub fn mprotect(start: usize, bytes: usize, protection: usize) -> Outcome {
    let Some(count) = page_count(bytes) else {
        return Ok(0);
    };
    let end = start.checked_add(count * PAGE_BYTES).ok_or(errno::EINVAL)?;
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    if protection as u32 & PROT_EXEC != 0 {
        return Err(errno::EACCES);
    }
    REGIONS.with(|regions| {
        if !regions.covers(start, end) {
            return Err(errno::ENOMEM);
        }
        regions.reserve()?;
        if protection as u32 & (PROT_READ | PROT_WRITE) != 0 {
            unprotect(regions, start, end);
        } else {
            regions.protect(start, end)?;
            // SAFETY: the application gives up access to its own region until it asks again.
            unsafe { platform::protect(start, end - start, false) };
        }
        Ok(0)
    })
}

/// `mremap`: shrinks in place, grows in place when the pages behind are free, else moves.
pub fn mremap(start: usize, old_bytes: usize, new_bytes: usize, flags: usize) -> Outcome {
    let old_count = page_count(old_bytes).ok_or(errno::EINVAL)?;
    let new_count = page_count(new_bytes).ok_or(errno::EINVAL)?;
    let end = start
        .checked_add(old_count * PAGE_BYTES)
        .ok_or(errno::EINVAL)?;
    if !is_aligned(start) || flags as u32 & MREMAP_FIXED != 0 {
        return Err(errno::EINVAL);
    }
    if !REGIONS.with(|regions| regions.covers(start, end)) {
        return Err(errno::EFAULT);
    }
    if new_count <= old_count {
        if new_count < old_count {
            munmap(
                start + new_count * PAGE_BYTES,
                (old_count - new_count) * PAGE_BYTES,
            )?;
        }
        return Ok(start);
    }
    REGIONS.with(|regions| regions.reserve())?;
    let run = Run {
        start: NonNull::new(start as *mut u8).ok_or(errno::EFAULT)?,
        pages: old_count,
    };
    // SAFETY: the region is the application's and ends at `end`, or `extend` finds the pages
    // behind it taken.
    if unsafe { account().extend(run, new_count - old_count, Contents::Zero) } {
        REGIONS.with(|regions| regions.insert(end, start + new_count * PAGE_BYTES));
        return Ok(start);
    }
    if flags as u32 & MREMAP_MAYMOVE == 0 {
        return Err(errno::ENOMEM);
    }
    let moved = take(new_count)?;
    REGIONS.with(|regions| regions.insert(moved, moved + new_count * PAGE_BYTES));
    // SAFETY: both ranges are mapped, disjoint, and at least the old length long.
    unsafe {
        (moved as *mut u8).copy_from_nonoverlapping(start as *const u8, old_count * PAGE_BYTES)
    };
    munmap(start, old_count * PAGE_BYTES)?;
    Ok(moved)
}

/// `madvise`: `MADV_DONTNEED` and `MADV_FREE` clear; all other advice is taken and ignored.
pub fn madvise(start: usize, bytes: usize, advice: usize) -> Outcome {
    let Some(count) = page_count(bytes) else {
        return Ok(0);
    };
    let end = start.checked_add(count * PAGE_BYTES).ok_or(errno::EINVAL)?;
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    if !REGIONS.with(|regions| regions.covers(start, end)) {
        return Err(errno::ENOMEM);
    }
    if matches!(advice as u32, MADV_DONTNEED | MADV_FREE) {
        clear(start, end - start);
    }
    Ok(0)
}

/// Signal and `si_code` of an access to `address` that failed.
pub fn fault_signal(address: usize) -> (u32, i32) {
    let page = address / PAGE_BYTES * PAGE_BYTES;
    let is_mapped = REGIONS.with(|regions| regions.covers(page, page + PAGE_BYTES));
    let code = if is_mapped { SEGV_ACCERR } else { SEGV_MAPERR };
    (SIGSEGV, code as i32)
}

/// Free memory in bytes, for `sysinfo`.
pub fn free_bytes() -> usize {
    pages().largest_free_pages() * PAGE_BYTES
}
