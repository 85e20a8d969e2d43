//! Why the evaluation could not be made.

use bespoke_recipe::FileError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// See the module.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// Bespoke's sources are not where they should be.
    #[error(transparent)]
    Recipe(#[from] bespoke_recipe::Error),
    /// A file of measurements cannot be used.
    #[error(transparent)]
    Bench(#[from] bespoke_bench::Error),
    /// A file could not be read, written or created.
    #[error(transparent)]
    File(#[from] FileError),
    /// The page cannot be made as it was asked for.
    #[error("{0}")]
    Usage(String),
    /// The command that builds and measures could not be started.
    #[error("cannot run {}: {source}; `make build` makes it", .bespoke.display())]
    NoCommand {
        /// The command.
        bespoke: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is measured could not be built.
    #[error("`bespoke {0}` failed; why is said above")]
    Build(String),
    /// Steps that failed.
    #[error("not measured: {}; their messages are above, and the same command tries them again", .0.join(", "))]
    NotMeasured(Vec<String>),
    /// The user ended it.
    #[error("interrupted; the same command goes on where it was")]
    Interrupted,
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
}
