//! A run's own side of its folder: made before the image starts, kept up to date, closed at the end.
//! Must be held by the process that runs the image, for its lock is what says that the run lives.

use super::lock::{self, Lock, Taken};
use super::log::Logger;
use super::state::{Phase, State, now_ms};
use super::{LETTING_GO, LOCK, create, detach, folder, stats_socket};
use crate::error::Error;
use bespoke_monitor::{Monitor, StartHook};
use std::cell::{Cell, RefCell};
use std::io::{self, PipeWriter};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// What a run is called and what is known of it beforehand.
pub(crate) struct Plan {
    /// `--name`; else the first free one made from `stem`.
    pub name: Option<String>,
    /// The app's name, or that of the image's file.
    pub stem: String,
    /// The state to begin with.
    pub state: State,
    /// Bytes that the log of a detached run may have.
    pub log_bytes: u64,
}

/// This process as a run that can be found.
pub(crate) struct Registration {
    folder: PathBuf,
    state: Rc<RefCell<State>>,
    /// Where the launcher of a detached run hears of it.
    launcher: Rc<Cell<Option<PipeWriter>>>,
    /// Who writes the log of a detached run.
    logger: Option<Logger>,
    _lock: Lock,
}

impl Registration {
    /// Takes the name. A run of that name that has ended makes room; its log goes on. With a `launcher` the
    /// process leaves the terminal.
    pub(crate) fn register(plan: Plan, launcher: Option<PipeWriter>) -> Result<Self, Error> {
        let runs = folder()?;
        create(&runs)?;
        let (name, lock) = match plan.name {
            Some(name) => {
                let lock = named(&runs, &name)?;
                (name, lock)
            }
            None => unnamed(&runs, &plan.stem)?,
        };
        let folder = runs.join(&name);
        stats_socket::close(&folder);
        let write = plan
            .state
            .write(&folder)
            .and_then(|()| State::reserve(&folder));
        write.map_err(Error::file("write to", &folder))?;
        let settle = |launcher| detach::settle(launcher, &name, &folder, plan.log_bytes);
        let logger = launcher.as_ref().map(settle).transpose();
        let logger = logger.map_err(Error::file("write the log in", &folder))?;
        Ok(Self {
            folder,
            state: Rc::new(RefCell::new(plan.state)),
            launcher: Rc::new(Cell::new(launcher)),
            logger,
            _lock: lock,
        })
    }

    /// What the monitor calls when the guest starts: the state says so from then on, and the statistics page is
    /// shown to whoever asks.
    pub(crate) fn on_start(&self, monitor: Monitor) -> StartHook {
        let (state, folder) = (self.state.clone(), self.folder.clone());
        let launcher = self.launcher.clone();
        Box::new(move |stats| {
            let mut state = state.borrow_mut();
            state.monitor = Some(monitor.name().into());
            state.phase = Phase::Running;
            write(&state, &folder);
            stats_socket::serve(&folder, stats, launcher.take());
        })
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The launcher's pipe, for whoever tells it in place of [`Registration::on_start`].
    pub(crate) fn take_launcher(&self) -> Option<PipeWriter> {
        self.launcher.take()
    }

    /// Changes what is written about the run.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.borrow_mut();
        change(&mut state);
        write(&state, &self.folder);
    }

    /// Writes down how the run ended; `unwritten` says why files of `--out` were not written.
    pub(crate) fn ended(self, status: u8, unwritten: Vec<String>) -> io::Result<()> {
        let mut state = self.state.borrow().clone();
        state.phase = Phase::Exited {
            status,
            at_ms: now_ms(),
            unwritten: State::fitting(unwritten),
        };
        // First: whoever sees that it has ended finds its last words, and whoever finds the page gone finds out why.
        let logged = self.logger.map_or(Ok(()), Logger::finish);
        let written = state.write(&self.folder);
        stats_socket::close(&self.folder);
        logged.and(written)
    }
}

/// Writes the state of a run that goes on. When it cannot be written the image runs all the same; `ps` shows what was before.
fn write(state: &State, folder: &Path) {
    let _ = state.write(folder).and_then(|()| State::reserve(folder));
}

fn named(runs: &Path, name: &str) -> Result<Lock, Error> {
    let folder = runs.join(name);
    let start = Instant::now();
    let is_letting_go = || {
        start.elapsed() < LETTING_GO && State::read(&folder).is_ok_and(|state| state.has_ended())
    };
    loop {
        create(&folder)?;
        match lock::take(&folder.join(LOCK)) {
            Ok(Taken::Ours(lock)) => return Ok(lock),
            Ok(Taken::Held(_)) if is_letting_go() => thread::sleep(Duration::from_millis(1)),
            Ok(Taken::Held(pid)) => {
                return Err(Error::NameTaken {
                    name: name.into(),
                    pid,
                });
            }
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {}
            Err(error) => return Err(Error::file("lock", folder.join(LOCK))(error)),
        }
    }
}

/// The first of `stem`, `stem-2`, `stem-3` ... that no running image has. A name whose run has ended is used again.
fn unnamed(runs: &Path, stem: &str) -> Result<(String, Lock), Error> {
    let mut number = 1;
    loop {
        let name = match number {
            1 => stem.to_string(),
            number => format!("{stem}-{number}"),
        };
        match named(runs, &name) {
            Err(Error::NameTaken { .. }) => number += 1,
            // Whatever stands there is no run of ours.
            Err(_)
                if runs
                    .join(&name)
                    .symlink_metadata()
                    .is_ok_and(|file| !file.is_dir()) =>
            {
                number += 1;
            }
            lock => return Ok((name, lock?)),
        }
    }
}

/// A name made from an app's or a file's.
pub(crate) fn stem(of: &str) -> String {
    let plain: String = of
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(32)
        .collect();
    let plain = plain.trim_start_matches(['-', '_', '.']);
    if plain.is_empty() {
        "image".into()
    } else {
        plain.into()
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn every_file_gives_a_name() {
        for (of, name) in [
            ("redis", "redis"),
            ("my site.img", "my-site.img"),
            ("-", "image"),
            (".hidden", "hidden"),
            ("öl", "l"),
        ] {
            assert_eq!(stem(of), name);
            assert!(super::super::check(&stem(of)).is_ok());
        }
    }
}
