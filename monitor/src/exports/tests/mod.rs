//! What reaches the host of what a guest wrote, and what does not.

mod lists;
mod start;

use super::*;
use bespoke_abi::export::{Entry, FILE};
use std::fs;

fn scratch(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("bespoke-exports-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("scratch folder");
    folder
}

fn exports(folder: &Path, names: &[&str]) -> Exports {
    let files: Vec<_> = names
        .iter()
        .map(|name| ExportFile {
            guest: format!("/{name}"),
            host: folder.join(name),
        })
        .collect();
    Exports::open(&files, false, 1 << 20).expect("opens")
}

#[test]
fn a_crash_keeps_the_old_file_and_leaves_nothing_behind() {
    let folder = scratch("crash");
    for name in ["a", "b"] {
        std::fs::write(folder.join(name), "old").expect("old file");
    }
    let exports = exports(&folder, &["a", "b", "c"]);
    write(&exports, 0, b"new a");
    write(&exports, 1, b"half");
    let results = exports.finish(0b001, true);
    assert!(matches!(results[0].state, ExportState::Written));
    assert!(matches!(results[1].state, ExportState::Unfinished));
    assert!(matches!(results[2].state, ExportState::NotWritten));
    assert_eq!(std::fs::read(folder.join("a")).expect("a"), b"new a");
    assert_eq!(std::fs::read(folder.join("b")).expect("b"), b"old");
    assert_eq!(std::fs::read_dir(&folder).expect("list").count(), 2);
    std::fs::remove_dir_all(folder).expect("clean");
}

#[test]
fn an_empty_file_is_not_a_missing_one() {
    let folder = scratch("empty");
    let exports = exports(&folder, &["a"]);
    assert!(matches!(
        exports.finish(1, true)[0].state,
        ExportState::Written
    ));
    assert_eq!(std::fs::read(folder.join("a")).expect("a"), b"");
    std::fs::remove_dir_all(folder).expect("clean");
}

fn write(exports: &Exports, number: u64, bytes: &[u8]) {
    let fd = exports.admit(number, bytes.len() as u64).expect("room");
    // SAFETY: reads bytes of this frame.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(written, bytes.len() as isize);
}

/// Encodes a list: kind, name, contents.
fn list(entries: &[(u32, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name, contents) in entries {
        let entry = Entry {
            kind: *kind,
            mode: 0o6755,
            name_bytes: name.len() as u64,
            bytes: contents.len() as u64,
        };
        bytes.extend(entry.encode());
        bytes.extend(name.as_bytes());
        bytes.extend(*contents);
    }
    bytes
}

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

const LIST: u64 = 1 | 1 << MAX_EXPORTS;
const JOURNAL: &[u8] = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
const LOG: &[u8] = b"\x37\x7f\x06\x82";
const DATABASE: &[u8] = b"SQLite format 3\0 and more";

/// Names in `folder`, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let bytes = fs::read(folder.join(&name)).expect("a file");
        (name, bytes)
    };
    names(folder).into_iter().map(read).collect()
}

/// Runs `during` between a run's start and its end, at which the guest has written `bytes` as "a"; what is there then.
fn run(
    name: &str,
    before: &[(&str, &[u8])],
    bytes: &[u8],
    exported: u64,
    during: impl Fn(&Path),
) -> (ExportState, Vec<(String, Vec<u8>)>) {
    let folder = scratch(name);
    for (name, bytes) in before {
        fs::write(folder.join(name), bytes).expect("a file");
    }
    let exports = exports(&folder, &["a"]);
    write(&exports, 0, bytes);
    during(&folder);
    let result = exports.finish(exported, true).remove(0);
    let after = contents(&folder);
    fs::remove_dir_all(folder).expect("clean");
    (result.state, after)
}

fn files(files: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    files
        .iter()
        .map(|(name, bytes)| (name.to_string(), bytes.to_vec()))
        .collect()
}

#[test]
fn a_failed_run_changes_nothing_unless_asked_to() {
    for always in [false, true] {
        let folder = scratch("failed");
        fs::write(folder.join("a"), "old").expect("old file");
        let file = ExportFile {
            guest: "/a".into(),
            host: folder.join("a"),
        };
        let exports = Exports::open(&[file], always, 100).expect("opens");
        assert_eq!(exports.survive_failure(), always);
        write(&exports, 0, b"new");
        let state = exports.finish(1, false).remove(0).state;
        let expected = if always { "new" } else { "old" };
        assert!(matches!(
            (always, state),
            (false, ExportState::Withheld) | (true, ExportState::Written)
        ));
        assert_eq!(fs::read(folder.join("a")).expect("a"), expected.as_bytes());
        assert_eq!(names(&folder), ["a"]);
        fs::remove_dir_all(folder).expect("clean");
    }
}

