//! Pipes, FIFOs, counters, timers, epoll, poll and select.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::*;
use std::format;
use std::vec;
use std::vec::Vec;

impl Side {
    pub fn pipe(&mut self, flags: u32) -> [usize; 2] {
        let mut pair = [0u32; 2];
        assert_eq!(self.call(__NR_pipe2, &[to(&mut pair), flags as usize]), 0);
        pair.map(|end| end as usize)
    }

    /// What `poll` says of descriptors, for all that can be asked.
    pub fn polled(&mut self, what: &str, descriptors: &[usize]) {
        let mut asked: Vec<pollfd> = descriptors
            .iter()
            .map(|fd| pollfd {
                fd: *fd as i32,
                events: 0x7fff & !(1 << 13) | POLLRDHUP as i16,
                revents: 0,
            })
            .collect();
        let answer = self.call(__NR_poll, &[to(&mut asked[..]), asked.len(), 0]);
        let found: Vec<i16> = asked.iter().map(|asked| asked.revents).collect();
        self.note(what, (answer, found));
    }

    fn waiting(&mut self, what: &str, descriptor: usize) {
        let mut bytes = -1i32;
        let answer = self.call(__NR_ioctl, &[descriptor, FIONREAD as usize, to(&mut bytes)]);
        self.note(what, (answer, bytes));
    }

    pub fn wait(&mut self, what: &str, epoll: usize, most: usize) {
        let mut events = [epoll_event { events: 0, data: 0 }; 16];
        let answer = self.call(__NR_epoll_wait, &[epoll, to(&mut events), most, 0]);
        let count = usize::try_from(answer).unwrap_or(0);
        let found: Vec<(u32, u64)> = events[..count]
            .iter()
            .map(|e| ({ e.events }, { e.data }))
            .collect();
        self.note(what, (answer, found));
    }

    pub fn control(&mut self, epoll: usize, operation: u32, descriptor: usize, events: u32) {
        let event = epoll_event {
            events,
            data: descriptor as u64 * 10,
        };
        self.tell(
            &format!("control {operation} {descriptor} {events:#x}"),
            __NR_epoll_ctl,
            &[epoll, operation as usize, descriptor, at(&event)],
        );
    }
}

