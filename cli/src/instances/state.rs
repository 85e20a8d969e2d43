//! What is written about a run, in its folder. Plain data and its file; a reader sees it whole or as it was before.

use super::restart::Policy;
use bespoke_monitor::{open_regular_with, read_regular};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name of the file.
pub(crate) const FILE: &str = "state.json";
/// The next one before it takes that name, with room set aside: a full disk must not lose how a run ended.
const NEXT: &str = "state.next";
/// More than a state takes, long paths apart.
const ROOM_BYTES: usize = 4096;

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The app, or the image as it was named.
    pub target: String,
    /// The image's file.
    pub image: PathBuf,
    /// The monitor, once it is known to work here.
    pub monitor: Option<String>,
    /// `-m`, in bytes.
    pub memory_bytes: u64,
    /// Ports as given with `-p`, or `tap:NAME`.
    pub ports: Vec<String>,
    /// Its output goes to the folder's log, not to a terminal.
    pub detached: bool,
    /// `--restart`.
    #[serde(default)]
    pub restart: Policy,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
    /// Of the latest start, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How far it got.
    pub phase: Phase,
}

/// See [`State`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The guest does not run yet.
    Starting,
    /// The guest runs.
    Running,
    /// It ended, and will be started again.
    Waiting {
        /// As of `bespoke run`.
        status: u8,
        /// When, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It ended with this exit status.
    Exited {
        /// As of `bespoke run`.
        status: u8,
        /// Milliseconds since the Unix epoch.
        at_ms: u64,
        /// Why files of `--out` were not written.
        #[serde(default)]
        unwritten: Vec<String>,
    },
    /// Its process ended without a word: by a signal that cannot be handled.
    Killed {
        /// When that was noticed.
        at_ms: u64,
    },
}

impl State {
    /// Reads the state in `folder`.
    ///
    /// # Errors
    ///
    /// In words: it is missing, or is no state.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let bytes = read_regular(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Replaces the state in `folder`; for the holder of its lock.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let next = folder.join(NEXT);
        let text = serde_json::to_vec(self)?;
        let mut file = open(&next)?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        fs::rename(next, folder.join(FILE))
    }

    /// As much of `messages` as there is room set aside for.
    pub(crate) fn fitting(mut messages: Vec<String>) -> Vec<String> {
        let mut left = ROOM_BYTES / 4;
        messages.retain_mut(|message| {
            let mut end = left.min(message.len());
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            left -= end;
            end > 0
        });
        messages
    }

    /// Sets room aside for the next [`State::write`].
    pub(crate) fn reserve(folder: &Path) -> io::Result<()> {
        open(&folder.join(NEXT))?.write_all(&[b' '; ROOM_BYTES])
    }

    /// Time since the start, or since the end.
    pub(crate) fn age(&self) -> Duration {
        let since_ms = match self.phase {
            Phase::Starting | Phase::Running | Phase::Waiting { .. } => self.started_ms,
            Phase::Exited { at_ms, .. } | Phase::Killed { at_ms } => at_ms,
        };
        Duration::from_millis(now_ms().saturating_sub(since_ms))
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    open_regular_with(path, options.create(true).truncate(false).write(true))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}
