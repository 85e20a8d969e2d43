//! Runs that can be found again: each has a folder, and its process holds the lock in it.
//!
//! There is no daemon. A folder holds `lock` (see [`lock`]), `state.json`, `log` when the run is detached (see [`log`]), and
//! `stats`, the socket that shows the statistics page. Owns the folder of all runs; whatever stands in one
//! folder, however broken, must never keep the others from being seen.

pub(crate) mod detach;
mod lock;
pub(crate) mod log;
mod registration;
pub(crate) mod restart;
pub(crate) mod state;
pub(crate) mod stats_socket;
pub(crate) mod supervise;
pub(crate) mod wait;

use crate::error::Error;
use lock::Taken;
pub(crate) use registration::{Plan, Registration, stem};
use state::{Phase, State, now_ms};
use std::env;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const LOCK: &str = "lock";
/// Longest name of a run.
const MAX_NAME_BYTES: usize = 64;
/// How long the process of an image that has ended may take to end itself, and with it to give up its lock: taking down
/// a machine takes milliseconds.
const LETTING_GO: Duration = Duration::from_secs(5);

/// A run as it is found.
pub(crate) struct Run {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The process, while it lives.
    pub pid: Option<i32>,
    /// What it wrote about itself, or why that cannot be read.
    pub state: Result<State, String>,
}

/// The folder of all runs: `$BESPOKE_RUNS`, else `/run/bespoke` for root, whatever session it comes from, else
/// `$XDG_RUNTIME_DIR/bespoke`, else `runs` in the cache.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    let given = |name: &str| {
        let value = env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    if let Some(folder) = given("BESPOKE_RUNS") {
        return Ok(folder);
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/run/bespoke".into());
    }
    match given("XDG_RUNTIME_DIR") {
        Some(folder) => Ok(folder.join("bespoke")),
        None => Ok(bespoke_recipe::paths::cache()?.join("runs")),
    }
}

/// Makes a folder that is its user's alone.
fn create(folder: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(Error::file("create", folder))
}

/// All runs, by name. A run that ended without a word is put down as killed.
pub(crate) fn all() -> Result<Vec<Run>, Error> {
    let folder = folder()?;
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("read", &folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::file("read", &folder))?.file_name();
        // What is no name of ours is not ours.
        names.extend(name.into_string().ok().filter(|name| check(name).is_ok()));
    }
    names.sort();
    Ok(names.into_iter().filter_map(look).collect())
}

/// The run called `name`, or the only one whose name begins so.
pub(crate) fn find(name: &str) -> Result<Run, Error> {
    let mut runs = all()?;
    if let Some(exact) = runs.iter().position(|run| run.name == name) {
        return Ok(runs.swap_remove(exact));
    }
    let begins = |run: &Run| !name.is_empty() && run.name.starts_with(name);
    let found: Vec<&Run> = runs.iter().filter(|run| begins(run)).collect();
    match found.len() {
        0 => {
            let known = runs.iter().map(|run| run.name.as_str());
            Err(Error::unknown_run(name, known))
        }
        1 => {
            let only = runs.iter().position(begins).unwrap_or_default();
            Ok(runs.swap_remove(only))
        }
        _ => Err(Error::AmbiguousRun {
            name: name.into(),
            runs: found.iter().map(|run| run.name.clone()).collect(),
        }),
    }
}

/// Every run that `names` say (see [`find`]), once each, in their order; nothing is returned where one of them says none.
pub(crate) fn find_each(names: &[String]) -> Result<Vec<Run>, Error> {
    let mut found: Vec<Run> = Vec::new();
    let mut wrong = Vec::new();
    for name in names {
        match find(name) {
            Ok(run) if found.iter().any(|other| other.name == run.name) => {}
            Ok(run) => found.push(run),
            Err(error) => wrong.push(error),
        }
    }
    Error::all(wrong).map(|()| found)
}

/// Why `run`, which has ended, cannot do what a running one does.
pub(crate) fn not_running(run: &Run, how: String) -> Error {
    let others = all().unwrap_or_default().into_iter();
    let others = others.filter(|other| other.lives() && other.name.starts_with(&run.name));
    Error::NotRunning {
        name: run.name.clone(),
        how,
        others: others.map(|other| other.name).collect(),
    }
}

