//! What is told of memory: `/proc/self/maps`, sizes, limits, and what was touched.

use super::super::{self as memory, Shown, advice, brk, map_file, mmap, mprotect, munmap, visit};
use super::{FAR, PAGE, READ, READ_WRITE, in_own_process};
use crate::calls::errno;
use crate::platform::boot_info;
use crate::{component_pages, components, limits, linux_stack, stats};
use bespoke_heap::Contents;
use linux_raw_sys::general::*;
use std::vec::Vec;

const PRIVATE: usize = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
const SHARED: usize = (MAP_SHARED | MAP_ANONYMOUS) as usize;

fn all() -> Vec<Shown> {
    let mut all = Vec::new();
    visit(|shown| {
        all.push(shown);
        true
    });
    all
}

/// Start, end, rights and name of all that is shown, without the image's segments.
fn told() -> Vec<(usize, usize, [u8; 4], &'static str)> {
    let image: Vec<usize> = linux_stack::segments()
        .map(|(range, ..)| range.start)
        .collect();
    all()
        .into_iter()
        .filter(|shown| !image.contains(&shown.range.start))
        .map(|shown| (shown.range.start, shown.range.end, shown.rights, shown.name))
        .collect()
}

#[test]
fn what_is_mapped_is_shown_in_order_with_its_rights() {
    in_own_process(|guest| {
        let stack = (guest.stack.start, guest.stack.end, *b"rw-p", "[stack]");
        // What the page source keeps for itself.
        let kept = told().pop().expect("a heap");
        assert_eq!((kept.0, kept.3), (guest.ram.start, "[heap]"));
        assert_eq!(told(), [stack, kept]);
        // The image's own segments come first, with theirs.
        for (shown, (range, is_writable, is_text)) in all().iter().zip(linux_stack::segments()) {
            let rights = match (is_writable, is_text) {
                (true, _) => b"rw-p",
                (false, true) => b"r-xp",
                (false, false) => b"r--p",
            };
            assert_eq!((&shown.range, &shown.rights), (&range, rights));
            assert_eq!((shown.name, shown.file), ("", None));
        }
        let read = mmap(0, 2 * PAGE, READ, PRIVATE).expect("pages");
        let write = mmap(0, PAGE, READ_WRITE, SHARED).expect("a page");
        let none = mmap(0, 3 * PAGE, 0, PRIVATE).expect("addresses");
        let mut expected = [
            stack,
            kept,
            (read, read + 2 * PAGE, *b"r--p", ""),
            (write, write + PAGE, *b"rw-s", ""),
            (none, none + 3 * PAGE, *b"---p", ""),
        ];
        expected.sort();
        assert_eq!(told(), expected);
        // Whoever has seen enough is shown no more.
        let mut count = 0;
        visit(|_| {
            count += 1;
            count < 2
        });
        assert_eq!(count, 2);
        // Pages beyond RAM, text, data.
        let sum = |wanted: fn(&(core::ops::Range<usize>, bool, bool)) -> bool| -> u64 {
            let segments = linux_stack::segments().filter(wanted);
            segments
                .map(|(range, ..)| (range.len() / PAGE) as u64)
                .sum()
        };
        let text = sum(|(_, _, text)| *text);
        let data = sum(|(_, writable, _)| *writable);
        assert_eq!(memory::sizes(), (text, data, 3));
        assert!(text > 1 && data > 1);
        assert_eq!(munmap(none + PAGE, PAGE), Ok(0));
        assert_eq!(memory::sizes(), (text, data, 2));
    });
}

