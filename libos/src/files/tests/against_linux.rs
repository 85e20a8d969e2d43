//! The same random calls on this file system and on the one of the machine that runs the
//! tests must give the same results, errors, contents and tree.
//!
//! Descriptors differ between the two, so steps name slots; paths start at a directory
//! descriptor, so that the real side stays inside a temporary directory.
//! (Over 400 lines: most is one match with an arm for each call.)

use super::Machine;
use linux_raw_sys::general::*;
use proptest::prelude::*;
use std::ffi::CString;
use std::format;
use std::path::PathBuf;
use std::string::String;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

const PATHS: &[&str] = &[
    "a",
    "b",
    "d",
    "d/a",
    "d/b",
    "d/e",
    "d/e/a",
    "l",
    "l/a",
    "m",
    "a/",
    "d/",
    "l/",
    "m/",
    "./a",
    "d/../a",
    "d/.",
    "d/..",
    "d/e/..",
    "..",
    ".",
    "",
    "a/b",
    "../work/b",
    "d//e",
    "d/e/",
];
const OPEN_FLAGS: &[u32] = &[
    O_RDONLY,
    O_RDWR | O_CREAT,
    O_RDWR,
    O_WRONLY | O_CREAT | O_TRUNC,
    O_RDWR | O_CREAT | O_EXCL,
    O_RDWR | O_CREAT | O_APPEND,
    O_RDONLY | O_DIRECTORY,
    O_RDONLY | O_NOFOLLOW,
    O_RDWR | O_CREAT | O_NOFOLLOW,
    O_RDONLY | O_CREAT,
    O_PATH,
    O_PATH | O_NOFOLLOW,
    O_RDONLY | O_TRUNC,
    O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
];
const SIZES: &[usize] = &[0, 1, 100, 512, 4095, 4096, 4097, 8192, 10_000];
const BUFFER: usize = 10_000;

/// One step; which fields count depends on the call.
#[derive(Clone, Copy, Debug)]
struct Step {
    call: u8,
    slot: u8,
    other: u8,
    path: usize,
    to: usize,
    size: usize,
    offset: usize,
    choice: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![
        Just(0usize),
        0..12_000usize,
        Just(4096usize),
        Just(8192usize)
    ];
    (
        0..30u8,
        0..8u8,
        0..8u8,
        0..PATHS.len(),
        0..PATHS.len(),
        0..SIZES.len(),
        offset,
        0..16usize,
    )
        .prop_map(|(call, slot, other, path, to, size, offset, choice)| Step {
            call,
            slot,
            other,
            path,
            to,
            size: SIZES[size],
            offset,
            choice,
        })
}

static RUN: AtomicUsize = AtomicUsize::new(0);

/// The two sides; slot k is `slots[k]`: our descriptor and the real one.
struct Pair {
    ours: Machine,
    root: PathBuf,
    slots: Vec<(usize, usize)>,
    opened: Vec<usize>,
    tmpfs: bool,
}

fn text(path: &str) -> CString {
    CString::new(path).expect("no NUL")
}

pub(super) fn real(number: u32, arguments: &[usize]) -> isize {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: addresses are buffers of the caller, of the extent the call takes.
    let answer = unsafe { libc::syscall(number.into(), a, b, c, d, e, f) } as isize;
    if answer < 0 {
        -(std::io::Error::last_os_error()
            .raw_os_error()
            .expect("an errno") as isize)
    } else {
        answer
    }
}

