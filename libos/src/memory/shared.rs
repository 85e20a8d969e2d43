//! Mappings of files. A shared one shows the pages of the file themselves, which then lie in one run and stay there
//! (`files::data::windows`): the first mapping of a page lies where the page does, others show it at addresses beyond RAM.
//! A private one is a copy.
//! Owns nothing but the references that regions hold to files.

use super::access::{self, Reason};
use super::regions::{Backing, FilePart, Region};
use super::{
    REGIONS, Rights, apply, beyond, check, far, insert, insert_or_free, limits, page_count,
};
use super::{account, is_aligned, munmap, place, place_at, reserve, retired};
use crate::calls::{Outcome, errno};
use crate::files::{Errno, InodeId, Mapped, Place};
use crate::{filesystem, signals};
use bespoke_abi::PAGE_BYTES;
use core::ptr::NonNull;
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE,
    MAP_TYPE,
};

/// `mmap` of a file.
pub fn map_file(
    hint: usize,
    bytes: usize,
    protection: usize,
    flags: usize,
    descriptor: usize,
    offset: usize,
) -> Outcome {
    let flags = flags as u32;
    if !is_aligned(offset) {
        return Err(errno::EINVAL);
    }
    let mapped = filesystem::with(|root| root.map_source(descriptor)).map_err(Errno::answer)?;
    let count = page_count(bytes)?;
    let (offset, past) = (offset as u64, (offset as u64).checked_add(bytes as u64));
    if past.is_none_or(|past| past > i64::MAX as u64) {
        return Err(Errno::OVERFLOW.answer());
    }
    let is_shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE => {
            // The kinds and flags of a mapping that Linux knew when it began to look.
            const KNOWN: u32 = 0x7_fff0 | MAP_TYPE | MAP_FIXED_NOREPLACE;
            if flags & !KNOWN != 0 {
                return Err(Errno::OPNOTSUPP.answer());
            }
            true
        }
        _ => return Err(errno::EINVAL),
    };
    let rights = Rights::from_protection(protection)?;
    let page = (offset / PAGE_BYTES as u64) as usize;
    let kind = if is_shared { MAP_SHARED } else { MAP_PRIVATE };
    match mapped {
        Mapped::Zeros => super::mmap(
            hint,
            bytes,
            protection,
            (flags & !MAP_TYPE | kind | MAP_ANONYMOUS) as usize,
        ),
        Mapped::File {
            may_write: false, ..
        } if is_shared && rights == Rights::Write => {
            let refusal = filesystem::with(|root| root.refusal_to_map(descriptor));
            Err(refusal.answer())
        }
        Mapped::File {
            inode, may_write, ..
        } if is_shared => {
            limits::allow(count, false)?;
            map_shared(hint, count, rights, flags, inode, page, may_write)
        }
        Mapped::File { .. } => {
            limits::allow(count, rights == Rights::Write)?;
            map_private(hint, count, rights, flags, descriptor, page)
        }
    }
}

fn map_private(
    hint: usize,
    count: usize,
    rights: Rights,
    flags: u32,
    descriptor: usize,
    page: usize,
) -> Outcome {
    let start = place(hint, count, flags)?;
    let end = start + count * PAGE_BYTES;
    if far::is_far(start) && !far::commit(start, end, Rights::Write) {
        far::decommit(start, end);
        return Err(errno::ENOMEM);
    }
    // SAFETY: just placed, open, unknown to anybody else.
    let buffer = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, end - start) };
    let offset = page as u64 * PAGE_BYTES as u64;
    let copied = filesystem::with(|root| root.read_at(descriptor, offset, buffer));
    let copied = match copied {
        Ok(copied) => copied,
        Err(error) => {
            super::free_unmapped(start, end);
            return Err(error.answer());
        }
    };
    let valid_end = start + copied.next_multiple_of(PAGE_BYTES);
    for (start, end, backing) in [
        (start, valid_end, Backing::Copy),
        (valid_end, end, Backing::PastEnd),
    ] {
        if start < end {
            reserve()?;
            insert_or_free(Region {
                start,
                end,
                rights,
                backing,
            })?;
        }
    }
    Ok(start)
}

