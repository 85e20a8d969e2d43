//! Names and what is known of files: links, folders, renames, modes, owners, times, lists, paths.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use std::ffi::CString;
use std::format;
use std::string::String;
use std::vec::Vec;

const HERE: usize = AT_FDCWD as isize as usize;

impl Side {
    fn two_names(&mut self, number: u32, from: &str, to: &str) {
        let (one, other) = (CString::new(from).unwrap(), CString::new(to).unwrap());
        self.tell(
            &format!("{number} {from:?} {to:?}"),
            number,
            &[at(one.as_c_str()), at(other.as_c_str())],
        );
    }

    fn one_name(&mut self, number: u32, path: &str, more: &[usize]) {
        let answer = self.path(number, path, more);
        self.note(
            &format!(
                "{number} {path:?} {:x?}",
                more.first().filter(|word| **word < 1 << 20)
            ),
            answer.min(0),
        );
    }

    /// A name seen from a descriptor.
    fn from(&mut self, number: u32, base: usize, path: &str, more: &[usize]) -> isize {
        let path = CString::new(path).unwrap();
        let answer = self.call(number, &[&[base, at(path.as_c_str())][..], more].concat());
        let base = if base == HERE { 0 } else { base };
        self.note(
            &format!(
                "{number} {base} {path:?} {:x?}",
                more.first().filter(|word| **word < 1 << 20)
            ),
            answer.min(0),
        );
        answer
    }

    /// Notes the names in a folder with their kinds, sorted.
    fn list(&mut self, path: &str) {
        let entries = self.entries(path);
        self.note(path, entries);
    }

    fn entries(&mut self, path: &str) -> (isize, Vec<(String, u8, usize)>) {
        let folder = self.open(path, O_RDONLY | O_DIRECTORY);
        let mut buffer = [0u64; 512];
        let mut names = Vec::new();
        let end = loop {
            let answer = self.call(__NR_getdents64, &[folder, to(&mut buffer), 4096]);
            let Some(count) = usize::try_from(answer).ok().filter(|count| *count > 0) else {
                break answer;
            };
            // SAFETY: plain numbers, as bytes.
            let bytes = unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), count) };
            let mut place = 0;
            while place < count {
                let length =
                    usize::from(u16::from_ne_bytes([bytes[place + 16], bytes[place + 17]]));
                let name = bytes[place + 19..place + length]
                    .split(|byte| *byte == 0)
                    .next()
                    .unwrap();
                names.push((
                    String::from_utf8_lossy(name).into_owned(),
                    bytes[place + 18],
                    length,
                ));
                place += length;
            }
        };
        names.sort();
        self.close(folder);
        (end, names)
    }

    fn tree(&mut self) {
        for (name, content) in [("file", "content"), ("other", "other")] {
            let file = self.file(name, content.as_bytes());
            self.close(file);
        }
        for folder in ["folder", "folder/inner", "empty"] {
            self.path(__NR_mkdir, folder, &[0o755]);
        }
        let file = self.file("folder/file", b"inside");
        self.close(file);
        for (target, link) in [
            ("file", "link"),
            ("folder", "to-folder"),
            ("nothing", "dangling"),
            ("loop", "loop"),
            ("folder/inner/../file", "far"),
        ] {
            let (target, link) = (CString::new(target).unwrap(), CString::new(link).unwrap());
            self.call(__NR_symlink, &[at(target.as_c_str()), at(link.as_c_str())]);
        }
    }

    /// Removes all that is in a folder.
    fn clear(&mut self, folder: &str) {
        for (name, ..) in self.entries(folder).1 {
            let path = format!("{folder}/{name}");
            if name != "." && name != ".." && self.path(__NR_unlink, &path, &[]) != 0 {
                self.clear(&path);
                assert_eq!(self.path(__NR_rmdir, &path, &[]), 0, "{path}");
            }
        }
    }
}

