//! Descriptors and what is in files: flags, locks, seals, lengths, holes, positions.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::*;
use std::ffi::CString;
use std::format;
use std::vec;
use std::vec::Vec;

#[test]
fn opening() {
    same(|side| {
        side.file("file", b"content");
        side.path(__NR_mkdir, "folder", &[0o755]);
        for (target, link) in [
            ("file", "link"),
            ("folder", "to-folder"),
            ("nothing", "dangling"),
            ("loop", "loop"),
        ] {
            let (target, link) = (CString::new(target).unwrap(), CString::new(link).unwrap());
            side.call(__NR_symlink, &[at(target.as_c_str()), at(link.as_c_str())]);
        }
        let access = [O_RDONLY, O_WRONLY, O_RDWR, 3];
        let more = [
            0,
            O_CREAT,
            O_CREAT | O_EXCL,
            O_TRUNC,
            O_DIRECTORY,
            O_NOFOLLOW,
            O_PATH,
            O_APPEND,
            O_CREAT | O_DIRECTORY,
            O_NOFOLLOW | O_DIRECTORY,
            O_PATH | O_NOFOLLOW,
            O_CREAT | O_NOFOLLOW,
            O_NONBLOCK | O_CLOEXEC | O_SYNC,
        ];
        for path in [
            "file",
            "folder",
            "link",
            "to-folder",
            "dangling",
            "loop",
            "new",
            "file/",
            "folder/",
            "link/",
            "new/",
            "file/x",
            "nothing/x",
            "",
            ".",
            "/",
            "folder/../file",
            "./link",
        ] {
            for access in access {
                for more in more {
                    let answer = side.try_open(path, access | more, 0o644);
                    if let Ok(descriptor) = usize::try_from(answer) {
                        side.tell("flags", __NR_fcntl, &[descriptor, F_GETFL as usize]);
                        side.tell("close on exec", __NR_fcntl, &[descriptor, F_GETFD as usize]);
                        side.tell("close", __NR_close, &[descriptor]);
                    }
                    side.path(__NR_unlink, "new", &[]);
                    side.path(__NR_unlink, "nothing", &[]);
                }
            }
        }
        for mode in [0, 0o777, 0o7777, 0o1_000_644] {
            for mask in [0, 0o22, 0o777] {
                side.tell("umask", __NR_umask, &[mask | 0o7000]);
                side.try_open("masked", O_RDWR | O_CREAT, mode);
                side.status("masked");
                side.path(__NR_unlink, "masked", &[]);
                let answer = side.path(__NR_mkdir, "masked", &[mode]);
                side.note("mkdir", answer);
                side.status("masked");
                side.path(__NR_rmdir, "masked", &[]);
            }
        }
    });
}