impl Pair {
    fn new() -> Self {
        let shared = PathBuf::from("/dev/shm");
        let tmpfs = shared.is_dir();
        let parent = if tmpfs { shared } else { std::env::temp_dir() };
        let name = format!(
            "bespoke-files-{}-{}",
            std::process::id(),
            RUN.fetch_add(1, Ordering::Relaxed)
        );
        let root = parent.join(name);
        std::fs::create_dir_all(root.join("work")).expect("a temporary directory");
        // SAFETY: sets the umask of the test process to what the guest starts with.
        unsafe { libc::umask(0o022) };
        let mut ours = Machine::new(4096);
        assert_eq!(ours.path(__NR_mkdir, "/t", 0o777, 0), 0);
        assert_eq!(ours.path(__NR_mkdir, "/t/work", 0o777, 0), 0);
        let mine = ours.open("/t/work", O_RDONLY | O_DIRECTORY);
        let path = text(root.join("work").to_str().expect("UTF-8"));
        let theirs = real(
            __NR_open,
            &[path.as_ptr() as usize, (O_RDONLY | O_DIRECTORY) as usize],
        );
        assert!(theirs >= 0 && mine >= 0);
        let slots = std::vec![(mine as usize, theirs as usize)];
        Self {
            ours,
            root,
            slots,
            opened: std::vec![theirs as usize],
            tmpfs,
        }
    }

    /// Runs the call on both sides; in `make`, `side` picks from pairs.
    fn both(
        &mut self,
        number: u32,
        make: impl Fn(&dyn Fn((usize, usize)) -> usize) -> Vec<usize>,
    ) -> (isize, isize) {
        let mine = self.ours.call(number, &make(&|pair| pair.0));
        let theirs = real(number, &make(&|pair| pair.1));
        (mine, theirs)
    }

    fn slot(&self, slot: u8) -> (usize, usize) {
        self.slots[slot as usize % self.slots.len()]
    }

    /// Mostly the start directory, sometimes whatever is open.
    fn base(&self, step: &Step) -> (usize, usize) {
        if step.other == 7 {
            self.slot(step.slot)
        } else {
            self.slots[0]
        }
    }

    fn keep(&mut self, answer: (isize, isize)) -> (isize, isize) {
        match answer {
            (mine, theirs) if mine >= 0 && theirs >= 0 => {
                self.slots.push((mine as usize, theirs as usize));
                self.opened.push(theirs as usize);
                (0, 0)
            }
            other => other,
        }
    }

    /// What `stat` must agree on.
    fn facts(&self, answer: &stat) -> (u32, u64, i64, u32, u32) {
        let directory = answer.st_mode & S_IFMT == S_IFDIR;
        let links = if directory && !self.tmpfs {
            0
        } else {
            answer.st_nlink
        };
        let size = if directory { 0 } else { answer.st_size };
        (answer.st_mode, links, size, answer.st_uid, answer.st_gid)
    }

    fn check_stat(
        &mut self,
        number: u32,
        make: impl Fn(&dyn Fn((usize, usize)) -> usize, usize) -> Vec<usize>,
    ) -> (isize, isize) {
        // SAFETY: integers: all zero is a value.
        let (mut mine, mut theirs): (stat, stat) =
            unsafe { (core::mem::zeroed(), core::mem::zeroed()) };
        let buffers = (&raw mut mine as usize, &raw mut theirs as usize);
        let answer = (
            self.ours.call(number, &make(&|pair| pair.0, buffers.0)),
            real(number, &make(&|pair| pair.1, buffers.1)),
        );
        assert_eq!(self.facts(&mine), self.facts(&theirs));
        answer
    }

