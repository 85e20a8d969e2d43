//! What can go wrong in the command itself, with the values that caused it.
//! Every message says what happened, why, and what to do next.

use bespoke_monitor::MonitorError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// A name that is not in one of our lists.
    #[error("there is no {what} named \"{name}\"{}; {hint}", suggestion(.nearest))]
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
    /// A value on the command line that means nothing.
    #[error("{0}")]
    Usage(String),
    /// The folder with the library OS, the heaps and the recipes is not there.
    #[error("{} does not hold Bespoke's sources ({missing} is missing); set BESPOKE_HOME to the folder that does", .home.display())]
    NoHome {
        /// Where it was looked for.
        home: PathBuf,
        /// A file that should be there.
        missing: &'static str,
    },
    /// A recipe is not what it must be.
    #[error("{} is not a valid recipe: {reason}", .path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read, written or created.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tool could not be started.
    #[error("cannot run {tool}: {source}; `bespoke doctor` says how to get it")]
    NoTool {
        /// The program.
        tool: String,
        /// What the system said.
        source: io::Error,
    },
    /// A tool failed.
    #[error("{purpose} failed ({status})\n  command: {command}\n{output}")]
    Tool {
        /// What it was run for.
        purpose: String,
        /// Exit status in words.
        status: String,
        /// The command line.
        command: String,
        /// The end of what it printed.
        output: String,
    },
    /// A source could not be had.
    #[error(transparent)]
    Source(#[from] bespoke_sources::Error),
    /// An image did not start.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

impl Error {
    /// For `map_err` on file operations.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// A name that is not among `known`.
    pub fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
        hint: impl Into<String>,
    ) -> Self {
        let nearest = known
            .into_iter()
            .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
            .min()
            .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 2)
            .map(|(_, candidate)| candidate.to_string());
        Self::Unknown {
            what,
            name: name.to_string(),
            nearest,
            hint: hint.into(),
        }
    }

    /// Whether the command line was wrong (exit status 2).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Usage(_))
    }
}

fn suggestion(nearest: &Option<String>) -> String {
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
            "there is no heap named \"tslf\" (did you mean \"tlsf\"?); see `bespoke heaps`"
        );
        let far = Error::unknown("heap", "jemalloc", ["tlsf", "talc"], "see `bespoke heaps`");
        assert_eq!(
            far.to_string(),
            "there is no heap named \"jemalloc\"; see `bespoke heaps`"
        );
        assert!(near.is_usage() && far.is_usage());
    }
}
