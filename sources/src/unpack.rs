//! Unpacks a verified archive. Nothing is written outside the given folder (the `tar` crate refuses
//! `..` and links that lead outside).

use crate::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

const DAMAGED: &str = "the hash matches, so the recipe names a file that is not such an archive";

/// Unpacks `archive` into the new folder `into`. The suffix of `file` gives the format.
pub(crate) fn unpack(archive: &Path, file: &str, into: &Path) -> Result<(), Error> {
    let fail = |why: String, next| Error::Unpack {
        path: archive.into(),
        why,
        next,
    };
    let input = File::open(archive).map_err(|error| Error::Read {
        path: archive.into(),
        error,
    })?;
    let input = BufReader::new(input);
    let stream: Box<dyn Read> = match file.rsplit('.').next() {
        Some("gz" | "tgz" | "crate") => Box::new(flate2::read::GzDecoder::new(input)),
        #[cfg(feature = "xz")]
        Some("xz") => Box::new(liblzma::read::XzDecoder::new(input)),
        Some("tar") => Box::new(input),
        _ => {
            return Err(fail(
                format!("no unpacker for {file}"),
                "use .tar, .tar.gz, .tar.xz or .crate",
            ));
        }
    };
    fs::create_dir_all(into).map_err(|error| Error::Write {
        path: into.into(),
        error,
    })?;
    tar::Archive::new(stream).unpack(into).map_err(|error| {
        if let io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded = error.kind() {
            return Error::Write {
                path: into.into(),
                error,
            };
        }
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        fail(format!("{error}{}", cause.unwrap_or_default()), DAMAGED)
    })
}

/// Returns the only entry of `tree` if that is a folder, else `tree` itself.
pub(crate) fn top_folder(tree: &Path) -> Result<PathBuf, Error> {
    let read = |error| Error::Read {
        path: tree.into(),
        error,
    };
    let entries = fs::read_dir(tree)
        .map_err(read)?
        .collect::<io::Result<Vec<_>>>()
        .map_err(read)?;
    match &entries[..] {
        [only] if only.path().is_dir() => Ok(only.path()),
        _ => Ok(tree.to_owned()),
    }
}