#[test]
fn opening_with_limits() {
    same(|side| {
        side.path(__NR_mkdir, "folder", &[0o755]);
        side.file("folder/file", b"content");
        side.file("outside", b"content");
        for (target, link) in [
            ("file", "folder/link"),
            ("../outside", "folder/up"),
            ("/", "folder/root"),
            ("/outside", "folder/absolute"),
            ("nothing", "folder/dangling"),
        ] {
            let (target, link) = (CString::new(target).unwrap(), CString::new(link).unwrap());
            side.call(__NR_symlink, &[at(target.as_c_str()), at(link.as_c_str())]);
        }
        let folder = side.open("folder", O_RDONLY | O_DIRECTORY);
        for resolve in [0u64, 2, 4, 8, 16, 4 | 8, 8 | 16, 64] {
            for path in [
                "file",
                "link",
                "up",
                "root",
                "absolute",
                "dangling",
                "../outside",
                "../folder/file",
                "/file",
                ".",
                "..",
                "nothing",
                "/",
            ] {
                let how = [u64::from(O_RDONLY), 0, resolve];
                let path = CString::new(path).unwrap();
                let answer = side.call(__NR_openat2, &[folder, at(path.as_c_str()), at(&how), 24]);
                side.note(&format!("{path:?} {resolve}"), answer.min(0));
                if answer >= 0 {
                    side.close(answer as usize);
                }
            }
        }
        let path = c"new";
        for (flags, mode, resolve, bytes) in [
            (O_RDWR | O_CREAT, 0o600u64, 0u64, 24),
            (O_RDWR | O_CREAT, 0o600, 0, 16),
            (O_RDWR | O_CREAT, 0o600, 0, 23),
            (O_RDWR | O_CREAT, 0o600, 0, 32),
            (O_RDWR | O_CREAT, 0o600, 0, 5000),
            (O_RDWR, 0o600, 0, 24),
            (O_RDWR | O_CREAT, 0o10_600, 0, 24),
            (O_RDWR | O_CREAT, 0o7777, 0, 24),
            (O_RDWR | O_CREAT | O_EXCL, 0o600, 0, 24),
            (O_PATH | O_RDWR, 0, 0, 24),
            (O_PATH | O_CLOEXEC, 0, 0, 24),
            (O_RDONLY | O_CREAT | O_PATH, 0, 0, 24),
            (1 << 30, 0, 0, 24),
            (3, 0, 0, 24),
            (O_CLOEXEC, 0, 0, 24),
        ] {
            let how = [u64::from(flags), mode, resolve, 0];
            let mut room = vec![0u64; 1000];
            room[..4].copy_from_slice(&how);
            let answer = side.call(__NR_openat2, &[folder, at(path), at(&room[..]), bytes]);
            side.note(&format!("how {flags:#o} {mode:#o} {bytes}"), answer.min(0));
            if let Ok(descriptor) = usize::try_from(answer) {
                side.tell("flags", __NR_fcntl, &[descriptor, F_GETFL as usize]);
                side.tell("flags", __NR_fcntl, &[descriptor, F_GETFD as usize]);
                side.close(descriptor);
            }
            side.status("folder/new");
        }
        let how = [0u64, 0, 0, 1];
        side.tell("more", __NR_openat2, &[folder, at(path), at(&how), 32]);
        side.tell("bad", __NR_openat2, &[folder, at(path), 8, 24]);
        side.tell("no folder", __NR_openat2, &[99, at(path), at(&how), 24]);
        let high = [1u64 << 32, 0, 0];
        side.tell("high", __NR_openat2, &[folder, at(path), at(&high), 24]);
    });
}

