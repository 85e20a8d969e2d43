//! What a recipe says about one archive. Data only; reaches for nothing.

use crate::{Digest, Error};
use serde::Deserialize;
use std::path::Path;

/// One archive of third-party source and the ways to get it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Project, for example `musl`.
    pub name: String,
    /// Upstream's version.
    pub version: String,
    /// File name, whose ending tells the format: `.tar.gz`, `.tgz`, `.crate`, `.tar.xz`, `.tar`.
    pub file: String,
    /// Hash of the archive.
    pub sha256: Digest,
    /// Length of the archive in bytes; a download stops there.
    pub bytes: u64,
    /// Upstream's own address of these very bytes.
    pub upstream: Option<String>,
    /// Debian source package one of whose files has these very bytes. Its revision is left to
    /// apt: revisions vanish as security updates come, the upstream tarball stays.
    pub debian: Option<String>,
    /// Crate these bytes are, as `NAME=VERSION`.
    #[serde(rename = "crate")]
    pub crate_: Option<String>,
}

impl Source {
    /// Folder name in the cache: unique by content, readable by people.
    pub(crate) fn slot(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.sha256.short())
    }

    /// Refuses what would reach outside the cache or name no way at all.
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
/// [`Error::Read`] when the file cannot be read, [`Error::Toml`] when it is not such a file.
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
