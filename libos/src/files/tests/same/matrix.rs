//! Every call on every kind of descriptor.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use std::format;
use std::vec;
use std::vec::Vec;

impl Side {
    /// A descriptor of each kind, with its name.
    fn kinds(&mut self) -> Vec<(&'static str, usize)> {
        let file = self.file("file", b"some content of a file");
        self.path(__NR_mknod, "fifo", &[0o10_644, 0]);
        let [from, into] = self.pipe(O_NONBLOCK);
        let [packets_from, packets_into] = self.pipe(O_NONBLOCK | O_DIRECT);
        let word = b"word";
        for into in [into, packets_into] {
            self.call(__NR_write, &[into, at(word), 4]);
        }
        let mut pair = [0u32; 2];
        self.call(
            __NR_socketpair,
            &[1, 1 | O_NONBLOCK as usize, 0, to(&mut pair)],
        );
        self.call(__NR_write, &[pair[1] as usize, at(word), 4]);
        let mut datagrams = [0u32; 2];
        self.call(
            __NR_socketpair,
            &[1, 2 | O_NONBLOCK as usize, 0, to(&mut datagrams)],
        );
        self.call(__NR_write, &[datagrams[1] as usize, at(word), 4]);
        vec![
            ("file", file),
            ("reads", self.open("file", O_RDONLY)),
            ("writes", self.open("file", O_WRONLY)),
            ("appends", self.open("file", O_RDWR | O_APPEND)),
            ("path", self.open("file", O_PATH)),
            ("folder", self.open(".", O_RDONLY | O_DIRECTORY)),
            ("from", from),
            ("into", into),
            ("packets from", packets_from),
            ("packets into", packets_into),
            ("fifo", self.open("fifo", O_RDWR | O_NONBLOCK)),
            ("stream", pair[0] as usize),
            ("datagrams", datagrams[0] as usize),
            ("epoll", self.call(__NR_epoll_create1, &[0]) as usize),
            (
                "counter",
                self.call(__NR_eventfd2, &[3, O_NONBLOCK as usize]) as usize,
            ),
            (
                "timer",
                self.call(__NR_timerfd_create, &[1, O_NONBLOCK as usize]) as usize,
            ),
            (
                "watches",
                self.call(__NR_inotify_init1, &[O_NONBLOCK as usize]) as usize,
            ),
            (
                "memory",
                self.path(__NR_memfd_create, "memory", &[2]) as usize,
            ),
            ("null", self.open("/dev/null", O_RDWR)),
            ("zero", self.open("/dev/zero", O_RDWR)),
            ("full", self.open("/dev/full", O_RDWR)),
            ("closed", 60_000),
        ]
    }
}

/// Makes each call of a table on a fresh descriptor of each kind.
fn each(
    side: &mut Side,
    skips: &[(&str, u32)],
    table: &mut dyn FnMut(usize) -> Vec<(u32, Vec<usize>)>,
) {
    let count = table(0).len();
    for index in 0..count {
        let kinds = side.kinds();
        for (kind, descriptor) in &kinds {
            let (number, arguments) = table(*descriptor).swap_remove(index);
            if skips.contains(&(kind, number)) {
                continue;
            }
            let answer = side.call(number, &arguments);
            let small: Vec<usize> = arguments[1..]
                .iter()
                .copied()
                .filter(|word| *word < 1 << 20)
                .collect();
            side.note(&format!("{kind} {number} {small:?}"), answer);
            if *kind == "file" {
                side.tell("position", __NR_lseek, &[*descriptor, 0, 1]);
                side.content("file");
            }
        }
        for (_, descriptor) in kinds {
            side.call(__NR_close, &[descriptor]);
        }
    }
}

