//! The application's memory: mmap, munmap, mprotect, and (in files of their own) mremap, advice, the program break.
//!
//! | file | decides |
//! |---|---|
//! | `regions` | what is mapped, with which rights |
//! | `access` | which pages are closed now |
//! | `retired` | unmapped ranges, closed until their memory is needed |
//! | `shared` | mappings of files |
//! | `remap` | mremap |
//! | `advice` | madvise, msync, mincore, mlock |
//! | `check` | pointers of the application |
//! | `fault` | the signal of a fault |
//! | `limits` | RLIMIT_AS, RLIMIT_DATA |
//! | `brk` | the program break |
//!
//! Owns the list of mapped regions: a stray `munmap` cannot damage the page source. Never hands out memory that is not
//! zero. A list is never borrowed across a call of the file system, of the monitor or of the page source.

mod access;
mod advice;
mod brk;
mod check;
mod fault;
mod limits;
mod regions;
mod remap;
mod retired;
mod shared;
#[cfg(test)]
mod tests;

pub use access::{open, open_for};
pub use advice::{madvise, mincore, mlock, msync, munlock};
pub use brk::brk;
pub use check::{allows, known, reach};
pub use fault::fault_signal;
pub use remap::mremap;
pub use retired::close_unmapped;
pub use retired::release_all;
pub use shared::{hide, map_file, show};

use crate::calls::{Outcome, errno};
use crate::single::Single;
use crate::{component_pages, components, pages, platform, signals};
use access::Reason;
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Pages};
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_HUGETLB, MAP_PRIVATE, MAP_SHARED, MAP_TYPE,
    PROT_EXEC, PROT_READ, PROT_SEM, PROT_WRITE,
};
use regions::{Backing, Region, Regions};

/// What may be done with a page. Pages that may be written may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl Rights {
    /// From `PROT_*`. Executable memory is refused: writable memory is never executable in an image.
    fn from_protection(protection: usize) -> Result<Self, isize> {
        match protection as u32 {
            bits if bits & PROT_EXEC != 0 => Err(errno::EACCES),
            bits if bits & PROT_WRITE != 0 => Ok(Self::Write),
            bits if bits & PROT_READ != 0 => Ok(Self::Read),
            _ => Ok(Self::None),
        }
    }
}

/// From this size on, cleared memory goes back to the host instead of being overwritten.
const GIVE_BACK_BYTES: usize = 2 << 20;
/// Mappings of at least this many pages start on a huge page boundary when there is room.
const HUGE_PAGES: usize = 512;

static REGIONS: Single<Regions> = Single::new(Regions::new());

fn account() -> Pages {
    component_pages(components::MMAP)
}

fn page_count(bytes: usize) -> Result<usize, isize> {
    match bytes {
        0 => Err(errno::EINVAL),
        _ if bytes > isize::MAX as usize => Err(errno::ENOMEM),
        _ => Ok(bytes.div_ceil(PAGE_BYTES)),
    }
}

fn is_aligned(address: usize) -> bool {
    address.is_multiple_of(PAGE_BYTES)
}

/// Zero memory of `page_count` pages.
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

/// Room in the list for one operation.
fn reserve() -> Result<(), isize> {
    REGIONS.with(Regions::reserve)
}

/// Adds a region and gives its pages their rights; `reserve` came before.
fn insert(region: Region) -> Result<(), isize> {
    REGIONS.with(|regions| regions.insert(region));
    check::forget();
    apply(&region)
}

/// Gives the pages of a region its rights, as far as what it shows goes.
fn apply(region: &Region) -> Result<(), isize> {
    let valid_end = match region.backing {
        Backing::Anonymous | Backing::Shared | Backing::Copy => region.end,
        Backing::PastEnd => region.start,
        Backing::File(file) => shared::valid_end(region, &file),
    };
    if valid_end < region.end {
        signals::explain_bus();
    }
    for (start, end, rights) in [
        (region.start, valid_end, region.rights),
        (valid_end, region.end, Rights::None),
    ] {
        // SAFETY: the application's own memory, with the rights it asked for; the library OS looks before it touches.
        if start < end && !unsafe { access::set(start, end, rights, Reason::Protected) } {
            return Err(errno::ENOMEM);
        }
    }
    Ok(())
}

/// Makes a mapped range read as zero; its pages are open afterwards, or as they were.
fn clear(start: usize, end: usize) {
    let is_closed = access::reach(start, end, Rights::Write) < end;
    // SAFETY: the range lies in a region of the application, which asked for this.
    unsafe {
        if (is_closed || end - start >= GIVE_BACK_BYTES) && platform::give_back(start, end - start)
        {
            return;
        }
        access::open_for(start, end, Rights::Write);
        (start as *mut u8).write_bytes(0, end - start);
    }
}

/// `mmap` of anonymous memory; file mappings are [`map_file`]. Shared mappings have memory of their own as well: there
/// is one process.
pub fn mmap(hint: usize, bytes: usize, protection: usize, flags: usize) -> Outcome {
    debug_assert!(flags as u32 & MAP_ANONYMOUS != 0);
    let count = page_count(bytes)?;
    let backing = match flags as u32 & MAP_TYPE {
        MAP_PRIVATE => Backing::Anonymous,
        MAP_SHARED => Backing::Shared,
        _ => return Err(errno::EINVAL),
    };
    if flags as u32 & MAP_HUGETLB != 0 {
        // As on a Linux whose pool of huge pages is empty.
        return Err(errno::ENOMEM);
    }
    let rights = Rights::from_protection(protection)?;
    limits::allow(count, rights == Rights::Write && backing.is_data())?;
    let start = place(hint, count, flags as u32)?;
    let region = Region {
        start,
        end: start + count * PAGE_BYTES,
        rights,
        backing,
    };
    insert_or_free(region)?;
    Ok(start)
}