const NAMES: &[&str] = &[
    "file",
    "folder",
    "empty",
    "link",
    "to-folder",
    "dangling",
    "loop",
    "far",
    "new",
    "new/",
    "file/",
    "folder/",
    "empty/",
    "folder/inner",
    "folder/new",
    "folder/file",
    "nothing/x",
    "file/x",
    "to-folder/new",
    "",
    ".",
    "folder/.",
    "folder/..",
];

#[test]
fn every_name_onto_every_other() {
    same(|side| {
        for number in [__NR_rename, __NR_link, __NR_symlink] {
            for from in NAMES {
                for to in NAMES {
                    side.tree();
                    side.two_names(number, from, to);
                    for name in [
                        "file",
                        "folder",
                        "empty",
                        "link",
                        "new",
                        "folder/new",
                        "dangling",
                    ] {
                        side.status(name);
                    }
                    side.clear(".");
                }
            }
        }
    });
}

#[test]
fn exchanges_and_moves_without_replacing() {
    same(|side| {
        for flags in [0usize, 1, 2, 3, 8] {
            for (from, to) in [
                ("file", "other"),
                ("file", "new"),
                ("file", "folder"),
                ("folder", "file"),
                ("folder", "empty"),
                ("folder", "folder/inner"),
                ("folder/inner", "folder"),
                ("folder/inner", "empty"),
                ("link", "folder"),
                ("nothing", "file"),
                ("file", "file"),
                ("folder/file", "file"),
                ("to-folder", "file"),
                (".", "file"),
            ] {
                side.tree();
                let (one, other) = (CString::new(from).unwrap(), CString::new(to).unwrap());
                side.tell(
                    &format!("{flags} {from} {to}"),
                    __NR_renameat2,
                    &[HERE, at(one.as_c_str()), HERE, at(other.as_c_str()), flags],
                );
                for name in [
                    "file",
                    "other",
                    "folder",
                    "empty",
                    "new",
                    "link",
                    "folder/inner",
                    "folder/file",
                    "empty/file",
                    "file/file",
                ] {
                    side.status(name);
                }
                side.list(".");
                side.clear(".");
            }
        }
    });
}

#[test]
fn names_are_made_and_removed() {
    same(|side| {
        for name in NAMES {
            for (number, more) in [
                (__NR_mkdir, &[0o750][..]),
                (__NR_rmdir, &[]),
                (__NR_unlink, &[]),
                (__NR_mknod, &[0o10_640, 0]),
                (__NR_mknod, &[0o100_640, 0]),
                (__NR_mknod, &[0o40_640, 0]),
                (__NR_creat, &[0o640]),
                (__NR_chdir, &[]),
                (__NR_access, &[0]),
                (__NR_access, &[7]),
                (__NR_access, &[8]),
            ] {
                side.tree();
                side.one_name(number, name, more);
                side.status("new");
                side.status("empty");
                let mut buffer = [0u8; 300];
                let answer = side.call(__NR_getcwd, &[to(&mut buffer), 300]);
                let text = String::from_utf8_lossy(&buffer[..usize::try_from(answer).unwrap_or(0)])
                    .into_owned();
                side.note(
                    "here",
                    text.trim_end_matches('\0')
                        .rsplit('/')
                        .next()
                        .map(|last| last.starts_with("bespoke") || last == "work"),
                );
                let folder = side.folder_again();
                assert_eq!(folder, 0);
                side.clear(".");
            }
        }
        side.tree();
        for flags in [0usize, AT_REMOVEDIR as usize, 1, 0x1000] {
            for name in ["file", "empty", "link", "nothing"] {
                side.tree();
                side.from(__NR_unlinkat, HERE, name, &[flags]);
            }
        }
    });
}

impl Side {
    fn folder_again(&mut self) -> isize {
        let folder = self.folder.clone();
        self.path(__NR_chdir, &folder, &[])
    }

    fn link_text(&mut self, path: &str) {
        for room in [100usize, 5, 1, 0] {
            let mut buffer = [0xee_u8; 100];
            let answer = self.path(__NR_readlink, path, &[to(&mut buffer), room]);
            self.note_bytes(&format!("link {path} {room}"), answer, &buffer);
        }
    }
}