#[test]
fn pipes() {
    same(|side| {
        for flags in [
            0,
            O_NONBLOCK,
            O_CLOEXEC,
            O_DIRECT,
            O_APPEND,
            O_RDWR,
            O_NONBLOCK | O_DIRECT | O_CLOEXEC,
        ] {
            let mut pair = [0u32; 2];
            let answer = side.tell(
                &format!("pipe2 {flags:#o}"),
                __NR_pipe2,
                &[to(&mut pair), flags as usize],
            );
            if answer != 0 {
                continue;
            }
            for end in pair {
                for command in [F_GETFL, F_GETFD, F_GETPIPE_SZ] {
                    side.tell("fcntl", __NR_fcntl, &[end as usize, command as usize]);
                }
                side.tell("seek", __NR_lseek, &[end as usize, 0, 0]);
                side.tell("sync", __NR_fsync, &[end as usize]);
                side.tell("cut", __NR_ftruncate, &[end as usize, 0]);
                side.tell(
                    "pread",
                    __NR_pread64,
                    &[end as usize, to(&mut [0u8; 4]), 4, 0],
                );
            }
            side.write("to the wrong end", pair[0] as usize, b"x");
            side.read("from the wrong end", pair[1] as usize, 1);
            for end in pair {
                side.close(end as usize);
            }
        }
        let [from, into] = side.pipe(O_NONBLOCK);
        side.polled("empty", &[from, into]);
        side.read("empty", from, 10);
        let block = vec![7u8; 70_000];
        side.write("one", into, b"one");
        side.polled("one", &[from, into]);
        side.waiting("one", from);
        side.read("part", from, 2);
        side.write("much", into, &block);
        side.waiting("much", from);
        side.polled("full", &[from, into]);
        side.write("full", into, b"x");
        side.read("some", from, 4095);
        side.polled("some", &[from, into]);
        side.write("still full", into, &block[..4096]);
        side.read("more", from, 2);
        side.write("a page", into, &block[..4096]);
        side.write("a byte", into, b"x");
        side.polled("again", &[from, into]);
        for bytes in [1, 4096, 4097, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 0] {
            side.tell(
                &format!("size {bytes}"),
                __NR_fcntl,
                &[into, F_SETPIPE_SZ as usize, bytes],
            );
            side.tell("size", __NR_fcntl, &[into, F_GETPIPE_SZ as usize]);
        }
        for _ in 0..3 {
            side.read("all", from, 70_000);
        }
        side.tell("small", __NR_fcntl, &[into, F_SETPIPE_SZ as usize, 4096]);
        side.write("small", into, &block);
        side.write("small", into, b"x");
        side.close(into);
        side.polled("no writer", &[from]);
        side.read("no writer", from, 70_000);
        side.read("the end", from, 10);
        side.close(from);
        let [from, into] = side.pipe(O_NONBLOCK);
        side.write("one", into, b"one");
        side.close(from);
        side.polled("no reader", &[into]);
        side.write("no reader", into, b"x");
        side.write("nothing", into, b"");
        // Packets: a read ends where a write did, and what does not fit is lost.
        let [from, into] = side.pipe(O_NONBLOCK | O_DIRECT);
        for bytes in [3, 1, 4096, 5000, 0] {
            side.write("packet", into, &block[..bytes]);
        }
        side.waiting("packets", from);
        for bytes in [2, 10, 100, 5000, 5000, 5000] {
            side.read("packet", from, bytes);
        }
        // A stream again, and packets again.
        for flags in [O_NONBLOCK, O_NONBLOCK | O_DIRECT] {
            side.tell(
                "flags",
                __NR_fcntl,
                &[into, F_SETFL as usize, flags as usize],
            );
            side.write("a", into, b"aa");
            side.write("b", into, b"bb");
            side.read("both", from, 10);
            side.read("both", from, 10);
        }
    });
}

#[test]
fn fifos() {
    same(|side| {
        for (name, mode) in [
            ("f", S_IFIFO | 0o666),
            ("r", 0o600),
            ("x", S_IFDIR | 0o700),
            ("c", S_IFSOCK | 0o600),
            ("f", S_IFIFO | 0o666),
            ("q", 0o777_777),
        ] {
            let answer = side.path(__NR_mknod, name, &[mode as usize, 0]);
            side.note(&format!("mknod {name}"), answer);
            side.status(name);
        }
        side.try_open("f", O_WRONLY | O_NONBLOCK, 0);
        let from = side.open("f", O_RDONLY | O_NONBLOCK);
        side.polled("no writer yet", &[from]);
        side.read("no writer yet", from, 4);
        let into = side.open("f", O_WRONLY | O_NONBLOCK);
        side.polled("both", &[from, into]);
        side.read("empty", from, 4);
        side.write("word", into, b"word");
        side.waiting("word", from);
        side.polled("word", &[from, into]);
        let second = side.open("f", O_RDWR | O_NONBLOCK);
        side.read("second", second, 2);
        side.close(into);
        side.polled("one writer left", &[from, second]);
        side.read("rest", from, 4);
        side.read("empty", from, 4);
        side.close(second);
        side.polled("no writer", &[from]);
        side.read("no writer", from, 4);
        side.tell("size", __NR_fcntl, &[from, F_GETPIPE_SZ as usize]);
        side.tell("size", __NR_fcntl, &[from, F_SETPIPE_SZ as usize, 8192]);
        let into = side.open("f", O_WRONLY | O_NONBLOCK);
        side.write("much", into, &vec![5; 20_000]);
        side.write("full", into, b"x");
        side.close(from);
        side.polled("no reader", &[into]);
        side.write("no reader", into, b"x");
        side.close(into);
        // What nobody has open is gone.
        let both = side.open("f", O_RDWR | O_NONBLOCK);
        side.read("new", both, 4);
        for command in [F_GETFL, F_GETFD] {
            side.tell("fcntl", __NR_fcntl, &[both, command as usize]);
        }
        side.tell("seek", __NR_lseek, &[both, 0, 1]);
        side.tell("cut", __NR_ftruncate, &[both, 0]);
        let answer = side.path(__NR_truncate, "f", &[0]);
        side.note("truncate", answer);
        side.try_open("f", O_RDWR | O_NONBLOCK | O_TRUNC | O_CREAT, 0o644);
        side.try_open("f", O_RDWR | O_CREAT | O_EXCL, 0o644);
        side.try_open("f", O_RDONLY | O_DIRECTORY, 0);
        side.try_open("c", O_RDWR, 0);
        side.try_open("c", O_PATH, 0);
    });
}

