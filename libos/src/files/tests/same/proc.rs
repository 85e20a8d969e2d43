//! What `/proc` tells of descriptors, by links, lists and texts.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use std::ffi::CString;
use std::format;
use std::string::String;
use std::vec::Vec;

/// A text without the number of an inode in it.
fn without_number(text: &str) -> String {
    match text.split_once(":[") {
        Some((kind, number)) if number.starts_with(|letter: char| letter.is_ascii_digit()) => {
            format!("{kind}:[#]")
        }
        _ => text.into(),
    }
}

impl Side {
    fn target(&mut self, path: &str) {
        let mut buffer = [0u8; 200];
        let answer = self.path(__NR_readlink, path, &[to(&mut buffer), 200]);
        let text =
            String::from_utf8_lossy(&buffer[..usize::try_from(answer).unwrap_or(0)]).into_owned();
        let is_error = answer.min(0);
        let folder = self.folder.clone();
        // Linux keeps the name of a file that was removed.
        let text = match text.ends_with("(deleted)") && !text.starts_with("/memfd") {
            true => "deleted".into(),
            false => without_number(&text.replace(&folder, "WORK")),
        };
        self.note(path, (is_error, text));
    }

    fn kind(&mut self, path: &str) {
        for number in [__NR_lstat, __NR_stat] {
            // SAFETY: integers: all zero is a value.
            let mut status: stat = unsafe { core::mem::zeroed() };
            let answer = self.path(number, path, &[to(&mut status)]);
            self.note(path, (number, answer, format!("{:o}", status.st_mode)));
        }
    }
}

#[test]
fn links_to_what_is_open() {
    same(|side| {
        let file = side.file("file", b"content");
        let gone = side.file("gone", b"x");
        side.path(__NR_unlink, "gone", &[]);
        let folder = side.open(".", O_RDONLY | O_DIRECTORY);
        let path = side.open("file", O_PATH);
        let writes = side.open("file", O_WRONLY | O_APPEND);
        let [from, into] = side.pipe(O_CLOEXEC);
        let epoll = side.call(__NR_epoll_create1, &[0]) as usize;
        let counter = side.call(__NR_eventfd2, &[0, 0]) as usize;
        let timer = side.call(__NR_timerfd_create, &[1, 0]) as usize;
        let watches = side.call(__NR_inotify_init1, &[0]) as usize;
        let memory = side.path(__NR_memfd_create, "name", &[0]) as usize;
        let socket = side.call(__NR_socket, &[1, 1, 0]) as usize;
        let null = side.open("/dev/null", O_RDWR);
        let all = [
            file, gone, folder, path, writes, from, into, epoll, counter, timer, watches, memory,
            socket, null, 99,
        ];
        for fd in all {
            for prefix in [
                "/proc/self/fd",
                "/dev/fd",
                "/proc/thread-self/fd",
                "/proc/self/task/../fd",
                "/proc//self/./fd",
            ] {
                side.target(&format!("{prefix}/{fd}"));
            }
            let name = format!("/proc/self/fd/{fd}");
            if fd != path {
                side.kind(&name);
            }
            // A pipe is opened by its name alone.
            if ![null, from, into].contains(&fd) {
                for flags in [
                    O_RDONLY | O_NONBLOCK,
                    O_WRONLY | O_NONBLOCK,
                    O_RDWR | O_NONBLOCK,
                    O_PATH,
                    O_RDONLY | O_NOFOLLOW,
                    O_RDONLY | O_DIRECTORY,
                    O_RDWR | O_CREAT,
                    O_RDWR | O_CREAT | O_EXCL,
                ] {
                    let answer = side.try_open(&name, flags, 0o644);
                    if let Ok(again) = usize::try_from(answer) {
                        side.tell("flags", __NR_fcntl, &[again, F_GETFL as usize]);
                        side.close(again);
                    }
                }
            }
            let info = side.path(__NR_open, &format!("/proc/self/fdinfo/{fd}"), &[0, 0]);
            side.note("info", info.min(0));
            if let Ok(info) = usize::try_from(info) {
                let mut buffer = [0u8; 400];
                let answer = side.call(__NR_read, &[info, to(&mut buffer), 400]);
                let text = String::from_utf8_lossy(&buffer[..usize::try_from(answer).unwrap_or(0)])
                    .into_owned();
                let lines: Vec<&str> = text.lines().take(2).collect();
                side.note("info", lines);
                side.close(info);
            }
        }
        side.tell("seek", __NR_lseek, &[file, 5, 0]);
        let info = side.open(&format!("/proc/self/fdinfo/{file}"), O_RDONLY);
        side.read("position", info, 6);
        side.close(info);
        for name in [
            "/proc/self/cwd",
            "/proc/self/root",
            "/proc/self/fd",
            "/proc/self/fdinfo",
            "/proc/self",
            "/proc/self/",
            "/proc/self/task",
            "/proc",
            "/proc/self/nothing",
            "/proc/mounts",
            "/proc/self/exe",
        ] {
            side.kind(name);
        }
        for name in [
            "/proc/self/root",
            "/proc/self/cwd",
            "/proc/self/fd",
            "/proc/mounts",
            "/proc/self/comm",
            "/proc/nothing",
            "/dev/fd",
        ] {
            side.target(name);
        }
        for (path, flags) in [
            ("/proc/self/fd", O_RDONLY),
            ("/proc/self/fd", O_RDWR),
            ("/proc/self/fd", O_RDONLY | O_CREAT),
            ("/proc/self/comm/", O_RDONLY),
            ("/proc/self/comm", O_RDONLY | O_DIRECTORY),
            ("/proc/self/limits", O_RDWR | O_CREAT | O_EXCL),
            ("/proc/self", O_RDONLY | O_NOFOLLOW),
            ("/proc/nothing", O_RDONLY),
            ("/proc/self/cwd", O_RDONLY),
            ("/proc/self/cwd", O_RDONLY | O_NOFOLLOW),
            ("/proc/meminfo", O_PATH),
        ] {
            let answer = side.try_open(path, flags, 0o644);
            if let Ok(descriptor) = usize::try_from(answer) {
                side.close(descriptor);
            }
        }
    });
}

