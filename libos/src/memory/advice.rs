//! `madvise`, `msync`, `mincore` and `mlock`: calls on ranges that change no mapping. Owns nothing.

use super::regions::Backing;
use super::{REGIONS, Rights, check, far, is_aligned, remap, shared};
use crate::calls::{Outcome, errno};
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::{
    MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED,
    MADV_DONTNEED_LOCKED, MADV_FREE, MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_MERGEABLE,
    MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
    MADV_RANDOM, MADV_REMOVE, MADV_SEQUENTIAL, MADV_UNMERGEABLE, MADV_WILLNEED, MADV_WIPEONFORK,
    MS_ASYNC, MS_INVALIDATE, MS_SYNC,
};

/// The whole pages of a range; `None` when it is empty.
fn pages(start: usize, bytes: usize) -> Result<Option<(usize, usize)>, isize> {
    if !is_aligned(start) {
        return Err(errno::EINVAL);
    }
    let rounded = bytes.checked_next_multiple_of(PAGE_BYTES);
    let end = rounded.and_then(|bytes| start.checked_add(bytes));
    let end = end.ok_or(errno::EINVAL)?;
    Ok((start < end).then_some((start, end)))
}

/// Whether all of a range is memory of the application.
fn is_mapped(start: usize, end: usize) -> bool {
    let mut at = start;
    while at < end {
        let mapped = REGIONS.with(|regions| regions.reach(at, end, Rights::None));
        let reached = match mapped {
            _ if mapped > at => mapped,
            _ => at + check::reach(at, end - at, Rights::Read),
        };
        if reached == at {
            return false;
        }
        at = reached;
    }
    true
}

/// `madvise`: what drops contents does, all other advice that Linux knows is taken and ignored.
pub fn madvise(start: usize, bytes: usize, advice: usize) -> Outcome {
    let drops = match advice as u32 {
        MADV_DONTNEED | MADV_DONTNEED_LOCKED | MADV_FREE | MADV_REMOVE => true,
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_DONTFORK
        | MADV_DOFORK | MADV_MERGEABLE | MADV_UNMERGEABLE | MADV_HUGEPAGE | MADV_NOHUGEPAGE
        | MADV_DONTDUMP | MADV_DODUMP | MADV_WIPEONFORK | MADV_KEEPONFORK | MADV_COLD
        | MADV_PAGEOUT | MADV_POPULATE_READ | MADV_POPULATE_WRITE => false,
        // Among them `MADV_COLLAPSE`: no huge pages are made on demand.
        _ => return Err(errno::EINVAL),
    };
    let Some((start, end)) = pages(start, bytes)? else {
        return Ok(0);
    };
    if !drops {
        let wanted = match advice as u32 {
            MADV_POPULATE_READ => Rights::Read,
            MADV_POPULATE_WRITE => Rights::Write,
            _ => Rights::None,
        };
        return match is_mapped(start, end) {
            false => Err(errno::ENOMEM),
            true if wanted > Rights::None
                && check::reach(start, end - start, wanted) < end - start =>
            {
                Err(errno::EFAULT)
            }
            true => Ok(0),
        };
    }
    let (mut at, mut is_whole) = (start, true);
    while at < end {
        // What is not mapped is passed by, and told in the end.
        let Some(region) = REGIONS.with(|regions| regions.first(at, end)) else {
            is_whole = false;
            break;
        };
        is_whole &= region.start == at;
        at = region.end;
        match (region.backing, advice as u32) {
            (Backing::File(_) | Backing::Shared, MADV_DONTNEED | MADV_DONTNEED_LOCKED) => {}
            (Backing::File(file), MADV_REMOVE) => shared::punch(&region, &file)?,
            (Backing::Shared, MADV_REMOVE) => remap::discard(&region)?,
            (Backing::File(_) | Backing::Shared, _) | (_, MADV_REMOVE) => {
                return Err(errno::EINVAL);
            }
            // Linux shows the file again, which is not at hand any more; it has no other use of the copy.
            (Backing::Copy, _) => return Err(errno::EINVAL),
            (Backing::Anonymous, _) => remap::discard(&region)?,
            (Backing::PastEnd, _) => {}
        }
    }
    match is_whole {
        true => Ok(0),
        false => Err(errno::ENOMEM),
    }
}

/// `msync`: a shared mapping and its file are the same memory. Who may have stored into a file changed it, as its
/// times tell from now on: nobody sees the stores themselves.
pub fn msync(start: usize, bytes: usize, flags: usize) -> Outcome {
    let flags = flags as u32;
    if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0
        || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC
        || !is_aligned(start)
    {
        return Err(errno::EINVAL);
    }
    match pages(start, bytes) {
        Err(_) => Err(errno::ENOMEM),
        Ok(Some((start, end))) if !is_mapped(start, end) => Err(errno::ENOMEM),
        Ok(Some((start, end))) => {
            shared::note_stores(start, end);
            Ok(0)
        }
        Ok(None) => Ok(0),
    }
}

/// `munlock`, and `mlock` of pages once they are touched: memory never leaves the image.
pub fn munlock(start: usize, bytes: usize) -> Outcome {
    // Linux rounds the start down, too.
    let first = start / PAGE_BYTES * PAGE_BYTES;
    match pages(first, bytes.saturating_add(start - first))? {
        Some((start, end)) if !is_mapped(start, end) => Err(errno::ENOMEM),
        _ => Ok(0),
    }
}

/// `mlock`, which reads the pages.
pub fn mlock(start: usize, bytes: usize) -> Outcome {
    munlock(start, bytes)?;
    match check::reach(start, bytes, Rights::Read) < bytes {
        true => Err(errno::ENOMEM),
        false => Ok(0),
    }
}

/// Whether a mapped page has been touched, as far as can be told.
fn is_there(page: usize) -> bool {
    let region = REGIONS.with(|regions| regions.whole(page));
    if region.is_none_or(|region| !region.backing.is_memory()) {
        return true;
    }
    if far::is_far(page) {
        if far::committed(page, page + PAGE_BYTES).is_none() {
            return false;
        }
    } else if check::reach(page, PAGE_BYTES, Rights::Read) < PAGE_BYTES {
        // Closed pages are not opened to look.
        return true;
    }
    if region.is_some_and(|region| region.rights == Rights::None) {
        return true;
    }
    // SAFETY: memory that may be read.
    let words = unsafe { core::slice::from_raw_parts(page as *const u64, PAGE_BYTES / 8) };
    words.iter().any(|word| *word != 0)
}

/// `mincore`: what is not zero is there, as Linux brings a page when it is touched; of files, all that is mapped.
pub fn mincore(start: usize, bytes: usize, vector: usize) -> Outcome {
    let Some((start, end)) = (match pages(start, bytes) {
        Err(error) if !is_aligned(start) => return Err(error),
        Err(_) => return Err(errno::ENOMEM),
        Ok(pages) => pages,
    }) else {
        return Ok(0);
    };
    let count = (end - start) / PAGE_BYTES;
    if !check::allows(vector, count, Rights::Write) {
        return Err(errno::EFAULT);
    }
    if !is_mapped(start, end) {
        return Err(errno::ENOMEM);
    }
    for (index, page) in (start..end).step_by(PAGE_BYTES).enumerate() {
        let byte = (vector + index) as *mut u8;
        // SAFETY: checked: memory of the application that it may write.
        unsafe { byte.write(is_there(page).into()) };
    }
    Ok(0)
}
