//! Mappings of files: shared ones are the file, private ones a copy, and behind the end of a file nothing may be used.

use super::super::fault::{BUS_ADRERR, SEGV_ACCERR};
use super::super::{Rights, check, fault_signal, madvise, map_file, mprotect, munmap};
use super::{Guest, PAGE, READ, READ_WRITE, in_own_process, mremap};
use crate::calls::{Outcome, errno};
use crate::files::Errno;
use crate::filesystem;
use linux_raw_sys::general::*;
use std::ffi::CString;
use std::vec::Vec;

const SHARED: usize = MAP_SHARED as usize;
const PRIVATE: usize = MAP_PRIVATE as usize;

pub fn call(number: u32, arguments: &[usize]) -> isize {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, ..] = all;
    // SAFETY: buffers of the tests.
    let answer = unsafe {
        let prompt = filesystem::prompt_call(number as usize, a, b, c, d);
        prompt.or_else(|| filesystem::call(number as usize, all))
    };
    answer.expect("a call on files")
}

fn open(path: &str, flags: u32) -> usize {
    let path = CString::new(path).expect("no NUL");
    let answer = call(__NR_open, &[path.as_ptr() as usize, flags as usize, 0o644]);
    usize::try_from(answer).expect("it opens")
}

/// A file of so many bytes, each of the number of its page.
pub fn file(bytes: usize) -> usize {
    assert!(filesystem::start_late(), "memory for the files");
    let descriptor = open("/file", O_RDWR | O_CREAT);
    let text: Vec<u8> = (0..bytes).map(|at| (at / PAGE + 1) as u8).collect();
    let written = call(__NR_write, &[descriptor, text.as_ptr() as usize, bytes]);
    assert_eq!(written, bytes as isize);
    descriptor
}

fn map(bytes: usize, protection: usize, flags: usize, file: usize, offset: usize) -> Outcome {
    map_file(0, bytes, protection, flags, file, offset)
}

pub fn byte(address: usize) -> u8 {
    // SAFETY: the tests ask for what is mapped and may be read.
    unsafe { (address as *const u8).read_volatile() }
}

pub fn store(address: usize, value: u8) {
    // SAFETY: the tests store to what is mapped and may be written.
    unsafe { (address as *mut u8).write_volatile(value) }
}

/// A byte of the file.
pub fn in_file(descriptor: usize, at: usize) -> u8 {
    let mut byte = 0u8;
    let place = &raw mut byte as usize;
    assert_eq!(call(__NR_pread64, &[descriptor, place, 1, at]), 1);
    byte
}

pub fn truncate(descriptor: usize, bytes: usize) {
    assert_eq!(call(__NR_ftruncate, &[descriptor, bytes]), 0);
}

fn rights(guest: &Guest, start: usize, count: usize) -> Vec<Rights> {
    let pages = (0..count).map(|page| start + page * PAGE);
    pages.map(|page| guest.host_rights(page)).collect()
}

