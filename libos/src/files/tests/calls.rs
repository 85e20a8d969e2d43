//! Single calls, and what the comparison with Linux leaves out: absolute paths, the working
//! directory, times, devices, the console, listings that change, in-file holes.
//! (Over 400 lines: a flat list of short tests.)

use super::super::Errno;
use super::{Console, Machine};
use bespoke_abi::hypercall::WAIT_CONSOLE;
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{FIONREAD, TCGETS, TIOCGWINSZ};
use std::vec::Vec;

const ENOENT: isize = -2;
const EBADF: isize = -9;
const EFAULT: isize = -14;
const EINVAL: isize = -22;
const EMFILE: isize = -24;
const ENOTTY: isize = -25;
const ENOSPC: isize = -28;
const ESPIPE: isize = -29;
const ELOOP: isize = -40;
const ENAMETOOLONG: isize = -36;

fn stat_of(machine: &mut Machine, path: &str) -> stat {
    // SAFETY: integers: all zero is a value.
    let mut answer: stat = unsafe { core::mem::zeroed() };
    assert_eq!(
        machine.path(__NR_lstat, path, &raw mut answer as usize, 0),
        0,
        "{path}"
    );
    answer
}

#[test]
fn the_initial_tree_is_there() {
    let mut machine = Machine::new(16);
    for (path, mode) in [
        ("/", S_IFDIR | 0o755),
        ("/tmp", S_IFDIR | 0o1777),
        ("/etc", S_IFDIR | 0o755),
        ("/root", S_IFDIR | 0o700),
        ("/dev/null", S_IFCHR | 0o666),
    ] {
        assert_eq!(stat_of(&mut machine, path).st_mode, mode, "{path}");
    }
    assert_eq!(stat_of(&mut machine, "/dev/null").st_rdev, 0x103);
    assert_eq!(stat_of(&mut machine, "/").st_nlink, 6);
    assert_eq!(machine.held(), 0);
}

#[test]
fn a_file_of_one_byte_costs_one_page_and_reads_back() {
    let mut machine = Machine::new(16);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    assert_eq!(file, 3);
    assert_eq!(machine.write(file, b"x"), 1);
    assert_eq!(
        (
            machine.held(),
            machine.fstat(file).st_blocks,
            machine.fstat(file).st_size
        ),
        (1, 8, 1)
    );
    assert_eq!(machine.pread(file, 10, 0), b"x");
}

#[test]
fn what_lies_between_the_old_end_and_a_later_write_reads_as_zero() {
    let mut machine = Machine::new(16);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    assert_eq!(machine.write(file, &[7; 4096]), 4096);
    assert_eq!(machine.call(__NR_ftruncate, &[file as usize, 10]), 0);
    assert_eq!(machine.pwrite(file, b"z", 20), 1);
    assert_eq!(
        machine.pread(file, 99, 0),
        [&[7; 10][..], &[0; 10], b"z"].concat()
    );
    assert_eq!(machine.call(__NR_ftruncate, &[file as usize, 5000]), 0);
    assert!(machine.pread(file, 5000, 21).iter().all(|&byte| byte == 0));
}

#[test]
fn an_unlinked_file_lives_until_it_is_closed() {
    let mut machine = Machine::new(16);
    let before = machine.files.usage();
    let file = machine.open("/a", O_RDWR | O_CREAT);
    assert_eq!(machine.write(file, &[1; 9000]), 9000);
    assert_eq!(machine.path(__NR_unlink, "/a", 0, 0), 0);
    assert_eq!(machine.open("/a", O_RDONLY), ENOENT);
    assert_eq!(machine.fstat(file).st_nlink, 0);
    assert_eq!(machine.pread(file, 2, 8998), [1, 1]);
    assert_eq!(machine.held(), 3);
    assert_eq!(machine.close(file), 0);
    assert_eq!(machine.files.usage(), before);
    assert_eq!(machine.held(), 0);
}