#[test]
fn reads_and_writes() {
    same(|side| {
        let mut buffer = [0u8; 64];
        let place = to(&mut buffer[..]);
        let text = *b"0123456789abcdef";
        let (from, spans, sources) = (
            at(&text),
            [[place, 3usize], [place + 3, 0], [place + 3, 8]],
            [[at(&text), 3usize], [at(&text), 0], [at(&text[4..]), 5]],
        );
        let (spans, sources) = (at(&spans), at(&sources));
        let all = usize::MAX;
        // More than eight bytes for a counter is each version's own, and so is a vector. What has no position and may not be
        // used so is refused for either.
        let mut skips = vec![
            ("counter", __NR_writev),
            ("counter", __NR_write),
            ("counter", __NR_pwritev2),
            ("timer", __NR_writev),
            ("watches", __NR_readv),
        ];
        for kind in [
            "from",
            "into",
            "packets from",
            "packets into",
            "watches",
            "timer",
        ] {
            for number in [__NR_preadv, __NR_pwritev, __NR_preadv2, __NR_pwritev2] {
                skips.push((kind, number));
            }
        }
        each(side, &skips, &mut |fd| {
            let mut calls = Vec::new();
            for bytes in [0usize, 3, 8, 40] {
                calls.push((__NR_read, vec![fd, place, bytes]));
                calls.push((__NR_write, vec![fd, from, bytes.min(16)]));
                for offset in [0usize, 5, 22, 100, all] {
                    calls.push((__NR_pread64, vec![fd, place, bytes, offset]));
                    calls.push((__NR_pwrite64, vec![fd, from, bytes.min(16), offset]));
                }
            }
            for count in [0usize, 1, 3] {
                calls.push((__NR_readv, vec![fd, spans, count]));
                calls.push((__NR_writev, vec![fd, sources, count]));
                for offset in [0usize, 7, all] {
                    calls.push((__NR_preadv, vec![fd, spans, count, offset, 0]));
                    calls.push((__NR_pwritev, vec![fd, sources, count, offset, 0]));
                    if count > 0 {
                        calls.push((
                            __NR_preadv2,
                            vec![
                                fd,
                                spans,
                                count,
                                offset,
                                if offset == all { all } else { 0 },
                                0,
                            ],
                        ));
                        calls.push((
                            __NR_pwritev2,
                            vec![
                                fd,
                                sources,
                                count,
                                offset,
                                if offset == all { all } else { 0 },
                                0,
                            ],
                        ));
                    }
                }
            }
            calls
        });
    });
}

#[test]
fn positions_and_lengths() {
    same(|side| {
        // Linux has another error for what has no length at all.
        let skips: Vec<(&str, u32)> = [
            "memory",
            "stream",
            "datagrams",
            "epoll",
            "counter",
            "timer",
            "watches",
            "null",
            "zero",
            "full",
        ]
        .iter()
        .map(|kind| (*kind, __NR_fallocate))
        .chain(["null", "zero", "full"].map(|kind| (kind, __NR_sync_file_range)))
        .chain([("fifo", __NR_fadvise64)])
        .collect();
        each(side, &skips, &mut |fd| {
            let mut calls = Vec::new();
            for whence in [0usize, 1, 2, 3, 4] {
                for offset in [0usize, 5, 22, usize::MAX] {
                    calls.push((__NR_lseek, vec![fd, offset, whence]));
                }
            }
            for length in [0usize, 5, 100, 1 << 63] {
                calls.push((__NR_ftruncate, vec![fd, length]));
            }
            for (mode, offset, length) in [
                (0usize, 0usize, 50usize),
                (1, 0, 50),
                (3, 2, 4),
                (2, 0, 4),
                (0, 0, 0),
                (0, usize::MAX, 4),
            ] {
                calls.push((__NR_fallocate, vec![fd, mode, offset, length]));
            }
            calls.push((__NR_fsync, vec![fd]));
            calls.push((__NR_fdatasync, vec![fd]));
            calls.push((__NR_syncfs, vec![fd]));
            for (offset, bytes, flags) in [
                (0usize, 0usize, 7usize),
                (5, 5, 2),
                (usize::MAX, 5, 0),
                (5, usize::MAX, 0),
                (1 << 62, 1 << 62, 0),
                (1 << 62, 1 << 63, 0),
                (0, 0, 8),
            ] {
                calls.push((__NR_sync_file_range, vec![fd, offset, bytes, flags]));
            }
            for (offset, bytes, advice) in [
                (0usize, 0usize, 0usize),
                (0, 0, 5),
                (5, usize::MAX, 3),
                (0, 10, 4),
            ] {
                calls.push((__NR_fadvise64, vec![fd, offset, bytes, advice]));
            }
            calls
        });
    });
}