    fn run(&mut self, step: &Step) -> (isize, isize) {
        // Only the start directory's parent belongs to the test: nothing may climb further, so
        // neither other directories nor symbolic links lead upwards.
        let climbs = |path: usize| PATHS[path].contains("..");
        let fixed = step.other != 7 && step.call != 20;
        let allowed = |path: usize| {
            text(if fixed || !climbs(path) {
                PATHS[path]
            } else {
                "a"
            })
        };
        let (path, to) = (allowed(step.path), allowed(step.to));
        let (path, to) = (path.as_ptr() as usize, to.as_ptr() as usize);
        let base = self.base(step);
        let descriptor = self.slot(step.slot);
        let other = self.slot(step.other);
        let (size, offset, choice) = (step.size, step.offset, step.choice);
        let mut buffers = (std::vec![0xee_u8; BUFFER], std::vec![0xee_u8; BUFFER]);
        let buffer = (
            buffers.0.as_mut_ptr() as usize,
            buffers.1.as_mut_ptr() as usize,
        );
        let data: Vec<u8> = (0..size).map(|index| (index * 7 + choice) as u8).collect();
        let data = data.as_ptr() as usize;
        let answer = match step.call {
            0..=3 => {
                let flags =
                    OPEN_FLAGS[(step.call as usize * 16 + choice) % OPEN_FLAGS.len()] as usize;
                let answer = self.both(__NR_openat, |side| {
                    std::vec![side(base), path, flags, 0o666]
                });
                self.keep(answer)
            }
            4 => {
                if self.slots.len() > 1 {
                    let index = 1 + step.slot as usize % (self.slots.len() - 1);
                    let gone = self.slots.remove(index);
                    self.opened.retain(|&descriptor| descriptor != gone.1);
                    self.both(__NR_close, |side| std::vec![side(gone)])
                } else {
                    (0, 0)
                }
            }
            5 => self.both(__NR_read, |side| {
                std::vec![side(descriptor), side(buffer), size]
            }),
            6 => self.both(__NR_write, |side| std::vec![side(descriptor), data, size]),
            7 => self.both(__NR_pread64, |side| {
                std::vec![side(descriptor), side(buffer), size, offset]
            }),
            8 => self.both(__NR_pwrite64, |side| {
                std::vec![side(descriptor), data, size, offset]
            }),
            9 => {
                let regular = self.ours.fstat(descriptor.0 as isize).st_mode & S_IFMT == S_IFREG;
                let offset = if choice == 3 {
                    (offset as isize).wrapping_neg() as usize
                } else {
                    offset
                };
                // Directory offsets are the file system's own business.
                if regular {
                    self.both(__NR_lseek, |side| {
                        std::vec![side(descriptor), offset, choice % 3]
                    })
                } else {
                    (0, 0)
                }
            }
            10 => self.both(__NR_ftruncate, |side| std::vec![side(descriptor), offset]),
            11 => {
                let mode = [
                    0,
                    FALLOC_FL_KEEP_SIZE,
                    FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                    FALLOC_FL_PUNCH_HOLE,
                ][choice % 4];
                self.both(__NR_fallocate, |side| {
                    std::vec![side(descriptor), mode as usize, offset, size]
                })
            }
            12 => self.check_stat(__NR_fstat, |side, buffer| {
                std::vec![side(descriptor), buffer]
            }),
            13 => {
                let flags = [0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1][choice % 4] as usize;
                self.check_stat(__NR_newfstatat, |side, buffer| {
                    std::vec![side(base), path, buffer, flags]
                })
            }
            14 | 15 => {
                let flags = [0, 0, AT_REMOVEDIR, AT_REMOVEDIR, 1][choice % 5] as usize;
                self.both(__NR_unlinkat, |side| std::vec![side(base), path, flags])
            }
            16 => self.both(__NR_mkdirat, |side| std::vec![side(base), path, 0o777]),
            17 | 18 => {
                let flags = [0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, 3][choice % 6] as usize;
                self.both(__NR_renameat2, |side| {
                    std::vec![side(base), path, side(base), to, flags]
                })
            }
            19 => {
                let flags = [0, AT_SYMLINK_FOLLOW][choice % 2] as usize;
                self.both(__NR_linkat, |side| {
                    std::vec![side(base), path, side(base), to, flags]
                })
            }
            20 => self.both(__NR_symlinkat, |side| std::vec![path, side(base), to]),
            21 => self.both(__NR_readlinkat, |side| {
                std::vec![side(base), path, side(buffer), size]
            }),
            22 => self.both(__NR_fchmodat, |side| {
                std::vec![side(base), path, 0o700 | (choice * 3)]
            }),
            23 => self.both(__NR_faccessat, |side| {
                std::vec![side(base), path, choice % 9]
            }),
            24 => {
                let answer = self.both(__NR_dup, |side| std::vec![side(descriptor)]);
                self.keep(answer)
            }
            25 => {
                let append = if choice % 2 == 0 {
                    O_APPEND as usize
                } else {
                    0
                };
                let set = self.both(__NR_fcntl, |side| {
                    std::vec![side(descriptor), F_SETFL as usize, append]
                });
                assert_eq!(set.0, set.1);
                self.both(__NR_fcntl, |side| {
                    std::vec![side(descriptor), F_GETFL as usize]
                })
            }
            26 => {
                let spans = |start: usize| {
                    [
                        [start, size.min(700)],
                        [start + 700, 0],
                        [start + 700, size.min(5000)],
                    ]
                };
                let (read, write) = (
                    (spans(buffer.0), spans(buffer.1)),
                    (spans(data), spans(data)),
                );
                if choice % 2 == 0 {
                    let pair = (read.0.as_ptr() as usize, read.1.as_ptr() as usize);
                    self.both(__NR_readv, |side| {
                        std::vec![side(descriptor), side(pair), 3]
                    })
                } else if size >= 5700 {
                    let pair = (write.0.as_ptr() as usize, write.1.as_ptr() as usize);
                    self.both(__NR_pwritev, |side| {
                        std::vec![side(descriptor), side(pair), 3, offset]
                    })
                } else {
                    (0, 0)
                }
            }
            27 if choice % 2 == 0 => {
                let inode = |machine: &mut Machine, descriptor: usize| {
                    machine.fstat(descriptor as isize).st_ino
                };
                // Sending a file into itself depends on the pieces it is sent in.
                if inode(&mut self.ours, descriptor.0) == inode(&mut self.ours, other.0) {
                    return (0, 0);
                }
                self.both(__NR_sendfile, |side| {
                    std::vec![side(descriptor), side(other), 0, size]
                })
            }
            27 => {
                let (mut from, mut into) = ([offset; 2], [choice * 1000; 2]);
                let from = (&raw mut from[0] as usize, &raw mut from[1] as usize);
                let into = (&raw mut into[0] as usize, &raw mut into[1] as usize);
                self.both(__NR_copy_file_range, |side| {
                    std::vec![
                        side(descriptor),
                        side(from),
                        side(other),
                        side(into),
                        size,
                        0
                    ]
                })
            }
            28 => {
                let commands = [F_SETLK, F_OFD_SETLK, F_OFD_GETLK, F_GETLK];
                let kind = [F_RDLCK, F_WRLCK, F_UNLCK][step.to % 3] as i16;
                let lock = flock {
                    l_type: kind,
                    l_whence: 0,
                    l_start: offset as i64,
                    l_len: size as i64,
                    l_pid: 0,
                };
                let mut locks = [lock; 2];
                let pair = (&raw mut locks[0] as usize, &raw mut locks[1] as usize);
                let command = commands[choice % 4] as usize;
                let answer = self.both(__NR_fcntl, |side| {
                    std::vec![side(descriptor), command, side(pair)]
                });
                assert_eq!(locks[0].l_type, locks[1].l_type);
                answer
            }
            _ => {
                let operation = [LOCK_SH, LOCK_EX, LOCK_UN][choice % 3] | LOCK_NB;
                self.both(__NR_flock, |side| {
                    std::vec![side(descriptor), operation as usize]
                })
            }
        };
        assert!(buffers.0 == buffers.1, "bytes read differ");
        answer
    }