#[test]
fn holes_are_found_and_punched() {
    let mut machine = Machine::new(16);
    let file = machine.open("/a", O_RDWR | O_CREAT) as usize;
    assert_eq!(machine.pwrite(file as isize, b"x", 8192), 1);
    assert_eq!(machine.held(), 1);
    let mut seek =
        |offset: usize, whence: u32| machine.call(__NR_lseek, &[file, offset, whence as usize]);
    assert_eq!((seek(0, SEEK_DATA), seek(0, SEEK_HOLE)), (8192, 0));
    assert_eq!(
        (
            seek(8192, SEEK_HOLE),
            seek(8193, SEEK_DATA),
            seek(9000, SEEK_DATA)
        ),
        (8193, -6, -6)
    );
    let punch = (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) as usize;
    assert_eq!(machine.pwrite(file as isize, &[5; 8192], 0), 8192);
    assert_eq!(machine.call(__NR_fallocate, &[file, punch, 100, 4096]), 0);
    assert_eq!(machine.held(), 3);
    assert_eq!(
        machine.pread(file as isize, 8193, 0),
        [&[5; 100][..], &[0; 4096], &[5; 3996], b"x"].concat()
    );
    assert_eq!(machine.call(__NR_fallocate, &[file, punch, 0, 4096]), 0);
    assert_eq!(machine.held(), 2);
}

#[test]
fn the_working_directory_follows_renames_and_removal() {
    let mut machine = Machine::new(16);
    let mut buffer = [0u8; 64];
    let mut directory = |machine: &mut Machine| {
        let count = machine.call(__NR_getcwd, &[buffer.as_mut_ptr() as usize, 64]);
        usize::try_from(count)
            .map(|count| buffer[..count].to_vec())
            .map_err(|_| count)
    };
    assert_eq!(directory(&mut machine), Ok(b"/\0".to_vec()));
    assert_eq!(machine.path(__NR_mkdir, "/tmp/a", 0o755, 0), 0);
    assert_eq!(machine.path(__NR_mkdir, "/tmp/a/b", 0o755, 0), 0);
    assert_eq!(machine.path(__NR_chdir, "/tmp/a/b", 0, 0), 0);
    assert_eq!(machine.paths(__NR_rename, "/tmp/a", "../../../etc/z"), 0);
    assert_eq!(directory(&mut machine), Ok(b"/etc/z/b\0".to_vec()));
    assert_eq!(machine.path(__NR_rmdir, "/etc/z/b", 0, 0), 0);
    assert_eq!(directory(&mut machine), Err(ENOENT));
    assert_eq!(machine.open("new", O_RDWR | O_CREAT), ENOENT);
    assert_eq!(machine.path(__NR_chdir, "..", 0, 0), 0);
    assert_eq!(directory(&mut machine), Ok(b"/etc/z\0".to_vec()));
    assert_eq!(
        machine.call(__NR_getcwd, &[buffer.as_mut_ptr() as usize, 3]),
        -34
    );
}

#[test]
fn symbolic_links_end_after_forty() {
    let mut machine = Machine::new(16);
    assert_eq!(machine.paths(__NR_symlink, "/loop", "/loop"), 0);
    assert_eq!(machine.open("/loop", O_RDONLY), ELOOP);
    assert_eq!(machine.open("/loop/x", O_RDONLY), ELOOP);
    assert_eq!(machine.paths(__NR_symlink, "tmp", "/t"), 0);
    let file = machine.open("/t/x", O_RDWR | O_CREAT);
    assert!(file >= 0);
    assert_eq!(
        stat_of(&mut machine, "/tmp/x").st_ino,
        machine.fstat(file).st_ino
    );
    let chain = |machine: &mut Machine, links: usize| {
        for link in 0..links {
            let to = if link == 0 {
                "/tmp/x".into()
            } else {
                std::format!("/c{}", link - 1)
            };
            machine.paths(__NR_symlink, &to, &std::format!("/c{link}"));
        }
        machine.open(&std::format!("/c{}", links - 1), O_RDONLY)
    };
    assert!(chain(&mut machine, 40) > 0);
    assert_eq!(chain(&mut machine, 41), ELOOP);
}

