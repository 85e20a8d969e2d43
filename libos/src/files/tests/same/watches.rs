//! inotify: which events calls on files make, in which order, with which names.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use std::ffi::CString;
use std::format;
use std::string::String;
use std::vec::Vec;

impl Side {
    fn watch(&mut self, instance: usize, path: &str, mask: u32) -> isize {
        let text = CString::new(path).unwrap();
        self.tell(
            &format!("watch {path} {mask:#x}"),
            __NR_inotify_add_watch,
            &[instance, at(text.as_c_str()), mask as usize],
        )
    }

    /// Notes the events that wait; cookies by the order in which they come.
    fn events(&mut self, what: &str, instance: usize) {
        let mut buffer = [0u8; 8192];
        let answer = self.call(__NR_read, &[instance, to(&mut buffer), buffer.len()]);
        let count = usize::try_from(answer).unwrap_or(0);
        let mut rest = &buffer[..count];
        let mut cookies: Vec<u32> = Vec::new();
        let mut events = Vec::new();
        while rest.len() >= 16 {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
            let (watch, mask, cookie, length) = (word(0), word(4), word(8), word(12) as usize);
            let name = String::from_utf8_lossy(&rest[16..16 + length]).into_owned();
            let cookie = match cookie {
                0 => 0,
                _ => {
                    if !cookies.contains(&cookie) {
                        cookies.push(cookie);
                    }
                    1 + cookies.iter().position(|known| *known == cookie).unwrap()
                }
            };
            events.push(format!("{watch} {mask:#x} {cookie} {name:?}"));
            rest = &rest[16 + length..];
        }
        self.note(what, (answer.min(0), events));
    }

    fn two(&mut self, what: &str, number: u32, from: &str, to: &str) {
        let (one, other) = (CString::new(from).unwrap(), CString::new(to).unwrap());
        self.tell(what, number, &[at(one.as_c_str()), at(other.as_c_str())]);
    }

    fn one(&mut self, what: &str, number: u32, path: &str, more: &[usize]) {
        let answer = self.path(number, path, more);
        self.note(what, answer.min(0));
    }
}

fn begin(side: &mut Side) -> usize {
    side.call(__NR_inotify_init1, &[O_NONBLOCK as usize]) as usize
}

#[test]
fn instances_and_watches() {
    same(|side| {
        for flags in [0, O_NONBLOCK, O_CLOEXEC, O_APPEND, 1] {
            let answer = side.call(__NR_inotify_init1, &[flags as usize]);
            side.note("init", answer.min(0));
            if let Ok(instance) = usize::try_from(answer) {
                side.tell("flags", __NR_fcntl, &[instance, F_GETFL as usize]);
                side.tell("flags", __NR_fcntl, &[instance, F_GETFD as usize]);
                side.close(instance);
            }
        }
        let instance = begin(side);
        side.file("file", b"content");
        side.one("mkdir", __NR_mkdir, "folder", &[0o755]);
        side.two("symlink", __NR_symlink, "file", "link");
        for (path, mask) in [
            ("file", 0),
            ("file", IN_ONLYDIR),
            ("folder", IN_ONLYDIR),
            ("file", 1 << 20),
            ("file", IN_MASK_ADD | IN_MASK_CREATE | IN_OPEN),
            ("nothing", IN_OPEN),
            ("", IN_OPEN),
            ("file", IN_OPEN),
            ("file", IN_MASK_CREATE | IN_OPEN),
            ("link", IN_ACCESS),
            ("link", IN_DONT_FOLLOW | IN_ACCESS),
            ("file", IN_MASK_ADD | IN_MODIFY),
            ("folder", IN_MASK_CREATE | IN_OPEN),
            ("file", IN_UNMOUNT | IN_OPEN),
            (".", IN_ALL_EVENTS),
        ] {
            side.watch(instance, path, mask);
        }
        side.tell(
            "bad path",
            __NR_inotify_add_watch,
            &[instance, 8, IN_OPEN as usize],
        );
        for descriptor in [0, 99] {
            let path = CString::new("file").unwrap();
            side.tell(
                "not one",
                __NR_inotify_add_watch,
                &[descriptor, at(path.as_c_str()), IN_OPEN as usize],
            );
            side.tell("not one", __NR_inotify_rm_watch, &[descriptor, 1]);
        }
        side.polled("none", &[instance]);
        side.events("none", instance);
        for number in [1, 1, 99, usize::MAX, 4] {
            side.tell("remove", __NR_inotify_rm_watch, &[instance, number]);
        }
        side.polled("ignored", &[instance]);
        let mut waiting = 0i32;
        side.tell(
            "bytes",
            __NR_ioctl,
            &[
                instance,
                linux_raw_sys::ioctl::FIONREAD as usize,
                to(&mut waiting),
            ],
        );
        side.note("bytes", waiting);
        side.read("short", instance, 15);
        side.read("one", instance, 16);
        side.read("the rest", instance, 100);
        side.read("none", instance, 100);
        side.watch(instance, "file", IN_OPEN);
        side.write("to it", instance, b"x");
        side.tell("seek", __NR_lseek, &[instance, 0, 0]);
    });
}

