//! Reads an image's list of entries. The image is untrusted: names are single path components, only
//! folders made here are entered, no link is followed, and the total size is limited.

use super::companion::SuperJournal;
use super::temporary::{Temporary, TemporaryFolder};
use bespoke_abi::export::{COMPANIONS, ENTRY_BYTES, Entry, FILE, FOLDER, LEAVE, LINK};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// Cost of an entry besides its contents: it takes an inode of the host.
const ENTRY_COST_BYTES: u64 = 512;
/// Longest target of a link (`PATH_MAX`).
const LONGEST_TARGET_BYTES: u64 = 4096;

/// A file with its companions, by suffix.
pub(super) type Companions = Vec<(&'static str, Temporary)>;

/// Contents of a list, unpacked beside its target.
pub(super) enum Unpacked {
    File(Temporary, Companions),
    Folder(TemporaryFolder),
}

/// Why a list could not be unpacked.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its contents exceed the limit.
    OverLimit,
    /// A system error, or the image's data is not a valid list.
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn malformed(what: &str) -> Refused {
    let text = format!("the image wrote no valid list of files: {what}");
    Refused::Failed(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Unpacks the list in `spool` beside `target`, up to `limit` bytes.
pub(super) fn unpack(spool: &File, target: &Path, limit: u64) -> Result<Unpacked, Refused> {
    let mut file = spool;
    file.rewind()?;
    let mut list = List {
        bytes: BufReader::with_capacity(1 << 16, file),
        left: limit,
    };
    let (first, name) = list.entry()?.ok_or_else(|| malformed("it is empty"))?;
    if !name.is_empty() {
        return Err(malformed("its first entry has a name"));
    }
    match first.kind {
        FILE => list.companions(first, target),
        FOLDER => list.tree(target),
        _ => Err(malformed("its first entry is neither a file nor a folder")),
    }
}

struct List<'a> {
    bytes: BufReader<&'a File>,
    left: u64,
}

impl List<'_> {
    /// Returns the next entry and its name; `None` at the end.
    fn entry(&mut self) -> Result<Option<(Entry, Vec<u8>)>, Refused> {
        let mut header = [0; ENTRY_BYTES];
        let mut taken = self.bytes.by_ref().take(1);
        if taken.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        self.bytes.read_exact(&mut header[1..])?;
        let entry = Entry::decode(&header);
        let cost = entry.bytes.saturating_add(ENTRY_COST_BYTES);
        self.left = self.left.checked_sub(cost).ok_or(Refused::OverLimit)?;
        if entry.name_bytes > libc::NAME_MAX as u64 {
            return Err(malformed("a name is too long"));
        }
        let mut name = vec![0; entry.name_bytes as usize];
        self.bytes.read_exact(&mut name)?;
        Ok(Some((entry, name)))
    }

    fn contents(&mut self, bytes: u64, mut into: &File) -> Result<(), Refused> {
        match io::copy(&mut self.bytes.by_ref().take(bytes), &mut into)? {
            copied if copied == bytes => Ok(()),
            _ => Err(malformed("it ends within a file")),
        }
    }

    fn companions(&mut self, first: Entry, target: &Path) -> Result<Unpacked, Refused> {
        let main = Temporary::beside(target)?;
        self.contents(first.bytes, &main.file)?;
        let mut companions = Companions::new();
        while let Some((entry, name)) = self.entry()? {
            let suffix = COMPANIONS.into_iter().find(|s| s.as_bytes() == name);
            let suffix = suffix.filter(|_| entry.kind == FILE);
            let Some(suffix) = suffix.filter(|s| companions.iter().all(|(have, _)| have != s))
            else {
                return Err(malformed(
                    "an entry after the first is not a companion of the database",
                ));
            };
            let companion = Temporary::beside(target)?;
            self.contents(entry.bytes, &companion.file)?;
            if let Some(end) = SuperJournal::look(&companion.file)? {
                companion.file.set_len(end.start)?;
            }
            companions.push((suffix, companion));
        }
        Ok(Unpacked::File(main, companions))
    }

    fn tree(&mut self, target: &Path) -> Result<Unpacked, Refused> {
        let top = TemporaryFolder::beside(target)?;
        // The entered folders. All were made here, so no path leads through a link.
        let mut within: Vec<PathBuf> = vec![top.0.clone()];
        while let Some(folder) = within.last() {
            let (entry, name) = self
                .entry()?
                .ok_or_else(|| malformed("it ends within a folder"))?;
            if entry.kind == LEAVE {
                within.pop();
                continue;
            }
            if matches!(&name[..], b"" | b"." | b"..") || name.iter().any(|b| b"/\0".contains(b)) {
                return Err(malformed("an entry has an invalid name"));
            }
            let path = folder.join(OsStr::from_bytes(&name));
            match entry.kind {
                FILE => {
                    // Permission bits only: no program of the image gets
                    // another user's rights here.
                    let file = OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(entry.mode & 0o777)
                        .open(&path)?;
                    self.contents(entry.bytes, &file)?;
                }
                FOLDER => {
                    fs::create_dir(&path)?;
                    within.push(path);
                }
                LINK if entry.bytes <= LONGEST_TARGET_BYTES => {
                    let mut to = vec![0; entry.bytes as usize];
                    self.bytes.read_exact(&mut to)?;
                    symlink(OsStr::from_bytes(&to), &path)?;
                }
                _ => return Err(malformed("an entry has an unknown kind")),
            }
        }
        match self.entry()? {
            None => Ok(Unpacked::Folder(top)),
            Some(_) => Err(malformed("there is data after its end")),
        }
    }
}
