//! What a process may do that is not root: to files of its own, of its group, and of others.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use std::ffi::CString;
use std::format;

const HERE: usize = AT_FDCWD as isize as usize;
const OWNER: usize = 1100;
const GROUP: usize = 1200;
const OTHER: usize = 1300;
/// Users and groups that are the owner, in the group, or neither; and root in everything but name.
const WHO: [(usize, usize); 4] = [
    (OWNER, OTHER),
    (OTHER, GROUP),
    (OTHER, OTHER),
    (OWNER, GROUP),
];

impl Side {
    fn tries(&mut self, number: u32, path: &str, more: &[usize]) -> isize {
        let answer = self.path(number, path, more);
        self.note(
            &format!(
                "{number} {path} {:x?}",
                more.iter()
                    .filter(|word| **word < 1 << 20)
                    .collect::<std::vec::Vec<_>>()
            ),
            answer.min(0),
        );
        answer
    }

    fn pair_of_names(&mut self, number: u32, from: &str, into: &str) {
        let (one, other) = (CString::new(from).unwrap(), CString::new(into).unwrap());
        self.tell(
            &format!("{number} {from} {into}"),
            number,
            &[at(one.as_c_str()), at(other.as_c_str())],
        );
    }

    fn owned(&mut self, path: &str, user: usize, group: usize, mode: usize) {
        assert_eq!(self.path(__NR_chown, path, &[user, group]), 0, "{path}");
        assert_eq!(self.path(__NR_chmod, path, &[mode]), 0, "{path}");
    }
}

#[test]
fn rights_to_a_file() {
    same(|side| {
        let file = side.file("file", b"content");
        side.close(file);
        side.pair_of_names(__NR_symlink, "file", "link");
        for mode in (0..=0o777).step_by(9).chain([
            0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o600, 0o060, 0o006,
            0o500, 0o050, 0o070, 0o007, 0o700,
        ]) {
            for who in WHO {
                side.owned("file", OWNER, GROUP, mode);
                side.become_user(who.0, who.1);
                side.note("who", (who, mode));
                for flags in [
                    O_RDONLY,
                    O_WRONLY,
                    O_RDWR,
                    O_RDONLY | O_TRUNC,
                    O_PATH,
                    O_RDONLY | O_CREAT,
                    O_WRONLY | O_CREAT | O_EXCL,
                    O_RDONLY | O_NOFOLLOW,
                ] {
                    for name in ["file", "link"] {
                        let answer = side.tries(__NR_open, name, &[flags as usize, 0o644]);
                        if answer >= 0 {
                            side.close(answer as usize);
                        }
                    }
                }
                for wanted in 0..9 {
                    side.tries(__NR_access, "file", &[wanted]);
                    for flags in [
                        0,
                        AT_EACCESS as usize,
                        AT_SYMLINK_NOFOLLOW as usize | AT_EACCESS as usize,
                    ] {
                        side.tell(
                            "faccessat2",
                            __NR_faccessat2,
                            &[HERE, at(c"link"), wanted, flags],
                        );
                    }
                }
                side.tries(__NR_truncate, "link", &[3]);
                side.tries(__NR_chmod, "link", &[mode]);
                for (user, group) in [
                    (OWNER, GROUP),
                    (usize::MAX, GROUP),
                    (usize::MAX, OTHER),
                    (OTHER, usize::MAX),
                    (usize::MAX, usize::MAX),
                    (OWNER, usize::MAX),
                    (usize::MAX, 7),
                ] {
                    side.tries(__NR_chown, "link", &[user, group]);
                    side.status("file");
                    side.become_user(0, 0);
                    side.owned("file", OWNER, GROUP, mode);
                    side.become_user(who.0, who.1);
                }
                const NOW: i64 = UTIME_NOW as i64;
                const OMIT: i64 = UTIME_OMIT as i64;
                for times in [
                    [[5i64, 6], [7, 8]],
                    [[0, NOW], [0, NOW]],
                    [[0, NOW], [0, OMIT]],
                ] {
                    side.tell("times", __NR_utimensat, &[HERE, at(c"link"), at(&times), 0]);
                }
                side.tries(__NR_utime, "file", &[0]);
                side.become_user(0, 0);
            }
        }
    });
}