/// Every call that does something to a file, a folder, or what is in it.
fn everything(side: &mut Side, instance: usize) {
    let content = b"some content";
    let file = side.open("folder/new", O_RDWR | O_CREAT);
    side.events("create", instance);
    side.write("write", file, content);
    side.write("nothing", file, b"");
    side.events("write", instance);
    side.write("write", file, content);
    side.write("write again", file, content);
    side.events("one event", instance);
    side.tell("pwrite", __NR_pwrite64, &[file, at(content), 3, 1]);
    let spans = [at(content), 2];
    side.tell("writev", __NR_writev, &[file, at(&spans), 1]);
    side.events("pwrite", instance);
    side.tell("seek", __NR_lseek, &[file, 0, 0]);
    side.read("read", file, 4);
    side.tell("pread", __NR_pread64, &[file, to(&mut [0u8; 4]), 4, 0]);
    side.read("nothing", file, 0);
    side.events("read", instance);
    side.tell("truncate", __NR_ftruncate, &[file, 3]);
    side.tell("fallocate", __NR_fallocate, &[file, 0, 0, 100]);
    side.events("lengths", instance);
    side.tell("fchmod", __NR_fchmod, &[file, 0o600]);
    side.tell("fchown", __NR_fchown, &[file, 1, 2]);
    side.events("attributes", instance);
    let copy = side.call(__NR_dup, &[file]) as usize;
    side.close(file);
    side.events("a copy", instance);
    side.tell("dup2", __NR_dup2, &[instance, copy]);
    side.events("dup2", instance);
    side.close(copy);
    let reads = side.open("folder/new", O_RDONLY);
    side.close(reads);
    side.events("read only", instance);
    let path = side.open("folder/new", O_PATH);
    side.close(path);
    side.events("path", instance);
    let cut = side.open("folder/new", O_WRONLY | O_TRUNC);
    side.events("cut", instance);
    side.close(cut);
    side.events("closed", instance);
    let creat = side.path(__NR_creat, "folder/new", &[0o644]) as usize;
    side.close(creat);
    side.events("creat", instance);
    for (what, number, path, more) in [
        ("truncate", __NR_truncate, "folder/new", &[5][..]),
        ("chmod", __NR_chmod, "folder/new", &[0o640]),
        ("chown", __NR_chown, "folder/new", &[3, 4]),
        ("lchown", __NR_lchown, "folder/new", &[3, 4]),
        ("utime", __NR_utime, "folder/new", &[0]),
        ("mkdir", __NR_mkdir, "folder/inner", &[0o755]),
        ("chmod", __NR_chmod, "folder/inner", &[0o700]),
        ("rmdir", __NR_rmdir, "folder/inner", &[]),
        (
            "mknod",
            __NR_mknod,
            "folder/node",
            &[(S_IFIFO | 0o600) as usize, 0],
        ),
        ("unlink", __NR_unlink, "folder/node", &[]),
        ("mkdir fails", __NR_mkdir, "folder/new", &[0o755]),
        ("unlink fails", __NR_unlink, "folder/nothing", &[]),
        ("chmod of itself", __NR_chmod, "folder", &[0o755]),
    ] {
        side.one(what, number, path, more);
        side.events(what, instance);
    }
    let name = CString::new("folder/new").unwrap();
    let here = AT_FDCWD as isize as usize;
    const OMIT: i64 = UTIME_OMIT as i64;
    for times in [
        [[5i64, 0], [6, 0]],
        [[5, OMIT], [6, 0]],
        [[5, 0], [6, OMIT]],
        [[5, OMIT], [6, OMIT]],
    ] {
        side.tell(
            "times",
            __NR_utimensat,
            &[here, at(name.as_c_str()), at(&times), 0],
        );
        side.events("times", instance);
    }
    side.tell("now", __NR_utimensat, &[here, at(name.as_c_str()), 0, 0]);
    side.events("now", instance);
    for (what, number, from, to) in [
        ("symlink", __NR_symlink, "new", "folder/link"),
        ("link", __NR_link, "folder/new", "folder/second"),
        ("rename", __NR_rename, "folder/new", "folder/renamed"),
        (
            "rename over",
            __NR_rename,
            "folder/second",
            "folder/renamed",
        ),
        (
            "rename a link",
            __NR_rename,
            "folder/link",
            "folder/renamed link",
        ),
        (
            "rename itself",
            __NR_rename,
            "folder/renamed",
            "folder/renamed",
        ),
        (
            "rename nothing",
            __NR_rename,
            "folder/nothing",
            "folder/other",
        ),
        ("move out", __NR_rename, "folder/renamed", "outside"),
        ("move in", __NR_rename, "outside", "folder/inside"),
    ] {
        side.two(what, number, from, to);
        side.events(what, instance);
    }
    side.one("mkdir", __NR_mkdir, "folder/a", &[0o755]);
    side.one("mkdir", __NR_mkdir, "b", &[0o755]);
    side.events("folders", instance);
    let (one, other) = (
        CString::new("folder/a").unwrap(),
        CString::new("b").unwrap(),
    );
    side.tell(
        "exchange",
        __NR_renameat2,
        &[here, at(one.as_c_str()), here, at(other.as_c_str()), 2],
    );
    side.events("exchange", instance);
    side.two("move a folder", __NR_rename, "b", "folder/c");
    side.events("move a folder", instance);
    let folder = side.open("folder", O_RDONLY | O_DIRECTORY);
    let mut buffer = [0u8; 1024];
    let answer = side.call(__NR_getdents64, &[folder, to(&mut buffer), 1024]);
    side.note("list", answer > 0);
    side.close(folder);
    side.events("list", instance);
    side.one("unlink", __NR_unlink, "folder/second", &[]);
    side.events("unlink", instance);
    side.one("unlink", __NR_unlink, "folder/inside", &[]);
    side.events("unlink", instance);
    side.one("unlink", __NR_unlink, "folder/renamed link", &[]);
    for inner in ["folder/a", "folder/c"] {
        side.one("rmdir", __NR_rmdir, inner, &[]);
    }
    side.events("empty", instance);
    side.one("rmdir", __NR_rmdir, "folder", &[]);
    side.events("the end", instance);
    side.polled("the end", &[instance]);
}

