//! Packs host files into the ustar archive the guest unpacks. Owns nothing; every missing or
//! unreadable file is an error before anything starts.

use crate::MonitorError;
use crate::config::{Archive, ImportFile};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;

/// The archive's bytes; empty when there is none.
pub(crate) fn bytes(archive: &Archive) -> Result<Cow<'_, [u8]>, MonitorError> {
    match archive {
        Archive::None => Ok(Cow::Borrowed(&[])),
        Archive::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        Archive::Files(files) if files.is_empty() => Ok(Cow::Borrowed(&[])),
        Archive::Files(files) => pack(files).map(Cow::Owned),
    }
}

fn pack(files: &[ImportFile]) -> Result<Vec<u8>, MonitorError> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let failed = |source| MonitorError::File {
            purpose: "read the file for --file",
            path: file.host.clone(),
            source,
        };
        let bad = |reason| MonitorError::BadName {
            what: "guest path",
            name: file.guest.clone(),
            reason,
        };
        let mut host = File::open(&file.host).map_err(failed)?;
        let metadata = host.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(std::io::Error::other("it is not a regular file")));
        }
        let name = file.guest.trim_start_matches('/');
        if name.is_empty() || name.ends_with('/') {
            return Err(bad("names no file"));
        }
        if name.contains('\0') {
            return Err(bad("contains a NUL byte"));
        }
        let mut header = tar::Header::new_ustar();
        header.set_metadata_in_mode(&metadata, tar::HeaderMode::Complete);
        // The guest knows one user.
        header.set_uid(0);
        header.set_gid(0);
        header
            .set_path(name)
            .map_err(|_| bad("is too long for a ustar archive or leaves the root"))?;
        // The bytes first: a file that grows meanwhile must not break the archive.
        let mut contents = Vec::with_capacity(metadata.len() as usize);
        host.read_to_end(&mut contents).map_err(failed)?;
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder
            .append(&header, contents.as_slice())
            .map_err(failed)?;
    }
    builder.into_inner().map_err(|source| MonitorError::Host {
        step: "pack the archive",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let files = vec![ImportFile {
            host: "/nonexistent/x".into(),
            guest: "/x".into(),
        }];
        let error = bytes(&Archive::Files(files))
            .expect_err("no such file")
            .to_string();
        assert!(error.contains("/nonexistent/x"), "{error}");
    }

    #[test]
    fn guest_paths_that_name_no_file_are_refused() {
        let this = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        for guest in ["/", "dir/", "a\0b", "../x"] {
            let files = vec![ImportFile {
                host: this.clone(),
                guest: guest.into(),
            }];
            assert!(
                matches!(
                    bytes(&Archive::Files(files)),
                    Err(MonitorError::BadName { .. })
                ),
                "{guest:?}"
            );
        }
    }

    #[test]
    fn contents_and_path_survive() {
        let this = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let files = Archive::Files(vec![ImportFile {
            host: this.clone(),
            guest: "/db/a.toml".into(),
        }]);
        let packed = bytes(&files).expect("packs");
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
}
