//! `mremap` to places and with its flags, and mappings of files that are shown at several addresses.

use super::super::{self as memory, Rights, fault_signal, madvise, map_file, mmap, mprotect};
use super::super::{mremap, munmap};
use super::files::{byte, call, file, in_file, store, truncate};
use super::{FAR, PAGE, READ, READ_WRITE, in_own_process};
use crate::calls::errno;
use crate::{components, stats};
use linux_raw_sys::general::*;
use std::vec::Vec;

const PRIVATE: usize = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
const SHARED: usize = MAP_SHARED as usize;
const MAY_MOVE: usize = MREMAP_MAYMOVE as usize;
const FIXED: usize = (MREMAP_MAYMOVE | MREMAP_FIXED) as usize;
const KEEP: usize = (MREMAP_MAYMOVE | MREMAP_DONTUNMAP) as usize;
/// An address beyond memory.
const THERE: usize = FAR.start + (1 << 30);

fn held() -> u64 {
    stats().components[components::MMAP].held_pages.get()
}

/// Pages with their number, from 1 on.
fn pages(count: usize) -> usize {
    let at = mmap(0, count * PAGE, READ_WRITE, PRIVATE).expect("pages");
    for page in 0..count {
        store(at + page * PAGE, page as u8 + 1);
        store(at + (page + 1) * PAGE - 1, page as u8 + 1);
    }
    at
}

fn firsts(at: usize, count: usize) -> Vec<u8> {
    let pages = (0..count).map(|page| at + page * PAGE);
    pages
        .map(|page| {
            assert_eq!(byte(page), byte(page + PAGE - 1));
            byte(page)
        })
        .collect()
}

#[test]
fn a_mapping_is_moved_to_its_place() {
    in_own_process(|guest| {
        let inside = guest.ram.end - 64 * PAGE;
        for to in [THERE, inside] {
            for (new, expected) in [
                (4, &[1, 2, 3, 4][..]),
                (6, &[1, 2, 3, 4, 0, 0]),
                (2, &[1, 2]),
            ] {
                let at = pages(4);
                let before = held();
                let moved = mremap(at, 4 * PAGE, new * PAGE, FIXED, to);
                assert_eq!(moved, Ok(to), "{new}");
                assert_eq!(firsts(to, new), expected);
                assert_eq!(fault_signal(at), (SIGSEGV, memory::fault::SEGV_MAPERR));
                assert_eq!(munmap(to, new * PAGE), Ok(0));
                memory::release_all();
                assert_eq!(held(), before - 4);
            }
        }
        // Over what is there.
        let (at, over) = (pages(2), pages(4));
        assert_eq!(
            mremap(at, 2 * PAGE, 2 * PAGE, FIXED, over + PAGE),
            Ok(over + PAGE)
        );
        assert_eq!(firsts(over, 4), [1, 1, 2, 4]);
        assert_eq!(munmap(over, 4 * PAGE), Ok(0));
    });
}