#[test]
fn rights_to_a_folder() {
    same(|side| {
        side.path(__NR_chmod, ".", &[0o777]);
        for mode in [
            0o777, 0o700, 0o070, 0o007, 0o500, 0o300, 0o100, 0o200, 0o400, 0o050, 0o030, 0o1777,
            0o1775, 0o1770, 0o2777, 0o2775, 0o000,
        ] {
            for (user, group) in WHO {
                side.note("who", (user, group, format!("{mode:o}")));
                side.path(__NR_mkdir, "folder", &[0o755]);
                for (name, owner) in [("mine", user), ("other", OTHER + 1), ("owner's", OWNER)] {
                    let file = side.file(&format!("folder/{name}"), b"x");
                    side.close(file);
                    side.owned(&format!("folder/{name}"), owner, GROUP, 0o644);
                }
                side.path(__NR_mkdir, "folder/inner", &[0o755]);
                side.owned("folder/inner", OTHER + 1, GROUP, 0o755);
                side.path(__NR_mkdir, "folder/own", &[0o755]);
                side.owned("folder/own", user, GROUP, 0o755);
                side.owned("folder", OWNER, GROUP, mode);
                side.become_user(user, group);
                let opened =
                    side.tries(__NR_open, "folder", &[(O_RDONLY | O_DIRECTORY) as usize, 0]);
                if opened >= 0 {
                    side.tell("fchdir", __NR_fchdir, &[opened as usize]);
                    side.go_back();
                    side.close(opened as usize);
                }
                side.tries(__NR_chdir, "folder", &[]);
                side.go_back();
                for name in [
                    "folder/mine",
                    "folder/nothing",
                    "folder/inner",
                    "folder/inner/..",
                    "folder",
                ] {
                    side.status(name);
                    side.tries(__NR_access, name, &[4]);
                    let answer = side.tries(__NR_open, name, &[O_RDONLY as usize, 0]);
                    if answer >= 0 {
                        side.close(answer as usize);
                    }
                }
                let new = side.tries(
                    __NR_open,
                    "folder/new",
                    &[(O_RDWR | O_CREAT) as usize, 0o644],
                );
                if new >= 0 {
                    side.close(new as usize);
                    side.status("folder/new");
                }
                side.tries(__NR_mkdir, "folder/made", &[0o755]);
                side.status("folder/made");
                side.tries(__NR_mknod, "folder/node", &[(S_IFIFO | 0o600) as usize, 0]);
                side.status("folder/node");
                side.pair_of_names(__NR_symlink, "x", "folder/link");
                side.status("folder/link");
                side.pair_of_names(__NR_link, "folder/mine", "folder/second");
                side.pair_of_names(__NR_link, "folder/other", "folder/third");
                side.pair_of_names(__NR_rename, "folder/mine", "folder/moved");
                side.pair_of_names(__NR_rename, "folder/other", "folder/moved");
                side.pair_of_names(__NR_rename, "folder/owner's", "outside");
                side.pair_of_names(__NR_rename, "outside", "folder/owner's");
                side.pair_of_names(__NR_rename, "folder/inner", "out");
                side.pair_of_names(__NR_rename, "folder/own", "out");
                side.pair_of_names(__NR_rename, "out", "folder/own");
                side.pair_of_names(__NR_rename, "folder/nothing", "folder/something");
                for name in [
                    "folder/moved",
                    "folder/other",
                    "folder/owner's",
                    "folder/nothing",
                    "folder/new",
                ] {
                    side.tries(__NR_unlink, name, &[]);
                }
                for name in [
                    "folder/inner",
                    "folder/own",
                    "folder/made",
                    "folder/nothing",
                    "folder/.",
                ] {
                    side.tries(__NR_rmdir, name, &[]);
                }
                let mut buffer = [0u8; 100];
                let text = side.tries(__NR_readlink, "folder/link", &[to(&mut buffer), 100]);
                side.note("text", text);
                side.become_user(0, 0);
                for name in [
                    "moved",
                    "mine",
                    "other",
                    "owner's",
                    "new",
                    "node",
                    "link",
                    "second",
                    "third",
                    "something",
                ] {
                    side.path(__NR_unlink, &format!("folder/{name}"), &[]);
                }
                for name in ["folder/inner", "folder/own", "folder/made", "folder", "out"] {
                    side.path(__NR_rmdir, name, &[]);
                }
                side.path(__NR_unlink, "outside", &[]);
                side.status("folder");
            }
        }
    });
}

#[test]
fn rights_on_the_way() {
    same(|side| {
        side.path(__NR_mkdir, "a", &[0o755]);
        side.path(__NR_mkdir, "a/b", &[0o755]);
        let file = side.file("a/b/file", b"x");
        side.close(file);
        side.pair_of_names(__NR_symlink, "a/b/file", "way");
        side.pair_of_names(__NR_symlink, "a/b", "folder");
        side.pair_of_names(__NR_symlink, "../../a/b/file", "a/b/back");
        for (outer, inner) in [
            (0o755, 0o755),
            (0o700, 0o755),
            (0o755, 0o700),
            (0o711, 0o711),
            (0o644, 0o755),
            (0o755, 0o644),
            (0o771, 0o755),
        ] {
            side.owned("a", OWNER, GROUP, outer);
            side.owned("a/b", OWNER, GROUP, inner);
            for (user, group) in WHO {
                side.become_user(user, group);
                for name in [
                    "a/b/file",
                    "way",
                    "folder/file",
                    "folder",
                    "a/b/back",
                    "a/../a/b/file",
                    "a/b/nothing",
                    "a/b/..",
                ] {
                    // SAFETY: integers: all zero is a value.
                    let mut status: stat = unsafe { core::mem::zeroed() };
                    side.tries(__NR_stat, name, &[to(&mut status)]);
                    side.status(name);
                    side.tries(__NR_chdir, name, &[]);
                    side.go_back();
                    let answer = side.tries(__NR_open, name, &[O_RDONLY as usize, 0]);
                    if answer >= 0 {
                        side.close(answer as usize);
                    }
                    let mut buffer = [0u8; 100];
                    side.tries(__NR_readlink, name, &[to(&mut buffer), 100]);
                    side.tries(__NR_access, name, &[0]);
                    side.tries(__NR_truncate, name, &[1]);
                    side.tries(__NR_unlink, &format!("{name}/x"), &[]);
                    side.tries(__NR_mkdir, &format!("{name}/x"), &[0o755]);
                    side.tries(__NR_rmdir, &format!("{name}/x"), &[]);
                }
                side.become_user(0, 0);
            }
        }
    });
}