#[test]
fn descriptors() {
    same(|side| {
        let file = side.file("file", b"content");
        for (number, arguments) in [
            (__NR_dup, vec![file]),
            (__NR_dup, vec![99]),
            (__NR_dup2, vec![file, file]),
            (__NR_dup2, vec![file, 20]),
            (__NR_dup2, vec![99, 20]),
            (__NR_dup2, vec![99, 99]),
            (__NR_dup3, vec![file, file, 0]),
            (__NR_dup3, vec![file, 21, O_CLOEXEC as usize]),
            (__NR_dup3, vec![file, 22, O_NONBLOCK as usize]),
            (__NR_dup3, vec![file, 23, 0]),
            (__NR_dup2, vec![file, usize::MAX]),
            (__NR_fcntl, vec![file, F_DUPFD as usize, 30]),
            (__NR_fcntl, vec![file, F_DUPFD as usize, 30]),
            (__NR_fcntl, vec![file, F_DUPFD_CLOEXEC as usize, 0]),
            (__NR_fcntl, vec![file, F_DUPFD as usize, usize::MAX]),
        ] {
            let answer = side.tell(&format!("{number} {arguments:?}"), number, &arguments);
            if answer > 0 {
                side.tell(
                    "close on exec",
                    __NR_fcntl,
                    &[answer as usize, F_GETFD as usize],
                );
            }
        }
        for (first, last, flags) in [
            (20usize, 20usize, 0usize),
            (21, 22, 4),
            (25, 24, 0),
            (30, 1000, 0),
            (23, 23, 2),
            (23, 23, 1),
            (23, 23, 6),
        ] {
            side.tell(
                &format!("range {first} {last} {flags}"),
                __NR_close_range,
                &[first, last, flags],
            );
        }
        for descriptor in 0..35 {
            side.tell("left", __NR_fcntl, &[descriptor, F_GETFD as usize]);
        }
        for flags in [
            0,
            O_APPEND,
            O_NONBLOCK,
            O_APPEND | O_NONBLOCK | O_NOATIME,
            O_DIRECTORY | O_SYNC | O_CREAT,
            FASYNC,
        ] {
            side.tell("set", __NR_fcntl, &[file, F_SETFL as usize, flags as usize]);
            side.tell("flags", __NR_fcntl, &[file, F_GETFL as usize]);
        }
        for value in [0, 1, 2, 3, 0xff] {
            side.tell("set", __NR_fcntl, &[file, F_SETFD as usize, value]);
            side.tell("flags", __NR_fcntl, &[file, F_GETFD as usize]);
        }
        let path = side.open("file", O_PATH);
        let folder = side.open(".", O_RDONLY);
        let [from, into] = side.pipe(0);
        let mut owner = [9i32; 2];
        for descriptor in [file, path, folder, from, into, 99] {
            for command in [F_GETFL, F_GETFD, F_GETOWN, 11, F_GETLEASE, F_GETPIPE_SZ, 77] {
                side.tell(
                    &format!("fcntl {command}"),
                    __NR_fcntl,
                    &[descriptor, command as usize, 0],
                );
            }
            side.tell("owner", __NR_fcntl, &[descriptor, 16, to(&mut owner)]);
            side.note("owner", owner);
            side.tell("own", __NR_fcntl, &[descriptor, F_SETOWN as usize, 0]);
            side.tell("signal", __NR_fcntl, &[descriptor, 10, 0]);
            side.tell(
                "no lease",
                __NR_fcntl,
                &[descriptor, F_SETLEASE as usize, 9],
            );
            for (request, value) in [
                (FIOCLEX, 0),
                (FIONCLEX, 0),
                (FIONBIO, 1),
                (FIONBIO, 0),
                (TCGETS, 0),
                (TIOCGWINSZ, 0),
                (0x1234, 0),
            ] {
                let value = [value; 16];
                side.tell(
                    &format!("ioctl {request:#x}"),
                    __NR_ioctl,
                    &[descriptor, request as usize, at(&value)],
                );
                side.tell("flags", __NR_fcntl, &[descriptor, F_GETFL as usize]);
                side.tell("flags", __NR_fcntl, &[descriptor, F_GETFD as usize]);
            }
            let mut waiting = -1i32;
            side.tell(
                "waiting",
                __NR_ioctl,
                &[descriptor, FIONREAD as usize, to(&mut waiting)],
            );
            side.note("waiting", waiting);
            side.tell("bad", __NR_ioctl, &[descriptor, FIONBIO as usize, 8]);
        }
        for position in [0usize, 3, 7, 10] {
            side.call(__NR_lseek, &[file, position, 0]);
            let mut waiting = -1i32;
            side.tell(
                "left",
                __NR_ioctl,
                &[file, FIONREAD as usize, to(&mut waiting)],
            );
            side.note("left", waiting);
        }
    });
}