#[test]
fn counters() {
    same(|side| {
        for flags in [
            0,
            EFD_SEMAPHORE,
            O_NONBLOCK,
            O_CLOEXEC,
            EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC,
            2,
            4,
            O_APPEND,
        ] {
            let answer = side.call(__NR_eventfd2, &[3, flags as usize]);
            side.note(&format!("eventfd {flags:#o}"), answer.min(0));
            let Ok(counter) = usize::try_from(answer) else {
                continue;
            };
            side.tell("flags", __NR_fcntl, &[counter, F_GETFL as usize]);
            side.tell("flags", __NR_fcntl, &[counter, F_GETFD as usize]);
            side.tell(
                "nonblock",
                __NR_fcntl,
                &[counter, F_SETFL as usize, O_NONBLOCK as usize],
            );
            side.polled("three", &[counter]);
            for bytes in [0, 1, 7, 8, 9, 16] {
                side.read("three", counter, bytes);
            }
            side.read("rest", counter, 8);
            side.read("rest", counter, 8);
            side.read("rest", counter, 8);
            side.polled("zero", &[counter]);
            for value in [0u64, 5, u64::MAX - 6, u64::MAX - 1, u64::MAX, 1, 0] {
                side.write(&format!("add {value}"), counter, &value.to_ne_bytes());
                side.polled("added", &[counter]);
            }
            for bytes in [0, 4, 7] {
                side.write("short", counter, &[1; 16][..bytes]);
            }
            side.read("sum", counter, 8);
            side.polled("after", &[counter]);
            side.tell("seek", __NR_lseek, &[counter, 0, 0]);
            side.close(counter);
        }
    });
}

