//! Classifies the files beside a SQLite database, by their formats. Changes nothing.

use super::mark::open;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The first bytes of a rollback journal (SQLite's "Database File Format", 3), which also
/// end its record of a super-journal.
const JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// The first bytes of a write-ahead log (ibid., 4.1).
const LOG: [u8; 3] = [0x37, 0x7f, 0x06];

/// Meaning of a file beside a database for SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// It does not exist or is empty.
    None,
    /// It contains a part of the database: SQLite rolls it back or reads
    /// it when it opens the database.
    Live,
    /// A rollback journal that is kept after its transaction (`journal_mode=persist`).
    Spent,
    /// It is not a SQLite file.
    Foreign,
}

impl Companion {
    /// Examines the beginning of the file at `path`.
    pub(crate) fn look(path: &Path) -> io::Result<Self> {
        let mut file = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::None),
            file => file?,
        };
        if !file.metadata()?.is_file() {
            return Ok(Self::Foreign);
        }
        let mut start = [0; JOURNAL.len()];
        let count = read_full(&mut file, &mut start)?;
        Ok(match &start[..count] {
            [] => Self::None,
            start if *start == JOURNAL || start.starts_with(&LOG) => Self::Live,
            start if start.iter().all(|&byte| byte == 0) => Self::Spent,
            _ => Self::Foreign,
        })
    }
}

/// The end of a journal whose transaction spans several databases. It names the file that exists
/// until the transaction is committed.
/// On another machine this file never exists, so SQLite would take the
/// transaction for a committed one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SuperJournal {
    /// The file.
    pub name: OsString,
    /// Where the record begins. A journal that ends there is rolled back in any case.
    pub start: u64,
}

impl SuperJournal {
    /// Reads the record at the end of `journal`. SQLite writes it as 4 bytes, the name, its length,
    /// the sum of its bytes, and the bytes with which a journal begins. Numbers are big-endian.
    pub(crate) fn look(journal: &File) -> io::Result<Option<Self>> {
        const LONGEST_NAME_BYTES: u64 = 4096;
        let bytes = journal.metadata()?.len();
        let mut end = [0; 16];
        let Some(end_start) = bytes.checked_sub(end.len() as u64) else {
            return Ok(None);
        };
        journal.read_exact_at(&mut end, end_start)?;
        let (words, _) = end.as_chunks::<4>();
        let name_bytes = u64::from(u32::from_be_bytes(words[0]));
        let sum = u32::from_be_bytes(words[1]);
        let start = end_start.checked_sub(name_bytes + 4);
        let (Some(start), 1..=LONGEST_NAME_BYTES, true) = (start, name_bytes, end[8..] == JOURNAL)
        else {
            return Ok(None);
        };
        let mut name = vec![0; name_bytes as usize];
        journal.read_exact_at(&mut name, start + 4)?;
        // SQLite's characters are signed here.
        let found = name.iter().fold(0u32, |sum, &byte| {
            sum.wrapping_add(i32::from(byte as i8) as u32)
        });
        Ok((found == sum).then(|| Self {
            name: OsString::from_vec(name),
            start,
        }))
    }
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_record_of_a_super_journal_is_found_at_the_end_alone() {
        let path = std::env::temp_dir().join(format!("bespoke-super-{}", std::process::id()));
        let record = |name: &[u8], sum: u32| {
            let bytes = name.len() as u32;
            let numbers = [&bytes.to_be_bytes()[..], &sum.to_be_bytes(), &JOURNAL].concat();
            [&[0, 0, 0, 1][..], name, &numbers].concat()
        };
        let look = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("a file");
            let file = File::open(&path).expect("it is there");
            SuperJournal::look(&file).expect("it can be read")
        };
        let page = [&JOURNAL[..], &[7; 500]].concat();
        let name = b"/a.db-mj01234567".as_slice();
        let sum = name.iter().map(|&byte| u32::from(byte)).sum();
        let found = look(&[&page, &record(name, sum)[..]].concat());
        let expected = SuperJournal {
            name: OsString::from_vec(name.to_vec()),
            start: page.len() as u64,
        };
        assert_eq!(found, Some(expected));
        // A byte above 127 counts as a negative number.
        let found = look(
            &[
                &page,
                &record(b"\xc3\xbc", 0u32.wrapping_sub(512 - 0xc3 - 0xbc))[..],
            ]
            .concat(),
        );
        assert!(found.is_some());
        for none in [
            page.clone(),
            [&page, &record(name, sum + 1)[..]].concat(),
            [&page, &record(name, sum)[..], b"x"].concat(),
            record(b"", 0),
            record(name, sum)[10..].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(look(&none), None);
        }
        fs::remove_file(path).expect("clean");
    }
}
