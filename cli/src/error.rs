//! What can go wrong in the command itself, with the values that caused it.
//! Every message says what happened, why, and what to do next.

use bespoke_monitor::MonitorError;
use bespoke_recipe::{FileError, nearest, suggestion};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// What is asked for cannot be had.
    #[error(transparent)]
    Recipe(#[from] bespoke_recipe::Error),
    /// An image or a program could not be built.
    #[error(transparent)]
    Builder(#[from] bespoke_builder::Error),
    /// Something could not be measured.
    #[error(transparent)]
    Bench(#[from] bespoke_bench::Error),
    /// Something could not be shown.
    #[error(transparent)]
    Report(#[from] bespoke_report::Error),
    /// A file could not be read, written or created.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value on the command line that means nothing.
    #[error("{0}")]
    Usage(String),
    /// Some apps cannot be used; why was said before.
    #[error("invalid recipes: {}; correct the errors printed above", .0.join(", "))]
    BrokenApps(Vec<String>),
    /// A search found nothing to recommend (exit status 3).
    #[error("{0}")]
    NothingBetter(String),
    /// The system refused something that has to do with no file.
    #[error("cannot {action}: {source}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No run has this name.
    #[error("no image named \"{name}\"{}; `bespoke ps` lists running and ended images", suggestion(.nearest))]
    UnknownRun {
        /// What was asked for.
        name: String,
        /// The closest name there is, when one is close.
        nearest: Option<String>,
    },
    /// The beginning of several names.
    #[error("\"{name}\" is ambiguous: it matches {}; write more of the name", .runs.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        name: String,
        /// All names that begin so.
        runs: Vec<String>,
    },
    /// The name of a new run is that of one that lives.
    #[error(
        "an image named \"{name}\" is already running (process {pid}); stop it with `bespoke stop {name}`, or choose another name with --name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Its process.
        pid: i32,
    },
    /// What was to be removed still runs.
    #[error("\"{name}\" is running (process {pid}); stop it first with `bespoke stop {name}`")]
    RunLives {
        /// The run.
        name: String,
        /// Its process.
        pid: i32,
    },
    /// What needs a running image found one that has ended.
    #[error("\"{name}\" is not running: {how}; {}", instead(.name, .others))]
    NotRunning {
        /// The run.
        name: String,
        /// What became of it.
        how: String,
        /// Running images whose names begin so.
        others: Vec<String>,
    },
    /// What was to be done with several images failed for some of them.
    #[error("{}", lines(.0))]
    Several(Vec<Error>),
    /// An image did not end when asked to.
    #[error(
        "\"{name}\" did not end within {seconds} s of SIGTERM and was killed; data that it had not written is lost; --timeout sets a longer time"
    )]
    StopKilled {
        /// The run.
        name: String,
        /// How long it had.
        seconds: u32,
    },
    /// An image ended without writing what `--out` names.
    #[error("{name}: {fate}\n  {reasons}")]
    StopUnwritten {
        /// The run.
        name: String,
        /// How it ended.
        fate: String,
        /// Why, a line for each file.
        reasons: String,
    },
    /// The output of a run went to its terminal.
    #[error("\"{name}\" has no log: it was started without -d, so its output went to its terminal")]
    NoLog {
        /// The run.
        name: String,
    },
    /// A running image's statistics cannot be seen.
    #[error("\"{name}\" is running, but {why}")]
    NoPage {
        /// The run.
        name: String,
        /// Why not.
        why: String,
    },
    /// A source could not be had.
    #[error(transparent)]
    Source(#[from] bespoke_sources::Error),
    /// A trace ends before its run did.
    #[error("the trace {} is incomplete: {reason}; it contains everything recorded until then", .path.display())]
    CutShort {
        /// The trace.
        path: PathBuf,
        /// What kept it from going on.
        reason: String,
    },
    /// An image did not start.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
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

    /// A run that is not among `known`.
    pub(crate) fn unknown_run<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::UnknownRun {
            name: name.to_string(),
            nearest: nearest(name, known),
        }
    }

    /// All that went wrong, as one error; nothing where nothing did.
    pub(crate) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Whether the command line was wrong (exit status 2).
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Recipe(error) => error.is_usage(),
            Self::Builder(error) => error.is_usage(),
            Self::Bench(error) => error.is_usage(),
            Self::UnknownRun { .. } | Self::AmbiguousRun { .. } | Self::Usage(_) => true,
            _ => false,
        }
    }
}

fn instead(name: &str, others: &[String]) -> String {
    match others {
        [] => format!("`bespoke logs {name}` shows its output, `bespoke rm {name}` removes it"),
        [other] => format!("did you mean \"{other}\", which is running?"),
        others => format!(
            "did you mean one of these, which are running: {}?",
            others.join(", ")
        ),
    }
}

/// Each error on a line that begins as every message of ours does.
fn lines(errors: &[Error]) -> String {
    let errors: Vec<String> = errors.iter().map(Error::to_string).collect();
    errors.join("\nbespoke: ")
}