#[test]
fn events_of_a_folder() {
    same(|side| {
        side.one("mkdir", __NR_mkdir, "folder", &[0o755]);
        let instance = begin(side);
        side.watch(instance, "folder", IN_ALL_EVENTS);
        everything(side, instance);
    });
}

#[test]
fn some_events_of_a_folder() {
    same(|side| {
        for mask in [
            IN_CREATE | IN_DELETE,
            IN_MODIFY,
            IN_ATTRIB | IN_DELETE_SELF,
            IN_CLOSE_WRITE,
            IN_MOVED_FROM,
            IN_MOVED_TO | IN_ISDIR,
            IN_OPEN | IN_CLOSE_NOWRITE,
            IN_ACCESS | IN_ONESHOT,
            IN_MOVE_SELF,
        ] {
            side.one("mkdir", __NR_mkdir, "folder", &[0o755]);
            let instance = begin(side);
            side.watch(instance, "folder", mask);
            everything(side, instance);
            side.close(instance);
        }
    });
}

#[test]
fn events_of_a_file() {
    same(|side| {
        for mask in [
            IN_ALL_EVENTS,
            IN_MODIFY | IN_ONESHOT,
            IN_ATTRIB,
            IN_DELETE_SELF,
            IN_MOVE_SELF | IN_CLOSE,
        ] {
            side.file("file", b"content");
            let (one, two) = (begin(side), begin(side));
            side.watch(one, "file", mask);
            side.watch(two, "file", IN_ALL_EVENTS);
            let file = side.open("file", O_RDWR);
            side.read("read", file, 4);
            side.write("write", file, b"word");
            side.tell("fchmod", __NR_fchmod, &[file, 0o600]);
            side.events("one", one);
            side.two("link", __NR_link, "file", "second");
            side.two("rename", __NR_rename, "file", "moved");
            side.two("rename over", __NR_rename, "moved", "file");
            side.events("one", one);
            // By which of several names a file is open is known to Linux alone.
            side.close(file);
            let file = side.open("file", O_RDONLY);
            side.one("unlink", __NR_unlink, "second", &[]);
            side.events("one", one);
            side.one("unlink", __NR_unlink, "file", &[]);
            side.events("one", one);
            side.close(file);
            side.events("one", one);
            // The watch is gone with the file.
            side.tell("remove", __NR_inotify_rm_watch, &[one, 1]);
            side.close(one);
            side.close(two);
            side.events("closed", two);
        }
        // A file that replaces a watched one.
        side.file("old", b"old");
        side.file("new", b"new");
        let instance = begin(side);
        side.watch(instance, "old", IN_ALL_EVENTS);
        side.two("rename", __NR_rename, "new", "old");
        side.events("replaced", instance);
    });
}
