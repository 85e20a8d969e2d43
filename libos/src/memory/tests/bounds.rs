//! Calls with addresses and lengths at the borders of what there is, and where their sum is no address.

use super::super::{self as memory, Rights, check, madvise, mincore, mlock, mmap, mprotect};
use super::super::{msync, munlock, munmap};
use super::{PAGE, READ, READ_WRITE, in_own_process, mremap};
use crate::calls::errno;
use linux_raw_sys::general::*;

const PRIVATE: usize = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
const FIXED: usize = PRIVATE | MAP_FIXED as usize;
const LAST: usize = usize::MAX - PAGE + 1;

#[test]
fn lengths_that_are_none_or_too_many_are_refused() {
    in_own_process(|_| {
        assert_eq!(mmap(0, 0, READ, PRIVATE), Err(errno::EINVAL));
        for bytes in [isize::MAX as usize, isize::MAX as usize + 1, usize::MAX] {
            assert_eq!(mmap(0, bytes, READ, PRIVATE), Err(errno::ENOMEM));
            let at = mmap(0, PAGE, READ, PRIVATE).expect("a page");
            assert_eq!(
                mremap(at, PAGE, bytes, MREMAP_MAYMOVE as usize),
                Err(errno::ENOMEM)
            );
            assert_eq!(munmap(at, bytes), Err(errno::EINVAL));
            assert_eq!(mprotect(at, bytes, READ), Err(errno::ENOMEM));
            assert!(mmap(at, bytes, READ, FIXED).is_err());
            assert_eq!(munmap(at, PAGE), Ok(0));
        }
        let at = mmap(0, PAGE, READ_WRITE, PRIVATE).expect("a page");
        assert_eq!(munmap(at, 0), Err(errno::EINVAL));
        assert_eq!(mprotect(at, 0, READ), Ok(0));
        assert_eq!(mremap(at, 0, PAGE, 0), Err(errno::EINVAL));
        assert_eq!(mremap(at, PAGE, 0, 0), Err(errno::EINVAL));
        for advice in [MADV_DONTNEED, MADV_COLD] {
            assert_eq!(madvise(at, 0, advice as usize), Ok(0));
        }
        assert_eq!(msync(at, 0, MS_SYNC as usize), Ok(0));
        assert_eq!(mincore(at, 0, 0), Ok(0));
        assert_eq!(check::reach(at, PAGE, Rights::Write), PAGE);
    });
}

#[test]
fn ranges_that_wrap_around_are_refused() {
    in_own_process(|guest| {
        for (start, bytes) in [(LAST, PAGE), (LAST, 2 * PAGE), (LAST - PAGE, 3 * PAGE)] {
            assert_eq!(mmap(start, bytes, READ, FIXED), Err(errno::ENOMEM));
            assert_eq!(munmap(start, bytes), Err(errno::EINVAL));
            assert_eq!(mprotect(start, bytes, READ), Err(errno::ENOMEM));
            assert_eq!(
                madvise(start, bytes, MADV_DONTNEED as usize),
                Err(errno::EINVAL)
            );
            assert_eq!(msync(start, bytes, MS_SYNC as usize), Err(errno::ENOMEM));
            assert_eq!(mincore(start, bytes, guest.stack.start), Err(errno::ENOMEM));
            assert_eq!(munlock(start, bytes), Err(errno::EINVAL));
            assert_eq!(mremap(start, bytes, PAGE, 0), Err(errno::EINVAL));
        }
        assert_eq!(
            munmap(guest.ram.start, usize::MAX - PAGE),
            Err(errno::EINVAL)
        );
        // What is rounded up to whole pages is no number of bytes any more.
        assert_eq!(
            madvise(PAGE, usize::MAX, MADV_COLD as usize),
            Err(errno::EINVAL)
        );
        assert_eq!(munlock(1, usize::MAX), Err(errno::EINVAL));
        // The end of the addresses that a program has.
        let highest = check::HIGHEST;
        assert_eq!(munmap(highest - PAGE, PAGE), Ok(0));
        assert_eq!(munmap(highest - PAGE, PAGE + 1), Err(errno::EINVAL));
        assert_eq!(munmap(highest, PAGE), Err(errno::EINVAL));
        assert!(mlock(LAST, PAGE).is_err());
    });
}