fn map_shared(
    hint: usize,
    count: usize,
    rights: Rights,
    flags: u32,
    inode: InodeId,
    page: usize,
    may_write: bool,
) -> Outcome {
    reserve()?;
    let is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
    let bytes = count * PAGE_BYTES;
    let hinted = hint / PAGE_BYTES * PAGE_BYTES;
    let takes_hint = hint != 0
        && hinted
            .checked_add(bytes)
            .is_some_and(|end| far::offers(hinted, end));
    if is_fixed && takes_hint {
        let start = place_at(hint, bytes, flags)?;
        return show_at(start, count, rights, inode, page, may_write);
    }
    let is_free = |start| !REGIONS.with(|regions| regions.touches(start, start + bytes));
    let is_shown = REGIONS.with(|regions| regions.first_shown(inode, page, page + count).is_some());
    if !is_fixed && (is_shown || takes_hint && is_free(hinted)) {
        let start = match takes_hint && is_free(hinted) {
            true => hinted,
            false => far::find(bytes)?,
        };
        return show_at(start, count, rights, inode, page, may_write);
    }
    let placed = match is_fixed {
        false => Place::Any,
        true => {
            let start = place_at(hint, count * PAGE_BYTES, flags)?;
            Place::Given(NonNull::new(start as *mut u8).ok_or(errno::EINVAL)?)
        }
    };
    let mapped = filesystem::with(|root| root.map(inode, page, count, placed));
    let start = match mapped {
        Ok(start) => start,
        Err(error) => {
            if is_fixed {
                retired::retire(hint, hint + count * PAGE_BYTES);
            }
            return Err(error.answer());
        }
    };
    if is_fixed {
        filesystem::with(|root| root.adopt(&account(), count));
    }
    show_mapping(start, count, rights, inode, page, may_write)?;
    Ok(start)
}

/// Shows file pages at free addresses beyond RAM, wherever each of them lies.
pub fn show_at(
    start: usize,
    count: usize,
    rights: Rights,
    inode: InodeId,
    page: usize,
    may_write: bool,
) -> Outcome {
    let (mut at, end) = (page, page + count);
    let place = |page_at: usize| start + (page_at - page) * PAGE_BYTES;
    while at < end {
        let shown = REGIONS.with(|regions| regions.first_shown(inode, at, end));
        let next = match shown {
            None => end,
            Some((first, _)) if first > at => first,
            Some((_, last)) => last,
        };
        let result = show_part(at, next - at, place(at), rights, inode, may_write);
        if let Err(error) = result {
            munmap(start, count * PAGE_BYTES)?;
            return Err(error);
        }
        at = next;
    }
    Ok(start)
}

/// A part of [`show_at`] that lies in one run, or nowhere yet.
fn show_part(
    page: usize,
    count: usize,
    start: usize,
    rights: Rights,
    inode: InodeId,
    may_write: bool,
) -> Result<(), isize> {
    reserve()?;
    let home =
        filesystem::with(|root| root.map(inode, page, count, Place::Any)).map_err(Errno::answer)?;
    count_references(inode, 1);
    insert(Region {
        start,
        end: start + count * PAGE_BYTES,
        rights,
        backing: Backing::File(FilePart {
            inode,
            page,
            may_write,
            mappings: 1,
            home,
        }),
    })
}

/// Adds one mapping of file pages at `start` to the list, over those that are there.
fn show_mapping(
    start: usize,
    count: usize,
    rights: Rights,
    inode: InodeId,
    page: usize,
    may_write: bool,
) -> Result<(), isize> {
    let end = start + count * PAGE_BYTES;
    let mut at = start;
    while at < end {
        let (next, before) = match REGIONS.with(|regions| regions.first(at, end)) {
            None => (end, None),
            Some(region) if region.start > at => (region.start, None),
            Some(region) => (region.end, Some(region)),
        };
        let mut part = FilePart {
            inode,
            page: page + (at - start) / PAGE_BYTES,
            may_write,
            mappings: 1,
            home: at,
        };
        let mut all_rights = rights;
        reserve()?;
        count_references(inode, 1);
        let removed = before.and_then(|_| REGIONS.with(|regions| regions.remove_first(at, next)));
        if let Some((_, more)) = removed {
            count_references(inode, more);
        }
        if let Some(Region {
            rights,
            backing: Backing::File(file),
            ..
        }) = before
        {
            part.mappings += file.mappings;
            part.may_write |= file.may_write;
            all_rights = all_rights.max(rights);
        }
        insert(Region {
            start: at,
            end: next,
            rights: all_rights,
            backing: Backing::File(part),
        })?;
        at = next;
    }
    Ok(())
}

