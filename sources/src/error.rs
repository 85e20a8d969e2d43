//! All errors of this crate, with the values that caused them and the next step for the user.

use crate::Digest;
use std::fmt;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A source could not be provided.
#[derive(Debug, Error)]
pub enum Error {
    /// No method provided the archive.
    #[error("cannot get {what}; tried in order:{}\n  \
             next: get that file on a machine with network, put it into a folder, and set BESPOKE_SOURCES to it",
            list(.tried))]
    Unobtainable {
        /// Project, version and file.
        what: String,
        /// Each method and its error.
        tried: Vec<Attempt>,
    },
    /// The bytes are not the expected ones.
    #[error(
        "wrong content in {from}\n  expected sha256 {expected}, {expected_bytes} bytes\n  \
             found    sha256 {found}, {found_bytes} bytes\n  next: {next}"
    )]
    WrongHash {
        /// File or address.
        from: String,
        /// Expected hash.
        expected: Digest,
        /// Expected length.
        expected_bytes: u64,
        /// Actual hash.
        found: Digest,
        /// Actual length.
        found_bytes: u64,
        /// Next step for the user.
        next: &'static str,
    },
    /// A tool that this method needs is not installed.
    #[error("{tool} is not installed; next: {install}")]
    MissingTool {
        /// Program name.
        tool: String,
        /// How to install it.
        install: &'static str,
    },
    /// A tool failed.
    #[error("`{}` failed ({status}): {stderr}", shortened(.command))]
    Tool {
        /// Command line.
        command: String,
        /// Exit status.
        status: String,
        /// Last lines of its output.
        stderr: String,
    },
    /// A download failed.
    #[error("{url}: {why}")]
    Download {
        /// Address.
        url: String,
        /// The client's message.
        why: String,
    },
    /// A method exists but does not provide these bytes.
    #[error("{0}")]
    Elsewhere(String),
    /// The archive has the right hash but cannot be unpacked.
    #[error("cannot unpack {path}: {why}; next: {next}")]
    Unpack {
        /// Archive.
        path: PathBuf,
        /// Reason.
        why: String,
        /// Next step for the user.
        next: &'static str,
    },
    /// A recipe is invalid.
    #[error("source {source_name:?} in a recipe: {why}")]
    Recipe {
        /// Project in the recipe.
        source_name: String,
        /// The fault.
        why: String,
    },
    /// A recipe file is not TOML of the expected shape.
    #[error("{path}: {error}")]
    Toml {
        /// File.
        path: PathBuf,
        /// The parser's message.
        error: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// File.
        path: PathBuf,
        /// Reason.
        error: io::Error,
    },
    /// The cache cannot be written.
    #[error(
        "cannot write {path}: {error}; next: free space or set BESPOKE_CACHE to a folder you own"
    )]
    Write {
        /// File or folder.
        path: PathBuf,
        /// Reason.
        error: io::Error,
    },
    /// A disk is full.
    #[error(
        "no space is left in {folder}; next: free some, or set BESPOKE_CACHE to a folder on another disk"
    )]
    Full {
        /// A folder on it.
        folder: PathBuf,
    },
    /// No folder for the cache is known.
    #[error(
        "no cache folder: none of BESPOKE_CACHE, XDG_CACHE_HOME, HOME is set; next: set BESPOKE_CACHE"
    )]
    NoCache,
}

impl Error {
    /// Whether a full disk is the cause. Then every other method fails as well.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Full { .. } => true,
            Self::Write { error, .. } => matches!(error.kind(), StorageFull | QuotaExceeded),
            _ => false,
        }
    }
}

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    /// For example `upstream`.
    pub way: &'static str,
    /// Why it did not provide the archive.
    pub why: Box<Error>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.way,
            self.why.to_string().replace('\n', "\n    ")
        )
    }
}

/// Returns the beginning of a long command line.
fn shortened(command: &str) -> String {
    const MOST: usize = 160;
    match command.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} ...", &command[..end]),
        None => command.into(),
    }
}

fn list(tried: &[Attempt]) -> String {
    if tried.is_empty() {
        return "\n  nothing: the recipe names no way this build can use".to_owned();
    }
    tried
        .iter()
        .map(|attempt| format!("\n  {attempt}"))
        .collect()
}