#[test]
fn names_and_paths_have_limits() {
    let mut machine = Machine::new(16);
    assert!(machine.open(&"n".repeat(255), O_RDWR | O_CREAT) >= 0);
    assert_eq!(
        machine.open(&"n".repeat(256), O_RDWR | O_CREAT),
        ENAMETOOLONG
    );
    assert_eq!(machine.open(&"./".repeat(2048), O_RDONLY), ENAMETOOLONG);
    assert_eq!(machine.open("", O_RDONLY), ENOENT);
}

#[test]
fn impossible_addresses_are_refused() {
    let mut machine = Machine::new(16);
    let file = machine.open("/a", O_RDWR | O_CREAT) as usize;
    assert_eq!(machine.call(__NR_write, &[file, 0, 5]), EFAULT);
    assert_eq!(machine.call(__NR_write, &[file, 0xfff, 5]), EFAULT);
    // At the end of a file Linux does not look into the buffer.
    assert_eq!(machine.call(__NR_read, &[file, 1 << 63, 5]), EFAULT);
    assert_eq!(machine.call(__NR_read, &[file, 8, 5]), 0);
    assert_eq!(machine.write(file as isize, b"bytes"), 5);
    assert_eq!(machine.call(__NR_lseek, &[file, 0, SEEK_SET as usize]), 0);
    assert_eq!(machine.call(__NR_read, &[file, 1 << 63, 5]), EFAULT);
    assert_eq!(machine.call(__NR_read, &[file, (1 << 47) - 2, 5]), EFAULT);
    assert_eq!(
        machine.call(__NR_write, &[file, 0x1000, usize::MAX]),
        EFAULT
    );
    assert_eq!(machine.call(__NR_open, &[0, 0, 0]), EFAULT);
    assert_eq!(machine.call(__NR_fstat, &[file, 8]), EFAULT);
    assert_eq!(machine.call(__NR_writev, &[file, 16, 1]), EFAULT);
    assert_eq!(machine.call(__NR_writev, &[file, 0x1000, 1025]), EINVAL);
}

#[test]
fn descriptors_are_the_lowest_closed_ones_up_to_the_limit() {
    let mut machine = Machine::new(16);
    let first = machine.open("/a", O_RDWR | O_CREAT | O_CLOEXEC);
    assert_eq!(first, 3);
    assert_eq!(machine.call(__NR_fcntl, &[3, F_GETFD as usize]), 1);
    assert_eq!(machine.call(__NR_fcntl, &[3, F_DUPFD as usize, 10]), 10);
    assert_eq!(machine.call(__NR_fcntl, &[10, F_GETFD as usize]), 0);
    assert_eq!(machine.call(__NR_dup2, &[3, 7]), 7);
    assert_eq!(machine.write(7, b"shared"), 6);
    assert_eq!(machine.call(__NR_lseek, &[3, 0, SEEK_CUR as usize]), 6);
    assert_eq!(machine.call(__NR_dup3, &[3, 3, 0]), EINVAL);
    assert_eq!(machine.call(__NR_dup2, &[3, 65_536]), EBADF);
    assert_eq!(machine.call(__NR_dup2, &[99, 3]), EBADF);
    assert_eq!(machine.close(99), EBADF);
    assert_eq!(machine.call(__NR_close, &[usize::MAX]), EBADF);
    let mut last = 0;
    while last >= 0 {
        last = machine.open("/a", O_RDONLY);
    }
    assert_eq!(last, EMFILE);
    assert_eq!(machine.close(500), 0);
    assert_eq!(machine.close(400), 0);
    assert_eq!(
        (machine.open("/a", O_RDONLY), machine.open("/a", O_RDONLY)),
        (400, 500)
    );
    assert_eq!(
        machine.call(__NR_close_range, &[3, u32::MAX as usize, 0]),
        0
    );
    assert_eq!(machine.open("/a", O_RDONLY), 3);
}