#[test]
fn addresses_are_those_of_pages() {
    in_own_process(|guest| {
        let at = mmap(0, 2 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        let inside = at + 8;
        assert_eq!(mmap(inside, PAGE, READ, FIXED), Err(errno::EINVAL));
        assert_eq!(munmap(inside, PAGE), Err(errno::EINVAL));
        assert_eq!(mprotect(inside, PAGE, READ), Err(errno::EINVAL));
        assert_eq!(mremap(inside, PAGE, PAGE, 0), Err(errno::EINVAL));
        assert_eq!(
            madvise(inside, PAGE, MADV_COLD as usize),
            Err(errno::EINVAL)
        );
        assert_eq!(msync(inside, PAGE, MS_SYNC as usize), Err(errno::EINVAL));
        assert_eq!(mincore(inside, PAGE, at), Err(errno::EINVAL));
        // These round it down.
        assert_eq!((mlock(inside, PAGE), munlock(inside, PAGE)), (Ok(0), Ok(0)));
        // A vector that may not be written.
        assert_eq!(mprotect(at, PAGE, READ), Ok(0));
        assert_eq!(mincore(at + PAGE, PAGE, at), Err(errno::EFAULT));
        assert_eq!(mincore(at + PAGE, PAGE, at + PAGE), Ok(0));
        assert_eq!(guest.host_rights(at), Rights::Read);
        assert_eq!(munmap(at, 2 * PAGE), Ok(0));
        // Nothing is mapped there any more.
        assert_eq!(mincore(at, PAGE, guest.stack.start), Err(errno::ENOMEM));
        assert_eq!(mremap(at, PAGE, PAGE, 0), Err(errno::EFAULT));
    });
}

#[test]
fn flags_that_are_not_known_are_refused() {
    in_own_process(|_| {
        let anonymous = MAP_ANONYMOUS as usize;
        for kind in [0, MAP_TYPE as usize] {
            assert_eq!(mmap(0, PAGE, READ, anonymous | kind), Err(errno::EINVAL));
        }
        let huge = PRIVATE | MAP_HUGETLB as usize;
        assert_eq!(mmap(0, PAGE, READ, huge), Err(errno::ENOMEM));
        let execute = PROT_EXEC as usize;
        assert_eq!(
            mmap(0, PAGE, execute | READ_WRITE, PRIVATE),
            Err(errno::EACCES)
        );
        let at = mmap(0, PAGE, READ_WRITE, PRIVATE).expect("a page");
        assert_eq!(mprotect(at, PAGE, execute), Err(errno::EACCES));
        assert_eq!(mprotect(at, PAGE, 1 << 20), Err(errno::EINVAL));
        assert_eq!(mprotect(at, PAGE, READ | PROT_SEM as usize), Ok(0));
        for flags in [MREMAP_FIXED, MREMAP_DONTUNMAP, MREMAP_MAYMOVE | 8] {
            let answer = mremap(at, PAGE, PAGE, flags as usize);
            assert_eq!(answer, Err(errno::EINVAL), "{flags}");
        }
        assert_eq!(madvise(at, PAGE, 9999), Err(errno::EINVAL));
        assert_eq!(
            madvise(at, PAGE, MADV_COLLAPSE as usize),
            Err(errno::EINVAL)
        );
        for (flags, answer) in [
            (0, Ok(0)),
            (MS_ASYNC, Ok(0)),
            (MS_SYNC | MS_INVALIDATE, Ok(0)),
            (MS_SYNC | MS_ASYNC, Err(errno::EINVAL)),
            (8, Err(errno::EINVAL)),
        ] {
            assert_eq!(msync(at, PAGE, flags as usize), answer, "{flags}");
        }
    });
}

#[test]
fn protection_of_own_memory_is_for_all_of_it() {
    in_own_process(|guest| {
        let stack = guest.stack.clone();
        assert_eq!(mprotect(stack.start, PAGE, READ), Ok(0));
        assert_eq!(guest.host_rights(stack.start), Rights::Read);
        assert_eq!(check::reach(stack.start, 2 * PAGE, Rights::Write), 0);
        assert_eq!(check::reach(stack.start, 2 * PAGE, Rights::Read), 2 * PAGE);
        assert_eq!(check::reach(stack.start + PAGE, PAGE, Rights::Write), PAGE);
        assert_eq!(mprotect(stack.start, PAGE, READ_WRITE), Ok(0));
        assert_eq!(guest.host_rights(stack.start), Rights::Write);
        // Free memory is nobody's.
        let free = guest.ram.end - PAGE;
        assert_eq!(mprotect(free, PAGE, READ), Err(errno::ENOMEM));
        assert_eq!(
            mprotect(stack.end - PAGE, 3 * PAGE, READ),
            Err(errno::ENOMEM)
        );
        assert_eq!(guest.host_rights(stack.end - PAGE), Rights::Write);
    });
}

#[test]
fn faults_tell_what_is_mapped() {
    in_own_process(|_| {
        let mapped = (SIGSEGV, memory::fault::SEGV_ACCERR);
        let unmapped = (SIGSEGV, memory::fault::SEGV_MAPERR);
        let at = mmap(0, 2 * PAGE, READ, PRIVATE).expect("pages");
        assert_eq!(memory::fault_signal(at), mapped);
        assert_eq!(memory::fault_signal(at + 2 * PAGE - 1), mapped);
        assert_eq!(munmap(at, PAGE), Ok(0));
        assert_eq!(memory::fault_signal(at), unmapped);
        assert_eq!(memory::fault_signal(at + PAGE - 1), unmapped);
        assert_eq!(memory::fault_signal(at + PAGE), mapped);
    });
}

/// Five pages from where the break begins.
fn end_of(start: usize) -> usize {
    start + 5 * PAGE
}

/// The break: grows by zero bytes, gives up what it no longer has, and stays where it cannot move.
#[test]
fn the_break_moves_over_zeros() {
    in_own_process(|guest| {
        let start = memory::brk(0).expect("always an answer");
        assert!(guest.ram.contains(&start));
        assert_eq!(memory::brk(start - 1), Ok(start));
        for end in [start + 1, start + PAGE, start + 5 * PAGE + 3] {
            assert_eq!(memory::brk(end), Ok(end));
            assert_eq!(super::super::brk::bytes(), end - start);
            // SAFETY: below the break.
            let bytes = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, end - start) };
            bytes.fill(5);
        }
        assert_eq!(memory::brk(start + PAGE + 7), Ok(start + PAGE + 7));
        assert_eq!(memory::brk(start + 5 * PAGE), Ok(start + 5 * PAGE));
        // SAFETY: below the break.
        let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, 5 * PAGE) };
        let (kept, new) = bytes.split_at(PAGE + 7);
        assert!(kept.iter().all(|&byte| byte == 5) && new.iter().all(|&byte| byte == 0));
        // Within one page, too.
        // SAFETY: below the break.
        unsafe { ((end_of(start) - 100) as *mut u8).write_bytes(7, 100) };
        assert_eq!(memory::brk(end_of(start) - 50), Ok(end_of(start) - 50));
        assert_eq!(memory::brk(end_of(start)), Ok(end_of(start)));
        // SAFETY: below the break.
        let tail = unsafe { core::slice::from_raw_parts((end_of(start) - 100) as *const u8, 100) };
        assert!(tail[..50] == [7; 50] && tail[50..] == [0; 50]);
        // It cannot move over what somebody else has, nor past memory.
        let end = start + 5 * PAGE;
        assert_eq!(memory::brk(guest.ram.end + PAGE), Ok(end));
        assert_eq!(memory::brk(usize::MAX), Ok(end));
        let other = mmap(0, PAGE, READ, PRIVATE).expect("a page");
        assert!(other >= end);
        assert_eq!(memory::brk(other + PAGE + 1), Ok(end));
        assert_eq!(memory::brk(start), Ok(start));
        assert_eq!(super::super::brk::bytes(), 0);
        // The page where it begins stays.
        guest.kept_pages.set(1);
    });
}