#[test]
fn record_locks() {
    same(|side| {
        side.file("file", &[1; 100]);
        let (one, two) = (side.open("file", O_RDWR), side.open("file", O_RDWR));
        let (reads, writes) = (side.open("file", O_RDONLY), side.open("file", O_WRONLY));
        let lock = |side: &mut Side,
                    what: &str,
                    fd: usize,
                    command: u32,
                    kind: u32,
                    whence: u32,
                    start: i64,
                    length: i64,
                    pid: i32| {
            let mut lock = flock {
                l_type: kind as i16,
                l_whence: whence as i16,
                l_start: start,
                l_len: length,
                l_pid: pid,
            };
            let answer = side.call(__NR_fcntl, &[fd, command as usize, to(&mut lock)]);
            let own = i32::try_from(std::process::id()).unwrap();
            let pid = if lock.l_pid == own || lock.l_pid == 1 {
                1
            } else {
                lock.l_pid
            };
            side.note(
                what,
                (
                    answer,
                    lock.l_type,
                    lock.l_whence,
                    lock.l_start,
                    lock.l_len,
                    pid,
                ),
            );
        };
        side.call(__NR_lseek, &[one, 40, 0]);
        // Where a lock begins and ends, as another description sees it.
        for whence in [SEEK_SET, SEEK_CUR, SEEK_END, 3] {
            for (start, length) in [
                (0, 0),
                (10, 5),
                (10, -5),
                (-10, 5),
                (-10, -5),
                (5, -6),
                (5, -5),
                (i64::MAX, 1),
                (i64::MAX, 2),
                (i64::MAX - 100, 0),
                (1, i64::MAX),
                (0, i64::MIN),
            ] {
                for kind in [F_RDLCK, F_WRLCK, F_UNLCK, 7] {
                    let what = format!("{whence} {start} {length} {kind}");
                    lock(
                        side,
                        &what,
                        one,
                        F_OFD_SETLK,
                        kind,
                        whence,
                        start,
                        length,
                        0,
                    );
                    lock(side, "seen", two, F_OFD_GETLK, F_WRLCK, SEEK_SET, 0, 0, 0);
                    lock(side, "seen", two, F_GETLK, F_RDLCK, SEEK_SET, 0, 0, 0);
                    lock(side, "all", one, F_OFD_SETLK, F_UNLCK, SEEK_SET, 0, 0, 0);
                }
            }
        }
        for (fd, kind) in [
            (reads, F_RDLCK),
            (reads, F_WRLCK),
            (writes, F_RDLCK),
            (writes, F_WRLCK),
            (99, F_RDLCK),
        ] {
            lock(side, "rights", fd, F_SETLK, kind, 0, 0, 1, 0);
            lock(side, "rights", fd, F_OFD_SETLK, kind, 0, 0, 1, 0);
        }
        lock(side, "all", one, F_SETLK, F_UNLCK, 0, 0, 0, 0);
        lock(side, "all", writes, F_OFD_SETLK, F_UNLCK, 0, 0, 0, 0);
        lock(side, "all", reads, F_OFD_SETLK, F_UNLCK, 0, 0, 0, 0);
        lock(side, "a process", one, F_OFD_SETLK, F_RDLCK, 0, 0, 1, 5);
        lock(side, "a process", one, F_SETLK, F_RDLCK, 0, 0, 1, 5);
        lock(side, "unlock?", one, F_GETLK, F_UNLCK, 0, 0, 1, 0);
        lock(side, "unlock?", one, F_OFD_GETLK, F_UNLCK, 0, 0, 0, 0);
        lock(side, "all", one, F_SETLK, F_UNLCK, 0, 0, 0, 0);
        // Every arrangement of two ranges: joined, cut, covered.
        for first in [F_RDLCK, F_WRLCK] {
            for second in [F_RDLCK, F_WRLCK, F_UNLCK] {
                for (start, length) in [
                    (0, 5),
                    (0, 10),
                    (0, 11),
                    (0, 30),
                    (5, 5),
                    (5, 10),
                    (10, 1),
                    (10, 10),
                    (12, 3),
                    (15, 5),
                    (15, 10),
                    (19, 1),
                    (20, 5),
                    (21, 5),
                    (10, 0),
                ] {
                    lock(side, "first", one, F_OFD_SETLK, first, 0, 10, 10, 0);
                    lock(
                        side,
                        "second",
                        one,
                        F_OFD_SETLK,
                        second,
                        0,
                        start,
                        length,
                        0,
                    );
                    for from in [0, 5, 9, 10, 11, 14, 15, 19, 20, 25, 40] {
                        lock(side, "seen", two, F_OFD_GETLK, F_WRLCK, 0, from, 1, 0);
                        lock(side, "seen", two, F_OFD_GETLK, F_RDLCK, 0, from, 0, 0);
                    }
                    lock(side, "other", two, F_OFD_SETLK, F_RDLCK, 0, 18, 4, 0);
                    lock(side, "other", two, F_OFD_SETLK, F_WRLCK, 0, 4, 4, 0);
                    for fd in [one, two] {
                        lock(side, "all", fd, F_OFD_SETLK, F_UNLCK, 0, 0, 0, 0);
                    }
                }
            }
        }
        // Locks of the process end with any close, those of a description with its last.
        lock(side, "process", one, F_SETLK, F_WRLCK, 0, 0, 5, 0);
        lock(side, "description", two, F_OFD_SETLK, F_WRLCK, 0, 50, 5, 0);
        let copy = side.call(__NR_dup, &[two]) as usize;
        let third = side.open("file", O_RDWR);
        for fd in [third, two, copy] {
            side.close(fd);
            lock(side, "left", one, F_OFD_GETLK, F_WRLCK, 0, 0, 10, 0);
            lock(side, "left", one, F_OFD_GETLK, F_WRLCK, 0, 50, 10, 0);
        }
        side.tell("bad", __NR_fcntl, &[one, F_SETLK as usize, 8]);
        let path = side.open("file", O_PATH);
        lock(side, "path", path, F_SETLK, F_RDLCK, 0, 0, 1, 0);
    });
}