#[test]
fn a_shared_mapping_is_the_file() {
    in_own_process(|guest| {
        let file = file(2 * PAGE + 10);
        let at = map(4 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        use Rights::{None, Write};
        assert_eq!(rights(guest, at, 4), [Write, Write, Write, None]);
        assert_eq!(
            [0, PAGE, 2 * PAGE + 9, 2 * PAGE + 10].map(|offset| byte(at + offset)),
            [1, 2, 3, 0]
        );
        store(at + PAGE + 5, 77);
        assert_eq!(in_file(file, PAGE + 5), 77);
        let text = [66u8];
        let written = call(__NR_pwrite64, &[file, text.as_ptr() as usize, 1, 3]);
        assert_eq!((written, byte(at + 3)), (1, 66));
        // Past the end.
        assert_eq!(fault_signal(at + 3 * PAGE), (SIGBUS, BUS_ADRERR));
        assert_eq!(fault_signal(at + 3 * PAGE - 1), (SIGSEGV, SEGV_ACCERR));
        assert_eq!(check::reach(at, 4 * PAGE, Rights::Read), 3 * PAGE);
        // It grows and shrinks with the file.
        truncate(file, 4 * PAGE);
        assert_eq!(rights(guest, at, 4), [Write; 4]);
        assert_eq!(byte(at + 3 * PAGE), 0);
        truncate(file, PAGE);
        assert_eq!(rights(guest, at, 4), [Write, None, None, None]);
        assert_eq!(fault_signal(at + PAGE), (SIGBUS, BUS_ADRERR));
        truncate(file, 2 * PAGE);
        assert_eq!(byte(at + PAGE + 5), 0);
        assert_eq!(munmap(at, 4 * PAGE), Ok(0));
        // What was stored stays in the file.
        assert_eq!((in_file(file, 3), in_file(file, 4)), (66, 1));
    });
}

#[test]
fn a_mapping_of_a_file_is_unmapped_in_parts() {
    in_own_process(|guest| {
        let file = file(4 * PAGE);
        let first = map(4 * PAGE, READ, SHARED, file, 0).expect("mapped");
        assert_eq!(rights(guest, first, 4), [Rights::Read; 4]);
        assert_eq!(munmap(first, PAGE), Ok(0));
        assert_eq!(munmap(first + 3 * PAGE, PAGE), Ok(0));
        assert_eq!([byte(first + PAGE), byte(first + 2 * PAGE)], [2, 3]);
        assert_eq!(munmap(first, 4 * PAGE), Ok(0));
        let again = map(4 * PAGE, READ, SHARED, file, 0).expect("mapped");
        assert_eq!(munmap(again, 4 * PAGE), Ok(0));
        // Unlinked and closed, its pages are free.
        let path = c"/file".as_ptr() as usize;
        assert_eq!(call(__NR_unlink, &[path]), 0);
        let last = map(4 * PAGE, READ, SHARED, file, 0).expect("mapped");
        assert_eq!(call(__NR_close, &[file]), 0);
        assert_eq!(byte(last + 3 * PAGE), 4);
        let files = crate::stats().components[crate::components::FILES]
            .held_pages
            .get();
        assert_eq!(munmap(last, 4 * PAGE), Ok(0));
        let now = crate::stats().components[crate::components::FILES]
            .held_pages
            .get();
        assert!(now + 4 <= files, "{now} of {files} pages");
    });
}

#[test]
fn a_private_mapping_is_a_copy() {
    in_own_process(|guest| {
        let file = file(PAGE + 10);
        let at = map(3 * PAGE, READ_WRITE, PRIVATE, file, 0).expect("mapped");
        assert_eq!(
            rights(guest, at, 3),
            [Rights::Write, Rights::Write, Rights::None]
        );
        store(at, 99);
        assert_eq!(in_file(file, 0), 1);
        assert_eq!([byte(at + PAGE), byte(at + PAGE + 10)], [2, 0]);
        assert_eq!(fault_signal(at + 2 * PAGE), (SIGBUS, BUS_ADRERR));
        assert_eq!(fault_signal(at + 2 * PAGE - 1), (SIGSEGV, SEGV_ACCERR));
        // The file is not at hand any more.
        for advice in [MADV_DONTNEED, MADV_FREE] {
            assert_eq!(madvise(at, PAGE, advice as usize), Err(errno::EINVAL));
        }
        assert_eq!(madvise(at + 2 * PAGE, PAGE, MADV_DONTNEED as usize), Ok(0));
        // From a page in the middle; and all of it past the end.
        let second = map(PAGE, READ, PRIVATE, file, PAGE).expect("mapped");
        assert_eq!((byte(second), guest.host_rights(second)), (2, Rights::Read));
        let past = map(PAGE, READ, PRIVATE, file, 5 * PAGE).expect("mapped");
        assert_eq!(guest.host_rights(past), Rights::None);
        // A descriptor for reading is enough.
        let reads = open("/file", O_RDONLY);
        let copy = map(PAGE, READ_WRITE, PRIVATE, reads, 0).expect("mapped");
        store(copy, 5);
        assert_eq!(in_file(file, 0), 1);
    });
}

#[test]
fn rights_of_a_mapping_are_those_of_its_descriptor() {
    in_own_process(|_| {
        let file = file(PAGE);
        let (reads, writes) = (open("/file", O_RDONLY), open("/file", O_WRONLY));
        assert_eq!(map(PAGE, READ_WRITE, SHARED, reads, 0), Err(errno::EACCES));
        assert_eq!(map(PAGE, READ, SHARED, writes, 0), Err(errno::EACCES));
        assert_eq!(map(PAGE, READ, PRIVATE, writes, 0), Err(errno::EACCES));
        let at = map(PAGE, READ, SHARED, reads, 0).expect("mapped");
        assert_eq!(mprotect(at, PAGE, READ_WRITE), Err(errno::EACCES));
        assert_eq!(mprotect(at, PAGE, 0), Ok(0));
        assert_eq!(mprotect(at, PAGE, READ), Ok(0));
        assert_eq!(madvise(at, PAGE, MADV_REMOVE as usize), Err(errno::EACCES));
        assert_eq!(munmap(at, PAGE), Ok(0));
        assert_eq!(map(PAGE, READ, SHARED, 99, 0), Err(errno::EBADF));
        let at = map(PAGE, READ, SHARED, file, 0).expect("mapped");
        assert_eq!(mprotect(at, PAGE, READ_WRITE), Ok(0));
        store(at, 9);
        assert_eq!(in_file(file, 0), 9);
    });
}

#[test]
fn advice_drops_the_file_s_pages_only_when_it_says_so() {
    in_own_process(|_| {
        let file = file(3 * PAGE);
        let at = map(3 * PAGE, READ_WRITE, SHARED, file, 0).expect("mapped");
        store(at, 50);
        assert_eq!(madvise(at, PAGE, MADV_DONTNEED as usize), Ok(0));
        assert_eq!(byte(at), 50);
        assert_eq!(madvise(at, PAGE, MADV_FREE as usize), Err(errno::EINVAL));
        assert_eq!(madvise(at + PAGE, PAGE, MADV_REMOVE as usize), Ok(0));
        let pages = [0, 1, 2].map(|page| in_file(file, page * PAGE));
        assert_eq!(pages, [50, 0, 3]);
        assert_eq!(byte(at + PAGE), 0);
        assert_eq!(byte(at + 2 * PAGE - 1), 0);
    });
}

#[test]
fn offsets_and_lengths_are_bounded() {
    in_own_process(|_| {
        let file = file(2 * PAGE);
        assert_eq!(map(PAGE, READ, SHARED, file, 8), Err(errno::EINVAL));
        assert_eq!(map(0, READ, SHARED, file, 0), Err(errno::EINVAL));
        let overflow = Err(Errno::OVERFLOW.answer());
        let largest = i64::MAX as usize / PAGE * PAGE;
        for (bytes, offset) in [(PAGE, largest), (PAGE, usize::MAX - PAGE + 1)] {
            assert_eq!(map(bytes, READ, SHARED, file, offset), overflow);
            assert_eq!(map(bytes, READ, PRIVATE, file, offset), overflow);
        }
        for kind in [0, MAP_TYPE as usize] {
            assert_eq!(map(PAGE, READ, kind, file, 0), Err(errno::EINVAL));
        }
        let validate = MAP_SHARED_VALIDATE as usize;
        let unknown = validate | MAP_SYNC as usize;
        let refused = Err(Errno::OPNOTSUPP.answer());
        assert_eq!(map(PAGE, READ, unknown, file, 0), refused);
        let at = map(PAGE, READ, validate, file, 0).expect("mapped");
        assert_eq!(byte(at), 1);
        let execute = PROT_EXEC as usize;
        assert_eq!(map(PAGE, execute, SHARED, file, 0), Err(errno::EACCES));
    });
}

#[test]
fn a_mapping_of_a_file_is_put_where_it_is_wanted() {
    in_own_process(|guest| {
        let file = file(2 * PAGE);
        let own = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
        let place = super::super::mmap(0, 4 * PAGE, READ_WRITE, own).expect("pages");
        store(place, 1);
        let fixed = SHARED | MAP_FIXED as usize;
        let at = map_file(place + PAGE, 2 * PAGE, READ_WRITE, fixed, file, 0);
        assert_eq!(at, Ok(place + PAGE));
        assert_eq!([byte(place + PAGE), byte(place + 2 * PAGE)], [1, 2]);
        store(place + PAGE, 40);
        assert_eq!(in_file(file, 0), 40);
        // And its place is taken by other memory again; the file keeps what it has.
        let fixed = own | MAP_FIXED as usize;
        let at = super::super::mmap(place, 4 * PAGE, READ_WRITE, fixed);
        assert_eq!(at, Ok(place));
        assert_eq!(byte(place + PAGE), 0);
        store(place + PAGE, 7);
        assert_eq!((in_file(file, 0), in_file(file, PAGE)), (40, 2));
        assert_eq!(guest.host_rights(place + 3 * PAGE), Rights::Write);
        assert_eq!(munmap(place, 4 * PAGE), Ok(0));
        let noreplace = SHARED | MAP_FIXED_NOREPLACE as usize;
        let there = map(PAGE, READ, SHARED, file, 0).expect("mapped");
        let again = map_file(there, PAGE, READ, noreplace, file, 0);
        assert_eq!(again, Err(errno::EEXIST));
    });
}

#[test]
fn a_mapping_of_a_file_grows() {
    in_own_process(|guest| {
        let file = file(6 * PAGE);
        let at = map(2 * PAGE, READ_WRITE, SHARED, file, PAGE).expect("mapped");
        let may_move = MREMAP_MAYMOVE as usize;
        let longer = mremap(at, 2 * PAGE, 7 * PAGE, may_move).expect("it may move");
        let pages = [0, 1, 2, 3, 4].map(|page| byte(longer + page * PAGE));
        assert_eq!(pages, [2, 3, 4, 5, 6]);
        assert_eq!(guest.host_rights(longer + 5 * PAGE), Rights::None);
        store(longer + 4 * PAGE, 90);
        assert_eq!(in_file(file, 5 * PAGE), 90);
        let shorter = mremap(longer, 7 * PAGE, PAGE, 0);
        assert_eq!((shorter, byte(longer)), (Ok(longer), 2));
        assert_eq!(munmap(longer, 7 * PAGE), Ok(0));
    });
}

#[test]
fn zeros_of_a_device_are_memory() {
    in_own_process(|_| {
        assert!(filesystem::start_late(), "memory for the files");
        let zero = open("/dev/zero", O_RDWR);
        for (kind, keeps) in [(SHARED, true), (PRIVATE, false)] {
            let at = map(2 * PAGE, READ_WRITE, kind, zero, 0).expect("mapped");
            assert_eq!([byte(at), byte(at + 2 * PAGE - 1)], [0, 0]);
            store(at, 8);
            assert_eq!(madvise(at, PAGE, MADV_DONTNEED as usize), Ok(0));
            assert_eq!(byte(at) == 8, keeps);
            assert_eq!(munmap(at, 2 * PAGE), Ok(0));
        }
        let null = open("/dev/null", O_RDWR);
        assert!(map(PAGE, READ, SHARED, null, 0).is_err());
    });
}