    /// Names, kinds, link targets and contents below a directory, as both sides tell them.
    fn compare_tree(&mut self, directory: &str) {
        let mut theirs: Vec<String> = std::fs::read_dir(self.root.join(directory))
            .expect("the directory is there")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        theirs.sort();
        assert_eq!(
            self.names(&format!("/t/{directory}")),
            theirs,
            "names in {directory}"
        );
        for name in theirs {
            let path = format!("{directory}/{name}");
            let real_path = self.root.join(&path);
            let (mine, actual) = (
                text(&format!("/t/{path}")),
                text(real_path.to_str().expect("UTF-8")),
            );
            let pair = (mine.as_ptr() as usize, actual.as_ptr() as usize);
            let answer = self.check_stat(__NR_lstat, |side, buffer| std::vec![side(pair), buffer]);
            assert_eq!(answer, (0, 0));
            let kind = std::fs::symlink_metadata(&real_path)
                .expect("it is there")
                .file_type();
            if kind.is_dir() {
                self.compare_tree(&path);
            } else if kind.is_symlink() {
                let mut target = std::vec![0u8; 256];
                let count = self.ours.path(
                    __NR_readlink,
                    &format!("/t/{path}"),
                    target.as_mut_ptr() as usize,
                    256,
                );
                target.truncate(count as usize);
                assert_eq!(
                    std::fs::read_link(&real_path)
                        .expect("a link")
                        .to_str()
                        .expect("UTF-8")
                        .as_bytes(),
                    target
                );
            } else {
                let contents = self.ours.exported(&format!("/t/{path}"));
                assert!(
                    std::fs::read(&real_path).expect("a file") == contents,
                    "contents of {path}"
                );
            }
        }
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let descriptor = self.ours.open(path, O_RDONLY | O_DIRECTORY);
        let mut names = Vec::new();
        loop {
            let mut buffer = [0u8; 64];
            let count = self.ours.call(
                __NR_getdents64,
                &[descriptor as usize, buffer.as_mut_ptr() as usize, 64],
            );
            if count == 0 {
                break;
            }
            let mut rest = &buffer[..usize::try_from(count).expect("a listing")];
            while !rest.is_empty() {
                let length = u16::from_le_bytes([rest[16], rest[17]]) as usize;
                let name = rest[19..length]
                    .split(|&byte| byte == 0)
                    .next()
                    .expect("a name");
                names.push(String::from_utf8(name.to_vec()).expect("UTF-8"));
                rest = &rest[length..];
            }
        }
        self.ours.close(descriptor);
        assert_eq!(names.drain(..2).collect::<Vec<_>>(), [".", ".."]);
        names
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for &descriptor in &self.opened {
            real(__NR_close, &[descriptor]);
        }
        let removed = std::fs::remove_dir_all(&self.root);
        if !std::thread::panicking() {
            removed.expect("the temporary directory can be removed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_agree_with_linux(steps in proptest::collection::vec(step(), 1..120)) {
        let mut pair = Pair::new();
        for (number, step) in steps.iter().enumerate() {
            let (mine, theirs) = pair.run(step);
            prop_assert_eq!(mine, theirs, "step {}: {:?} on {:?}, {:?}", number, step, PATHS[step.path], PATHS[step.to]);
        }
        pair.compare_tree("work");
        // With everything closed and removed, not one page stays.
        while let Some((mine, _)) = pair.slots.pop() {
            prop_assert_eq!(pair.ours.close(mine as isize), 0);
        }
        remove_all(&mut pair, "/t");
        prop_assert_eq!(pair.ours.held(), 0);
        prop_assert_eq!(pair.ours.files.usage().inodes, super::Machine::new(16).files.usage().inodes + 1);
    }
}

fn remove_all(pair: &mut Pair, directory: &str) {
    for name in pair.names(directory) {
        let path = format!("{directory}/{name}");
        if pair.ours.path(__NR_unlink, &path, 0, 0) != 0 {
            remove_all(pair, &path);
            assert_eq!(pair.ours.path(__NR_rmdir, &path, 0, 0), 0);
        }
    }
}
