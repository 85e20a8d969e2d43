//! Where mappings go: as the program would like it, where it says, in RAM or beyond, and where nothing may go.

use super::super::{self as memory, Rights, access, check, mmap, mprotect, munmap};
use super::{FAR, Guest, PAGE, READ, READ_WRITE, in_own_process};
use crate::calls::errno;
use crate::{component_pages, components, pages, stats};
use bespoke_heap::{Contents, Pages, Run};
use linux_raw_sys::general::*;
use std::vec::Vec;

const PRIVATE: usize = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
const FIXED: usize = PRIVATE | MAP_FIXED as usize;
const NEW: usize = PRIVATE | MAP_FIXED_NOREPLACE as usize;

fn held() -> u64 {
    stats().components[components::MMAP].held_pages.get()
}

fn free() -> usize {
    let pages = &stats().pages;
    (pages.total.get() - pages.held.get()) as usize
}

fn fill(start: usize, bytes: usize, value: u8) {
    // SAFETY: the tests fill what is mapped and may be written.
    unsafe { (start as *mut u8).write_bytes(value, bytes) }
}

fn bytes(start: usize, bytes: usize) -> &'static [u8] {
    // SAFETY: the tests look at what is mapped and may be read.
    unsafe { core::slice::from_raw_parts(start as *const u8, bytes) }
}

#[test]
fn a_hint_is_followed_where_nothing_is() {
    in_own_process(|guest| {
        let free = guest.ram.end - 100 * PAGE;
        for (hint, expected) in [
            (free, free),
            (free + 3 * PAGE + 7, free + 3 * PAGE),
            (FAR.start + 50 * PAGE, FAR.start + 50 * PAGE),
        ] {
            for protection in [READ_WRITE, READ] {
                let at = mmap(hint, 2 * PAGE, protection, PRIVATE);
                assert_eq!(at, Ok(expected), "{hint:#x}");
                // It is taken: the next one goes elsewhere.
                let other = mmap(hint, 2 * PAGE, protection, PRIVATE).expect("elsewhere");
                assert!(other >= expected + 2 * PAGE || other + 2 * PAGE <= expected);
                for at in [expected, other] {
                    assert_eq!(munmap(at, 2 * PAGE), Ok(0));
                }
            }
        }
        // Of what may not be used, too, and also into what was unmapped.
        let at = mmap(FAR.start + 70 * PAGE, PAGE, 0, PRIVATE);
        assert_eq!(at, Ok(FAR.start + 70 * PAGE));
        assert_eq!(mmap(free, PAGE, 0, PRIVATE), Ok(free));
        assert_eq!(guest.host_rights(free), Rights::None);
        // The first page is no place, nor is the stack.
        for hint in [1, PAGE - 1, guest.stack.start, usize::MAX] {
            let at = mmap(hint, PAGE, READ, PRIVATE).expect("elsewhere");
            assert!(guest.ram.contains(&at), "{hint:#x}");
        }
    });
}

#[test]
fn what_is_not_said_to_be_used_is_put_beyond_memory_when_it_is_much() {
    in_own_process(|guest| {
        let lazy = PRIVATE | MAP_NORESERVE as usize;
        let quarter = free() / 4;
        for (pages, flags, is_far) in [
            (quarter, lazy, false),
            (quarter + 1, lazy, true),
            (quarter + 1, PRIVATE, false),
        ] {
            let at = mmap(0, pages * PAGE, READ_WRITE, flags).expect("room");
            assert_eq!(at >= guest.ram.end, is_far, "{pages}");
            assert_eq!(guest.ram.contains(&at), !is_far);
            assert_eq!(munmap(at, pages * PAGE), Ok(0));
            memory::release_all();
        }
        // Far more than there is, as long as nobody uses it.
        let at = mmap(0, 1 << 40, READ_WRITE, lazy).expect("addresses");
        assert_eq!(munmap(at, 1 << 40), Ok(0));
        assert_eq!(mmap(0, 1 << 40, READ_WRITE, PRIVATE), Err(errno::ENOMEM));
        assert_eq!(mmap(0, 1 << 48, READ_WRITE, lazy), Err(errno::ENOMEM));
        assert_eq!(mmap(0, 1 << 48, 0, PRIVATE), Err(errno::ENOMEM));
        // What is fixed beyond memory is promised all the same.
        let fixed = |pages: usize, more| mmap(FAR.start, pages * PAGE, READ_WRITE, FIXED | more);
        let all = free();
        assert_eq!(fixed(all + 1, 0), Err(errno::ENOMEM));
        assert_eq!(fixed(all, 0), Ok(FAR.start));
        assert_eq!(munmap(FAR.start, all * PAGE), Ok(0));
        assert_eq!(fixed(all + 1, MAP_NORESERVE as usize), Ok(FAR.start));
        assert_eq!(munmap(FAR.start, (all + 1) * PAGE), Ok(0));
    });
}

