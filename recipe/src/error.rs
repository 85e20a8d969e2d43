//! What can be wrong with a recipe, a heap spec or a lock. Every message says what happened, why, and what to do next.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why what is asked for cannot be had.
#[derive(Debug, Error)]
pub enum Error {
    /// A name that is not in one of our lists.
    #[error("no {what} named \"{name}\"{}; {hint}", suggestion(.nearest))]
    Unknown {
        /// `app`, `heap` or `component`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// The closest name there is, when one is close.
        nearest: Option<String>,
        /// Where to see the list.
        hint: String,
    },
    /// A heap has no such parameter.
    #[error("{heap} has no parameter \"{name}\"{}; it has {has} (`bespoke heaps {heap}` explains them)", suggestion(.nearest))]
    NoParameter {
        /// The heap.
        heap: &'static str,
        /// What was asked for.
        name: String,
        /// The closest name there is, when one is close.
        nearest: Option<String>,
        /// The names there are.
        has: String,
    },
    /// A value on the command line that means nothing.
    #[error("{0}")]
    Usage(String),
    /// The folder with the library OS, the heaps and the recipes is not there.
    #[error("{} does not contain Bespoke's sources ({missing} is missing); set BESPOKE_HOME to the folder that does", .home.display())]
    NoHome {
        /// Where it was looked for.
        home: PathBuf,
        /// A file that should be there.
        missing: &'static str,
    },
    /// A recipe is not what it must be.
    #[error("{} is not a valid recipe: {reason}", .path.display())]
    Invalid {
        /// The recipe.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A lock file is not what it must be.
    #[error("invalid lock file {}: {reason}; it was left as it is; correct it, or remove it to use the recipe's heaps", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read, written or created.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source could not be had.
    #[error(transparent)]
    Source(#[from] Box<bespoke_sources::Error>),
}

/// A file could not be read, written or created.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct FileError {
    /// What was to be done.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err` on file operations: `fs::read(path).map_err(FileError::of("read", path))`.
    pub fn of(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

impl From<bespoke_sources::Error> for Error {
    fn from(error: bespoke_sources::Error) -> Self {
        Self::Source(Box::new(error))
    }
}

impl Error {
    /// For `map_err` on file operations.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let error = FileError::of(action, path);
        move |source| error(source).into()
    }

    /// A name that is not among `known`.
    pub fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Unknown {
            what,
            name: name.to_string(),
            nearest: nearest(name, known),
            hint: hint.into(),
        }
    }

    /// The recipe in `folder` is not what it must be.
    pub fn invalid(folder: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid {
            path: folder.join("recipe.toml"),
            reason: reason.into(),
        }
    }

    /// Whether the command line was wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. } | Self::NoParameter { .. } | Self::Usage(_)
        )
    }
}

/// The name among `known` that is closest to `name`, when one is close.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 2)
        .map(|(_, candidate)| candidate.to_string())
}

/// `nearest` as it stands in a message.
pub fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_name_and_nothing_far_away() {
        let near = Error::unknown("heap", "tslf", ["tlsf", "talc"], "see `bespoke heaps`");
        assert_eq!(
            near.to_string(),
            "no heap named \"tslf\" (did you mean \"tlsf\"?); see `bespoke heaps`"
        );
        let far = Error::unknown("heap", "jemalloc", ["tlsf", "talc"], "see `bespoke heaps`");
        assert_eq!(
            far.to_string(),
            "no heap named \"jemalloc\"; see `bespoke heaps`"
        );
        assert!(near.is_usage() && far.is_usage());
    }
}