#[test]
fn a_database_is_replaced_with_its_companions_and_never_beside_anothers() {
    let with_journal = list(&[(FILE, "", b"torn"), (FILE, "-journal", JOURNAL)]);
    let cases: [(Files, &[u8], u64, Files); 7] = [
        // The image's journal comes with it, new, over an old one, and over what an old transaction left.
        (
            &[],
            &with_journal,
            LIST,
            &[("a", b"torn"), ("a-journal", JOURNAL)],
        ),
        (
            &[("a", b"old")],
            &with_journal,
            LIST,
            &[("a", b"torn"), ("a-journal", JOURNAL)],
        ),
        (
            &[
                ("a", DATABASE),
                ("a-journal", &[0; 512]),
                ("a-shm", b"x"),
                ("a-wal", LOG),
            ],
            &with_journal,
            LIST,
            &[("a", b"torn"), ("a-journal", JOURNAL), ("a-shm", b"x")],
        ),
        // What belonged to the old one goes with it.
        (
            &[("a", b"old"), ("a-journal", JOURNAL)],
            b"new",
            1,
            &[("a", b"new")],
        ),
        (
            &[("a", b"old"), ("a-shm", b"x"), ("a-wal", LOG)],
            DATABASE,
            1,
            &[("a", DATABASE)],
        ),
        // What is not SQLite's stays.
        (
            &[("a", b"old"), ("a-journal", b"diary")],
            b"new",
            1,
            &[("a", b"new"), ("a-journal", b"diary")],
        ),
        (
            &[("a", b"old"), ("a-journal", b"diary")],
            &with_journal,
            LIST,
            &[
                ("a", b"old"),
                ("a-journal", b"diary"),
                ("a.from-image", b"torn"),
                ("a.from-image-journal", JOURNAL),
            ],
        ),
    ];
    for (number, (before, bytes, exported, after)) in cases.into_iter().enumerate() {
        let (state, found) = run("companions", before, bytes, exported, |_| ());
        assert_eq!(found, files(after), "case {number}: {state:?}");
    }
}

#[test]
fn what_another_process_changed_is_kept_and_so_is_the_images() {
    type During = fn(&Path);
    let cases: [(During, Files); 5] = [
        (
            |f| fs::write(f.join("a"), "row").expect("write"),
            &[("a", b"row"), ("a.from-image", b"new")],
        ),
        // The same bytes by another file.
        (
            |f| {
                fs::write(f.join("b"), "old").expect("write");
                fs::rename(f.join("b"), f.join("a")).expect("rename");
            },
            &[("a", b"old"), ("a.from-image", b"new")],
        ),
        (
            |f| fs::remove_file(f.join("a")).expect("remove"),
            &[("a.from-image", b"new")],
        ),
        // A row in the log of a database.
        (
            |f| fs::write(f.join("a-wal"), LOG).expect("write"),
            &[("a", b"old"), ("a-wal", LOG), ("a.from-image", b"new")],
        ),
        // The name beside it is taken, too.
        (
            |f| {
                fs::write(f.join("a"), "row").expect("write");
                fs::write(f.join("a.from-image"), "taken").expect("write");
            },
            &[
                ("a", b"row"),
                ("a.from-image", b"taken"),
                ("a.from-image-2", b"new"),
            ],
        ),
    ];
    for (number, (during, after)) in cases.into_iter().enumerate() {
        let (state, found) = run("changed", &[("a", b"old")], b"new", 1, during);
        assert!(
            matches!(
                state,
                ExportState::Kept {
                    why: Obstacle::Changed,
                    ..
                }
            ),
            "case {number}: {state:?}"
        );
        assert_eq!(found, files(after), "case {number}");
    }
    // A new file that somebody else made first.
    let (state, found) = run("made", &[], b"new", 1, |f| {
        fs::write(f.join("a"), "row").expect("write")
    });
    assert!(
        matches!(
            state,
            ExportState::Kept {
                why: Obstacle::Changed,
                ..
            }
        ),
        "{state:?}"
    );
    assert_eq!(found, files(&[("a", b"row"), ("a.from-image", b"new")]));
}

#[test]
fn more_than_the_limit_is_refused_through_a_file_and_through_a_pipe() {
    for piped in [false, true] {
        let folder = scratch("limit");
        let file = ExportFile {
            guest: "/a".into(),
            host: folder.join("a"),
        };
        let exports = Exports::open(&[file], false, 100).expect("opens");
        if piped {
            exports.make_pipes().expect("pipes");
            let fd = exports.descriptors()[0];
            // SAFETY: reads bytes of this frame.
            let written = unsafe { libc::write(fd, [0u8; 101].as_ptr().cast(), 101) };
            assert_eq!(written, 101);
            // As a process that was started meanwhile has it.
            // SAFETY: duplicates a descriptor that is open.
            let inherited = unsafe { libc::dup(fd) };
            exports.close_writers();
            exports.take_rest();
            // SAFETY: made above, and closed once.
            unsafe { libc::close(inherited) };
        } else {
            write(&exports, 0, &[0; 100]);
            assert_eq!(exports.admit(0, 1), Err(libc::EFBIG));
        }
        let state = exports.finish(1, true).remove(0).state;
        assert!(
            matches!(state, ExportState::OverLimit { limit_bytes: 100 }),
            "{state:?}"
        );
        assert_eq!(names(&folder), [""; 0]);
        fs::remove_dir_all(folder).expect("clean");
    }
}

#[test]
fn permissions_stay_and_rights_of_others_do_not() {
    use std::os::unix::fs::PermissionsExt;
    let folder = scratch("setuid");
    let path = folder.join("a");
    fs::write(&path, "old").expect("old file");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o6751)).expect("mode");
    let exports = exports(&folder, &["a"]);
    write(&exports, 0, b"new");
    exports.finish(1, true);
    let mode = fs::metadata(&path).expect("a").permissions().mode();
    assert_eq!(mode & 0o7777, 0o751);
    fs::remove_dir_all(folder).expect("clean");
}
