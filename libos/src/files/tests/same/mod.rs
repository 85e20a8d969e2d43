//! Scripts of calls that must answer here what they answer on the machine that runs the tests, word for word.
//!
//! A script makes calls on a [`Side`] and notes what matters of their answers; it runs once on Linux and once on a file
//! system of ours, each in a folder of its own, and both notes must be the same. So a script pins exact behaviour without
//! repeating it. Each runs in a process of its own, whose working directory and descriptors it may change.

mod files;
#[cfg(feature = "net")]
mod inet;
mod matrix;
mod names;
mod objects;
mod proc;
mod rights;
mod sockets;
mod watches;

use super::super::permissions::Subject;
use super::super::{Errno, Guest, Released};
use super::Machine;
use super::against_linux::real;
use crate::apart::apart;
use crate::single::Single;
use linux_raw_sys::general::*;
use std::ffi::CString;
use std::fmt::Debug;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

// SAFETY: each script runs in a process of its own, on one thread.
static RELEASED: Released = unsafe { Single::new(Vec::new()) };

/// One of the two file systems, and what was noted of its answers.
pub struct Side {
    ours: Option<Machine>,
    /// The folder that the script works in.
    folder: String,
    notes: Vec<String>,
    watched: bool,
    cookies: u32,
    /// User and group, when that is not root.
    user: Option<(usize, usize)>,
}

/// The address of a value.
pub fn at<T: ?Sized>(value: &T) -> usize {
    core::ptr::from_ref(value).cast::<u8>() as usize
}

/// The address of a value that a call writes.
pub fn to<T: ?Sized>(value: &mut T) -> usize {
    core::ptr::from_mut(value).cast::<u8>() as usize
}

/// Runs a script on both sides.
pub fn same(script: fn(&mut Side)) {
    apart(|| {
        let shared = std::path::Path::new("/dev/shm");
        let parent = match shared.is_dir() {
            true => shared.to_path_buf(),
            false => std::env::temp_dir(),
        };
        let folder = parent.join(format!("bespoke-same-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let mut linux = Side::new(None, folder.display().to_string());
        // SAFETY: ignores a signal in this process of the test's own.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            // The same numbers are free on both sides.
            linux.call(__NR_close_range, &[3, 1000, 0]);
            linux.begin();
            script(&mut linux);
        }));
        let _ = std::env::set_current_dir("/");
        std::fs::remove_dir_all(&folder).expect("its own folder");
        if let Err(reason) = outcome {
            std::panic::resume_unwind(reason);
        }
        let mut ours = Side::new(Some(Machine::new(4096)), "/work".to_string());
        ours.path(__NR_mkdir, "/work", &[0o755]);
        ours.begin();
        script(&mut ours);
        let differs = |at: &usize| ours.notes.get(*at) != linux.notes.get(*at);
        let all = ours.notes.len().max(linux.notes.len());
        let mut report = String::new();
        for at in (0..all).filter(differs).take(40) {
            report += &format!(
                "{at}: ours {:?}\n    linux {:?}\n",
                ours.notes.get(at),
                linux.notes.get(at)
            );
        }
        assert!(report.is_empty(), "{report}");
        assert!(all > 0, "a script notes something");
    });
}

impl Side {
    fn new(ours: Option<Machine>, folder: String) -> Self {
        Self {
            ours,
            folder,
            notes: Vec::new(),
            watched: false,
            cookies: 0,
            user: None,
        }
    }

    fn begin(&mut self) {
        self.call(__NR_umask, &[0o022]);
        let folder = self.folder.clone();
        assert_eq!(self.path(__NR_chdir, &folder, &[]), 0);
    }

    /// Whether this is Linux: for what a script has to make otherwise.
    pub fn is_linux(&self) -> bool {
        self.ours.is_none()
    }

    /// Makes a call.
    pub fn call(&mut self, number: u32, arguments: &[usize]) -> isize {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        let Some(machine) = &mut self.ours else {
            return real(number, arguments);
        };
        // SAFETY: the scripts pass addresses of buffers of theirs.
        let guest = unsafe { Guest::new() };
        let none = |_| false;
        let real = Subject {
            user: 0,
            group: 0,
            is_in: none,
            overrides: true,
            reads_all: true,
            owns_all: true,
            gives_away: true,
            binds_all: true,
        };
        let mut made = None;
        if let Some((user, group)) = self.user {
            let subject = Subject {
                user: user as u32,
                group: group as u32,
                is_in: none,
                overrides: false,
                reads_all: false,
                owns_all: false,
                gives_away: false,
                binds_all: false,
            };
            match machine
                .files
                .forbids(guest, number as usize, all, &subject, &real)
            {
                Ok(may) => made = Some((may, subject)),
                Err(error) => return error.answer(),
            }
        }
        let foreseen = (self.watched).then(|| machine.files.foresee(guest, number as usize, all));
        let answer = match machine.call(number, arguments) {
            // The system call layer raises the signal; the test process ignores it.
            answer if answer == Errno::PIPE_SIGNAL.answer() => Errno::PIPE.answer(),
            answer => answer,
        };
        if let (Some((made, subject)), 0..) = (made, answer) {
            machine
                .files
                .give_away(guest, made, answer as usize, &subject);
        }
        if let Some(foreseen) = foreseen {
            machine.files.let_go(&RELEASED);
            let cookies = &mut self.cookies;
            machine
                .files
                .tell_watches(guest, number as usize, all, answer, foreseen, cookies);
        }
        self.watched |= number == __NR_inotify_init || number == __NR_inotify_init1;
        answer
    }