#[test]
fn record_locks_conflict_between_owners_and_end_with_any_close() {
    let mut machine = Machine::new(16);
    let (one, two) = (
        machine.open("/a", O_RDWR | O_CREAT) as usize,
        machine.open("/a", O_RDWR) as usize,
    );
    let lock = |machine: &mut Machine,
                descriptor: usize,
                command: u32,
                kind: u32,
                start: i64,
                length: i64| {
        let mut lock = flock {
            l_type: kind as i16,
            l_whence: 0,
            l_start: start,
            l_len: length,
            l_pid: 0,
        };
        let answer = machine.call(
            __NR_fcntl,
            &[descriptor, command as usize, &raw mut lock as usize],
        );
        (answer, lock.l_type as u32, lock.l_start, lock.l_len)
    };
    // The process never conflicts with itself.
    assert_eq!(lock(&mut machine, one, F_SETLK, F_WRLCK, 0, 10).0, 0);
    assert_eq!(lock(&mut machine, two, F_SETLK, F_WRLCK, 5, 10).0, 0);
    assert_eq!(lock(&mut machine, two, F_GETLK, F_WRLCK, 0, 0).1, F_UNLCK);
    // A description does, with the process: the ranges have become one.
    assert_eq!(
        lock(&mut machine, two, F_OFD_GETLK, F_RDLCK, 0, 0),
        (0, F_WRLCK, 0, 15)
    );
    assert_eq!(lock(&mut machine, two, F_OFD_SETLK, F_RDLCK, 14, 1).0, -11);
    // Unlocking the middle leaves both ends.
    assert_eq!(lock(&mut machine, one, F_SETLK, F_UNLCK, 4, 2).0, 0);
    assert_eq!(
        lock(&mut machine, two, F_OFD_GETLK, F_RDLCK, 1, 0),
        (0, F_WRLCK, 0, 4)
    );
    assert_eq!(
        lock(&mut machine, two, F_OFD_GETLK, F_RDLCK, 4, 0),
        (0, F_WRLCK, 6, 9)
    );
    // One that only names the file has nothing to do with locks.
    let name = machine.open("/a", O_PATH);
    assert_eq!(machine.close(name), 0);
    assert_eq!(lock(&mut machine, two, F_OFD_SETLK, F_RDLCK, 0, 0).0, -11);
    let third = machine.open("/a", O_RDONLY);
    assert_eq!(machine.close(third), 0);
    assert_eq!(lock(&mut machine, two, F_OFD_SETLK, F_RDLCK, 0, 0).0, 0);
    assert_eq!(lock(&mut machine, one, F_SETLK, F_WRLCK, 100, 1).0, -11);
    assert_eq!(machine.close(two as isize), 0);
    assert_eq!(lock(&mut machine, one, F_SETLK, F_WRLCK, 100, 1).0, 0);
}

#[test]
fn times_move_as_they_should() {
    let mut machine = Machine::new(16);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    let times = |machine: &mut Machine| {
        let answer = machine.fstat(file);
        (
            answer.st_atime_nsec,
            answer.st_mtime_nsec,
            answer.st_ctime_nsec,
        )
    };
    let created = times(&mut machine);
    assert_eq!(machine.write(file, b"x"), 1);
    let written = times(&mut machine);
    assert!(written.1 > created.1 && written.1 == written.2 && written.0 == created.0);
    machine.pread(file, 1, 0);
    let read = times(&mut machine);
    assert!(read.0 > written.1 && read.1 == written.1);
    machine.pread(file, 1, 0);
    assert_eq!(times(&mut machine), read);
    let set = [[1i64, 2i64], [-1, i64::from(UTIME_OMIT)]];
    assert_eq!(
        machine.call(
            __NR_utimensat,
            &[file as usize, 0, set.as_ptr() as usize, 0]
        ),
        0
    );
    let answer = machine.fstat(file);
    assert_eq!(
        (answer.st_atime, answer.st_atime_nsec, answer.st_mtime_nsec),
        (1, 2, read.1)
    );
    let bad = [[1i64, 1_000_000_000i64], [0, 0]];
    assert_eq!(
        machine.call(
            __NR_utimensat,
            &[file as usize, 0, bad.as_ptr() as usize, 0]
        ),
        EINVAL
    );
}