#[test]
fn memory_in_pieces_is_shown_in_one() {
    in_own_process(|guest| {
        // Every other two pages of RAM are taken.
        let all = mmap(0, 1024 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        let rest = pages().largest_free_pages();
        let mut others = Vec::new();
        let mut left = rest;
        while left > 0 {
            let Ok(at) = mmap(0, left * PAGE, READ_WRITE, PRIVATE) else {
                left -= 1;
                continue;
            };
            others.push((at, left));
            left = left.min(pages().largest_free_pages());
        }
        for pair in 0..256 {
            assert_eq!(munmap(all + pair * 4 * PAGE, 2 * PAGE), Ok(0));
        }
        memory::release_all();
        assert!(pages().largest_free_pages() < 100);
        let many = free();
        assert!(many >= 512);
        let at = mmap(0, 512 * PAGE, READ_WRITE, PRIVATE).expect("in pieces");
        assert!(at >= guest.ram.end);
        assert!(memory::touched(at) || guest.host_rights(at) == Rights::Write);
        assert_eq!(check::reach(at, 512 * PAGE, Rights::Write), 512 * PAGE);
        fill(at, 512 * PAGE, 7);
        assert_eq!(free(), many - 512);
        let none = mmap(0, (many - 512 + 1) * PAGE, READ_WRITE, PRIVATE);
        assert_eq!(none, Err(errno::ENOMEM));
        assert_eq!(munmap(at, 512 * PAGE), Ok(0));
        assert_eq!(free(), many);
    });
}

#[test]
fn fixed_places_are_those_of_memory_and_beyond() {
    in_own_process(|guest| {
        // What the image is made of stays.
        let own = [guest.stack.start, guest.stack.end - PAGE];
        for at in own {
            assert_eq!(mmap(at, PAGE, READ, FIXED), Err(errno::ENOMEM));
            assert_eq!(mmap(at, PAGE, READ, NEW), Err(errno::EEXIST));
        }
        let end = guest.ram.end;
        for flags in [FIXED, NEW] {
            assert!(mmap(guest.ram.start - PAGE, 2 * PAGE, READ, flags).is_err());
            assert!(mmap(end - PAGE, 2 * PAGE, READ, flags).is_err());
            assert_eq!(mmap(end, PAGE, READ, flags), Err(errno::ENOMEM));
            assert_eq!(mmap(end - PAGE, PAGE, READ, flags), Ok(end - PAGE));
            assert_eq!(munmap(end - PAGE, PAGE), Ok(0));
            memory::release_all();
        }
        assert_eq!(held(), 0);
        // Pages of a heap are nobody's to map, and nothing is taken for the try.
        let heap = component_pages(components::FILES);
        let run = heap
            .allocate_at(end - 4 * PAGE, 1, Contents::Any)
            .expect("free");
        let before = held();
        for flags in [FIXED, NEW] {
            assert!(mmap(end - 6 * PAGE, 4 * PAGE, READ, flags).is_err());
            assert_eq!(held(), before);
        }
        assert_eq!(mmap(end - 4 * PAGE, PAGE, READ, NEW), Err(errno::EEXIST));
        assert_eq!(
            mmap(end - 6 * PAGE, 2 * PAGE, READ, FIXED),
            Ok(end - 6 * PAGE)
        );
        assert_eq!(munmap(end - 6 * PAGE, 2 * PAGE), Ok(0));
        // SAFETY: allocated above.
        unsafe { heap.free(run) };
        // Over what is mapped: its pages are zero again; what is new does not go there.
        let at = mmap(0, 4 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        fill(at, 4 * PAGE, 5);
        assert_eq!(
            mmap(at + PAGE, 2 * PAGE, READ_WRITE, NEW),
            Err(errno::EEXIST)
        );
        assert_eq!(
            mmap(at + 3 * PAGE, 2 * PAGE, READ_WRITE, NEW),
            Err(errno::EEXIST)
        );
        assert_eq!(mmap(at + PAGE, 2 * PAGE, READ_WRITE, FIXED), Ok(at + PAGE));
        let found: Vec<u8> = (0..4).map(|page| bytes(at + page * PAGE, 1)[0]).collect();
        assert_eq!(found, [5, 0, 0, 5]);
        assert_eq!(bytes(at + 2 * PAGE, PAGE), [0; PAGE]);
        // Partly mapped, unmapped and free, all of it is taken.
        assert_eq!(munmap(at, PAGE), Ok(0));
        let before = held();
        assert_eq!(mmap(at, 6 * PAGE, READ_WRITE, FIXED), Ok(at));
        assert_eq!(held(), before + 2);
        assert_eq!(bytes(at, 6 * PAGE), [0; 6 * PAGE]);
    });
}

#[test]
fn rights_are_changed_of_what_is_mapped_alone() {
    in_own_process(|guest| {
        let at = mmap(0, 6 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        assert_eq!(munmap(at + 3 * PAGE, PAGE), Ok(0));
        let rights = |guest: &Guest| -> Vec<Rights> {
            (0..6)
                .map(|page| guest.host_rights(at + page * PAGE))
                .collect()
        };
        use Rights::{None, Read, Write};
        // Up to the gap.
        assert_eq!(mprotect(at + PAGE, 5 * PAGE, READ), Err(errno::ENOMEM));
        assert_eq!(rights(guest), [Write, Read, Read, None, Write, Write]);
        assert_eq!(mprotect(at + PAGE, 2 * PAGE, READ), Ok(0));
        // A length is rounded up to pages.
        assert_eq!(mprotect(at + 4 * PAGE, 1, READ), Ok(0));
        assert_eq!(rights(guest), [Write, Read, Read, None, Read, Write]);
        assert_eq!(mprotect(at + 4 * PAGE, PAGE + 1, 0), Ok(0));
        assert_eq!(rights(guest), [Write, Read, Read, None, None, None]);
        // What was opened by the library OS is closed again by the same rights.
        access::open(at + PAGE, at + 2 * PAGE);
        assert_eq!(rights(guest)[1], Write);
        assert_eq!(mprotect(at + PAGE, PAGE, READ), Ok(0));
        assert_eq!(rights(guest)[1], Read);
        // A write right needs memory for all of it, beyond RAM.
        let all = free();
        let far = mmap(0, 2 * all * PAGE, 0, PRIVATE).expect("addresses");
        assert_eq!(
            mprotect(far, (all + 1) * PAGE, READ_WRITE),
            Err(errno::ENOMEM)
        );
        assert_eq!(mprotect(far, (all + 1) * PAGE, READ), Err(errno::ENOMEM));
        assert_eq!(mprotect(far, all * PAGE, READ_WRITE), Ok(0));
        assert_eq!(mprotect(far, 2 * all * PAGE, 0), Ok(0));
    });
}

#[test]
fn pages_of_heaps_are_protected_as_a_whole() {
    in_own_process(|guest| {
        let heap = component_pages(components::FILES);
        let run = heap.allocate(4, 1, Contents::Any).expect("pages");
        let at = run.start.addr().get();
        assert_eq!(mprotect(at, 2 * PAGE, READ), Ok(0));
        assert_eq!(guest.host_rights(at + PAGE), Rights::Read);
        assert_eq!(guest.host_rights(at + 2 * PAGE), Rights::Write);
        assert_eq!(mprotect(at, 2 * PAGE, READ_WRITE), Ok(0));
        assert_eq!(guest.host_rights(at), Rights::Write);
        // Beyond what is in use there is nothing to protect.
        assert_eq!(mprotect(at, 5 * PAGE, READ), Err(errno::ENOMEM));
        assert_eq!(guest.host_rights(at), Rights::Write);
        // A guard is closed and opened.
        for (is_closed, rights) in [(true, Rights::None), (false, Rights::Write)] {
            // SAFETY: nobody uses the pages.
            assert!(unsafe { memory::guard(at + PAGE, PAGE, is_closed) });
            assert_eq!(guest.host_rights(at + PAGE), rights);
            assert_eq!(guest.host_rights(at + 2 * PAGE), Rights::Write);
            let reach = check::reach(at, 4 * PAGE, Rights::Read);
            assert_eq!(reach, if is_closed { PAGE } else { 4 * PAGE });
        }
        // SAFETY: allocated above.
        unsafe { heap.free(run) };
        assert_eq!(memory::free_bytes(), pages().largest_free_pages() * PAGE);
        assert!(memory::free_bytes() > 1000 * PAGE);
    });
}

/// Looking far ahead of a pointer ends where nothing is in use; looking near does not ask the page source.
#[test]
fn large_looks_end_at_free_pages() {
    in_own_process(|guest| {
        const LARGE: usize = 128 << 10;
        let heap = component_pages(components::FILES);
        let run = heap.allocate(33, 1, Contents::Any).expect("pages");
        let at = run.start.addr().get();
        for (offset, asked, found) in [
            (0, 33 * PAGE, 33 * PAGE),
            (0, 34 * PAGE, 33 * PAGE),
            (PAGE, LARGE, LARGE),
            (2 * PAGE, LARGE, LARGE - PAGE),
            (2 * PAGE, LARGE - 1, LARGE - 1),
        ] {
            check::forget();
            let reach = check::reach(at + offset, asked, Rights::Write);
            assert_eq!(reach, found, "{offset} {asked}");
        }
        check::forget();
        assert_eq!(check::known(at, Rights::Read), 0);
        assert_eq!(check::reach(at, 10, Rights::Read), 10);
        let known = check::known(at, Rights::Write);
        assert_eq!(known, guest.ram.end - at);
        assert_eq!(
            check::known(guest.stack.start, Rights::Write),
            guest.ram.end - guest.stack.start
        );
        // However much is known, a large transfer is looked at.
        assert!(check::allows(at, LARGE, Rights::Write));
        assert!(!check::allows(at + 10 * PAGE, LARGE + 1, Rights::Write));
        // A page that may be read alone teaches nothing of writing.
        assert_eq!(mprotect(at + PAGE, PAGE, READ), Ok(0));
        assert_eq!(check::reach(at + PAGE, 10, Rights::Read), 10);
        assert_eq!(check::known(at + PAGE, Rights::Read), 0);
        assert!(!check::allows(at + PAGE, 1, Rights::Write));
        assert_eq!(check::reach(at, 10, Rights::Write), 10);
        assert_eq!(check::known(at, Rights::Write), PAGE);
        assert_eq!(mprotect(at + PAGE, PAGE, READ_WRITE), Ok(0));
        // What is mapped there ends what is known.
        let mapped = mmap(0, PAGE, READ, PRIVATE).expect("a page");
        assert_eq!(check::known(at, Rights::Write), 0);
        assert_eq!(check::reach(mapped, 1, Rights::Write), 0);
        assert_eq!(check::reach(mapped, 2 * PAGE, Rights::Read), PAGE);
        assert_eq!(check::known(mapped, Rights::Read), 0);
        assert_eq!(munmap(mapped, PAGE), Ok(0));
        // The strings before RAM.
        assert_eq!(check::reach(guest.stack.end, PAGE, Rights::Write), PAGE);
        // SAFETY: allocated above.
        unsafe { heap.free(run) };
    });
}

/// A stack of a thread: addresses, of which the end is memory, and more as it is touched.
#[test]
fn a_stack_is_memory_at_its_end() {
    in_own_process(|guest| {
        let before = held();
        let at = memory::stack(64 * PAGE, 2 * PAGE + 1).expect("a stack");
        assert!(at >= guest.ram.end);
        assert_eq!(held(), before + 3);
        let rights = |page: usize| guest.host_rights(at + page * PAGE);
        assert_eq!(
            [60, 61, 63].map(rights),
            [Rights::None, Rights::Write, Rights::Write]
        );
        // Room below the stack pointer, as far as the stack goes.
        memory::room(at + 62 * PAGE, 3 * PAGE);
        assert_eq!(
            [57, 58, 60].map(rights),
            [Rights::None, Rights::Write, Rights::Write]
        );
        memory::room(at + 58 * PAGE + 1, PAGE);
        assert_eq!([56, 57].map(rights), [Rights::None, Rights::Write]);
        memory::room(at + 2 * PAGE, 10 * PAGE);
        assert_eq!(
            [0, 1, 2].map(rights),
            [Rights::Write, Rights::Write, Rights::None]
        );
        assert_eq!(held(), before + 3 + 3 + 1 + 2);
        // Nowhere else.
        memory::room(at + 65 * PAGE, PAGE);
        memory::room(guest.ram.end - PAGE, PAGE);
        memory::room(0, PAGE);
        assert_eq!(held(), before + 9);
        // What is touched brings 32 KiB before and behind.
        assert!(memory::touched(at + 30 * PAGE + 5));
        assert_eq!(
            [21, 22, 30, 37, 38].map(rights),
            [
                Rights::None,
                Rights::Write,
                Rights::Write,
                Rights::Write,
                Rights::None
            ]
        );
        assert!(!memory::touched(at + 30 * PAGE));
        assert_eq!(munmap(at, 64 * PAGE), Ok(0));
        assert_eq!(held(), before);
        assert_eq!(memory::stack(1 << 48, PAGE), None);
        // All of it at once, when it is no longer than that.
        let at = memory::stack(2 * PAGE, 9 * PAGE).expect("a stack");
        assert_eq!(held(), before + 2);
        assert_eq!(munmap(at, 2 * PAGE), Ok(0));
        // Not without memory.
        let heap = component_pages(components::FILES);
        let others = run_of_all_but(heap, 3);
        assert_eq!(memory::stack(64 * PAGE, 4 * PAGE), None);
        assert_eq!(held(), before);
        let at = memory::stack(64 * PAGE, 3 * PAGE).expect("three are left");
        assert!(!memory::touched(at));
        assert_eq!(munmap(at, 64 * PAGE), Ok(0));
        for run in others {
            // SAFETY: allocated for this.
            unsafe { heap.free(run) };
        }
    });
}

/// Takes all memory but some pages.
fn run_of_all_but(heap: Pages, left: usize) -> Vec<Run> {
    memory::release_all();
    let kept = heap.allocate(left, 1, Contents::Any).expect("free");
    let mut runs = Vec::new();
    let mut pages = free();
    while pages > 0 {
        match heap.allocate(pages, 1, Contents::Any) {
            Some(run) => runs.push(run),
            None => pages /= 2,
        }
    }
    // SAFETY: allocated above.
    unsafe { heap.free(kept) };
    runs
}

#[test]
fn a_mapping_beyond_memory_is_committed_in_part() {
    in_own_process(|guest| {
        const AT_ONCE: usize = 256;
        // A MiB at once; of more, a quarter of that at the end.
        for (pages, committed) in [(AT_ONCE, AT_ONCE), (AT_ONCE + 1, 64)] {
            let before = held();
            let at = mmap(FAR.start, pages * PAGE, READ_WRITE, FIXED).expect("addresses");
            assert_eq!(held(), before + committed as u64, "{pages}");
            let first = at + (pages - committed) * PAGE;
            assert_eq!(guest.host_rights(first), Rights::Write);
            assert_eq!(guest.host_rights(first - PAGE), Rights::None);
            // A look of the library OS brings what it looks at.
            assert_eq!(check::reach(at + 10, 2 * PAGE, Rights::Write), 2 * PAGE);
            assert_eq!(guest.host_rights(at), Rights::Write);
            // And not more than is mapped, or may be used so.
            assert_eq!(mprotect(at + PAGE, PAGE, READ), Ok(0));
            assert_eq!(check::reach(at, 5 * PAGE, Rights::Write), PAGE);
            assert_eq!(check::reach(at, 2 * PAGE, Rights::Read), 2 * PAGE);
            assert_eq!(check::reach(at + PAGE, PAGE, Rights::Write), 0);
            assert_eq!(check::reach(at + pages * PAGE, PAGE, Rights::Read), 0);
            assert_eq!(
                check::reach(at + (pages - 1) * PAGE, 2 * PAGE, Rights::Read),
                PAGE
            );
            // Advice that drops nothing brings nothing.
            let now = held();
            assert_eq!(memory::madvise(at, 6 * PAGE, MADV_COLD as usize), Ok(0));
            assert_eq!(held(), now);
            assert_eq!(
                memory::madvise(at + 2 * PAGE, 4 * PAGE, MADV_POPULATE_READ as usize),
                Ok(0)
            );
            assert_eq!(guest.host_rights(at + 5 * PAGE), Rights::Write);
            // Advice that drops gives it back.
            fill(at, PAGE, 3);
            assert_eq!(memory::madvise(at, PAGE, MADV_DONTNEED as usize), Ok(0));
            assert_eq!(guest.host_rights(at), Rights::None);
            assert!(memory::touched(at));
            assert_eq!(bytes(at, PAGE), [0; PAGE]);
            assert_eq!(munmap(at, pages * PAGE), Ok(0));
            assert_eq!(held(), before);
        }
        // Large ones begin at a multiple of two MiB behind what is there.
        let huge = 2 << 20;
        let small = mmap(0, huge - PAGE, 0, PRIVATE).expect("addresses");
        assert_eq!(small, FAR.start);
        let next = mmap(0, PAGE, 0, PRIVATE);
        assert_eq!(next, Ok(FAR.start + huge - PAGE));
        let third = mmap(0, PAGE, 0, PRIVATE);
        assert_eq!(third, Ok(FAR.start + huge));
        assert_eq!(mmap(0, huge, 0, PRIVATE), Ok(FAR.start + 2 * huge));
        assert_eq!(munmap(FAR.start, huge - PAGE), Ok(0));
        assert_eq!(mmap(0, 2 * PAGE, 0, PRIVATE), Ok(FAR.start));
    });
}