    /// Becomes another user, in no further group, or root again.
    pub fn become_user(&mut self, user: usize, group: usize) {
        if self.is_linux() {
            const KEEP: usize = usize::MAX;
            if user == 0 {
                assert_eq!(real(__NR_setresuid, &[KEEP, 0, KEEP]), 0);
                assert_eq!(real(__NR_setresgid, &[KEEP, 0, KEEP]), 0);
            } else {
                assert_eq!(real(__NR_setgroups, &[0, 0]), 0);
                assert_eq!(real(__NR_setresgid, &[KEEP, group, KEEP]), 0);
                assert_eq!(real(__NR_setresuid, &[KEEP, user, KEEP]), 0);
            }
        }
        self.user = (user != 0).then_some((user, group));
    }

    /// Works in the script's folder again.
    pub fn go_back(&mut self) {
        let folder = self.folder.clone();
        let user = self.user;
        self.become_user(0, 0);
        assert_eq!(self.path(__NR_chdir, &folder, &[]), 0);
        if let Some((user, group)) = user {
            self.become_user(user, group);
        }
    }

    /// Notes something.
    pub fn note(&mut self, what: &str, value: impl Debug) {
        let text = format!("{what}: {value:?}").replace(&self.folder, "FOLDER");
        self.notes.push(text);
    }

    /// Makes a call and notes its answer.
    pub fn tell(&mut self, what: &str, number: u32, arguments: &[usize]) -> isize {
        let answer = self.call(number, arguments);
        self.note(what, answer);
        answer
    }

    /// A call whose first argument is a path.
    pub fn path(&mut self, number: u32, path: &str, more: &[usize]) -> isize {
        let path = CString::new(path).expect("no NUL");
        self.call(number, &[&[at(path.as_c_str())], more].concat())
    }

    /// Opens a file of this name.
    pub fn open(&mut self, path: &str, flags: u32) -> usize {
        let answer = self.path(__NR_open, path, &[flags as usize, 0o644]);
        usize::try_from(answer).unwrap_or_else(|_| panic!("{path}: {answer}"))
    }

    /// Opens, or notes why not.
    pub fn try_open(&mut self, path: &str, flags: u32, mode: usize) -> isize {
        let answer = self.path(__NR_open, path, &[flags as usize, mode]);
        self.note(&format!("open {path} {flags:#o}"), answer.min(0));
        answer
    }

    /// A file with these contents, open to read and write.
    pub fn file(&mut self, path: &str, content: &[u8]) -> usize {
        let file = self.open(path, O_RDWR | O_CREAT | O_TRUNC);
        let answer = self.call(__NR_write, &[file, at(content), content.len()]);
        assert_eq!(answer, content.len() as isize, "{path}: {file}");
        self.call(__NR_lseek, &[file, 0, 0]);
        file
    }

    /// Closes a descriptor.
    pub fn close(&mut self, descriptor: usize) {
        assert_eq!(self.call(__NR_close, &[descriptor]), 0, "{descriptor}");
    }

    /// Reads and notes up to so many bytes.
    pub fn read(&mut self, what: &str, descriptor: usize, bytes: usize) -> isize {
        let mut buffer = std::vec![0xee_u8; bytes];
        let answer = self.call(__NR_read, &[descriptor, to(&mut buffer[..]), bytes]);
        self.note_bytes(what, answer, &buffer);
        answer
    }

    /// Writes these bytes and notes how many were taken.
    pub fn write(&mut self, what: &str, descriptor: usize, bytes: &[u8]) -> isize {
        self.tell(what, __NR_write, &[descriptor, at(bytes), bytes.len()])
    }

    /// Notes an answer and the bytes it speaks of, shortened.
    pub fn note_bytes(&mut self, what: &str, answer: isize, buffer: &[u8]) {
        let count = usize::try_from(answer).unwrap_or(0).min(buffer.len());
        let bytes = &buffer[..count];
        let sum = bytes.iter().fold(7u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add((*byte).into())
        });
        let is_rest = buffer[count..].iter().all(|byte| *byte == 0xee);
        self.note(
            what,
            (
                answer,
                String::from_utf8_lossy(&bytes[..count.min(40)]),
                sum,
                is_rest,
            ),
        );
    }

    /// All of a file, by its name.
    pub fn content(&mut self, path: &str) {
        let answer = self.path(__NR_open, path, &[O_RDONLY as usize, 0]);
        let Ok(file) = usize::try_from(answer) else {
            self.note(path, answer);
            return;
        };
        self.read(path, file, 70_000);
        self.close(file);
    }

    /// What `stat` says of a name: all but numbers of devices, inodes and times.
    pub fn status(&mut self, path: &str) {
        // SAFETY: integers: all zero is a value.
        let mut answer: stat = unsafe { core::mem::zeroed() };
        let result = self.path(__NR_lstat, path, &[to(&mut answer)]);
        let size = match answer.st_mode & 0o170_000 {
            S_IFDIR => 0,
            _ => answer.st_size,
        };
        self.note(
            path,
            (
                result,
                format!("{:o}", answer.st_mode),
                answer.st_nlink,
                answer.st_uid,
                answer.st_gid,
                size,
            ),
        );
    }
}