#[test]
fn places_that_cannot_be_are_refused() {
    in_own_process(|guest| {
        let at = pages(4);
        let bytes = 4 * PAGE;
        for (to, answer) in [
            (at, Err(errno::EINVAL)),
            (at + PAGE, Err(errno::EINVAL)),
            (at + 3 * PAGE, Err(errno::EINVAL)),
            (at - 3 * PAGE, Err(errno::EINVAL)),
            (THERE + 1, Err(errno::EINVAL)),
            (usize::MAX - PAGE + 1, Err(errno::EINVAL)),
            (1 << 47, Err(errno::EINVAL)),
            (guest.stack.start, Err(errno::ENOMEM)),
        ] {
            assert_eq!(mremap(at, bytes, bytes, FIXED, to), answer, "{to:#x}");
        }
        // Right behind, and right before.
        assert_eq!(mremap(at, bytes, bytes, FIXED, at + bytes), Ok(at + bytes));
        assert_eq!(mremap(at + bytes, bytes, bytes, FIXED, at), Ok(at));
        assert_eq!(firsts(at, 4), [1, 2, 3, 4]);
        // Nothing is mapped there; or not all of it; or several mappings.
        assert_eq!(
            mremap(THERE, PAGE, PAGE, FIXED, THERE + PAGE),
            Err(errno::EFAULT)
        );
        assert_eq!(mprotect(at + 2 * PAGE, PAGE, READ), Ok(0));
        assert_eq!(mremap(at, bytes, bytes, FIXED, THERE), Err(errno::EFAULT));
        assert_eq!(
            mremap(at, bytes, bytes + PAGE, MAY_MOVE, 0),
            Err(errno::EFAULT)
        );
        assert_eq!(mremap(at, 2 * PAGE, 2 * PAGE, FIXED, THERE), Ok(THERE));
        assert_eq!(mremap(THERE, PAGE, 2 * PAGE, KEEP, 0), Err(errno::EINVAL));
        // The stack is mapped, and what is before it is not free.
        let stack = guest.stack.start;
        assert_eq!(mremap(stack, PAGE, 2 * PAGE, 0, 0), Err(errno::ENOMEM));
        assert_eq!(mremap(stack, PAGE, PAGE, 0, 0), Err(errno::EFAULT));
        assert_eq!(
            mremap(THERE + (1 << 20), PAGE, 2 * PAGE, 0, 0),
            Err(errno::EFAULT)
        );
    });
}

#[test]
fn the_old_pages_may_stay_empty() {
    in_own_process(|_| {
        for (flags, to) in [(KEEP, 0), (KEEP | MREMAP_FIXED as usize, THERE)] {
            let at = pages(3);
            assert_eq!(mprotect(at, 3 * PAGE, READ), Ok(0));
            let moved = mremap(at, 3 * PAGE, 3 * PAGE, flags, to).expect("moved");
            assert!(to == 0 && moved != at || moved == to);
            assert_eq!(firsts(moved, 3), [1, 2, 3]);
            assert_eq!(firsts(at, 3), [0, 0, 0]);
            assert_eq!(mprotect(at, PAGE, READ_WRITE), Ok(0));
            for at in [at, moved] {
                assert_eq!(munmap(at, 3 * PAGE), Ok(0));
            }
        }
        // Of a file that cannot be told from two mappings.
        let file = file(2 * PAGE);
        let at = map_file(0, PAGE, READ, SHARED, file, 0).expect("mapped");
        assert_eq!(mremap(at, PAGE, PAGE, KEEP, 0), Err(errno::ENOMEM));
        assert_eq!(
            mremap(at, PAGE, PAGE, KEEP | MREMAP_FIXED as usize, THERE),
            Err(errno::ENOMEM)
        );
    });
}

#[test]
fn growing_takes_what_is_behind_or_moves() {
    in_own_process(|guest| {
        // In RAM.
        let at = pages(2);
        assert_eq!(mremap(at, 2 * PAGE, 4 * PAGE, 0, 0), Ok(at));
        assert_eq!(firsts(at, 4), [1, 2, 0, 0]);
        let fence = mmap(at + 4 * PAGE, PAGE, READ, PRIVATE);
        assert_eq!(fence, Ok(at + 4 * PAGE));
        assert_eq!(mremap(at, 4 * PAGE, 5 * PAGE, 0, 0), Err(errno::ENOMEM));
        let moved = mremap(at, 4 * PAGE, 5 * PAGE, MAY_MOVE, 0).expect("elsewhere");
        assert_ne!(moved, at);
        assert_eq!(firsts(moved, 5), [1, 2, 0, 0, 0]);
        // A part, which is mapped on behind its end.
        let at = pages(3);
        assert_eq!(mremap(at, PAGE, 2 * PAGE, 0, 0), Err(errno::ENOMEM));
        // Beyond memory, with the rights it has.
        let far = mmap(THERE, 2 * PAGE, READ_WRITE, PRIVATE | MAP_FIXED as usize);
        assert_eq!(far, Ok(THERE));
        store(THERE, 9);
        store(THERE + PAGE - 1, 9);
        assert_eq!(mremap(THERE, 2 * PAGE, 4 * PAGE, 0, 0), Ok(THERE));
        assert_eq!(firsts(THERE, 4), [9, 0, 0, 0]);
        let fence = mmap(THERE + 5 * PAGE, PAGE, 0, PRIVATE);
        assert_eq!(fence, Ok(THERE + 5 * PAGE));
        assert_eq!(mremap(THERE, 4 * PAGE, 5 * PAGE, 0, 0), Ok(THERE));
        assert_eq!(mremap(THERE, 5 * PAGE, 6 * PAGE, 0, 0), Err(errno::ENOMEM));
        let before = held();
        let moved = mremap(THERE, 5 * PAGE, 6 * PAGE, MAY_MOVE, 0).expect("elsewhere");
        assert_eq!(firsts(moved, 6), [9, 0, 0, 0, 0, 0]);
        assert_eq!(held(), before + 1);
        // What may not be used stays address space.
        let none = mmap(0, 10 * PAGE, 0, PRIVATE).expect("addresses");
        let before = held();
        let larger = mremap(none, 10 * PAGE, 1000 * PAGE, MAY_MOVE, 0).expect("addresses");
        assert_eq!(held(), before);
        assert_eq!(guest.host_rights(larger), Rights::None);
    });
}