#[test]
fn devices_behave() {
    let mut machine = Machine::new(16);
    let mut buffer = [9u8; 4];
    let mut device = |path: &str| {
        let descriptor = machine.open(path, O_RDWR);
        let written = machine.write(descriptor, b"abcd");
        let read = machine.call(
            __NR_read,
            &[descriptor as usize, buffer.as_mut_ptr() as usize, 4],
        );
        (written, read, buffer)
    };
    assert_eq!(device("/dev/null"), (4, 0, [9; 4]));
    assert_eq!(device("/dev/zero"), (4, 4, [0; 4]));
    assert_eq!(device("/dev/urandom"), (4, 4, [4; 4]));
    assert_eq!(device("/dev/full"), (ENOSPC, 4, [0; 4]));
    assert_eq!(machine.open("/dev/tty", O_RDWR), -6);
}

#[test]
fn the_console_reads_writes_and_tells_what_it_is() {
    let mut machine = Machine::new(16);
    machine.files.host().input.borrow_mut().extend(b"hello");
    let mut buffer = [0u8; 8];
    assert_eq!(
        machine.call(__NR_read, &[0, buffer.as_mut_ptr() as usize, 8]),
        5
    );
    assert_eq!(&buffer[..5], b"hello");
    assert_eq!(
        machine.call(__NR_read, &[0, buffer.as_mut_ptr() as usize, 8]),
        0
    );
    let spans: Vec<[usize; 2]> = (0..100).map(|_| [b"ab".as_ptr() as usize, 2]).collect();
    assert_eq!(
        machine.call(__NR_writev, &[1, spans.as_ptr() as usize, 100]),
        200
    );
    assert_eq!(machine.files.host().output.borrow().len(), 200);
    assert_eq!(machine.write(0, b"x"), EBADF);
    assert_eq!(machine.call(__NR_lseek, &[1, 0, 0]), ESPIPE);
    assert_eq!(
        machine.call(
            __NR_ioctl,
            &[1, TIOCGWINSZ as usize, buffer.as_mut_ptr() as usize]
        ),
        ENOTTY
    );
    assert_eq!(machine.fstat(1).st_mode & S_IFMT, S_IFIFO);
    let mut machine = Machine::with_console(
        16,
        Console {
            terminal: true,
            ..Console::default()
        },
    );
    assert_eq!(
        machine.call(
            __NR_ioctl,
            &[1, TIOCGWINSZ as usize, buffer.as_mut_ptr() as usize]
        ),
        0
    );
    assert_eq!(buffer, [24, 0, 80, 0, 0, 0, 0, 0]);
    let mut settings = [0u8; 36];
    assert_eq!(
        machine.call(
            __NR_ioctl,
            &[0, TCGETS as usize, settings.as_mut_ptr() as usize]
        ),
        0
    );
    assert_eq!(machine.fstat(1).st_mode & S_IFMT, S_IFCHR);
    let tty = machine.open("/dev/tty", O_RDWR);
    assert_eq!(machine.write(tty, b"to the terminal"), 15);
    let file = machine.open("/a", O_RDWR | O_CREAT);
    machine.pwrite(file, b"12345", 0);
    assert_eq!(
        machine.call(
            __NR_ioctl,
            &[
                file as usize,
                TCGETS as usize,
                settings.as_mut_ptr() as usize
            ]
        ),
        ENOTTY
    );
    assert_eq!(
        machine.call(
            __NR_ioctl,
            &[
                file as usize,
                FIONREAD as usize,
                settings.as_mut_ptr() as usize
            ]
        ),
        0
    );
    assert_eq!(settings[..4], [5, 0, 0, 0]);
}