#[test]
fn timers() {
    same(|side| {
        for (clock, flags) in [
            (0, 0),
            (1, 0),
            (1, O_NONBLOCK),
            (1, O_CLOEXEC),
            (7, 0),
            (99, 0),
            (1, 1),
            (2, 0),
            (4, 0),
        ] {
            let answer = side.call(__NR_timerfd_create, &[clock, flags as usize]);
            side.note(&format!("create {clock} {flags:#o}"), answer.min(0));
            let Ok(timer) = usize::try_from(answer) else {
                continue;
            };
            side.tell("flags", __NR_fcntl, &[timer, F_GETFL as usize]);
            side.tell(
                "nonblock",
                __NR_fcntl,
                &[timer, F_SETFL as usize, O_NONBLOCK as usize],
            );
            side.read("unset", timer, 8);
            side.polled("unset", &[timer]);
            let time = |sec: i64, nsec: i64| [sec, nsec];
            for (interval, value, flags) in [
                (time(0, 0), time(1000, 0), 0),
                (time(3, 7), time(2000, 999_999_999), 0),
                (time(0, 1_000_000_000), time(1, 0), 0),
                (time(0, 0), time(1, -1), 0),
                (time(0, -1), time(1, 0), 0),
                (time(-1, 0), time(1, 0), 0),
                (time(0, 0), time(-1, 0), 0),
                (time(0, 0), time(1, 1_000_000_000), 0),
                (time(5, 0), time(0, 0), 0),
                (time(0, 0), time(1, 0), 4),
                (time(0, 0), time(1, 0), 8),
            ] {
                let new = [interval, value];
                let mut old = [[9i64; 2]; 2];
                let answer = side.call(
                    __NR_timerfd_settime,
                    &[timer, flags, at(&new), to(&mut old)],
                );
                let mut left = [[9i64; 2]; 2];
                let get = side.call(__NR_timerfd_gettime, &[timer, to(&mut left)]);
                // What is left is a little less.
                let rounded =
                    |time: [[i64; 2]; 2]| (time[0], time[1][0] + i64::from(time[1][1] > 0));
                side.note("set", (answer, rounded(old), get, rounded(left)));
            }
            for flags in [0, 1] {
                // Due at once; every nanosecond from then on is too many to tell.
                let new = [[0i64, 0], [0, 1]];
                side.tell(
                    "at once",
                    __NR_timerfd_settime,
                    &[timer, flags, at(&new), 0],
                );
                if side.is_linux() {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                side.polled("due", &[timer]);
                for bytes in [4, 7, 8, 8] {
                    side.read("due", timer, bytes);
                }
                side.polled("read", &[timer]);
            }
            side.write("timers", timer, &[0; 8]);
            side.tell("not one", __NR_timerfd_gettime, &[0, to(&mut [0u64; 4])]);
            side.tell("bad", __NR_timerfd_gettime, &[timer, 8]);
            side.tell("bad", __NR_timerfd_settime, &[timer, 0, 8, 0]);
            side.close(timer);
        }
        side.tell("none", __NR_timerfd_gettime, &[99, to(&mut [0u64; 4])]);
    });
}

#[test]
fn epoll() {
    same(|side| {
        for flags in [0, O_CLOEXEC, O_NONBLOCK, 1] {
            let answer = side.call(__NR_epoll_create1, &[flags as usize]);
            side.note("create", answer.min(0));
        }
        for size in [0, 1, usize::MAX] {
            let answer = side.call(__NR_epoll_create, &[size]);
            side.note("create", answer.min(0));
        }
        let epoll = side.call(__NR_epoll_create1, &[0]) as usize;
        let other = side.call(__NR_epoll_create1, &[0]) as usize;
        let counter = side.call(__NR_eventfd2, &[0, O_NONBLOCK as usize]) as usize;
        let [from, into] = side.pipe(O_NONBLOCK);
        let file = side.file("file", b"x");
        for operation in [
            0,
            EPOLL_CTL_DEL,
            EPOLL_CTL_MOD,
            EPOLL_CTL_ADD,
            EPOLL_CTL_ADD,
            4,
        ] {
            side.control(epoll, operation, counter, EPOLLIN | EPOLLOUT);
        }
        side.control(epoll, EPOLL_CTL_ADD, file, EPOLLIN);
        side.control(epoll, EPOLL_CTL_ADD, 99, EPOLLIN);
        side.control(counter, EPOLL_CTL_ADD, from, EPOLLIN);
        side.control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN);
        side.control(99, EPOLL_CTL_ADD, epoll, EPOLLIN);
        side.tell(
            "bad event",
            __NR_epoll_ctl,
            &[epoll, EPOLL_CTL_ADD as usize, from, 8],
        );
        side.tell(
            "no event",
            __NR_epoll_ctl,
            &[epoll, EPOLL_CTL_DEL as usize, from, 0],
        );
        for most in [0, 1, usize::MAX] {
            let mut events = [epoll_event { events: 0, data: 0 }; 2];
            side.tell("most", __NR_epoll_wait, &[epoll, to(&mut events), most, 0]);
        }
        side.tell("no room", __NR_epoll_wait, &[epoll, 8, 1, 0]);
        side.tell(
            "not one",
            __NR_epoll_wait,
            &[counter, to(&mut [0u8; 64]), 1, 0],
        );
        side.tell("none", __NR_epoll_wait, &[99, to(&mut [0u8; 64]), 1, 0]);
        side.control(epoll, EPOLL_CTL_DEL, counter, 0);
        // Every way to be told of a pipe and a counter.
        for events in [
            0,
            EPOLLIN,
            EPOLLOUT,
            EPOLLIN | EPOLLET,
            EPOLLOUT | EPOLLET,
            EPOLLIN | EPOLLONESHOT,
            EPOLLIN | EPOLLOUT | EPOLLET | EPOLLONESHOT,
            EPOLLRDNORM | EPOLLWRNORM,
            EPOLLRDHUP | EPOLLPRI,
        ] {
            side.control(epoll, EPOLL_CTL_ADD, from, events);
            side.control(epoll, EPOLL_CTL_ADD, into, events);
            side.control(epoll, EPOLL_CTL_ADD, counter, events);
            side.wait("begin", epoll, 16);
            side.wait("begin", epoll, 16);
            side.write("pipe", into, b"ab");
            side.write("count", counter, &1u64.to_ne_bytes());
            side.wait("both", epoll, 16);
            side.wait("both", epoll, 16);
            side.polled("nested", &[epoll]);
            side.write("pipe", into, b"cd");
            side.wait("more", epoll, 1);
            side.wait("more", epoll, 1);
            side.wait("more", epoll, 1);
            side.read("part", from, 1);
            side.wait("part", epoll, 16);
            side.control(epoll, EPOLL_CTL_MOD, from, events);
            side.control(epoll, EPOLL_CTL_MOD, counter, events);
            side.wait("again", epoll, 16);
            side.read("rest", from, 10);
            side.read("rest", counter, 8);
            side.wait("rest", epoll, 16);
            side.control(epoll, EPOLL_CTL_DEL, from, 0);
            side.control(epoll, EPOLL_CTL_DEL, into, 0);
            side.control(epoll, EPOLL_CTL_DEL, counter, 0);
            side.wait("none", epoll, 16);
        }
        // One inside another.
        side.control(other, EPOLL_CTL_ADD, epoll, EPOLLIN);
        side.control(epoll, EPOLL_CTL_ADD, other, EPOLLIN);
        side.control(epoll, EPOLL_CTL_ADD, counter, EPOLLIN);
        side.wait("nested", other, 16);
        side.write("count", counter, &1u64.to_ne_bytes());
        side.wait("nested", other, 16);
        side.wait("inner", epoll, 16);
        side.polled("nested", &[epoll, other]);
        // What is closed is no member any more, unless another descriptor has it.
        let copy = side.call(__NR_dup, &[counter]) as usize;
        side.control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN);
        side.wait("twice", epoll, 16);
        side.close(copy);
        side.wait("copy closed", epoll, 16);
        side.close(counter);
        side.wait("closed", epoll, 16);
        side.polled("closed", &[epoll, other]);
        // Ends.
        side.control(epoll, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLET);
        side.control(epoll, EPOLL_CTL_ADD, into, 0);
        side.close(into);
        side.wait("no writer", epoll, 16);
        side.wait("no writer", epoll, 16);
        // Exclusive ones.
        let [from, into] = side.pipe(O_NONBLOCK);
        for events in [
            EPOLLEXCLUSIVE | EPOLLIN,
            EPOLLEXCLUSIVE | EPOLLONESHOT,
            EPOLLEXCLUSIVE | EPOLLRDHUP,
        ] {
            side.control(epoll, EPOLL_CTL_ADD, from, events);
            side.control(epoll, EPOLL_CTL_MOD, from, EPOLLIN);
            side.write("x", into, b"x");
            side.wait("exclusive", epoll, 16);
            side.control(epoll, EPOLL_CTL_DEL, from, 0);
        }
        side.read("from an epoll", epoll, 8);
        side.write("to an epoll", epoll, b"12345678");
        side.tell("seek", __NR_lseek, &[epoll, 0, 0]);
    });
}