#[test]
fn large_mappings_begin_on_a_huge_page_if_there_is_room() {
    in_own_process(|_| {
        const HUGE: usize = 512;
        let fence = mmap(0, PAGE, READ, PRIVATE).expect("a page");
        let large = mmap(0, HUGE * PAGE, READ, PRIVATE).expect("pages");
        assert_eq!(large % (HUGE * PAGE), 0);
        // A page less is placed where there is room: one behind the other.
        let small = [0, 1].map(|_| mmap(0, (HUGE - 1) * PAGE, READ, PRIVATE));
        assert!(
            small
                .iter()
                .any(|at| at.is_ok_and(|at| at % (HUGE * PAGE) != 0))
        );
        assert_eq!(munmap(fence, PAGE), Ok(0));
    });
}

/// Much memory is cleared by the host, which a call costs; little is written over.
#[test]
fn much_memory_is_cleared_by_the_host() {
    in_own_process(|_| {
        const HUGE: usize = 512;
        let calls = || crate::stats().hypercalls.get();
        let at = mmap(0, HUGE * PAGE, READ_WRITE, PRIVATE).expect("pages");
        for (pages, expected) in [(HUGE, 1), (HUGE - 1, 0)] {
            // SAFETY: mapped, and may be written.
            unsafe { (at as *mut u8).write_bytes(3, HUGE * PAGE) };
            let before = calls();
            assert_eq!(mmap(at, pages * PAGE, READ_WRITE, FIXED), Ok(at));
            assert_eq!(calls() - before, expected, "{pages} pages");
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, HUGE * PAGE) };
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            assert_eq!(zeros, pages * PAGE);
        }
    });
}