#[test]
fn small_reads_of_the_console_are_few_of_the_monitors() {
    const AHEAD: usize = 16 << 10;
    let mut machine = Machine::with_console(
        16,
        Console {
            read_ahead_bytes: AHEAD,
            ..Console::default()
        },
    );
    let text: Vec<u8> = (0..64usize << 10).map(|at| (at * 13) as u8).collect();
    machine.files.host().input.borrow_mut().extend(&text);
    let read = |machine: &mut Machine, bytes: usize| {
        let mut buffer = std::vec![0u8; bytes];
        let answer = machine.call(__NR_read, &[0, buffer.as_mut_ptr() as usize, bytes]);
        buffer.truncate(usize::try_from(answer).expect("bytes"));
        buffer
    };
    let mut all = Vec::new();
    while all.len() < 32 << 10 {
        all.extend(read(&mut machine, 1000));
    }
    assert_eq!(machine.files.host().reads.get(), 2);
    // What is there already is there for poll, though the monitor has nothing new.
    all.extend(read(&mut machine, 1));
    machine.files.host().waits.set(true);
    let mut entry = pollfd {
        fd: 0,
        events: POLLIN as i16,
        revents: 0,
    };
    assert_eq!(machine.call(__NR_poll, &[&raw mut entry as usize, 1, 0]), 1);
    all.extend(read(&mut machine, 1));
    machine.files.host().waits.set(false);
    loop {
        let some = read(&mut machine, 1000);
        if some.is_empty() {
            break;
        }
        all.extend(some);
    }
    assert!(all == text);
    // Four with input, and the end.
    assert_eq!(machine.files.host().reads.get(), 5);
    // A read that is as large as what would be read ahead goes straight to its buffer; the end may be no end.
    machine.files.host().input.borrow_mut().extend(b"more");
    assert_eq!(read(&mut machine, AHEAD), b"more");
    assert_eq!(machine.files.host().reads.get(), 6);
}

#[test]
fn a_read_of_the_console_waits_for_input() {
    let mut machine = Machine::new(16);
    machine.files.host().waits.set(true);
    let mut buffer = [0u8; 8];
    let mut read =
        |machine: &mut Machine| machine.call(__NR_read, &[0, buffer.as_mut_ptr() as usize, 8]);
    assert_eq!(read(&mut machine), Errno::RESTART.answer());
    let mut attempt = machine.files.take_attempt();
    machine.files.arrived(WAIT_CONSOLE);
    assert_eq!(machine.files.host().woken.borrow()[..], [0]);
    machine.files.end_wait(&mut attempt);
    assert_eq!(machine.files.sources().events, 0);
    machine.files.host().waits.set(false);
    machine.files.host().input.borrow_mut().extend(b"now");
    assert_eq!(machine.files.resume(attempt), Ok(()));
    assert_eq!(read(&mut machine), 3);
    machine.files.finish_attempt();
    machine.files.host().waits.set(true);
    assert_eq!(
        machine.call(__NR_fcntl, &[0, F_SETFL as usize, O_NONBLOCK as usize]),
        0
    );
    assert_eq!(read(&mut machine), Errno::AGAIN.answer());
    let mut entry = pollfd {
        fd: 0,
        events: (POLLIN | POLLOUT) as i16,
        revents: 0,
    };
    let mut poll = |machine: &mut Machine| {
        machine.call(__NR_poll, &[&raw mut entry as usize, 1, 0]);
        entry.revents as u32
    };
    assert_eq!(poll(&mut machine), POLLOUT);
    machine.files.host().waits.set(false);
    assert_eq!(poll(&mut machine), POLLIN | POLLOUT);
}