/// `more` regions hold a reference to the file, or so many fewer.
pub fn count_references(inode: InodeId, more: i32) {
    if more != 0 {
        filesystem::with(|root| root.count_mappings(inode, more));
    }
}

/// One mapping of `part` is gone, which was taken out of the list; `more` as [`super::Regions::remove_first`] said.
pub fn unmap(part: Region, file: FilePart, more: i32) {
    let count = part.bytes() / PAGE_BYTES;
    if file.mappings > 1 {
        count_references(file.inode, more + 1);
        let fewer = FilePart {
            mappings: file.mappings - 1,
            ..file
        };
        REGIONS.with(|regions| {
            regions.insert(Region {
                backing: Backing::File(fewer),
                ..part
            })
        });
        return;
    }
    let is_far = far::is_far(part.start);
    if is_far {
        far::decommit(part.start, part.end);
    }
    // Of a file that ends with its last mapping nothing is left to keep the pages closed.
    let is_last =
        !is_far && more == -1 && filesystem::with(|root| root.is_last_reference(file.inode));
    let given = || {
        filesystem::with(|root| root.vacate_mapped(file.inode, file.page, count, false, &account()))
    };
    if is_last && given().is_ok() {
        count_references(file.inode, more);
        retired::retire(part.start, part.end);
        return;
    }
    // Pages that others show stay where they are.
    let (mut at, end) = (file.page, file.page + count);
    while at < end {
        let shown = REGIONS.with(|regions| regions.first_shown(file.inode, at, end));
        let (first, last) = shown.unwrap_or((end, end));
        if at < first {
            filesystem::with(|root| root.unmap(file.inode, at, first - at, !is_far));
        }
        at = last;
    }
    count_references(file.inode, more);
}

/// `mremap` to more pages.
pub fn grow(region: Region, file: FilePart, new_count: usize, may_move: bool) -> Outcome {
    let (start, old_count) = (region.start, region.bytes() / PAGE_BYTES);
    if far::is_far(start) || far::is_shown(start, region.end) {
        let more = (new_count - old_count) * PAGE_BYTES;
        let is_free = !REGIONS.with(|regions| regions.touches(region.end, region.end + more));
        if far::is_far(start) && is_free && far::offers(region.end, region.end + more) {
            let next = file.page + old_count;
            let added = new_count - old_count;
            show_at(
                region.end,
                added,
                region.rights,
                file.inode,
                next,
                file.may_write,
            )?;
            return Ok(start);
        }
        if !may_move {
            return Err(errno::ENOMEM);
        }
        let moved = far::find(new_count * PAGE_BYTES)?;
        return relocate(region, file, new_count, moved);
    }
    let is_alone = file.mappings == 1;
    if is_alone {
        // Then the pages may go where there is room for more.
        filesystem::with(|root| root.unmap(file.inode, file.page, old_count, false));
    }
    let place = match may_move && is_alone {
        true => Place::Any,
        false => Place::At(start),
    };
    let mapped = filesystem::with(|root| root.map(file.inode, file.page, new_count, place));
    let mapped = match mapped {
        Ok(mapped) => mapped,
        Err(error) => {
            if is_alone {
                // As before: the pages lie there still, and those past the end are free or were never more than zero.
                let again = filesystem::with(|root| {
                    root.map(file.inode, file.page, old_count, Place::At(start))
                });
                again.map_err(Errno::answer)?;
                apply(&region)?;
            }
            return Err(error.answer());
        }
    };
    reserve()?;
    if is_alone {
        if let Some((_, more)) =
            REGIONS.with(|regions| regions.remove_first(region.start, region.end))
        {
            check::forget();
            show_mapping(
                mapped,
                new_count,
                region.rights,
                file.inode,
                file.page,
                file.may_write,
            )?;
            count_references(file.inode, more);
        }
        return Ok(mapped);
    }
    let more = old_count * PAGE_BYTES;
    show_mapping(
        mapped + more,
        new_count - old_count,
        region.rights,
        file.inode,
        file.page + old_count,
        file.may_write,
    )?;
    Ok(mapped)
}

