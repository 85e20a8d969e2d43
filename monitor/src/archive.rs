//! Packs host files into the ustar archive that the guest unpacks. A missing or unreadable
//! file is an error before the start.

use crate::MonitorError;
use crate::config::{Archive, ImportFile};
use crate::exports::{Companion, SuperJournal, with_suffix};
use crate::regular::open_regular;
use bespoke_abi::export::COMPANIONS;
use std::borrow::Cow;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

/// More than any image can hold: images end below 4 GiB.
const MOST_BYTES: u64 = 2 << 30;

/// Returns the archive's bytes, for an image with that much memory; empty when there is none.
pub(crate) fn bytes(archive: &Archive, memory_bytes: u64) -> Result<Cow<'_, [u8]>, MonitorError> {
    match archive {
        Archive::None => Ok(Cow::Borrowed(&[])),
        Archive::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        Archive::Files(files) if files.is_empty() => Ok(Cow::Borrowed(&[])),
        Archive::Files(files) => pack_within(files, memory_bytes).map(Cow::Owned),
    }
}

/// Packs `files` into a ustar archive, in their order and each folder's contents by name, so
/// that equal files give equal bytes.
///
/// # Errors
///
/// A file that cannot be read, an invalid guest path, or more than an image can hold.
pub fn pack(files: &[ImportFile]) -> Result<Vec<u8>, MonitorError> {
    pack_within(files, MOST_BYTES)
}

/// Like [`pack`], with a total limit of `limit_bytes`: a folder may contain a whole disk.
fn pack_within(files: &[ImportFile], limit_bytes: u64) -> Result<Vec<u8>, MonitorError> {
    let mut packer = Packer {
        archive: Vec::new(),
        limit_bytes,
        mode: tar::HeaderMode::Complete,
    };
    for file in files {
        packer.mode = if file.canonical {
            tar::HeaderMode::Deterministic
        } else {
            tar::HeaderMode::Complete
        };
        let name = file.guest.trim_start_matches('/');
        if name.contains('\0') {
            return Err(bad(&file.guest, "contains a NUL byte"));
        }
        if file.folder {
            packer.folder(&file.host, name.trim_end_matches('/'))?;
        } else if name.is_empty() || name.ends_with('/') {
            return Err(bad(&file.guest, "does not name a file"));
        } else {
            packer.file(&file.host, name, u64::MAX)?;
            packer.companions(file, name, files)?;
        }
    }
    // Two empty blocks end an archive (POSIX pax, ustar interchange format).
    let end = packer.archive.len() + 2 * BLOCK_BYTES;
    packer.archive.resize(end, 0);
    Ok(packer.archive)
}

/// Size of the blocks that headers and contents fill.
const BLOCK_BYTES: usize = 512;
/// Size of the name in a header.
const NAME_BYTES: usize = 100;

struct Packer {
    archive: Vec<u8>,
    limit_bytes: u64,
    mode: tar::HeaderMode,
}