#[test]
fn generated_files_tell_what_is_true() {
    let mut machine = Machine::new(16);
    let mut read = |path: &str| {
        let file = machine.open(path, O_RDONLY);
        assert!(file >= 0, "{path}: {file}");
        let text = std::string::String::from_utf8(machine.pread(file, 4096, 0)).expect("UTF-8");
        let again = machine.pread(file, 4096, 5);
        assert_eq!(again, text.as_bytes()[5..], "{path}");
        assert_eq!(machine.close(file), 0);
        text
    };
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat.split_whitespace().collect();
    assert_eq!(
        (fields.len(), fields[1], fields[19], fields[23]),
        (52, "(test)", "3", "600")
    );
    assert!(read("/proc/self/status").contains("VmRSS:\t    2400 kB\n"));
    assert!(read("/proc/self/status").contains("\nThreads:\t3\n"));
    assert!(read("/proc/meminfo").starts_with("MemTotal:           4000 kB\nMemFree: "));
    assert_eq!(read("/proc/sys/net/core/somaxconn").trim(), "4096");
    assert_eq!(machine.open("/proc/self/stat", O_RDWR), -13);
    assert_eq!(machine.open("/proc/self/nothing", O_RDONLY), ENOENT);
    let before = machine.files.usage();
    let file = machine.open("/proc/uptime", O_RDONLY);
    assert_eq!(machine.fstat(file).st_mode & S_IFMT, S_IFREG);
    assert_eq!(machine.close(file), 0);
    assert_eq!(machine.files.usage(), before);
}

#[test]
fn a_listing_gives_every_name_once_while_names_come_and_go() {
    let mut machine = Machine::new(16);
    for index in 0..50 {
        let file = machine.open(&std::format!("/tmp/f{index:02}"), O_RDWR | O_CREAT);
        machine.close(file);
    }
    let directory = machine.open("/tmp", O_RDONLY | O_DIRECTORY) as usize;
    let mut buffer = [0u8; 32];
    let mut seen = Vec::new();
    loop {
        let count = machine.call(
            __NR_getdents64,
            &[directory, buffer.as_mut_ptr() as usize, buffer.len()],
        );
        if count == 0 {
            break;
        }
        let name = std::string::String::from_utf8(buffer[19..22].to_vec()).expect("UTF-8");
        if name.starts_with('f') {
            assert_eq!(
                machine.path(__NR_unlink, &std::format!("/tmp/{name}"), 0, 0),
                0
            );
            let file = machine.open(&std::format!("/tmp/a{name}"), O_RDWR | O_CREAT);
            machine.close(file);
            seen.push(name);
        }
    }
    let expected: Vec<_> = (0..50).map(|index| std::format!("f{index:02}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(
        machine.call(__NR_getdents64, &[3, buffer.as_mut_ptr() as usize, 8]),
        0
    );
    assert_eq!(machine.call(__NR_lseek, &[directory, 0, 0]), 0);
    assert_eq!(
        machine.call(
            __NR_getdents64,
            &[directory, buffer.as_mut_ptr() as usize, 8]
        ),
        EINVAL
    );
}

#[test]
fn statfs_tells_the_memory_there_is() {
    let mut machine = Machine::new(16);
    // SAFETY: integers: all zero is a value.
    let mut answer: statfs = unsafe { core::mem::zeroed() };
    assert_eq!(
        machine.path(__NR_statfs, "/tmp", &raw mut answer as usize, 0),
        0
    );
    assert_eq!(
        (
            answer.f_type,
            answer.f_blocks,
            answer.f_bfree,
            answer.f_bsize
        ),
        (0x0102_1994, 1000, 400, 4096)
    );
}

#[test]
fn calls_that_are_none_of_files_are_left_to_others() {
    let mut machine = Machine::new(16);
    // SAFETY: no addresses.
    assert_eq!(
        // SAFETY: not a file call, so no argument is looked at.
        unsafe { machine.files.system_call(__NR_mmap as usize, [0; 6]) },
        None
    );
}