#[test]
fn what_is_known_of_files() {
    same(|side| {
        side.tree();
        let file = side.open("file", O_RDWR);
        let folder = side.open("folder", O_RDONLY | O_DIRECTORY);
        let path = side.open("file", O_PATH);
        let link = side.open("link", O_PATH | O_NOFOLLOW);
        for name in NAMES {
            side.link_text(name);
            side.status(name);
            for flags in [
                0usize,
                AT_SYMLINK_NOFOLLOW as usize,
                AT_EMPTY_PATH as usize,
                0x800,
                1,
            ] {
                for base in [HERE, folder, file, path, link, 99] {
                    // SAFETY: integers: all zero is a value.
                    let mut status: stat = unsafe { core::mem::zeroed() };
                    side.from(__NR_newfstatat, base, name, &[to(&mut status), flags]);
                    side.note(
                        "status",
                        (flags, format!("{:o}", status.st_mode), status.st_nlink),
                    );
                    for mode in [0usize, 4, 7, 8] {
                        side.note("mode", (mode, flags));
                        side.from(__NR_faccessat2, base, name, &[mode, flags]);
                    }
                    if base != HERE {
                        side.from(__NR_fchmodat2, base, name, &[0o644, flags]);
                    }
                }
            }
        }
    });
}

#[test]
fn modes_owners_and_times() {
    same(|side| {
        side.tree();
        let file = side.open("file", O_RDWR);
        let path = side.open("file", O_PATH);
        let folder = side.open("folder", O_RDONLY | O_DIRECTORY);
        for mode in [
            0usize,
            0o644,
            0o777,
            0o4755,
            0o6777,
            0o1777,
            0o7777,
            0o17_777,
            usize::MAX,
        ] {
            for name in ["file", "folder", "link", "dangling", "nothing", "file/"] {
                side.one_name(__NR_chmod, name, &[mode]);
                side.status("file");
                side.status("folder");
            }
            for fd in [file, path, folder, 99] {
                side.tell("fchmod", __NR_fchmod, &[fd, mode]);
            }
        }
        for (user, group) in [
            (0usize, 0usize),
            (5, 6),
            (usize::MAX, 7),
            (8, usize::MAX),
            (usize::MAX, usize::MAX),
            (0xffff_ffff, 1 << 20),
        ] {
            for name in ["file", "folder", "link", "dangling", "nothing"] {
                side.one_name(__NR_chmod, name, &[0o6755]);
                side.one_name(__NR_chown, name, &[user, group]);
                side.status("file");
                side.one_name(__NR_lchown, name, &[user, group]);
                side.status("link");
                side.status("folder");
            }
            for fd in [file, path, folder, 99] {
                side.tell("fchown", __NR_fchown, &[fd, user, group]);
            }
            for flags in [
                0usize,
                AT_SYMLINK_NOFOLLOW as usize,
                AT_EMPTY_PATH as usize,
                1,
            ] {
                side.from(__NR_fchownat, HERE, "link", &[user, group, flags]);
                side.from(__NR_fchownat, path, "", &[user, group, flags]);
            }
        }
        const OMIT: i64 = UTIME_OMIT as i64;
        let times = |side: &mut Side, what: &str| {
            for name in ["file", "link", "folder"] {
                // SAFETY: integers: all zero is a value.
                let mut status: stat = unsafe { core::mem::zeroed() };
                side.path(__NR_lstat, name, &[to(&mut status)]);
                // Following a link is an access to Linux.
                let known = |seconds: i64, nanoseconds: u64| {
                    (seconds < 1_000_000).then_some((seconds, nanoseconds))
                };
                side.note(
                    what,
                    (
                        known(status.st_atime as i64, status.st_atime_nsec)
                            .filter(|_| name != "link"),
                        known(status.st_mtime as i64, status.st_mtime_nsec),
                    ),
                );
            }
        };
        for pair in [
            [[5i64, 6], [7, 8]],
            [[5, OMIT], [9, 10]],
            [[11, 12], [5, OMIT]],
            [[5, OMIT], [5, OMIT]],
            [[0, 1_000_000_000], [0, 0]],
            [[0, 0], [0, -1]],
            [[0, 999_999_999], [100, 0]],
        ] {
            let is_time = |time: &[i64; 2]| matches!(time[1], 0..1_000_000_000 | OMIT);
            let is_valid = pair.iter().all(is_time);
            let names = ["file", "folder", "link", "dangling", "nothing", "", "file/"];
            for name in names.into_iter().take(if is_valid { 7 } else { 2 }) {
                for flags in [
                    0usize,
                    AT_SYMLINK_NOFOLLOW as usize,
                    AT_EMPTY_PATH as usize,
                    1,
                ] {
                    side.from(__NR_utimensat, HERE, name, &[at(&pair), flags]);
                    times(side, name);
                }
            }
            for fd in [file, folder, path, 99]
                .into_iter()
                .take(if is_valid { 4 } else { 2 })
            {
                side.tell("descriptor", __NR_utimensat, &[fd, 0, at(&pair), 0]);
                times(side, "descriptor");
            }
        }
        for pair in [
            [[5i64, 6], [7, 8]],
            [[5, 999_999], [7, 0]],
            [[5, 1_000_000], [7, 0]],
            [[5, -1], [7, 0]],
        ] {
            side.one_name(__NR_utimes, "file", &[at(&pair)]);
            times(side, "utimes");
            side.from(__NR_futimesat, HERE, "link", &[at(&pair)]);
            times(side, "futimesat");
        }
        let seconds = [20i64, 30];
        side.one_name(__NR_utime, "file", &[at(&seconds)]);
        times(side, "utime");
        side.one_name(__NR_utime, "nothing", &[0]);
        side.tell("bad", __NR_utimensat, &[HERE, at(c"file"), 8, 0]);
    });
}

