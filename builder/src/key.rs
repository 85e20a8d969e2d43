//! Names of cached results: a hash of everything the result is made from.

use crate::Error;
use bespoke_sources::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Collects what a result is made from.
#[derive(Clone)]
pub(crate) struct Key(Sha256);

impl Key {
    /// A key for results of one kind.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).text(kind)
    }

    /// Adds a piece of text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds the contents of something.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds pieces of text, in order.
    pub(crate) fn texts<T: AsRef<str>>(self, texts: &[T]) -> Self {
        texts
            .iter()
            .fold(self.text(&texts.len().to_string()), |key, text| {
                key.text(text.as_ref())
            })
    }

    /// Adds the names and contents of all files below `folder`.
    pub(crate) fn folder(mut self, folder: &Path) -> Result<Self, Error> {
        for path in files_below(folder)? {
            let content = fs::read(&path).map_err(Error::file("read", &path))?;
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy();
            self = self.text(&name).bytes(&content);
        }
        Ok(self)
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize()[..8])
    }
}

/// All files below `folder`, sorted.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::file("read", &folder))? {
            let path = entry.map_err(Error::file("read", &folder))?.path();
            if path.is_dir() {
                folders.push(path)
            } else {
                files.push(path)
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_letters_in_other_pieces_are_another_key() {
        let key = |texts: &[&str]| Key::new("test").texts(texts).finish();
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab", "c"]), key(&["c", "ab"]));
        assert_eq!(key(&[]).len(), 16);
    }
}
