//! Why something could not be shown.

use bespoke_recipe::FileError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file could not be shown.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is no trace that can be read.
    #[error("cannot read {} as a trace: {source}", .path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: bespoke_trace::OpenError,
    },
}