#[test]
fn whole_file_locks() {
    same(|side| {
        side.file("file", b"x");
        let (one, two) = (side.open("file", O_RDONLY), side.open("file", O_WRONLY));
        let copy = side.call(__NR_dup, &[one]) as usize;
        let path = side.open("file", O_PATH);
        let free = LOCK_NB as usize;
        for first in [LOCK_SH, LOCK_EX, LOCK_UN, 3, 0] {
            for second in [LOCK_SH, LOCK_EX, LOCK_UN] {
                side.tell("first", __NR_flock, &[one, first as usize | free]);
                side.tell("second", __NR_flock, &[two, second as usize | free]);
                side.tell("copy", __NR_flock, &[copy, LOCK_SH as usize | free]);
                side.tell("convert", __NR_flock, &[one, LOCK_EX as usize | free]);
                side.tell("second", __NR_flock, &[two, LOCK_SH as usize | free]);
                for fd in [one, two] {
                    side.tell("none", __NR_flock, &[fd, LOCK_UN as usize]);
                }
            }
        }
        for fd in [path, 99] {
            side.tell("no file", __NR_flock, &[fd, LOCK_SH as usize]);
        }
        side.tell("first", __NR_flock, &[one, LOCK_EX as usize | free]);
        side.close(one);
        side.tell(
            "held by a copy",
            __NR_flock,
            &[two, LOCK_EX as usize | free],
        );
        side.close(copy);
        side.tell("free", __NR_flock, &[two, LOCK_EX as usize | free]);
    });
}

#[test]
fn seals() {
    same(|side| {
        let long = "n".repeat(249);
        for (name, flags) in [
            ("name", 0),
            ("name", MFD_CLOEXEC),
            ("", MFD_ALLOW_SEALING),
            (&long, 0),
            (&format!("{long}n"), 0),
            ("name", 32),
            ("name", 8),
            ("name", 16),
            ("name", 24),
            ("name", MFD_ALLOW_SEALING | 16),
        ] {
            let answer = side.path(__NR_memfd_create, name, &[flags as usize]);
            side.note(&format!("create {} {flags:#x}", name.len()), answer.min(0));
            if let Ok(file) = usize::try_from(answer) {
                for command in [F_GETFL, F_GETFD, F_GET_SEALS] {
                    // Linux seals execution, which says nothing here.
                    let found = side.call(__NR_fcntl, &[file, command as usize]);
                    side.note("fcntl", found & !0x20);
                }
                let mut status: stat = unsafe_zeroed();
                side.call(__NR_fstat, &[file, to(&mut status)]);
                side.note(
                    "status",
                    (
                        format!("{:o}", status.st_mode),
                        status.st_nlink,
                        status.st_size,
                    ),
                );
                side.close(file);
            }
        }
        side.tell("bad", __NR_memfd_create, &[8, 0]);
        let content = [5u8; 100];
        for seals in 0..32usize {
            let file =
                side.path(__NR_memfd_create, "sealed", &[MFD_ALLOW_SEALING as usize]) as usize;
            side.write("write", file, &content);
            side.tell(
                &format!("seal {seals:#x}"),
                __NR_fcntl,
                &[file, F_ADD_SEALS as usize, seals],
            );
            side.tell("seals", __NR_fcntl, &[file, F_GET_SEALS as usize]);
            side.write("write behind", file, &content[..10]);
            side.tell(
                "pwrite inside",
                __NR_pwrite64,
                &[file, at(&content), 10, 20],
            );
            side.tell(
                "pwrite over the end",
                __NR_pwrite64,
                &[file, at(&content), 20, 105],
            );
            side.tell(
                "pwrite nothing",
                __NR_pwrite64,
                &[file, at(&content), 0, 500],
            );
            for length in [100, 120, 60, 60] {
                side.tell("truncate", __NR_ftruncate, &[file, length]);
            }
            for mode in [
                0,
                FALLOC_FL_KEEP_SIZE,
                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            ] {
                side.tell("fallocate", __NR_fallocate, &[file, mode as usize, 10, 200]);
            }
            let mut status: stat = unsafe_zeroed();
            side.call(__NR_fstat, &[file, to(&mut status)]);
            side.note("length", status.st_size);
            let spans = [at(&content), 5, at(&content), 5];
            side.tell("writev", __NR_writev, &[file, at(&spans), 2]);
            let path = CString::new(format!("/proc/self/fd/{file}")).unwrap();
            for flags in [
                O_RDONLY,
                O_RDWR,
                O_RDWR | O_TRUNC,
                O_PATH,
                O_RDONLY | O_DIRECTORY,
                O_RDWR | O_CREAT | O_EXCL,
            ] {
                let answer = side.call(__NR_open, &[at(path.as_c_str()), flags as usize, 0]);
                side.note(&format!("again {flags:#o}"), answer.min(0));
                if let Ok(again) = usize::try_from(answer) {
                    side.tell("flags", __NR_fcntl, &[again, F_GETFL as usize]);
                    side.write("again", again, b"x");
                    side.tell("seal again", __NR_fcntl, &[again, F_ADD_SEALS as usize, 1]);
                    side.close(again);
                }
            }
            side.call(__NR_fstat, &[file, to(&mut status)]);
            side.note("length", status.st_size);
            side.tell("more", __NR_fcntl, &[file, F_ADD_SEALS as usize, 4]);
            side.tell("unknown", __NR_fcntl, &[file, F_ADD_SEALS as usize, 64]);
            side.tell("seals", __NR_fcntl, &[file, F_GET_SEALS as usize]);
            side.call(__NR_lseek, &[file, 0, 0]);
            side.read("content", file, 300);
            let mut link = [0u8; 100];
            let answer = side.call(__NR_readlink, &[at(path.as_c_str()), to(&mut link), 100]);
            side.note_bytes("link", answer, &link);
            side.close(file);
        }
    });
}

