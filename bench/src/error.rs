//! Why something could not be measured, or a file of measurements not be read.

use bespoke_monitor::MonitorError;
use bespoke_recipe::FileError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a measurement failed.
#[derive(Debug, Error)]
pub enum Error {
    /// What is asked for cannot be had.
    #[error(transparent)]
    Recipe(#[from] bespoke_recipe::Error),
    /// What was to be measured could not be built, or a tool could not be run.
    #[error(transparent)]
    Builder(#[from] bespoke_builder::Error),
    /// A file could not be read, written or created.
    #[error(transparent)]
    File(#[from] FileError),
    /// The monitor refused.
    #[error(transparent)]
    Monitor(#[from] Box<MonitorError>),
    /// A value on the command line that means nothing.
    #[error("{0}")]
    Usage(String),
    /// A measured workload did not do what it must: the candidate's own result, not ours.
    #[error("the workload failed: {0}")]
    Workload(String),
    /// The user ended a run of measurements.
    #[error("interrupted; what was measured is in {}, and the same command with --resume goes on with it", .0.display())]
    Interrupted(PathBuf),
    /// A file of measurements is not what it must be.
    #[error("cannot parse results file {}: {reason}", .path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
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

    /// A name that is not among `known`.
    pub(crate) fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
        hint: impl Into<String>,
    ) -> Self {
        bespoke_recipe::Error::unknown(what, name, known, hint).into()
    }

    /// Whether the command line was wrong.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Recipe(error) => error.is_usage(),
            Self::Builder(error) => error.is_usage(),
            Self::Usage(_) => true,
            _ => false,
        }
    }
}
