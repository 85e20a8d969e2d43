//! When pages run out: the answer is ENOSPC, what is there stays as it was, and pages come
//! back when files go.

use super::Machine;
use linux_raw_sys::general::*;
use std::vec::Vec;

const ENOSPC: isize = -28;
const PAGES: usize = 32;

/// Writes whole pages to a new file until there are no more.
fn fill(machine: &mut Machine) -> (isize, usize) {
    let file = machine.open("/full", O_RDWR | O_CREAT);
    let mut pages = 0;
    loop {
        match machine.write(file, &[pages as u8 + 1; 4096]) {
            4096 => pages += 1,
            other => {
                assert_eq!(other, ENOSPC);
                return (file, pages);
            }
        }
    }
}

#[test]
fn a_write_is_cut_short_and_the_next_one_refused() {
    let mut machine = Machine::new(PAGES);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    let capacity = machine.capacity;
    let data: Vec<u8> = (0..PAGES * 4096 + 5000)
        .map(|index| (index / 4096) as u8)
        .collect();
    assert_eq!(machine.pwrite(file, b"head", 0), 4);
    let count = machine.pwrite(file, &data, 100);
    assert_eq!(count as usize, capacity * 4096 - 100);
    assert_eq!(machine.write(file, b"x"), 1, "inside what there is");
    assert_eq!(machine.pwrite(file, b"x", capacity * 4096), ENOSPC);
    assert_eq!(machine.fstat(file).st_size as usize, capacity * 4096);
    assert_eq!(
        machine.pread(file, count as usize, 100),
        data[..count as usize]
    );
    assert_eq!(machine.held(), capacity as u64);
}

#[test]
fn a_refused_write_changes_nothing() {
    let mut machine = Machine::new(PAGES);
    let other = machine.open("/other", O_RDWR | O_CREAT);
    assert_eq!(machine.pwrite(other, b"kept", 0), 4);
    let (_, pages) = fill(&mut machine);
    assert_eq!(pages, machine.capacity - 1);
    let before = machine.fstat(other);
    assert_eq!(machine.pwrite(other, b"far away", 1 << 20), ENOSPC);
    let after = machine.fstat(other);
    assert_eq!(
        (after.st_size, after.st_blocks, after.st_mtime_nsec),
        (before.st_size, before.st_blocks, before.st_mtime_nsec)
    );
    assert_eq!(machine.pread(other, 100, 0), b"kept");
    // Names and cuts need no pages.
    assert!(machine.open("/new", O_RDWR | O_CREAT) > 0);
    assert_eq!(machine.call(__NR_ftruncate, &[other as usize, 1 << 30]), 0);
    assert_eq!(machine.call(__NR_ftruncate, &[other as usize, 2]), 0);
    assert_eq!(machine.pread(other, 100, 0), b"ke");
}

#[test]
fn a_refused_allocation_gives_everything_back() {
    let mut machine = Machine::new(PAGES);
    let file = machine.open("/a", O_RDWR | O_CREAT) as usize;
    assert_eq!(machine.pwrite(file as isize, b"x", 2 * 4096), 1);
    assert_eq!(
        machine.call(__NR_fallocate, &[file, 0, 0, (PAGES + 1) * 4096]),
        ENOSPC
    );
    assert_eq!(
        (machine.held(), machine.fstat(file as isize).st_size),
        (1, 8193)
    );
    assert_eq!(machine.call(__NR_fallocate, &[file, 0, 0, 1 << 50]), ENOSPC);
    assert_eq!(machine.held(), 1);
}

#[test]
fn an_allocation_keeps_later_writes_from_running_out() {
    let mut machine = Machine::new(PAGES);
    let file = machine.open("/a", O_RDWR | O_CREAT) as usize;
    assert_eq!(
        machine.call(
            __NR_fallocate,
            &[file, FALLOC_FL_KEEP_SIZE as usize, 0, 4 * 4096]
        ),
        0
    );
    assert_eq!(
        (machine.held(), machine.fstat(file as isize).st_size),
        (4, 0)
    );
    fill(&mut machine);
    assert_eq!(machine.pwrite(file as isize, &[3; 4 * 4096], 0), 4 * 4096);
    assert_eq!(machine.pwrite(file as isize, &[3; 1], 4 * 4096), ENOSPC);
}

#[test]
fn pages_come_back_when_files_are_cut_removed_or_replaced() {
    let mut machine = Machine::new(PAGES);
    for round in 0..3 {
        let (file, pages) = fill(&mut machine);
        assert_eq!(pages, machine.capacity, "round {round}");
        match round {
            0 => assert_eq!(machine.call(__NR_ftruncate, &[file as usize, 0]), 0),
            1 => assert_eq!(machine.path(__NR_unlink, "/full", 0, 0), 0),
            _ => {
                machine.open("/empty", O_RDWR | O_CREAT);
                assert_eq!(machine.paths(__NR_rename, "/empty", "/full"), 0);
            }
        }
        assert_eq!(machine.close(file), 0);
        assert_eq!(machine.held(), 0, "round {round}");
    }
}