/// Looks at the run `name`; `None` when it has just been removed.
fn look(name: String) -> Option<Run> {
    let folder = folder().ok()?.join(&name);
    let holder = lock::holder(&folder.join(LOCK));
    let state = State::read(&folder);
    let run = |pid, state| {
        Some(Run {
            name: name.clone(),
            folder: folder.clone(),
            pid,
            state,
        })
    };
    match (holder, state) {
        (Err(error), _) => run(None, Err(format!("{}: {error}", folder.display()))),
        (Ok(Some(pid)), state) => run(Some(pid), state),
        (Ok(None), Ok(state)) if !state.has_ended() => {
            // It may have ended, or another may have begun, between the two looks.
            match lock::take(&folder.join(LOCK)) {
                Ok(Taken::Ours(lock)) => {
                    let state = bury(&folder);
                    drop(lock);
                    run(None, state)
                }
                Ok(Taken::Held(pid)) => run(Some(pid), State::read(&folder)),
                Err(_) if !folder.exists() => None,
                Err(error) => run(None, Err(format!("{}: {error}", folder.display()))),
            }
        }
        (Ok(None), Err(_)) if !folder.exists() => None,
        (Ok(None), state) => run(None, state),
    }
}

/// Clears away what a killed process left in its folder, whose lock the caller has.
fn bury(folder: &Path) -> Result<State, String> {
    let mut state = State::read(folder)?;
    if state.has_ended() {
        return Ok(state);
    }
    state.phase = Phase::Killed { at_ms: now_ms() };
    stats_socket::close(folder);
    // Where it cannot be written down it is found again next time.
    let _ = state.write(folder);
    Ok(state)
}

impl Run {
    /// The log of a detached run.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(log::LOG)
    }

    /// Looks again; `None` when the run is gone with its folder.
    pub(crate) fn again(&self) -> Option<Self> {
        look(self.name.clone())
    }

    /// Whether it runs: its process lives and has not said how the image ended.
    pub(crate) fn lives(&self) -> bool {
        self.pid.is_some() && !self.state.as_ref().is_ok_and(State::has_ended)
    }

    /// Whether it has ended and will be started again.
    pub(crate) fn waits(&self) -> bool {
        self.lives()
            && matches!(&self.state, Ok(state) if matches!(state.phase, Phase::Waiting { .. }))
    }

    /// Removes the folder of a run that has ended.
    pub(crate) fn remove(self) -> Result<(), Error> {
        let path = self.folder.join(LOCK);
        let start = Instant::now();
        let mut taken = lock::take(&path);
        while !self.lives() && matches!(taken, Ok(Taken::Held(_))) && start.elapsed() < LETTING_GO {
            thread::sleep(Duration::from_millis(1));
            taken = lock::take(&path);
        }
        match taken {
            Ok(Taken::Ours(_lock)) => fs::remove_dir_all(&self.folder),
            Ok(Taken::Held(pid)) => {
                return Err(Error::RunLives {
                    name: self.name,
                    pid,
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            // No lock can be had where no file can be made.
            Err(_) => fs::remove_dir_all(&self.folder),
        }
        .map_err(Error::file("remove", &self.folder))
    }

    /// Why files of `--out` were not written at its end.
    pub(crate) fn unwritten(&self) -> &[String] {
        match &self.state {
            Ok(State {
                phase: Phase::Exited { unwritten, .. },
                ..
            }) => unwritten,
            _ => &[],
        }
    }

    /// In a few words: what became of it.
    pub(crate) fn fate(&self) -> String {
        match &self.state {
            Ok(state) => match state.phase {
                Phase::Starting => "starting".into(),
                Phase::Running => match state.restarts {
                    0 => "running".into(),
                    1 => "running, restarted once".into(),
                    times => format!("running, restarted {times} times"),
                },
                Phase::Waiting { status, until_ms } => {
                    let left_s = until_ms.saturating_sub(now_ms()).div_ceil(1000);
                    format!("exited {status}, starts again in {left_s} s")
                }
                Phase::Exited { status, .. } if self.unwritten().is_empty() => {
                    format!("exited {status}")
                }
                Phase::Exited { status, .. } => format!("exited {status}, --out not written"),
                Phase::Killed { .. } => "killed".into(),
            },
            Err(_) if self.pid.is_some() => "running, state unreadable".into(),
            Err(_) => "unreadable".into(),
        }
    }
}

impl State {
    /// Whether it says how the run ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Exited { .. } | Phase::Killed { .. })
    }
}

/// Whether `name` can name a run: it becomes a folder, a word on a command line, and a column of a table.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && name.len() <= MAX_NAME_BYTES && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!(
            "a name consists of letters, digits, '-', '_' and '.', begins with a letter or digit, and has at most {MAX_NAME_BYTES} bytes"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_are_words_that_cannot_leave_the_folder() {
        for name in ["web", "redis-2", "a.b_c", "0", &"x".repeat(64)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "-d",
            "a b",
            "ü",
            &"x".repeat(65),
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