#[test]
fn heaps_are_shown_as_far_as_they_go() {
    in_own_process(|guest| {
        let heap = component_pages(components::FILES);
        let run = heap.allocate(8, 1, Contents::Any).expect("pages");
        let at = run.start.addr().get();
        let heaps = || -> Vec<(usize, usize, [u8; 4])> {
            let heaps = told().into_iter().filter(|shown| shown.3 == "[heap]");
            heaps
                .map(|(start, end, rights, _)| (start, end, rights))
                .collect()
        };
        let first = guest.ram.start;
        assert_eq!(heaps(), [(first, at + 8 * PAGE, *b"rw-p")]);
        // Closed in the middle, it is shown in three parts.
        assert_eq!(mprotect(at + 2 * PAGE, PAGE, READ), Ok(0));
        assert_eq!(mprotect(at + 3 * PAGE, PAGE, 0), Ok(0));
        let parts = [
            (first, at + 2 * PAGE, *b"rw-p"),
            (at + 2 * PAGE, at + 3 * PAGE, *b"r--p"),
            (at + 3 * PAGE, at + 4 * PAGE, *b"---p"),
            (at + 4 * PAGE, at + 8 * PAGE, *b"rw-p"),
        ];
        assert_eq!(heaps(), parts);
        assert_eq!(mprotect(at, 8 * PAGE, READ_WRITE), Ok(0));
        // What is unmapped is no heap, nor is what is free; what lies behind is told all the same.
        let mapped = mmap(0, 2 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        let behind = heap.allocate(1, 1, Contents::Any).expect("a page");
        let next = behind.start.addr().get();
        assert!(mapped >= at + 8 * PAGE && next >= mapped + 2 * PAGE);
        assert_eq!(munmap(mapped, PAGE), Ok(0));
        assert_eq!(guest.host_rights(mapped), memory::Rights::None);
        let found: Vec<_> = told()
            .into_iter()
            .filter(|shown| shown.0 >= first)
            .collect();
        let expected = [
            (first, at + 8 * PAGE, *b"rw-p", "[heap]"),
            (mapped + PAGE, mapped + 2 * PAGE, *b"rw-p", ""),
            (next, next + PAGE, *b"rw-p", "[heap]"),
        ];
        assert_eq!(found, expected);
        // SAFETY: allocated above.
        unsafe {
            heap.free(run);
            heap.free(behind);
        }
    });
}

#[test]
fn a_mapping_of_a_file_names_it() {
    in_own_process(|_| {
        let file = super::files::file(4 * PAGE);
        let shared = MAP_SHARED as usize;
        let at = map_file(0, 3 * PAGE, READ, shared, file, PAGE).expect("mapped");
        let of_file = all().into_iter().find(|shown| shown.range.start == at);
        let shown = of_file.expect("it is shown");
        let (inode, offset) = shown.file.expect("a file");
        assert_eq!((shown.range.end, offset), (at + 3 * PAGE, PAGE as u64));
        assert_eq!((shown.rights, inode != 0), (*b"r--s", true));
        // A copy is nobody's.
        let copy = map_file(0, PAGE, READ_WRITE, MAP_PRIVATE as usize, file, 0).expect("mapped");
        let shown = all().into_iter().find(|shown| shown.range.start == copy);
        let shown = shown.expect("it is shown");
        assert_eq!((shown.rights, shown.file), (*b"rw-p", None));
    });
}

/// Both limits to the byte: the image, its stack, what is mapped, and the break.
#[test]
fn limits_count_what_there_is() {
    in_own_process(|guest| {
        let page = PAGE as u64;
        let image: u64 = linux_stack::segments()
            .map(|(range, ..)| range.len() as u64)
            .sum();
        let writable = linux_stack::segments().filter(|segment| segment.1);
        let image_data: u64 = writable.map(|(range, ..)| range.len() as u64).sum();
        let start = memory::brk(0).expect("always an answer");
        assert_eq!(memory::brk(start + 5000), Ok(start + 5000));
        let at = mmap(0, 3 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        let other = mmap(0, 2 * PAGE, READ, PRIVATE).expect("pages");
        let third = mmap(0, PAGE, READ_WRITE, SHARED).expect("a page");
        let broken = brk::bytes() as u64;
        assert_eq!(broken, 5000);
        let used = image + boot_info().stack.bytes + 6 * page + broken;
        let data = image_data + 3 * page + broken;
        let unlimited = limits::get(RLIMIT_AS as usize).expect("a limit");
        let set = |resource: u32, soft: u64| {
            let limit = limits::Limit { soft, ..unlimited };
            assert_eq!(limits::set(resource as usize, limit), Ok(()));
        };
        for (soft, pages, fits) in [
            (used + page, 1, true),
            (used + page - 1, 1, false),
            (used + 4 * page, 4, true),
            (used + 4 * page, 5, false),
            (used, 0, true),
            (used - 1, 0, false),
            (u64::MAX - 1, usize::MAX, false),
        ] {
            set(RLIMIT_AS, soft);
            let expected = if fits { Ok(()) } else { Err(errno::ENOMEM) };
            assert_eq!(
                memory::limits::allow(pages, false),
                expected,
                "{soft} {pages}"
            );
        }
        set(RLIMIT_AS, u64::MAX);
        for (soft, is_data, fits) in [
            (data + page, true, true),
            (data + page - 1, true, false),
            (data + page - 1, false, true),
        ] {
            set(RLIMIT_DATA, soft);
            let expected = if fits { Ok(()) } else { Err(errno::ENOMEM) };
            assert_eq!(memory::limits::allow(1, is_data), expected, "{soft}");
        }
        set(RLIMIT_DATA, u64::MAX);
        assert_eq!(memory::limits::allow(usize::MAX, true), Ok(()));
        for (at, pages) in [(at, 3), (other, 2), (third, 1)] {
            assert_eq!(munmap(at, pages * PAGE), Ok(0));
        }
        assert_eq!(memory::brk(start), Ok(start));
        let _ = guest.kept_pages.replace(1);
    });
}

#[test]
fn pages_that_hold_something_are_there() {
    in_own_process(|_| {
        let held = || stats().components[components::MMAP].held_pages.get();
        let at = mmap(0, 3 * PAGE, READ_WRITE, PRIVATE).expect("pages");
        // SAFETY: mapped, and may be written.
        unsafe { ((at + 2 * PAGE - 8) as *mut u8).write(1) };
        let vector = [9u8; 8];
        let place = vector.as_ptr() as usize;
        let look = |start: usize, bytes: usize| {
            assert_eq!(advice::mincore(start, bytes, place), Ok(0));
            // SAFETY: written through its address.
            unsafe { core::ptr::read_volatile(&raw const vector) }
        };
        assert_eq!(look(at, 3 * PAGE)[..4], [0, 1, 0, 9]);
        // Without a right to read it counts as there, as does a page of a file.
        assert_eq!(mprotect(at, PAGE, 0), Ok(0));
        assert_eq!(look(at, PAGE)[0], 1);
        let far = mmap(
            FAR.start,
            300 * PAGE,
            READ_WRITE,
            PRIVATE | MAP_FIXED as usize,
        );
        let far = far.expect("addresses");
        let before = held();
        assert_eq!(look(far, 2 * PAGE)[..2], [0, 0]);
        assert_eq!(held(), before, "looking brings nothing");
        let file = super::files::file(2 * PAGE);
        let mapped = map_file(0, 2 * PAGE, READ, MAP_SHARED as usize, file, 0).expect("mapped");
        assert_eq!(look(mapped, 2 * PAGE)[..2], [1, 1]);
        // The stack is no mapping, and there.
        let stack = boot_info().stack.start as usize;
        assert_eq!(look(stack, PAGE)[0], 1);
        // A vector that is too short for its pages.
        let end = mmap(0, PAGE, READ_WRITE, PRIVATE).expect("a page");
        let last = end + PAGE - 2;
        assert_eq!(munmap(at, 3 * PAGE), Ok(0));
        let fits = advice::mincore(far, 2 * PAGE, last);
        let too_long = advice::mincore(far, 3 * PAGE, last);
        assert_eq!(fits, Ok(0));
        assert!(too_long == Err(errno::EFAULT) || too_long == Ok(0));
    });
}