fn unsafe_zeroed() -> stat {
    // SAFETY: integers: all zero is a value.
    unsafe { core::mem::zeroed() }
}

#[test]
fn unnamed_files() {
    same(|side| {
        side.path(__NR_mkdir, "folder", &[0o755]);
        side.file("file", b"x");
        const TEMPORARY: u32 = 0o20_000_000 | O_DIRECTORY;
        for (path, flags) in [
            ("folder", TEMPORARY | O_RDWR),
            ("folder", TEMPORARY | O_WRONLY),
            ("folder", TEMPORARY),
            ("folder", 0o20_000_000 | O_RDWR),
            ("folder", TEMPORARY | O_RDWR | O_CREAT),
            ("folder", TEMPORARY | O_RDWR | O_EXCL),
            ("file", TEMPORARY | O_RDWR),
            ("nothing", TEMPORARY | O_RDWR),
            ("folder", TEMPORARY | O_RDWR | O_CLOEXEC | O_APPEND),
        ] {
            let answer = side.try_open(path, flags, 0o7666);
            let Ok(file) = usize::try_from(answer) else {
                continue;
            };
            side.write("write", file, b"content");
            for command in [F_GETFL, F_GETFD] {
                let found = side.call(__NR_fcntl, &[file, command as usize]);
                side.note("flags", found);
            }
            let mut status = unsafe_zeroed();
            side.call(__NR_fstat, &[file, to(&mut status)]);
            side.note(
                "status",
                (
                    format!("{:o}", status.st_mode),
                    status.st_nlink,
                    status.st_size,
                ),
            );
            let old = CString::new(format!("/proc/self/fd/{file}")).unwrap();
            let here = AT_FDCWD as isize as usize;
            side.tell(
                "link",
                __NR_linkat,
                &[
                    here,
                    at(old.as_c_str()),
                    here,
                    at(c"named"),
                    AT_SYMLINK_FOLLOW as usize,
                ],
            );
            side.content("named");
            side.status("named");
            side.path(__NR_unlink, "named", &[]);
            side.tell(
                "link",
                __NR_linkat,
                &[file, at(c""), here, at(c"named"), AT_EMPTY_PATH as usize],
            );
            side.path(__NR_unlink, "named", &[]);
            side.close(file);
        }
    });
}