#[test]
fn generated_folders_are_listed_and_walked() {
    same(|side| {
        let folder = side.open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
        let mut buffer = [0u8; 2048];
        let answer = side.call(__NR_getdents64, &[folder, to(&mut buffer), 2048]);
        let mut names = Vec::new();
        let mut place = 0;
        while place < usize::try_from(answer).unwrap_or(0) {
            let length = usize::from(u16::from_ne_bytes([buffer[place + 16], buffer[place + 17]]));
            let name = buffer[place + 19..place + length]
                .split(|byte| *byte == 0)
                .next()
                .unwrap();
            names.push((
                String::from_utf8_lossy(name).into_owned(),
                buffer[place + 18],
            ));
            place += length;
        }
        names.sort();
        side.note("names", names);
        side.tell("end", __NR_getdents64, &[folder, to(&mut buffer), 2048]);
        side.tell("rewind", __NR_lseek, &[folder, 0, 0]);
        let again = side.call(__NR_getdents64, &[folder, to(&mut buffer), 2048]);
        side.note("again", again == answer);
        side.read("a folder", folder, 10);
        // From there.
        let own = side.open("/proc/self", O_RDONLY | O_DIRECTORY);
        for path in [
            "fd",
            "comm",
            "../self/comm",
            "task",
            "cwd",
            "cwd/",
            "fdinfo/0",
        ] {
            let name = CString::new(path).unwrap();
            let answer = side.call(
                __NR_openat,
                &[own, at(name.as_c_str()), O_RDONLY as usize, 0],
            );
            side.note(path, answer.min(0));
            if answer >= 0 {
                side.close(answer as usize);
            }
        }
        let text = side.open("/proc/self/limits", O_RDONLY);
        side.tell("seek", __NR_lseek, &[text, 4, 0]);
        side.read("behind", text, 6);
        side.tell("position", __NR_lseek, &[text, 0, 1]);
        side.tell("pread", __NR_pread64, &[text, to(&mut [0u8; 5]), 5, 2]);
        side.tell("position", __NR_lseek, &[text, 0, 1]);
        side.write("write", text, b"x");
        side.tell("cut", __NR_ftruncate, &[text, 0]);
        for request in [1i64 << 40, 0] {
            side.tell(
                "far",
                __NR_pread64,
                &[text, to(&mut [0u8; 5]), 5, request as usize],
            );
        }
    });
}