#[test]
fn poll_and_select() {
    same(|side| {
        let [from, into] = side.pipe(O_NONBLOCK);
        let file = side.file("file", b"word");
        let folder = side.open(".", O_RDONLY | O_DIRECTORY);
        let path = side.open("file", O_PATH);
        let null = side.open("/dev/null", O_RDWR);
        side.polled(
            "all",
            &[from, into, file, folder, path, null, 77, usize::MAX],
        );
        for events in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 0x2000] {
            let mut asked = [from, into, file, null, 77].map(|fd| pollfd {
                fd: fd as i32,
                events,
                revents: 9,
            });
            let answer = side.call(__NR_poll, &[to(&mut asked), 5, 0]);
            side.note("events", (events, answer, asked.map(|asked| asked.revents)));
        }
        side.tell("none", __NR_poll, &[0, 0, 0]);
        side.tell("bad", __NR_poll, &[8, 1, 0]);
        side.tell("many", __NR_poll, &[at(&[0u8; 8]), 1 << 30, 0]);
        let zero = [0i64, 0];
        for time in [[0i64, 0], [0, -1], [-1, 0], [0, 1_000_000_000]] {
            let mut asked = [pollfd {
                fd: into as i32,
                events: POLLOUT as i16,
                revents: 0,
            }];
            let answer = side.call(__NR_ppoll, &[to(&mut asked), 1, at(&time), 0, 0]);
            side.note("ppoll", (time, answer, asked[0].revents));
        }
        side.write("word", into, b"word");
        for most in [0, 1, into + 1, 64, 128, 1024, 1025, usize::MAX] {
            for number in [__NR_select, __NR_pselect6] {
                let mut sets = [[0u64; 16]; 3];
                for set in &mut sets {
                    for fd in [from, into, file, folder, null] {
                        set[0] |= 1 << fd;
                    }
                }
                let mut time = zero;
                let arguments = [
                    most,
                    to(&mut sets[0]),
                    to(&mut sets[1]),
                    to(&mut sets[2]),
                    to(&mut time),
                    0,
                ];
                let answer = side.call(
                    number,
                    &arguments[..if number == __NR_select { 5 } else { 6 }],
                );
                side.note("select", (number, most, answer, sets.map(|set| set[0])));
            }
        }
        for (read, write, except) in [
            (true, false, false),
            (false, true, false),
            (false, false, true),
            (false, false, false),
        ] {
            let mut sets = [[1u64 << from | 1 << into; 16]; 3];
            for set in &mut sets {
                set[1..].fill(0);
            }
            let mut given = [0; 3];
            for (place, (wanted, set)) in given
                .iter_mut()
                .zip([read, write, except].into_iter().zip(&mut sets))
            {
                *place = if wanted { to(set) } else { 0 };
            }
            let mut time = zero;
            let answer = side.call(
                __NR_select,
                &[into + 1, given[0], given[1], given[2], to(&mut time)],
            );
            side.note("sets", (answer, sets.map(|set| set[0])));
        }
        // A descriptor that is not open.
        let mut set = [1u64 << 60];
        let mut time = zero;
        side.tell(
            "closed",
            __NR_select,
            &[61, to(&mut set), 0, 0, to(&mut time)],
        );
        for time in [[0i64, -1], [-1, 0], [0, 1_000_000]] {
            let mut set = [1u64 << into];
            let mut time = time;
            let answer = side.call(__NR_select, &[into + 1, 0, to(&mut set), 0, to(&mut time)]);
            side.note("times", (answer, set, time[0]));
        }
        side.tell("bad set", __NR_select, &[into + 1, 8, 0, 0, at(&zero)]);
        side.tell("bad time", __NR_select, &[into + 1, 0, 0, 0, 8]);
    });
}

