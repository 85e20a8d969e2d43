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
//! | `maps` | what `/proc/self/maps` tells |
//! | `far` | memory at addresses beyond RAM |
//! | `beyond` | what is asked about it where there may be none |
//! | `limits` | RLIMIT_AS, RLIMIT_DATA |
//! | `brk` | the program break |
//!
//! Owns the list of mapped regions: a stray `munmap` cannot damage the page source. Never hands out memory that is not
//! zero. A list is never borrowed across a call of the file system, of the monitor or of the page source.

mod access;
mod advice;
mod beyond;
mod brk;
mod check;
mod far;
mod fault;
mod limits;
mod maps;
mod regions;
mod remap;
mod retired;
mod shared;
#[cfg(test)]
mod tests;

pub use access::{open, open_for};
pub use advice::{madvise, mincore, mlock, msync, munlock};
pub use beyond::{room, touched};
pub use brk::brk;
pub use check::{allows, known, reach};
pub use far::stack;
pub use fault::fault_signal;
pub use maps::{Shown, sizes, visit};
pub use remap::mremap;
pub use retired::close_unmapped;
pub use retired::release_all;
pub use shared::{hide, map_file, show};

use crate::calls::{Outcome, errno};
use crate::platform::boot_info;
use crate::single::Single;
use crate::{component_pages, components, pages, platform, signals};
use access::Reason;
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Pages};
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_HUGETLB, MAP_NORESERVE, MAP_PRIVATE,
    MAP_SHARED, MAP_TYPE, PROT_EXEC, PROT_READ, PROT_SEM, PROT_WRITE,
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

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static REGIONS: Single<Regions> = unsafe { Single::new(Regions::new()) };

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

/// Zero memory of `bytes` bytes that is never given back.
pub fn zeros(bytes: usize) -> Outcome {
    take(page_count(bytes)?)
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
    if far::is_far(region.start) {
        return far::apply(region);
    }
    let valid_end = match region.backing {
        Backing::Anonymous | Backing::Shared | Backing::Copy => region.end,
        Backing::PastEnd => region.start,
        Backing::File(file) => shared::valid_end(region, &file),
    };
    if valid_end < region.end {
        signals::explain_bus();
    }
    let rights = match region.backing {
        Backing::File(_) if far::is_shown(region.start, valid_end) => Rights::Write,
        _ => region.rights,
    };
    for (start, end, rights) in [
        (region.start, valid_end, rights),
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
    if far::is_far(start) {
        far::decommit(start, end);
        far::become_lazy();
        return;
    }
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
    let flags = flags as u32;
    let is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
    let start = match rights {
        // Address space alone, until it may be used.
        Rights::None if !is_fixed => near(hint, count).map_or_else(|| reservation(count), Ok)?,
        _ => place(hint, count, flags)?,
    };
    let end = start + count * PAGE_BYTES;
    let is_promised = rights > Rights::None && flags & MAP_NORESERVE == 0;
    if far::is_far(start) && is_promised && !far::admits(start, end) {
        return Err(errno::ENOMEM);
    }
    let region = Region {
        start,
        end,
        rights,
        backing,
    };
    insert_or_free(region)?;
    Ok(start)
}

/// Addresses of no memory, in no region; there is room in the list.
fn reservation(count: usize) -> Outcome {
    reserve()?;
    far::find(count * PAGE_BYTES)
}

/// The addresses from `hint` on, where the application would like its mapping and nothing is.
fn near(hint: usize, count: usize) -> Option<usize> {
    let start = hint / PAGE_BYTES * PAGE_BYTES;
    if start == 0 {
        return None;
    }
    place_at(start, count * PAGE_BYTES, MAP_FIXED_NOREPLACE).ok()
}

/// Adds a region whose pages are open and zero; if that fails, nothing is left of it.
fn insert_or_free(region: Region) -> Result<(), isize> {
    insert(region).inspect_err(|_| {
        REGIONS.with(|regions| regions.remove_first(region.start, region.end));
        check::forget();
        free_unmapped(region.start, region.end);
    })
}

/// Zero, open memory in no region, where `flags` say; there is room in the list.
fn place(hint: usize, count: usize, flags: u32) -> Result<usize, isize> {
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        return place_at(hint, count * PAGE_BYTES, flags);
    }
    if let Some(start) = near(hint, count) {
        return Ok(start);
    }
    reserve()?;
    if flags & MAP_NORESERVE != 0 && count > far::free_pages() / 4 {
        // It is not said that all of it is used.
        return far::find(count * PAGE_BYTES);
    }
    take(count).or_else(|error| match count <= far::free_pages() {
        // There is enough, in pieces.
        true => far::find(count * PAGE_BYTES),
        false => Err(error),
    })
}

/// Frees memory of a mapping that is gone.
fn free_unmapped(start: usize, end: usize) {
    match far::is_far(start) {
        true => far::decommit(start, end),
        false => retired::retire(start, end),
    }
}

/// Where fixed mappings go: over what is mapped, over pages that are free, and beyond RAM. What the image is made of, its
/// stack and its heaps stay.
fn place_at(start: usize, bytes: usize, flags: u32) -> Outcome {
    let end = start.checked_add(bytes).ok_or(errno::ENOMEM)?;
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    let is_new = flags & MAP_FIXED_NOREPLACE != 0;
    if is_new && REGIONS.with(|regions| regions.touches(start, end)) {
        return Err(errno::EEXIST);
    }
    let is_far = far::offers(start, end);
    reserve()?;
    if !is_far && !take_at(start, end) {
        let is_used = is_new && check::own_memory(start, start + PAGE_BYTES);
        return Err(if is_used {
            errno::EEXIST
        } else {
            errno::ENOMEM
        });
    }
    if is_far {
        munmap(start, bytes)?;
        return Ok(start);
    }
    if let Err(error) = shared::vacate(start, end) {
        free_between(start, end);
        return Err(error);
    }
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

/// The first part of `start..end` in RAM that is neither mapped nor retired.
fn between(start: usize, end: usize) -> Option<(usize, usize)> {
    let is_held = |page: &usize| {
        retired::covers(*page) || REGIONS.with(|regions| regions.touches(*page, *page + PAGE_BYTES))
    };
    let first = (start..end)
        .step_by(PAGE_BYTES)
        .find(|page| !is_held(page))?;
    let next = (first..end).step_by(PAGE_BYTES).find(is_held);
    Some((first, next.unwrap_or(end)))
}

/// Takes the pages of `start..end` that are neither mapped nor retired; whether all of them were free. None is taken if not.
fn take_at(start: usize, end: usize) -> bool {
    let info = boot_info();
    if start < info.ram.start as usize || end > (info.ram.start + info.ram.bytes) as usize {
        return false;
    }
    let mut at = start;
    while let Some((from, to)) = between(at, end) {
        let pages = (to - from) / PAGE_BYTES;
        if account().allocate_at(from, pages, Contents::Any).is_none() {
            free_between(start, from);
            return false;
        }
        at = to;
    }
    true
}

/// Frees what [`take_at`] took.
fn free_between(start: usize, end: usize) {
    let mut at = start;
    while let Some((from, to)) = between(at, end) {
        retired::release(from, to);
        at = to;
    }
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
            _ => free_unmapped(part.start, part.end),
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
        if far::is_far(region.start)
            && rights > Rights::None
            && !far::admits(region.start, region.end)
        {
            return Err(errno::ENOMEM);
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