#[test]
fn one_file_is_shown_at_several_addresses() {
    in_own_process(|guest| {
        let file = file(4 * PAGE);
        let first = map_file(0, 4 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        let second = map_file(0, 4 * PAGE, READ, SHARED, file, 0).expect("mapped");
        assert!(guest.ram.contains(&first) && second >= guest.ram.end);
        store(first + PAGE, 50);
        assert_eq!(byte(second + PAGE), 50);
        assert_eq!(guest.host_rights(second), Rights::Read);
        // Part of it, from a page in the middle, where it is wanted.
        let fixed = SHARED | MAP_FIXED as usize;
        let third = map_file(THERE, 3 * PAGE, READ_WRITE, fixed, file, 2 * PAGE);
        assert_eq!(third, Ok(THERE));
        assert_eq!([byte(THERE), byte(THERE + PAGE)], [3, 4]);
        store(THERE, 60);
        assert_eq!([byte(first + 2 * PAGE), byte(second + 2 * PAGE)], [60, 60]);
        assert_eq!(in_file(file, 2 * PAGE), 60);
        // The page behind the end of the file comes and goes with it, wherever it is shown.
        assert_eq!(guest.host_rights(THERE + 2 * PAGE), Rights::None);
        truncate(file, 5 * PAGE);
        assert_eq!(guest.host_rights(THERE + 2 * PAGE), Rights::Write);
        assert_eq!(byte(THERE + 2 * PAGE), 0);
        truncate(file, 3 * PAGE);
        let shown = [first + 3 * PAGE, second + 3 * PAGE, THERE + PAGE];
        assert_eq!(shown.map(|at| guest.host_rights(at)), [Rights::None; 3]);
        assert_eq!(
            fault_signal(second + 3 * PAGE),
            (SIGBUS, memory::fault::BUS_ADRERR)
        );
        truncate(file, 4 * PAGE);
        assert_eq!(shown.map(byte), [0; 3]);
        // The first goes, the others stay what they are; then the file alone has the pages.
        assert_eq!(munmap(first, 4 * PAGE), Ok(0));
        assert_eq!([byte(second + PAGE), byte(THERE)], [50, 60]);
        store(THERE + PAGE, 70);
        assert_eq!([in_file(file, 3 * PAGE), byte(second + 3 * PAGE)], [70, 70]);
        assert_eq!(munmap(second, 4 * PAGE), Ok(0));
        assert_eq!(byte(THERE), 60);
        assert_eq!(munmap(THERE, 3 * PAGE), Ok(0));
        assert_eq!(
            (0..4)
                .map(|page| in_file(file, page * PAGE))
                .collect::<Vec<_>>(),
            [1, 50, 60, 70]
        );
        // Rights of one do not change the other.
        let first = map_file(0, PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        let second = map_file(0, PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        assert_eq!(mprotect(second, PAGE, 0), Ok(0));
        assert_eq!(guest.host_rights(second), Rights::None);
        store(first, 80);
        assert_eq!(mprotect(second, PAGE, READ_WRITE), Ok(0));
        assert_eq!(byte(second), 80);
    });
}

#[test]
fn mappings_of_files_move_and_grow_beyond_memory() {
    in_own_process(|guest| {
        let file = file(6 * PAGE);
        let first = map_file(0, 2 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        let second = map_file(0, 2 * PAGE, READ, SHARED, file, 0).expect("mapped");
        assert!(second >= guest.ram.end);
        // Behind it is room for two pages: it grows there.
        let fence = mmap(second + 4 * PAGE, PAGE, 0, PRIVATE);
        assert_eq!(fence, Ok(second + 4 * PAGE));
        assert_eq!(mremap(second, 2 * PAGE, 4 * PAGE, 0, 0), Ok(second));
        assert_eq!(byte(second + 3 * PAGE), 4);
        assert_eq!(munmap(second, 5 * PAGE), Ok(0));
        // Something is: it moves, if it may.
        let second = map_file(0, 2 * PAGE, READ, SHARED, file, 0).expect("mapped");
        let fence = mmap(second + 2 * PAGE, PAGE, 0, PRIVATE);
        assert_eq!(fence, Ok(second + 2 * PAGE));
        assert_eq!(mremap(second, 2 * PAGE, 3 * PAGE, 0, 0), Err(errno::ENOMEM));
        let moved = mremap(second, 2 * PAGE, 6 * PAGE, MAY_MOVE, 0).expect("elsewhere");
        assert_ne!(moved, second);
        let shown: Vec<u8> = (0..6).map(|page| byte(moved + page * PAGE)).collect();
        assert_eq!(shown, [1, 2, 3, 4, 5, 6]);
        // One that is shown elsewhere, too, does not move in RAM.
        assert_eq!(mremap(first, 2 * PAGE, 3 * PAGE, 0, 0), Err(errno::ENOMEM));
        let larger = mremap(first, 2 * PAGE, 3 * PAGE, MAY_MOVE, 0).expect("beyond");
        assert!(larger >= guest.ram.end);
        store(larger + 2 * PAGE, 33);
        assert_eq!(byte(moved + 2 * PAGE), 33);
        // To a place, with fewer pages.
        let parts = mremap(moved, 6 * PAGE, 6 * PAGE, FIXED, THERE + (1 << 20));
        assert_eq!(parts, Err(errno::EFAULT), "it lies in several parts");
        assert_eq!(mremap(moved, 6 * PAGE, 2 * PAGE, FIXED, THERE), Ok(THERE));
        assert_eq!([byte(THERE), byte(THERE + PAGE)], [1, 2]);
        assert_eq!(
            fault_signal(moved + 5 * PAGE),
            (SIGSEGV, memory::fault::SEGV_MAPERR)
        );
        let inside = guest.ram.end - 8 * PAGE;
        assert_eq!(
            mremap(THERE, 2 * PAGE, 2 * PAGE, FIXED, inside),
            Err(errno::ENOMEM)
        );
        assert_eq!([byte(THERE), in_file(file, 2 * PAGE)], [1, 33]);
    });
}

#[test]
fn pages_of_a_file_give_way_unless_others_show_them() {
    in_own_process(|_| {
        let file = file(3 * PAGE);
        let first = map_file(0, 3 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        let second = map_file(0, PAGE, READ, SHARED, file, PAGE).expect("mapped");
        let over = PRIVATE | MAP_FIXED as usize;
        assert_eq!(mmap(first, 3 * PAGE, READ_WRITE, over), Err(errno::ENOMEM));
        assert_eq!([byte(first), byte(first + PAGE)], [1, 2]);
        assert_eq!(munmap(second, PAGE), Ok(0));
        assert_eq!(mmap(first, 3 * PAGE, READ_WRITE, over), Ok(first));
        assert_eq!([byte(first), byte(first + 2 * PAGE)], [0, 0]);
        assert_eq!([0, 1, 2].map(|page| in_file(file, page * PAGE)), [1, 2, 3]);
        // Over a mapping of the same file.
        let first = map_file(0, 2 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        let fixed = SHARED | MAP_FIXED as usize;
        assert_eq!(
            map_file(first, 2 * PAGE, READ_WRITE, fixed, file, PAGE),
            Ok(first)
        );
        assert_eq!([byte(first), byte(first + PAGE)], [2, 3]);
        store(first, 44);
        assert_eq!(in_file(file, PAGE), 44);
    });
}

#[test]
fn stores_are_noted_when_they_are_synced() {
    in_own_process(|_| {
        let file = file(2 * PAGE);
        let stamp = || {
            let mut status = [0u64; 18];
            assert_eq!(call(__NR_fstat, &[file, status.as_mut_ptr() as usize]), 0);
            // `st_mtime` and its nanoseconds.
            (status[11], status[12])
        };
        let at = map_file(0, 2 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        let reads = map_file(0, PAGE, READ, SHARED, file, 0).expect("mapped");
        let pause = || std::thread::sleep(std::time::Duration::from_millis(30));
        let before = stamp();
        pause();
        store(at, 5);
        assert_eq!(stamp(), before);
        assert_eq!(memory::msync(reads, PAGE, MS_SYNC as usize), Ok(0));
        assert_eq!(stamp(), before, "it cannot have been written there");
        assert_eq!(memory::msync(at + PAGE, PAGE, MS_ASYNC as usize), Ok(0));
        assert!(stamp() > before);
    });
}

#[test]
fn advice_on_shared_memory_and_holes() {
    in_own_process(|_| {
        let shared = (MAP_SHARED | MAP_ANONYMOUS) as usize;
        let at = mmap(0, 3 * PAGE, READ_WRITE, shared).expect("pages");
        for page in 0..3 {
            store(at + page * PAGE, 5);
        }
        assert_eq!(madvise(at, PAGE, MADV_DONTNEED as usize), Ok(0));
        assert_eq!(madvise(at, PAGE, MADV_DONTNEED_LOCKED as usize), Ok(0));
        assert_eq!(madvise(at, PAGE, MADV_FREE as usize), Err(errno::EINVAL));
        assert_eq!(byte(at), 5);
        assert_eq!(madvise(at + PAGE, PAGE, MADV_REMOVE as usize), Ok(0));
        assert_eq!([byte(at), byte(at + PAGE), byte(at + 2 * PAGE)], [5, 0, 5]);
        // A hole is told in the end, whatever kind of advice it is.
        let at = pages(5);
        assert_eq!(munmap(at + 2 * PAGE, PAGE), Ok(0));
        for advice in [MADV_DONTNEED, MADV_COLD, MADV_POPULATE_READ] {
            let answer = madvise(at, 5 * PAGE, advice as usize);
            assert_eq!(answer, Err(errno::ENOMEM), "{advice}");
        }
        assert_eq!(
            [byte(at), byte(at + 4 * PAGE)],
            [0, 0],
            "the rest was dropped"
        );
        assert_eq!(
            madvise(at + 2 * PAGE, PAGE, MADV_DONTNEED as usize),
            Err(errno::ENOMEM)
        );
        assert_eq!(
            madvise(at + 3 * PAGE, 2 * PAGE, MADV_DONTNEED as usize),
            Ok(0)
        );
        // Rights that are missing.
        assert_eq!(mprotect(at, PAGE, READ), Ok(0));
        for (advice, answer) in [
            (MADV_POPULATE_READ, Ok(0)),
            (MADV_POPULATE_WRITE, Err(errno::EFAULT)),
            (MADV_WILLNEED, Ok(0)),
        ] {
            assert_eq!(madvise(at, 2 * PAGE, advice as usize), answer, "{advice}");
        }
        assert_eq!(
            madvise(at + PAGE, PAGE, MADV_POPULATE_WRITE as usize),
            Ok(0)
        );
    });
}