#[test]
fn splices_and_tees() {
    same(|side| {
        let content: Vec<u8> = (0..30_000u32).map(|at| (at * 7 % 251) as u8).collect();
        let file = side.file("file", &content);
        let target = side.file("target", b"");
        let [from, into] = side.pipe(O_NONBLOCK);
        let [from2, into2] = side.pipe(O_NONBLOCK);
        let splice = |side: &mut Side,
                      what: &str,
                      from: usize,
                      from_at: Option<i64>,
                      into: usize,
                      into_at: Option<i64>,
                      bytes: usize,
                      flags: usize| {
            let (mut from_place, mut into_place) = (from_at.unwrap_or(0), into_at.unwrap_or(0));
            let from_address = from_at.map_or(0, |_| to(&mut from_place));
            let into_address = into_at.map_or(0, |_| to(&mut into_place));
            let answer = side.call(
                __NR_splice,
                &[from, from_address, into, into_address, bytes, flags],
            );
            let positions = [from, into].map(|fd| side.call(__NR_lseek, &[fd, 0, 1]));
            side.note(what, (answer, from_place, into_place, positions));
        };
        splice(side, "file to pipe", file, None, into, None, 100, 0);
        splice(side, "at an offset", file, Some(5000), into, None, 50, 0);
        splice(side, "at the end", file, Some(29_990), into, None, 50, 0);
        splice(side, "past it", file, Some(40_000), into, None, 50, 0);
        splice(side, "negative", file, Some(-1), into, None, 50, 0);
        splice(side, "nothing", file, None, into, None, 0, 0);
        splice(
            side,
            "an offset of a pipe",
            file,
            None,
            into,
            Some(0),
            10,
            0,
        );
        splice(side, "two files", file, None, target, None, 10, 0);
        splice(side, "wrong end", file, None, from, None, 10, 0);
        splice(side, "wrong end", into, None, target, None, 10, 0);
        splice(side, "unknown flag", file, None, into, None, 10, 16);
        splice(side, "same pipe", from, None, into, None, 10, 0);
        splice(side, "closed", 99, None, into, None, 10, 0);
        splice(side, "pipe to file", from, None, target, None, 60, 0);
        splice(side, "to an offset", from, None, target, Some(200), 1000, 0);
        splice(side, "empty", from, None, target, None, 10, 2);
        side.content("target");
        splice(side, "much", file, Some(0), into, None, 30_000, 2);
        splice(side, "pipe to pipe", from, None, into2, None, 10_000, 2);
        for bytes in [0, 1, 5000, 100_000] {
            side.tell(&format!("tee {bytes}"), __NR_tee, &[from, into2, bytes, 2]);
        }
        for arguments in [
            [from, into, 10, 0],
            [file, into2, 10, 0],
            [from, target, 10, 0],
            [into, from2, 10, 0],
            [from, into2, 10, 16],
            [99, into2, 10, 0],
        ] {
            side.tell("tee", __NR_tee, &arguments);
        }
        side.read("second", from2, 12_000);
        side.read("second", from2, 70_000);
        side.read("first", from, 70_000);
        side.tell("tee of nothing", __NR_tee, &[from, into2, 10, 2]);
        let spans = [
            at(&content[..]),
            100,
            at(&content[200..]),
            0,
            at(&content[300..]),
            300,
        ];
        for (count, flags) in [(0, 0), (1, 0), (3, 0), (3, 2), (1025, 0), (1, 16)] {
            side.tell("vmsplice", __NR_vmsplice, &[into, at(&spans), count, flags]);
        }
        side.tell(
            "vmsplice to a file",
            __NR_vmsplice,
            &[file, at(&spans), 1, 0],
        );
        side.read("spans", from, 70_000);
        // Appending, and descriptors that do not allow it.
        let append = side.open("target", O_WRONLY | O_APPEND);
        side.write("word", into, b"word");
        splice(side, "append", from, None, append, None, 4, 0);
        let reads = side.open("file", O_RDONLY);
        splice(side, "read only", from, None, reads, None, 4, 0);
        splice(side, "write only", append, None, into, None, 4, 0);
        for (out, source, offset, bytes) in [
            (target, file, None, 10),
            (target, file, Some(7i64), 10),
            (target, file, Some(29_999), 10),
            (target, file, Some(-1), 10),
            (into, file, None, 100),
            (target, from, None, 10),
            (append, file, None, 10),
            (file, append, None, 10),
            (target, file, None, 0),
            (99, file, None, 10),
        ] {
            let mut place = offset.unwrap_or(0);
            let address = offset.map_or(0, |_| to(&mut place));
            let answer = side.call(__NR_sendfile, &[out, source, address, bytes]);
            side.note("sendfile", (answer, place));
        }
        side.read("sent", from, 1000);
        let copy = |side: &mut Side,
                    what: &str,
                    from: usize,
                    from_at: Option<i64>,
                    into: usize,
                    into_at: Option<i64>,
                    bytes: usize,
                    flags: usize| {
            let (mut from_place, mut into_place) = (from_at.unwrap_or(0), into_at.unwrap_or(0));
            let from_address = from_at.map_or(0, |_| to(&mut from_place));
            let into_address = into_at.map_or(0, |_| to(&mut into_place));
            let answer = side.call(
                __NR_copy_file_range,
                &[from, from_address, into, into_address, bytes, flags],
            );
            side.note(what, (answer, from_place, into_place));
        };
        side.tell("seek", __NR_lseek, &[file, 100, 0]);
        copy(side, "copy", file, None, target, None, 1000, 0);
        copy(side, "copy at", file, Some(3), target, Some(9000), 5000, 0);
        copy(side, "copy past", file, Some(29_000), target, None, 5000, 0);
        copy(side, "copy beyond", file, Some(40_000), target, None, 10, 0);
        copy(side, "copy flags", file, None, target, None, 10, 1);
        copy(
            side,
            "copy onto itself",
            file,
            Some(0),
            file,
            Some(5),
            10,
            0,
        );
        copy(
            side,
            "copy beside itself",
            file,
            Some(0),
            file,
            Some(10),
            10,
            0,
        );
        copy(side, "copy to a pipe", file, None, into, None, 10, 0);
        copy(side, "copy append", file, None, append, None, 10, 0);
        copy(side, "copy read only", file, None, reads, None, 10, 0);
        copy(side, "copy nothing", file, None, target, None, 0, 0);
        side.content("target");
        side.content("file");
    });
}

/// How deep epolls may watch each other, whichever end of the chain is added last.
#[test]
fn chains_of_epolls() {
    same(|side| {
        for order in 0..3 {
            let all: Vec<usize> = (0..9)
                .map(|_| side.call(__NR_epoll_create1, &[0]) as usize)
                .collect();
            let counter = side.call(__NR_eventfd2, &[1, 0]) as usize;
            let mut links: Vec<(usize, usize)> =
                all.windows(2).map(|pair| (pair[0], pair[1])).collect();
            match order {
                0 => {}
                1 => links.reverse(),
                // The ends first, the middle last.
                _ => links.sort_by_key(|(one, _)| one.abs_diff(all[4]).wrapping_neg()),
            }
            for (one, other) in links {
                side.control(one, EPOLL_CTL_ADD, other, EPOLLIN);
            }
            for epoll in &all {
                side.control(*epoll, EPOLL_CTL_ADD, counter, EPOLLIN);
            }
            side.control(all[3], EPOLL_CTL_ADD, all[0], EPOLLIN);
            side.polled("chain", &all);
            for fd in all.into_iter().chain([counter]) {
                side.close(fd);
            }
        }
    });
}
