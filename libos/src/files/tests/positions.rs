//! Where writes land and how far a file may grow: positions with and without `O_APPEND`, and every limit from both sides.

use super::Machine;
use crate::files::data::MAX_LENGTH;
use crate::files::{At, Errno, Files};
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::*;

fn position(machine: &mut Machine, descriptor: isize) -> isize {
    machine.call(__NR_lseek, &[descriptor as usize, 0, SEEK_CUR as usize])
}

fn seek(machine: &mut Machine, descriptor: isize, offset: usize) -> isize {
    machine.call(
        __NR_lseek,
        &[descriptor as usize, offset, SEEK_SET as usize],
    )
}

fn read(machine: &mut Machine, descriptor: isize, bytes: usize) -> std::vec::Vec<u8> {
    let mut buffer = std::vec![0; bytes];
    let place = buffer.as_mut_ptr() as usize;
    let count = machine.call(__NR_read, &[descriptor as usize, place, bytes]);
    buffer.truncate(count as usize);
    buffer
}

#[test]
fn appending_moves_the_position_to_the_end() {
    let mut machine = Machine::new(64);
    let file = machine.open("/a", O_RDWR | O_CREAT | O_APPEND);
    assert_eq!(position(&mut machine, file), 0);
    assert_eq!(machine.write(file, b"hello "), 6);
    assert_eq!(position(&mut machine, file), 6);
    // Wherever it was before.
    assert_eq!(seek(&mut machine, file, 1), 1);
    assert_eq!(machine.write(file, b"world"), 5);
    assert_eq!(position(&mut machine, file), 11);
    assert_eq!(read(&mut machine, file, 5), b"");
    assert_eq!(seek(&mut machine, file, 100), 100);
    assert_eq!(machine.write(file, b"!"), 1);
    assert_eq!(position(&mut machine, file), 12);
    assert_eq!(machine.pread(file, 100, 0), b"hello world!");
    // Nothing is written, and nothing moves.
    assert_eq!(seek(&mut machine, file, 3), 3);
    assert_eq!(machine.write(file, b""), 0);
    assert_eq!(position(&mut machine, file), 3);
    assert_eq!(read(&mut machine, file, 3), b"lo ");
    // With an offset it is written at the end all the same, and the position stays.
    assert_eq!(machine.pwrite(file, b"?", 2), 1);
    assert_eq!(position(&mut machine, file), 6);
    assert_eq!(machine.pread(file, 100, 0), b"hello world!?");
}

#[test]
fn what_another_descriptor_wrote_is_appended_to() {
    let mut machine = Machine::new(64);
    let appends = machine.open("/a", O_RDWR | O_CREAT | O_APPEND);
    let writes = machine.open("/a", O_RDWR);
    assert_eq!(machine.write(appends, b"ab"), 2);
    assert_eq!(machine.write(writes, b"xyz"), 3);
    assert_eq!(position(&mut machine, writes), 3);
    assert_eq!(machine.write(appends, b"cd"), 2);
    assert_eq!(position(&mut machine, appends), 5);
    assert_eq!(machine.write(writes, b"!"), 1);
    assert_eq!(machine.pread(writes, 100, 0), b"xyz!d");
}

/// What a write of `bytes` at `offset` answers.
fn write_at(files: &mut Files<super::Console>, file: isize, bytes: &[u8], offset: u64) -> isize {
    match files.write(file as usize, bytes, At::Offset(offset)) {
        Ok(count) => count as isize,
        Err(error) => error.answer(),
    }
}

fn length(machine: &mut Machine, file: isize) -> u64 {
    machine.fstat(file).st_size as u64
}

/// The last byte that a file can have, and the one behind.
#[test]
fn a_file_grows_to_its_largest_size_and_no_further() {
    let mut machine = Machine::new(64);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    let too_big = Errno::FBIG.answer();
    let truncate = |machine: &mut Machine, length: u64| {
        machine.call(__NR_ftruncate, &[file as usize, length as usize])
    };
    assert_eq!(truncate(&mut machine, MAX_LENGTH), 0);
    // The next number is a negative one.
    let invalid = Errno::INVAL.answer();
    assert_eq!(truncate(&mut machine, MAX_LENGTH + 1), invalid);
    assert_eq!(length(&mut machine, file), MAX_LENGTH);
    assert_eq!(truncate(&mut machine, 0), 0);
    assert_eq!(
        write_at(&mut machine.files, file, b"x", MAX_LENGTH),
        too_big
    );
    // Nothing is no byte too many.
    assert_eq!(write_at(&mut machine.files, file, b"", MAX_LENGTH), 0);
    assert_eq!(length(&mut machine, file), 0);
    let allocate = |machine: &mut Machine, mode: u32, offset: u64, bytes: u64| {
        let (offset, bytes) = (offset as usize, bytes as usize);
        machine.call(
            __NR_fallocate,
            &[file as usize, mode as usize, offset, bytes],
        )
    };
    assert_eq!(allocate(&mut machine, 0, MAX_LENGTH, 1), too_big);
    assert_eq!(length(&mut machine, file), 0);
}

/// `RLIMIT_FSIZE`: as the largest size, and with the answer that brings the signal.
#[test]
fn a_limit_of_the_program_s_own_cuts_writes_and_signals() {
    let mut machine = Machine::new(64);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    let limit = PAGE_BYTES as u64 + 10;
    machine.files.size_limit = limit;
    let signals = Errno::SIZE_SIGNAL.answer();
    assert_ne!(signals, Errno::FBIG.answer());
    assert_eq!(write_at(&mut machine.files, file, b"xyz", limit - 2), 2);
    assert_eq!(write_at(&mut machine.files, file, b"z", limit), signals);
    assert_eq!(write_at(&mut machine.files, file, b"z", limit - 1), 1);
    let truncate = |machine: &mut Machine, length: u64| {
        machine.call(__NR_ftruncate, &[file as usize, length as usize])
    };
    assert_eq!(truncate(&mut machine, limit), 0);
    assert_eq!(truncate(&mut machine, limit + 1), signals);
    // A file that was larger before may shrink to more than the limit.
    machine.files.size_limit = MAX_LENGTH;
    assert_eq!(truncate(&mut machine, 10 * limit), 0);
    machine.files.size_limit = limit;
    assert_eq!(truncate(&mut machine, 9 * limit), 0);
    assert_eq!(truncate(&mut machine, 9 * limit + 1), signals);
    let allocate = |machine: &mut Machine, mode: u32, end: u64| {
        machine.call(
            __NR_fallocate,
            &[file as usize, mode as usize, 0, end as usize],
        )
    };
    assert_eq!(allocate(&mut machine, 0, 9 * limit), 0);
    assert_eq!(allocate(&mut machine, 0, 9 * limit + 1), signals);
    // Room that is no length.
    assert_eq!(
        allocate(&mut machine, FALLOC_FL_KEEP_SIZE, 9 * limit + 1),
        0
    );
    assert_eq!(length(&mut machine, file), 9 * limit);
}
