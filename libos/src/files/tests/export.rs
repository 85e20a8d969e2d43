//! What `--out` takes: a file as its bytes, a database with its companions, a folder as a tree.

use super::Machine;
use crate::files::{Errno, Sink, Stopped};
use bespoke_abi::export::{ENTRY_BYTES, Entry, FILE, FOLDER, LEAVE, LINK};
use linux_raw_sys::general::*;
use std::string::String;
use std::vec::Vec;

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    /// Refuse what comes after so many calls.
    most_calls: Option<usize>,
    calls: usize,
}

impl Sink for Collected {
    fn stays(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        self.calls += 1;
        self.most_calls.is_none_or(|most| self.calls < most)
    }

    fn passes(&mut self, bytes: &[u8]) -> bool {
        self.stays(bytes)
    }
}

impl Machine {
    /// The bytes of the file at `path`, which has no companions, as `--out` takes them.
    pub fn exported(&self, path: &str) -> Vec<u8> {
        let mut sink = Collected::default();
        assert_eq!(self.files.export(path.as_bytes(), &mut sink), Ok(false));
        sink.bytes
    }

    fn put(&mut self, path: &str, contents: &[u8]) {
        let file = self.open(path, O_CREAT | O_WRONLY);
        let (start, bytes) = (contents.as_ptr() as usize, contents.len());
        let written = self.call(__NR_write, &[file as usize, start, bytes]);
        assert_eq!(written, bytes as isize);
        self.close(file);
    }

    fn entries(&self, path: &str) -> Vec<(u32, String, Vec<u8>)> {
        let mut sink = Collected::default();
        assert_eq!(self.files.export(path.as_bytes(), &mut sink), Ok(true));
        let mut rest = &sink.bytes[..];
        let mut entries = Vec::new();
        while let Some((header, after)) = rest.split_first_chunk::<ENTRY_BYTES>() {
            let entry = Entry::decode(header);
            let (name, after) = after.split_at(entry.name_bytes as usize);
            let (contents, after) = after.split_at(entry.bytes as usize);
            let name = String::from_utf8(name.to_vec()).expect("UTF-8");
            entries.push((entry.kind, name, contents.to_vec()));
            rest = after;
        }
        assert!(rest.is_empty());
        entries
    }
}

fn text(path: &str) -> Vec<u8> {
    [path.as_bytes(), b"\0"].concat()
}

#[test]
fn a_database_comes_with_the_companions_that_have_contents() {
    let mut machine = Machine::new(64);
    machine.put("/a.db", b"data");
    machine.put("/a.db-journal", b"");
    machine.put("/a.db-shm", b"shared memory");
    machine.put("/b.db-wal", b"another's");
    assert_eq!(machine.exported("/a.db"), b"data");
    machine.put("/a.db-journal", b"journal");
    machine.put("/a.db-wal", b"log");
    let entry = |name: &str, bytes: &[u8]| (FILE, String::from(name), bytes.to_vec());
    let expected = [
        entry("", b"data"),
        entry("-journal", b"journal"),
        entry("-wal", b"log"),
    ];
    assert_eq!(machine.entries("/a.db"), expected);
    // SQLite resolves a link before it names the companions.
    let (target, link) = (text("a.db"), text("/link.db"));
    let arguments = [target.as_ptr() as usize, link.as_ptr() as usize];
    assert_eq!(machine.call(__NR_symlink, &arguments), 0);
    assert_eq!(machine.entries("/link.db"), expected);
}

#[test]
fn a_folder_comes_as_a_tree_without_devices() {
    let mut machine = Machine::new(64);
    for path in ["/d", "/d/empty", "/d/sub", "/d/sub/deep"] {
        let path = text(path);
        assert_eq!(
            machine.call(__NR_mkdir, &[path.as_ptr() as usize, 0o755]),
            0
        );
    }
    machine.put("/d/a", b"first");
    machine.put("/d/sub/deep/z", b"last");
    let (target, link) = (text("a"), text("/d/link"));
    let arguments = [target.as_ptr() as usize, link.as_ptr() as usize];
    assert_eq!(machine.call(__NR_symlink, &arguments), 0);
    let entries = machine.entries("/d");
    let seen: Vec<(u32, &str, &[u8])> = entries
        .iter()
        .map(|(kind, name, bytes)| (*kind, name.as_str(), &bytes[..]))
        .collect();
    let expected: [(u32, &str, &[u8]); 11] = [
        (FOLDER, "", b""),
        (FILE, "a", b"first"),
        (FOLDER, "empty", b""),
        (LEAVE, "", b""),
        (LINK, "link", b"a"),
        (FOLDER, "sub", b""),
        (FOLDER, "deep", b""),
        (FILE, "z", b"last"),
        (LEAVE, "", b""),
        (LEAVE, "", b""),
        (LEAVE, "", b""),
    ];
    assert_eq!(seen, expected);
    // The devices of /dev stay where they are.
    let root = machine.entries("/dev");
    assert!(root.iter().all(|(kind, ..)| *kind != FILE), "{root:?}");
}

#[test]
fn what_cannot_be_written_is_an_error_and_a_full_sink_ends_it() {
    let mut machine = Machine::new(64);
    machine.put("/a", b"data");
    let export = |path: &str, most_calls| {
        let mut sink = Collected {
            most_calls,
            ..Collected::default()
        };
        (machine.files.export(path.as_bytes(), &mut sink), sink.calls)
    };
    assert_eq!(export("/none", None).0, Err(Stopped::Path(Errno::NOENT)));
    assert_eq!(
        export("/dev/null", None).0,
        Err(Stopped::Path(Errno::INVAL))
    );
    assert_eq!(export("/a/", None).0, Err(Stopped::Path(Errno::NOTDIR)));
    assert_eq!(export("/a", Some(1)), (Err(Stopped::Sink), 1));
    for most in 1..=3 {
        assert_eq!(export("/dev", Some(most)), (Err(Stopped::Sink), most));
    }
}