#[test]
fn lengths_and_holes() {
    same(|side| {
        let content: Vec<u8> = (0..20_000u32).map(|at| (at % 251) as u8 + 1).collect();
        let seek = |side: &mut Side, file: usize| {
            for whence in [SEEK_DATA, SEEK_HOLE] {
                for offset in [
                    0usize,
                    1,
                    4095,
                    4096,
                    4097,
                    8191,
                    8192,
                    12_288,
                    19_999,
                    20_000,
                    24_576,
                    30_000,
                    usize::MAX,
                ] {
                    side.tell(
                        &format!("seek {whence} {offset}"),
                        __NR_lseek,
                        &[file, offset, whence as usize],
                    );
                }
            }
        };
        let punch = (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) as usize;
        let keep = FALLOC_FL_KEEP_SIZE as usize;
        for (mode, offset, length) in [
            (punch, 0, 4096),
            (punch, 1, 4095),
            (punch, 4096, 8192),
            (punch, 4000, 9000),
            (punch, 19_000, 5000),
            (punch, 30_000, 10),
            (0, 19_000, 10_000),
            (0, 0, 10),
            (keep, 19_000, 10_000),
            (punch & 2, 0, 10),
            (0, 0, 0),
            (0, usize::MAX, 10),
            (0, 10, usize::MAX),
            (64, 0, 10),
            (0, 25_000, 1),
        ] {
            let file = side.file("file", &content);
            side.tell(
                &format!("fallocate {mode} {offset} {length}"),
                __NR_fallocate,
                &[file, mode, offset, length],
            );
            side.content("file");
            // What was allocated and not written is a hole to Linux, and data here.
            if mode == punch {
                seek(side, file);
            }
            side.close(file);
        }
        let file = side.file("file", b"");
        for (offset, bytes) in [(8192usize, 10usize), (100, 10), (24_000, 4000), (40_000, 0)] {
            side.tell(
                "pwrite",
                __NR_pwrite64,
                &[file, at(&content[..]), bytes, offset],
            );
            seek(side, file);
            side.content("file");
        }
        for length in [0usize, 1, 4096, 10_000, 50_000, usize::MAX, 1 << 63, 100] {
            side.tell(&format!("length {length}"), __NR_ftruncate, &[file, length]);
            let answer = side.path(__NR_truncate, "file", &[length]);
            side.note("truncate", answer);
            side.content("file");
        }
        for (path, length) in [("nothing", 0), (".", 0), ("file/", 0), ("", 0)] {
            let answer = side.path(__NR_truncate, path, &[length]);
            side.note(&format!("truncate {path}"), answer);
        }
        let reads = side.open("file", O_RDONLY);
        let path = side.open("file", O_PATH);
        let folder = side.open(".", O_RDONLY);
        for fd in [reads, path, folder, 99] {
            side.tell("truncate", __NR_ftruncate, &[fd, 0]);
            side.tell("fallocate", __NR_fallocate, &[fd, 0, 0, 10]);
            side.tell("sync", __NR_fsync, &[fd]);
            side.tell("data", __NR_fdatasync, &[fd]);
            side.tell("advise", __NR_fadvise64, &[fd, 0, 0, 3]);
            side.tell("range", __NR_sync_file_range, &[fd, 0, 0, 0]);
            side.tell("ahead", __NR_readahead, &[fd, 0, 0]);
        }
    });
}