#[test]
fn lists_of_folders() {
    same(|side| {
        side.tree();
        side.path(__NR_mknod, "fifo", &[0o10_644, 0]);
        side.list(".");
        side.list("folder");
        side.list("empty");
        for number in 0..300 {
            side.path(
                __NR_mkdir,
                &format!(
                    "empty/{}",
                    "n".repeat(1 + number % 200) + &format!("{number}")
                ),
                &[0o755],
            );
        }
        side.list("empty");
        side.status("empty");
        let folder = side.open("folder", O_RDONLY | O_DIRECTORY);
        let file = side.open("file", O_RDONLY);
        let path = side.open("folder", O_PATH);
        let mut buffer = [0u64; 64];
        for fd in [file, path, 99] {
            side.tell("no folder", __NR_getdents64, &[fd, to(&mut buffer), 512]);
        }
        for room in [0usize, 1, 23, 24] {
            side.tell("room", __NR_getdents64, &[folder, to(&mut buffer), room]);
        }
        side.tell("rewind", __NR_lseek, &[folder, 0, 0]);
        side.tell("all", __NR_getdents64, &[folder, to(&mut buffer), 512]);
        side.tell("end", __NR_getdents64, &[folder, to(&mut buffer), 512]);
        side.tell("rewind", __NR_lseek, &[folder, 0, 0]);
        side.path(__NR_unlink, "folder/file", &[]);
        side.tell("fewer", __NR_getdents64, &[folder, to(&mut buffer), 512]);
        side.tell("bad", __NR_lseek, &[folder, usize::MAX, 0]);
        side.tell("fchdir", __NR_fchdir, &[folder]);
        side.list(".");
        for fd in [file, 99] {
            side.tell("fchdir", __NR_fchdir, &[fd]);
        }
        side.path(__NR_rmdir, "inner", &[]);
        side.path(__NR_rmdir, "../folder", &[]);
        side.tell("removed", __NR_getdents64, &[folder, to(&mut buffer), 512]);
        let answer = side.path(__NR_mkdir, "inner", &[0o755]);
        side.note("removed", answer);
    });
}