/// Shows what `region` shows, and more of the file, at `to` beyond RAM instead.
pub fn relocate(region: Region, file: FilePart, new_count: usize, to: usize) -> Outcome {
    show_at(
        to,
        new_count,
        region.rights,
        file.inode,
        file.page,
        file.may_write,
    )?;
    munmap(region.start, region.bytes())?;
    Ok(to)
}

/// Takes file pages away from `start..end`, where something else is to be mapped, and out of the list.
///
/// # Errors
///
/// `ENOMEM` when other mappings show them, too, or there is no memory to move them to.
pub fn vacate(start: usize, end: usize) -> Result<(), isize> {
    let mut at = start;
    while let Some(region) = REGIONS.with(|regions| regions.first(at, end)) {
        at = region.end;
        let Backing::File(file) = region.backing else {
            continue;
        };
        if file.mappings > 1 || far::is_shown(region.start, region.end) {
            return Err(errno::ENOMEM);
        }
        let count = region.bytes() / PAGE_BYTES;
        filesystem::with(|root| root.vacate_mapped(file.inode, file.page, count, true, &account()))
            .map_err(Errno::answer)?;
        reserve()?;
        let removed = REGIONS.with(|regions| regions.remove_first(region.start, region.end));
        if let Some((_, more)) = removed {
            count_references(file.inode, more);
            // The addresses stay the application's.
            REGIONS.with(|regions| {
                regions.insert(Region {
                    backing: Backing::Anonymous,
                    ..region
                })
            });
        }
    }
    Ok(())
}

/// `MADV_REMOVE`.
pub fn punch(region: &Region, file: &FilePart) -> Result<(), isize> {
    if !file.may_write {
        return Err(errno::EACCES);
    }
    let offset = file.page as u64 * PAGE_BYTES as u64;
    filesystem::with(|root| root.punch(file.inode, offset, region.bytes() as u64))
        .map_err(Errno::answer)
}

/// Notes in the times of each file that this range shows for writing that it may have changed.
pub fn note_stores(start: usize, end: usize) {
    let mut at = start;
    while let Some(region) = REGIONS.with(|regions| regions.first(at, end)) {
        at = region.end;
        if let (Backing::File(file), Rights::Write) = (region.backing, region.rights) {
            filesystem::with(|root| root.note_stores(file.inode));
        }
    }
}

/// Where the file ends that a region shows: the end of its last page.
pub fn valid_end(region: &Region, file: &FilePart) -> usize {
    let pages = filesystem::with(|root| root.file_pages(file.inode));
    let valid = pages.saturating_sub(file.page) * PAGE_BYTES;
    region.start + valid.min(region.bytes())
}

/// The file has grown to show these pages: gives them the rights of their regions.
pub fn show(start: usize, end: usize) {
    let mut at = start;
    while let Some(region) = REGIONS.with(|regions| regions.first(at, end)) {
        at = region.end;
        let rights = match beyond::is_shown(region.start, region.end) {
            true => Rights::Write,
            false => region.rights,
        };
        // SAFETY: the application's own rights. Where there is no memory to remember them the page stays closed.
        unsafe { access::set(region.start, region.end, rights, Reason::Protected) };
    }
    beyond::show(start, end);
}

/// The file ends before these pages now.
pub fn hide(start: usize, end: usize) {
    if start < end {
        signals::explain_bus();
        beyond::hide(start, end);
        // SAFETY: pages past the end of the file, which the library OS opens before it uses them again.
        unsafe { access::set(start, end, Rights::None, Reason::Protected) };
    }
}