/// Adds a region whose pages are open and zero; if that fails, nothing is left of it.
fn insert_or_free(region: Region) -> Result<(), isize> {
    insert(region).inspect_err(|_| {
        REGIONS.with(|regions| regions.remove_first(region.start, region.end));
        check::forget();
        retired::retire(region.start, region.end);
    })
}

/// Zero, open memory in no region, where `flags` say; there is room in the list.
fn place(hint: usize, count: usize, flags: u32) -> Result<usize, isize> {
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        return place_at(hint, count * PAGE_BYTES, flags);
    }
    reserve()?;
    take(count)
}

/// Fixed mappings replace memory that is mapped, or was a moment ago; other addresses cannot be had.
fn place_at(start: usize, bytes: usize, flags: u32) -> Outcome {
    let end = start.checked_add(bytes).ok_or(errno::ENOMEM)?;
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    let is_mapped = |page: usize| REGIONS.with(|regions| regions.touches(page, page + PAGE_BYTES));
    if flags & MAP_FIXED_NOREPLACE != 0 && REGIONS.with(|regions| regions.touches(start, end)) {
        return Err(errno::EEXIST);
    }
    let mut pages = (start..end).step_by(PAGE_BYTES);
    if !pages.all(|page| is_mapped(page) || retired::covers(page)) {
        return Err(errno::ENOMEM);
    }
    reserve()?;
    shared::vacate(start, end)?;
    retired::take_back(start, end, |_, _| ());
    // All but the first and the last of them go whole: there is room.
    while REGIONS
        .with(|regions| regions.remove_first(start, end))
        .is_some()
    {}
    check::forget();
    clear(start, end);
    access::open(start, end);
    Ok(start)
}

/// `munmap`; parts that are not mapped are ignored, as Linux does.
pub fn munmap(start: usize, bytes: usize) -> Outcome {
    let count = page_count(bytes).map_err(|_| errno::EINVAL)?;
    let end = start.checked_add(count * PAGE_BYTES).ok_or(errno::EINVAL)?;
    if !is_aligned(start) || end > check::HIGHEST {
        return Err(errno::EINVAL);
    }
    let mut at = start;
    loop {
        reserve()?;
        let removed = REGIONS.with(|regions| regions.remove_first(at, end));
        check::forget();
        let Some((part, more)) = removed else {
            return Ok(0);
        };
        // A part that another mapping shows, too, stays in the list.
        at = part.end;
        match part.backing {
            Backing::File(file) => shared::unmap(part, file, more),
            _ => retired::retire(part.start, part.end),
        }
    }
}

/// `mprotect`, of mappings and of other memory of the application. Executable memory is refused.
pub fn mprotect(start: usize, bytes: usize, protection: usize) -> Outcome {
    const KNOWN: u32 = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM;
    if !is_aligned(start) || protection as u32 & !KNOWN != 0 {
        return Err(errno::EINVAL);
    }
    if bytes == 0 {
        return Ok(0);
    }
    let count = page_count(bytes)?;
    let end = start.checked_add(count * PAGE_BYTES).ok_or(errno::ENOMEM)?;
    let rights = Rights::from_protection(protection)?;
    if !REGIONS.with(|regions| regions.touches(start, end)) {
        return protect_own(start, end, rights);
    }
    // As far as it is mapped, as Linux does.
    let mapped_end = REGIONS.with(|regions| regions.reach(start, end, Rights::None));
    let mut at = start;
    while let Some(region) = REGIONS.with(|regions| regions.first(at, mapped_end)) {
        if let Backing::File(file) = region.backing
            && rights == Rights::Write
            && !file.may_write
        {
            return Err(errno::EACCES);
        }
        at = region.end;
        if region.rights == rights {
            // What the library OS opened for itself is closed again.
            apply(&region)?;
            continue;
        }
        reserve()?;
        let removed = REGIONS.with(|regions| regions.remove_first(region.start, region.end));
        let Some((part, more)) = removed else {
            break;
        };
        if let Backing::File(file) = part.backing {
            // The part stays, as a region of its own.
            shared::count_references(file.inode, more + 1);
        }
        insert(Region { rights, ..part })?;
    }
    if mapped_end < end {
        return Err(errno::ENOMEM);
    }
    Ok(0)
}

/// `mprotect` of data, stack or heap.
fn protect_own(start: usize, end: usize, rights: Rights) -> Outcome {
    if retired::covers(start) || !check::own_memory(start, end) {
        let is_constant = check::reach(start, 1, Rights::Read) > 0;
        return match is_constant && rights == Rights::Write {
            true => Err(errno::EACCES),
            false => Err(errno::ENOMEM),
        };
    }
    // SAFETY: memory of the application, which asks for this; the library OS looks before it follows a pointer.
    match unsafe { access::set(start, end, rights, Reason::Protected) } {
        true => Ok(0),
        false => Err(errno::ENOMEM),
    }
}

/// Free memory in bytes, for `sysinfo`.
pub fn free_bytes() -> usize {
    pages().largest_free_pages() * PAGE_BYTES
}

/// Closes or opens the guard of a stack; whether the monitor did.
///
/// # Safety
///
/// Nobody uses the pages while they are closed.
pub unsafe fn guard(start: usize, bytes: usize, is_closed: bool) -> bool {
    let rights = if is_closed {
        Rights::None
    } else {
        Rights::Write
    };
    // SAFETY: the caller's promise.
    unsafe { access::set(start, start + bytes, rights, Reason::Protected) }
}