#[test]
fn what_is_known_and_changed() {
    same(|side| {
        let mut room = [0u64; 64];
        let place = to(&mut room);
        let times = [[5i64, 6], [7, 8]];
        let now = [[0i64, i64::from(UTIME_NOW)], [0, i64::from(UTIME_OMIT)]];
        let mut skips: Vec<(&str, u32)> = [
            "null", "zero", "full", "epoll", "counter", "timer", "watches",
        ]
        .iter()
        .flat_map(|kind| {
            [
                __NR_fchmod,
                __NR_fchown,
                __NR_utimensat,
                __NR_fchownat,
                __NR_fchmodat2,
            ]
            .map(|number| (*kind, number))
        })
        .collect();
        skips.extend(
            [__NR_epoll_wait, __NR_inotify_rm_watch, __NR_timerfd_gettime]
                .map(|number| ("path", number)),
        );
        each(side, &skips, &mut |fd| {
            vec![
                (__NR_fstat, vec![fd, place]),
                (
                    __NR_newfstatat,
                    vec![fd, at(c""), place, AT_EMPTY_PATH as usize],
                ),
                (__NR_newfstatat, vec![fd, at(c""), place, 0]),
                (__NR_newfstatat, vec![fd, at(c"file"), place, 0]),
                (
                    __NR_statx,
                    vec![fd, at(c""), AT_EMPTY_PATH as usize, 0x7ff, place],
                ),
                (__NR_statx, vec![fd, at(c"file"), 0, 0x7ff, place]),
                (__NR_statx, vec![fd, at(c"file"), 0x6000, 0x7ff, place]),
                (__NR_fstatfs, vec![fd, place]),
                (__NR_fchmod, vec![fd, 0o640]),
                (__NR_fchown, vec![fd, 0, 0]),
                (
                    __NR_fchownat,
                    vec![fd, at(c""), 0, 0, AT_EMPTY_PATH as usize],
                ),
                (
                    __NR_fchmodat2,
                    vec![fd, at(c""), 0o640, AT_EMPTY_PATH as usize],
                ),
                (__NR_utimensat, vec![fd, 0, at(&times), 0]),
                (__NR_utimensat, vec![fd, 0, at(&now), 0]),
                (__NR_utimensat, vec![fd, 0, 0, 0]),
                (__NR_fchdir, vec![fd]),
                (__NR_getdents64, vec![fd, place, 0]),
                (
                    __NR_faccessat2,
                    vec![fd, at(c""), 4, AT_EMPTY_PATH as usize],
                ),
                (__NR_openat, vec![fd, at(c"nothing"), 0, 0]),
                (__NR_readlinkat, vec![fd, at(c""), place, 100]),
                (__NR_flock, vec![fd, (LOCK_SH | LOCK_NB) as usize]),
                (__NR_flock, vec![fd, LOCK_UN as usize]),
                (__NR_dup3, vec![fd, 200, 0]),
                (__NR_fcntl, vec![fd, F_GETFL as usize]),
                (
                    __NR_fcntl,
                    vec![fd, F_SETFL as usize, (O_NONBLOCK | O_APPEND) as usize],
                ),
                (__NR_fcntl, vec![fd, F_GETOWN as usize]),
                (__NR_epoll_wait, vec![fd, place, 1, 0]),
                (__NR_inotify_rm_watch, vec![fd, 1]),
                (__NR_timerfd_gettime, vec![fd, place]),
                (__NR_getsockname, vec![fd, place, 8]),
                (__NR_listen, vec![fd, 1]),
                (__NR_shutdown, vec![fd, 0]),
            ]
        });
    });
}

#[test]
fn bytes_between_descriptors() {
    same(|side| {
        let other = side.file("other", b"other content");
        let [from, into] = side.pipe(O_NONBLOCK);
        let mut place = 3i64;
        let place = to(&mut place);
        // Devices and rare objects are read and written, not spliced.
        let skips: Vec<(&str, u32)> = [
            "counter", "timer", "watches", "epoll", "null", "zero", "full", "memory",
        ]
        .iter()
        .flat_map(|kind| {
            [__NR_splice, __NR_sendfile, __NR_copy_file_range].map(|number| (*kind, number))
        })
        .collect();
        let word = b"word";
        // A reading end writes there.
        let mut copy = *word;
        let span = [to(&mut copy), 4];
        each(side, &skips, &mut |fd| {
            vec![
                (__NR_write, vec![into, at(word), 0]),
                (__NR_splice, vec![fd, 0, into, 0, 4, 2]),
                (__NR_splice, vec![from, 0, fd, 0, 2, 2]),
                (__NR_splice, vec![from, 0, fd, 0, 0, 2]),
                (__NR_splice, vec![fd, 0, into, 0, 4, 16]),
                (__NR_splice, vec![fd, place, into, 0, 4, 2]),
                (__NR_splice, vec![from, 0, fd, place, 1, 2]),
                (__NR_tee, vec![fd, into, 4, 2]),
                (__NR_tee, vec![from, fd, 1, 2]),
                (__NR_vmsplice, vec![fd, at(&span), 1, 2]),
                (__NR_sendfile, vec![fd, other, 0, 3]),
                (__NR_sendfile, vec![other, fd, 0, 3]),
                (__NR_sendfile, vec![into, fd, place, 3]),
                (__NR_copy_file_range, vec![fd, 0, other, 0, 3, 0]),
                (__NR_copy_file_range, vec![other, 0, fd, 0, 3, 0]),
            ]
        });
        side.content("other");
    });
}

#[test]
fn kinds_by_their_modes() {
    same(|side| {
        for (kind, descriptor) in side.kinds() {
            // SAFETY: integers: all zero is a value.
            let mut status: stat = unsafe { core::mem::zeroed() };
            let answer = side.call(__NR_fstat, &[descriptor, to(&mut status)]);
            // What has no name has no mode of its own to Linux.
            let mode = match kind {
                "epoll" | "counter" | "timer" | "watches" => 0,
                _ => status.st_mode,
            };
            side.note(kind, (answer, format!("{mode:o}"), status.st_nlink));
        }
    });
}