/// Unmapped ranges are closed, up to 64 of them, and up to a sixteenth of memory: then the oldest are free again.
#[test]
fn unmapped_ranges_stay_closed_for_a_while() {
    in_own_process(|guest| {
        let ranges = 70;
        let starts: std::vec::Vec<usize> = (0..ranges)
            .map(|_| {
                // A page between two of them, which stays.
                let at = mmap(0, 2 * PAGE, READ_WRITE, PRIVATE).expect("pages");
                assert_eq!(mprotect(at + PAGE, PAGE, READ), Ok(0));
                at
            })
            .collect();
        for &at in &starts {
            assert_eq!(munmap(at, PAGE), Ok(0));
            assert_eq!(guest.host_rights(at), Rights::None);
        }
        let closed = |at: &&usize| guest.host_rights(**at) == Rights::None;
        let kept: std::vec::Vec<usize> = starts.iter().filter(closed).copied().collect();
        assert_eq!(kept, starts[ranges - 64..]);
        assert_eq!(guest.host_rights(starts[0]), Rights::Write);
        // A pointer there is none, and a mapping can be put there again.
        assert_eq!(check::reach(kept[0], PAGE, Rights::Read), 0);
        assert_eq!(mprotect(kept[0], PAGE, READ), Err(errno::ENOMEM));
        assert_eq!(mmap(kept[0], PAGE, READ_WRITE, FIXED), Ok(kept[0]));
        assert_eq!(guest.host_rights(kept[0]), Rights::Write);
        // Where it is free, too.
        assert_eq!(mmap(starts[0], PAGE, READ_WRITE, FIXED), Ok(starts[0]));
        // More than a sixteenth of memory is free at once, and makes the others free.
        let part = guest.ram.len() / PAGE / 16;
        for (pages, is_closed) in [(part, true), (part + 1, false)] {
            let at = mmap(0, pages * PAGE, READ, PRIVATE).expect("pages");
            assert_eq!(munmap(at, pages * PAGE), Ok(0));
            assert_eq!(
                guest.host_rights(at) == Rights::None,
                is_closed,
                "{pages} pages"
            );
            let last = kept.last().expect("some");
            assert_eq!(guest.host_rights(*last), Rights::Write);
        }
        // When memory runs short, they are all free.
        let at = mmap(0, PAGE, READ, PRIVATE).expect("a page");
        assert_eq!(munmap(at, PAGE), Ok(0));
        let free = memory::free_bytes();
        assert!(memory::release_all());
        assert_eq!(guest.host_rights(at), Rights::Write);
        assert!(!memory::release_all());
        assert!(memory::free_bytes() >= free);
    });
}

/// `RLIMIT_AS` and `RLIMIT_DATA`: what is mapped up to the limit, and a page more.
#[test]
fn limits_bound_what_is_mapped() {
    in_own_process(|_| {
        let shared = (MAP_SHARED | MAP_ANONYMOUS) as usize;
        let old = crate::limits::get(RLIMIT_AS as usize).expect("a limit");
        let limit = |resource: u32, soft: u64| {
            let hard = crate::limits::get(resource as usize).expect("a limit").hard;
            let new = crate::limits::Limit { soft, hard };
            assert_eq!(crate::limits::set(resource as usize, new), Ok(()));
        };
        let none = Err(errno::ENOMEM);
        // Data: what is private and may be written.
        limit(RLIMIT_DATA, 0);
        assert_eq!(mmap(0, PAGE, READ_WRITE, PRIVATE), none);
        for (protection, kind) in [(READ, PRIVATE), (READ_WRITE, shared)] {
            let at = mmap(0, PAGE, protection, kind).expect("it is no data");
            assert_eq!(munmap(at, PAGE), Ok(0));
        }
        limit(RLIMIT_DATA, old.soft);
        // All: nothing more fits, then four pages do.
        limit(RLIMIT_AS, 0);
        for (protection, kind) in [(READ, PRIVATE), (READ_WRITE, PRIVATE), (READ_WRITE, shared)] {
            assert_eq!(mmap(0, PAGE, protection, kind), none);
        }
        let mut used = 0;
        while mmap(0, PAGE, READ, PRIVATE) == none {
            used += PAGE as u64;
            limit(RLIMIT_AS, used);
        }
        limit(RLIMIT_AS, used + 4 * PAGE as u64);
        assert_eq!(mmap(0, 5 * PAGE, READ, PRIVATE), none);
        let at = mmap(0, 3 * PAGE, READ_WRITE, PRIVATE).expect("three fit");
        assert_eq!(
            mremap(at, 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE as usize),
            none
        );
        let at = mremap(at, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE as usize).expect("four fit");
        assert_eq!(mmap(0, 1, READ, PRIVATE), none);
        assert_eq!(munmap(at, PAGE), Ok(0));
        assert!(mmap(0, PAGE, READ, PRIVATE).is_ok());
        limit(RLIMIT_AS, old.soft);
    });
}

