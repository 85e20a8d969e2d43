//! The description of one archive in a recipe. Data only.

use crate::{Digest, Error};
use serde::Deserialize;
use std::path::Path;

/// One archive of third-party source and the methods to get it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Project, for example `musl`.
    pub name: String,
    /// Upstream's version.
    pub version: String,
    /// File name. Its suffix gives the format: `.tar.gz`, `.tgz`, `.crate`, `.tar.xz`, `.tar`.
    pub file: String,
    /// Hash of the archive.
    pub sha256: Digest,
    /// Length of the archive in bytes; a download stops there.
    pub bytes: u64,
    /// Upstream address of exactly these bytes.
    pub upstream: Option<String>,
    /// Debian source package that contains a file with exactly these bytes.
    /// apt chooses the Debian revision: revisions disappear with security updates,
    /// but the upstream tarball stays.
    pub debian: Option<String>,
    /// Crate with exactly these bytes, as `NAME=VERSION`.
    #[serde(rename = "crate")]
    pub crate_: Option<String>,
}

impl Source {
    /// Returns the folder name in the cache: unique by content, readable by people.
    pub(crate) fn slot(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.sha256.short())
    }

    /// Rejects names that would leave the cache, and sources without any method.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with(['.', '-'])
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        };
        for (field, text) in [
            ("name", &self.name),
            ("version", &self.version),
            ("file", &self.file),
        ] {
            if !plain(text) {
                return Err(Error::Recipe {
                    source_name: self.name.clone(),
                    why: format!("{field} = {text:?} may hold only letters, digits and . _ + -"),
                });
            }
        }
        Ok(())
    }
}

/// Reads the `[[source]]` tables of a `source.toml`.
///
/// # Errors
///
/// [`Error::Read`] when the file cannot be read, [`Error::Toml`] when its contents are invalid.
pub fn read_sources(path: &Path) -> Result<Vec<Source>, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        source: Vec<Source>,
    }
    let text = std::fs::read_to_string(path).map_err(|error| Error::Read {
        path: path.into(),
        error,
    })?;
    let file: File = toml::from_str(&text).map_err(|error| Error::Toml {
        path: path.into(),
        error: error.to_string(),
    })?;
    file.source.iter().try_for_each(Source::check)?;
    Ok(file.source)
}