#[test]
fn positions_and_vectors() {
    same(|side| {
        let content: Vec<u8> = (0..10_000u32).map(|at| (at * 3 % 251) as u8).collect();
        let file = side.file("file", &content);
        for whence in 0..6usize {
            for offset in [
                0usize,
                5,
                10_000,
                20_000,
                usize::MAX,
                usize::MAX - 20_000,
                1 << 62,
                1 << 63,
                (1 << 63) - 1,
            ] {
                side.tell(
                    &format!("seek {whence} {offset}"),
                    __NR_lseek,
                    &[file, offset, whence],
                );
            }
            side.call(__NR_lseek, &[file, 100, 0]);
        }
        let mut buffer = vec![0xee_u8; 9000];
        let place = to(&mut buffer[..]);
        let spans = [
            [place, 10usize],
            [place + 10, 0],
            [place + 10, 4096],
            [place + 5000, 100],
        ];
        for count in [0usize, 1, 2, 3, 4, 1024, 1025, usize::MAX] {
            // Only those there are.
            let count = if count < 1024 { count } else { count.max(1025) };
            for (number, more) in [
                (__NR_readv, vec![]),
                (__NR_preadv, vec![50usize, 0]),
                (__NR_preadv, vec![9990, 0]),
                (__NR_preadv, vec![usize::MAX, 0]),
                (__NR_preadv2, vec![50, 0, 0]),
                (__NR_preadv2, vec![usize::MAX, usize::MAX, 0]),
                (__NR_preadv2, vec![50, 0, 1]),
            ] {
                buffer.fill(0xee);
                let answer = side.call(number, &[&[file, at(&spans), count][..], &more].concat());
                let buffer = buffer.clone();
                side.note_bytes(
                    &format!("{number} {count} {more:?}"),
                    answer.min(10),
                    &buffer[..10],
                );
                side.note(
                    "all",
                    (answer, buffer.iter().map(|b| u64::from(*b)).sum::<u64>()),
                );
                side.tell("position", __NR_lseek, &[file, 0, 1]);
            }
        }
        let target = side.file("target", b"");
        let source = [
            [at(&content[..]), 10usize],
            [at(&content[100..]), 5],
            [8, 0],
            [at(&content[200..]), 3000],
        ];
        for count in [0usize, 1, 3, 4] {
            for (number, more) in [
                (__NR_writev, vec![]),
                (__NR_pwritev, vec![50usize, 0]),
                (__NR_pwritev, vec![usize::MAX, 0]),
                (__NR_pwritev2, vec![70, 0, 0]),
                (__NR_pwritev2, vec![usize::MAX, usize::MAX, 0]),
                (__NR_pwritev2, vec![70, 0, 2]),
                (__NR_pwritev2, vec![70, 0, 16]),
                (__NR_pwritev2, vec![usize::MAX, usize::MAX, 16]),
            ] {
                let answer =
                    side.call(number, &[&[target, at(&source), count][..], &more].concat());
                side.note(&format!("{number} {count} {more:?}"), answer);
                side.tell("position", __NR_lseek, &[target, 0, 1]);
            }
            side.content("target");
        }
        let bad = [[at(&content[..]), 10usize], [8, 5]];
        side.tell("bad", __NR_writev, &[target, at(&bad), 2]);
        let huge = [[at(&content[..]), usize::MAX], [at(&content[..]), 1]];
        side.tell("huge", __NR_writev, &[target, at(&huge), 2]);
        side.tell("huge", __NR_readv, &[target, at(&huge), 2]);
        for fd in [
            side.open("file", O_WRONLY),
            side.open("file", O_PATH),
            side.open(".", O_RDONLY),
            99,
        ] {
            side.tell("read", __NR_read, &[fd, place, 10]);
            side.tell("pread", __NR_pread64, &[fd, place, 10, 0]);
            side.tell("readv", __NR_readv, &[fd, at(&spans), 1]);
            side.tell("seek", __NR_lseek, &[fd, 0, 1]);
        }
        for fd in [
            side.open("file", O_RDONLY),
            side.open("file", O_PATH),
            side.open(".", O_RDONLY),
            99,
        ] {
            side.tell("write", __NR_write, &[fd, place, 10]);
            side.tell("pwrite", __NR_pwrite64, &[fd, place, 10, 0]);
            side.tell("writev", __NR_writev, &[fd, at(&source), 1]);
        }
        side.tell("negative", __NR_pread64, &[file, place, 10, usize::MAX]);
        side.tell("negative", __NR_pwrite64, &[file, place, 10, usize::MAX]);
        let append = side.open("target", O_RDWR | O_APPEND);
        side.tell("append", __NR_pwrite64, &[append, at(&content[..]), 5, 3]);
        side.write("append", append, b"end");
        side.tell("position", __NR_lseek, &[append, 0, 1]);
        side.content("target");
        for device in ["/dev/null", "/dev/zero", "/dev/full"] {
            let device = side.open(device, O_RDWR);
            side.read("device", device, 5);
            side.write("device", device, b"word");
            side.write("nothing", device, b"");
            side.tell("pread", __NR_pread64, &[device, place, 10, 5]);
            side.tell("pwrite", __NR_pwrite64, &[device, place, 10, 5]);
            side.tell("seek", __NR_lseek, &[device, 10, 0]);
            side.tell("seek", __NR_lseek, &[device, 10, 2]);
            side.tell("cut", __NR_ftruncate, &[device, 0]);
            side.tell("sync", __NR_fsync, &[device]);
            side.polled("device", &[device]);
        }
    });
}