/// What is mapped again opens its own pages, and not those beside.
#[test]
fn a_mapping_opens_the_unmapped_pages_that_it_covers() {
    in_own_process(|guest| {
        let at = mmap(0, 6 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        for page in [0, 1, 2, 4] {
            assert_eq!(munmap(at + page * PAGE, PAGE), Ok(0));
        }
        assert_eq!(mmap(at + PAGE, PAGE, READ_WRITE, FIXED), Ok(at + PAGE));
        use Rights::{None, Write};
        let rights: std::vec::Vec<Rights> = (0..6)
            .map(|page| guest.host_rights(at + page * PAGE))
            .collect();
        assert_eq!(rights, [None, Write, None, Write, None, Write]);
        assert_eq!(munmap(at, 6 * PAGE), Ok(0));
        // A range that is mapped in part: what is left of it is free.
        let at = mmap(0, 4 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        assert_eq!(munmap(at, 4 * PAGE), Ok(0));
        assert_eq!(mmap(at + PAGE, PAGE, READ, FIXED), Ok(at + PAGE));
        assert_eq!(guest.host_rights(at), Write);
        assert_eq!(guest.host_rights(at + PAGE), Rights::Read);
        assert_eq!(guest.host_rights(at + 3 * PAGE), Write);
    });
}

/// What may not be used takes addresses alone; what then may be takes memory, a part at a time.
#[test]
fn a_reservation_takes_no_memory_until_it_may_be_used() {
    in_own_process(|guest| {
        let held = || {
            crate::stats().components[crate::components::MMAP]
                .held_pages
                .get()
        };
        let large = 64 * guest.ram.len();
        let at = mmap(0, large, 0, PRIVATE).expect("addresses");
        assert_eq!((held(), at >= guest.ram.end), (0, true));
        assert_eq!(check::reach(at, PAGE, Rights::Read), 0);
        // More than there is memory for.
        assert_eq!(mprotect(at, large, READ_WRITE), Err(errno::ENOMEM));
        assert_eq!(held(), 0);
        assert_eq!(mprotect(at + PAGE, 8 * PAGE, READ_WRITE), Ok(0));
        assert_eq!(held(), 8);
        assert_eq!(guest.host_rights(at + PAGE), Rights::Write);
        assert_eq!(guest.host_rights(at + 9 * PAGE), Rights::None);
        // Two MiB: the end at once, the rest around what is touched.
        let lazy = at + (2 << 20);
        assert_eq!(mprotect(lazy, 2 << 20, READ_WRITE), Ok(0));
        let before = held();
        assert!(before - 8 < 512, "{before} pages");
        let page = lazy + 100 * PAGE;
        assert_eq!(guest.host_rights(page), Rights::None);
        assert!(memory::touched(page + 7));
        for around in [page - 8 * PAGE, page, page + 7 * PAGE] {
            assert_eq!(guest.host_rights(around), Rights::Write);
        }
        assert_eq!(held(), before + 16);
        // It is there: another fault at it is the application's. So is one where nothing is mapped.
        assert!(!memory::touched(page));
        assert!(!memory::touched(at));
        assert!(!memory::touched(at + large));
        assert_eq!(munmap(at, large), Ok(0));
        assert_eq!(held(), 0);
    });
}

#[test]
fn limits_bound_the_break() {
    in_own_process(|guest| {
        let start = memory::brk(0).expect("always an answer");
        let old = crate::limits::get(RLIMIT_DATA as usize).expect("a limit");
        let none = crate::limits::Limit { soft: 0, ..old };
        assert_eq!(crate::limits::set(RLIMIT_DATA as usize, none), Ok(()));
        assert_eq!(memory::brk(start + PAGE), Ok(start));
        assert_eq!(memory::brk(start + 1), Ok(start));
        assert_eq!(crate::limits::set(RLIMIT_DATA as usize, old), Ok(()));
        assert_eq!(memory::brk(start + PAGE), Ok(start + PAGE));
        assert_eq!(memory::brk(start), Ok(start));
        guest.kept_pages.set(1);
    });
}
