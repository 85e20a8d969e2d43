//! Why something could not be built. Every message says what happened, why, and what to do next.

use bespoke_monitor::MonitorError;
use bespoke_recipe::FileError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a build failed.
#[derive(Debug, Error)]
pub enum Error {
    /// What is asked for cannot be had.
    #[error(transparent)]
    Recipe(#[from] bespoke_recipe::Error),
    /// A file could not be read, written or created.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source could not be had.
    #[error(transparent)]
    Source(#[from] Box<bespoke_sources::Error>),
    /// Files for the image could not be packed.
    #[error(transparent)]
    Pack(#[from] Box<MonitorError>),
    /// A tool could not be started.
    #[error("cannot run {tool}: {source}; `bespoke doctor` says how to get it")]
    NoTool {
        /// The program.
        tool: String,
        /// What the system said.
        source: io::Error,
    },
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] Box<ToolFailure>),
    /// A tool found no room for what it makes.
    #[error("{purpose} failed: there is no space left {}; free some, or set BESPOKE_CACHE (TMPDIR for temporary files) to a folder on another disk", place(.folder))]
    DiskFull {
        /// What it was run for.
        purpose: String,
        /// Where, if that is known.
        folder: Option<PathBuf>,
    },
    /// A file that should be an image is none.
    #[error("{} is not a Bespoke image: {reason}", .path.display())]
    NoImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a tool failed.
#[derive(Debug, Error)]
#[error("{purpose} failed ({status})\n  command: {command}\n{output}{}", whole(.log))]
pub struct ToolFailure {
    /// What it was run for.
    pub purpose: String,
    /// Exit status in words.
    pub status: String,
    /// The command line.
    pub command: String,
    /// The end of what it printed.
    pub output: String,
    /// Where all of it is.
    pub log: Option<PathBuf>,
}

impl From<MonitorError> for Error {
    fn from(error: MonitorError) -> Self {
        Self::Pack(Box::new(error))
    }
}

impl From<ToolFailure> for Error {
    fn from(failure: ToolFailure) -> Self {
        Self::Tool(Box::new(failure))
    }
}

impl From<bespoke_sources::Error> for Error {
    fn from(error: bespoke_sources::Error) -> Self {
        Self::Source(Box::new(error))
    }
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let error = FileError::of(action, path);
        move |source| error(source).into()
    }

    /// The recipe in `folder` cannot be built as it is.
    pub(crate) fn invalid(folder: &Path, reason: impl Into<String>) -> Self {
        bespoke_recipe::Error::invalid(folder, reason).into()
    }

    /// Whether there is nothing of the name that was given.
    pub fn is_unknown_name(&self) -> bool {
        matches!(self, Self::Recipe(bespoke_recipe::Error::Unknown { .. }))
    }

    /// Whether the command line was wrong.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Recipe(error) => error.is_usage(),
            Self::NoImage { .. } => true,
            _ => false,
        }
    }
}

fn whole(log: &Option<PathBuf>) -> String {
    log.as_ref().map_or_else(String::new, |log| {
        format!("\n  the whole command and its output: {}", log.display())
    })
}

fn place(folder: &Option<PathBuf>) -> String {
    folder.as_ref().map_or_else(
        || "on the disk that it writes to".into(),
        |folder| format!("in {}", folder.display()),
    )
}