impl Packer {
    /// Adds at most `most` bytes of a file.
    fn file(&mut self, host: &Path, name: &str, most: u64) -> Result<(), MonitorError> {
        let failed = |source| unreadable(host, source);
        let file = match open_regular(host) {
            Err(_) if host.is_dir() => {
                let reason = "it is a folder; --root takes folders";
                return Err(failed(io::Error::other(reason)));
            }
            file => file.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        self.long_name(name)?;
        // The bytes come first, directly at their final position: a file that grows meanwhile must
        // not break the archive, and copying megabytes twice delays the start by milliseconds.
        let start = self.archive.len() + BLOCK_BYTES;
        let expected = (metadata.len() as usize).saturating_add(4 * BLOCK_BYTES);
        self.has_room(expected as u64)?;
        let room = self.archive.try_reserve(expected);
        room.map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        self.archive.resize(start, 0);
        let mut file = file.take(most.min(self.limit_bytes));
        let bytes = file.read_to_end(&mut self.archive).map_err(failed)?;
        self.has_room(0)?;
        self.archive
            .resize(start + bytes.next_multiple_of(BLOCK_BYTES), 0);
        let mut header = self.header(&metadata);
        header.set_size(bytes as u64);
        let header = named(name, header)?;
        self.archive[start - BLOCK_BYTES..start].copy_from_slice(header.as_bytes());
        Ok(())
    }

    /// Adds the companion files that a crash left beside a database: without
    /// them the database is incomplete.
    /// A companion that is imported explicitly has its own entry.
    fn companions(
        &mut self,
        file: &ImportFile,
        name: &str,
        given: &[ImportFile],
    ) -> Result<(), MonitorError> {
        for suffix in COMPANIONS {
            // SQLite looks beside the target of a link.
            let host = file.host.canonicalize();
            let host = with_suffix(&host.map_err(|s| unreadable(&file.host, s))?, suffix);
            let guest = format!("{name}{suffix}");
            let is_given = |other: &ImportFile| other.guest.trim_start_matches('/') == guest;
            let companion = Companion::look(&host).map_err(|s| unreadable(&host, s))?;
            if companion != Companion::Live || given.iter().any(is_given) {
                continue;
            }
            let end = open_regular(&host).and_then(|file| SuperJournal::look(&file));
            match end.map_err(|s| unreadable(&host, s))? {
                None => self.file(&host, &guest, u64::MAX)?,
                Some(end) if Path::new(&end.name).exists() => {
                    self.file(&host, &guest, end.start)?;
                }
                // Its transaction was committed.
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Adds `folder` and everything below it.
    fn folder(&mut self, folder: &Path, name: &str) -> Result<(), MonitorError> {
        let failed = |source| unreadable(folder, source);
        let metadata = std::fs::metadata(folder).map_err(failed)?;
        if !metadata.is_dir() {
            return Err(failed(io::Error::other(
                "it is not a folder; --file takes files",
            )));
        }
        if !name.is_empty() {
            let mut header = self.header(&metadata);
            header.set_size(0);
            self.append(name, header)?;
        }
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let inner = entry.file_name();
            let inner = inner
                .to_str()
                .ok_or_else(|| unreadable(&path, io::Error::other("its name is not UTF-8")))?;
            let inner = if name.is_empty() {
                inner.to_owned()
            } else {
                format!("{name}/{inner}")
            };
            let kind = entry
                .file_type()
                .map_err(|source| unreadable(&path, source))?;
            if kind.is_dir() {
                self.folder(&path, &inner)?;
            } else if kind.is_symlink() {
                self.link(&path, &inner)?;
            } else {
                self.file(&path, &inner, u64::MAX)?;
            }
        }
        Ok(())
    }

    fn link(&mut self, host: &Path, name: &str) -> Result<(), MonitorError> {
        let failed = |source| unreadable(host, source);
        let metadata = std::fs::symlink_metadata(host).map_err(failed)?;
        let target = std::fs::read_link(host).map_err(failed)?;
        let mut header = self.header(&metadata);
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        if header.set_link_name(&target).is_err() {
            self.long(tar::EntryType::GNULongLink, target.as_os_str().as_bytes())?;
        }
        self.append(name, header)
    }

    fn header(&self, metadata: &Metadata) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_metadata_in_mode(metadata, self.mode);
        // The guest has a single user.
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    /// Checks whether that much more stays below the limit.
    fn has_room(&self, bytes: u64) -> Result<(), MonitorError> {
        if (self.archive.len() as u64).saturating_add(bytes) > self.limit_bytes {
            return Err(MonitorError::FilesTooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }

    /// An entry before that of `name`, if that does not fit a header.
    fn long_name(&mut self, name: &str) -> Result<(), MonitorError> {
        match is_long(name) {
            true => self.long(tar::EntryType::GNULongName, name.as_bytes()),
            false => Ok(()),
        }
    }

    /// A name or a link's target that does not fit the header that follows: an entry of its own, as GNU tar makes it.
    fn long(&mut self, kind: tar::EntryType, text: &[u8]) -> Result<(), MonitorError> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let header = named("long", header)?;
        let padded = text.len().next_multiple_of(BLOCK_BYTES);
        self.has_room((BLOCK_BYTES + padded) as u64)?;
        self.archive.extend_from_slice(header.as_bytes());
        self.archive.extend_from_slice(text);
        let end = self.archive.len() + padded - text.len();
        self.archive.resize(end, 0);
        Ok(())
    }

    /// An entry without contents.
    fn append(&mut self, name: &str, header: tar::Header) -> Result<(), MonitorError> {
        self.long_name(name)?;
        let header = named(name, header)?;
        self.has_room(BLOCK_BYTES as u64)?;
        self.archive.extend_from_slice(header.as_bytes());
        Ok(())
    }
}

/// Whether a path does not fit a header.
fn is_long(name: &str) -> bool {
    let is_inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    tar::Header::new_ustar().set_path(name).is_err()
        && name.len() > NAME_BYTES
        && Path::new(name).components().all(is_inside)
}

/// `header`, complete. A name that does not fit stands before it.
fn named(name: &str, mut header: tar::Header) -> Result<tar::Header, MonitorError> {
    let name = if is_long(name) { "long" } else { name };
    header
        .set_path(name)
        .map_err(|_| bad(name, "leaves the root"))?;
    header.set_cksum();
    Ok(header)
}

fn unreadable(path: &Path, source: io::Error) -> MonitorError {
    MonitorError::File {
        purpose: "read the file for --file or --root",
        path: path.into(),
        source,
    }
}

fn bad(name: &str, reason: &'static str) -> MonitorError {
    MonitorError::BadName {
        what: "guest path",
        name: name.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let files = vec![ImportFile {
            host: "/nonexistent/x".into(),
            guest: "/x".into(),
            folder: false,
            canonical: false,
        }];
        let error = bytes(&Archive::Files(files), MOST_BYTES)
            .expect_err("no such file")
            .to_string();
        assert!(error.contains("/nonexistent/x"), "{error}");
    }

    #[test]
    fn more_than_the_limit_is_refused_before_it_is_read() {
        let folder = std::env::temp_dir().join(format!("bespoke-sparse-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let sparse = std::fs::File::create(folder.join("sparse")).expect("a file");
        sparse.set_len(1 << 40).expect("a sparse file");
        for (host, is_folder) in [(folder.join("sparse"), false), (folder.clone(), true)] {
            let files = [ImportFile {
                host,
                guest: "/x".into(),
                folder: is_folder,
                canonical: false,
            }];
            let error = pack(&files).expect_err("a TiB");
            assert!(
                matches!(error, MonitorError::FilesTooLarge { .. }),
                "{error}"
            );
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn guest_paths_that_name_no_file_are_refused() {
        let this = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        for guest in ["/", "dir/", "a\0b", "../x"] {
            let files = vec![ImportFile {
                host: this.clone(),
                guest: guest.into(),
                folder: false,
                canonical: false,
            }];
            assert!(
                matches!(
                    bytes(&Archive::Files(files), MOST_BYTES),
                    Err(MonitorError::BadName { .. })
                ),
                "{guest:?}"
            );
        }
    }

    #[test]
    fn a_database_brings_what_a_crash_left_beside_it() {
        let folder = std::env::temp_dir().join(format!("bespoke-hot-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("links")).expect("folders");
        let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect(name);
        const JOURNAL: &[u8] = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and more";
        put("a.db", b"data");
        put("a.db-journal", JOURNAL);
        put("a.db-wal", b"\x37\x7f\x06\x82 and more");
        put("a.db-shm", b"index");
        put("b.db", b"data");
        put("b.db-journal", &[0; 512]);
        put("b.db-wal", b"");
        put("c", b"data");
        put("c-journal", b"a diary");
        std::os::unix::fs::symlink("../a.db", folder.join("links/a.db")).expect("a link");
        let names = |files: &[(&str, &str)]| -> Vec<String> {
            let file = |&(host, guest): &(&str, &str)| ImportFile {
                host: folder.join(host),
                guest: guest.into(),
                folder: false,
                canonical: false,
            };
            let files: Vec<_> = files.iter().map(file).collect();
            let packed = pack(&files).expect("packs");
            let mut archive = tar::Archive::new(&packed[..]);
            let entries = archive.entries().expect("entries");
            let name = |entry: io::Result<tar::Entry<_>>| {
                let entry = entry.expect("readable");
                entry.path().expect("a path").display().to_string()
            };
            entries.map(name).collect()
        };
        let expected = ["x.db", "x.db-journal", "x.db-wal"];
        assert_eq!(names(&[("a.db", "/x.db")]), expected);
        assert_eq!(names(&[("links/a.db", "/x.db")]), expected);
        assert_eq!(names(&[("b.db", "/x.db"), ("c", "/c")]), ["x.db", "c"]);
        let both = [("a.db", "/x.db"), ("c", "/x.db-journal")];
        assert_eq!(names(&both), ["x.db", "x.db-wal", "x.db-journal"]);
        std::fs::remove_dir_all(folder).expect("clean");
    }

    #[test]
    fn contents_and_path_survive() {
        let this = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let files = Archive::Files(vec![ImportFile {
            host: this.clone(),
            guest: "/db/a.toml".into(),
            folder: false,
            canonical: false,
        }]);
        let packed = bytes(&files, MOST_BYTES).expect("packs");
        let mut archive = tar::Archive::new(&packed[..]);
        let mut entry = archive
            .entries()
            .expect("entries")
            .next()
            .expect("one")
            .expect("readable");
        assert_eq!(entry.path().expect("path").to_str(), Some("db/a.toml"));
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).expect("contents");
        assert_eq!(contents, std::fs::read(this).expect("this file"));
    }

    #[test]
    fn a_folder_brings_everything_below_it_in_the_order_of_names() {
        let folder = std::env::temp_dir().join(format!("bespoke-pack-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("b/empty")).expect("folders");
        std::fs::write(folder.join("b/x"), "x").expect("file");
        std::fs::write(folder.join("a"), "a").expect("file");
        std::os::unix::fs::symlink("b/x", folder.join("c")).expect("link");
        let root = |guest: &str, folder_wanted| {
            vec![ImportFile {
                host: folder.clone(),
                guest: guest.into(),
                folder: folder_wanted,
                canonical: false,
            }]
        };
        let names = |packed: &[u8]| -> Vec<String> {
            tar::Archive::new(packed)
                .entries()
                .expect("entries")
                .map(|entry| {
                    entry
                        .expect("readable")
                        .path()
                        .expect("path")
                        .display()
                        .to_string()
                })
                .collect()
        };
        let packed = pack(&root("/srv/", true)).expect("packs");
        assert_eq!(
            names(&packed),
            ["srv", "srv/a", "srv/b", "srv/b/empty", "srv/b/x", "srv/c"]
        );
        assert_eq!(packed, pack(&root("srv", true)).expect("packs"));
        assert_eq!(names(&pack(&root("/", true)).expect("packs"))[0], "a");
        let error = pack(&root("/srv", false))
            .expect_err("a folder")
            .to_string();
        assert!(error.contains("--root"), "{error}");
        std::fs::remove_dir_all(folder).expect("clean");
    }
}
