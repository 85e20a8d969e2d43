//! `--restart`: one process keeps the name, the lock and the log of a run, and starts a child for each attempt.
//!
//! The supervisor is the run for everybody else: `stop` signals it, and it passes signals on; when it is killed, so is its child. The
//! child runs the image and tells what the supervisor cannot see through a pipe, a line each:
//! `started MONITOR`, [`MAIN`], [`READY`], `ended JSON` (see [`Report`]). Must be used before the process has a second thread.
//!
//! Until the first attempt has come as far as `run -d` waits for, its end is the end: a wrong configuration is
//! shown to whoever is waiting, not tried again.

use super::detach::{Goal, MAIN, READY};
use super::registration::Registration;
use super::restart::{Policy, Row};
use super::state::{Phase, now_ms};
use super::stats_socket;
use super::wait::{readable, reap, signal};
use crate::error::Error;
use bespoke_abi::stats::USER_SIGNALS;
use bespoke_monitor::{Monitor, StartHook};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Which process this is.
pub(crate) enum Role {
    /// A child that is to run the image.
    Attempt(Attempt),
    /// The supervisor, at the end of everything: the exit status.
    Over(u8),
}

/// The child's side.
pub(crate) struct Attempt {
    pipe: PipeWriter,
    folder: PathBuf,
    /// Whether it is not the first.
    pub is_again: bool,
}

/// What a child says at its end, beside its exit status.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whether `main()` of the application was entered.
    pub main: bool,
    /// Why files of `--out` were not written.
    pub unwritten: Vec<String>,
    /// A file could not be put on the host: another start could cost what there is of it.
    pub is_final: bool,
}

/// The supervisor's side.
struct Supervisor {
    registration: Registration,
    goal: Goal,
    /// Until the launcher has heard what it waits for, or has gone.
    launcher: Option<PipeWriter>,
    signals: Signals,
}

/// Runs `registration`'s image, as often as `policy` says, in children of this process.
pub(crate) fn supervise(
    registration: Registration,
    policy: Policy,
    goal: Goal,
) -> Result<Role, Error> {
    let system = |source| Error::System {
        action: "look after the image",
        source,
    };
    let mut supervisor = Supervisor {
        launcher: registration.take_launcher(),
        signals: Signals::block().map_err(system)?,
        registration,
        goal,
    };
    let mut row = Row::default();
    let mut is_again = false;
    loop {
        let begun = Instant::now();
        let (pipe, writer) = io::pipe().map_err(system)?;
        let parent = std::process::id();
        // SAFETY: the process has one thread (said above), so the child may go on as the parent would.
        let child = match unsafe { fork() }.map_err(|error| system(error.into()))? {
            ForkResult::Child => {
                die_with(parent);
                supervisor.signals.unblock();
                let folder = supervisor.registration.path().to_path_buf();
                return Ok(Role::Attempt(Attempt {
                    pipe: writer,
                    folder,
                    is_again,
                }));
            }
            ForkResult::Parent { child } => child,
        };
        drop(writer);
        let (status, report, is_asked) = supervisor.attend(child, pipe);
        let next = if is_asked || supervisor.is_awaited() || report.is_final {
            None
        } else {
            row.next(policy, status, begun.elapsed())
        };
        let Some(wait) = next else {
            return Ok(Role::Over(supervisor.end(status, report.unwritten)));
        };
        supervisor.registration.update(|state| {
            state.restarts += 1;
            let until_ms = now_ms() + wait.as_millis() as u64;
            state.phase = Phase::Waiting { status, until_ms };
        });
        eprintln!(
            "bespoke: the image ended with status {status}; restarting in {} s (--restart {policy})",
            wait.as_secs()
        );
        if supervisor.signals.ended_within(wait) {
            return Ok(Role::Over(supervisor.end(status, report.unwritten)));
        }
        supervisor.registration.update(|state| {
            state.started_ms = now_ms();
            state.phase = Phase::Starting;
        });
        is_again = true;
    }
}

/// Lets this process be killed when its parent ends.
fn die_with(parent: u32) {
    // Cannot fail: there is this signal.
    let _ = set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    if nix::unistd::getppid().as_raw() as u32 != parent {
        // SAFETY: ends a child whose parent has gone already, without the exit code of the run.
        unsafe { libc::_exit(i32::from(crate::exit::RUN_FAILED)) };
    }
}

impl Attempt {
    /// As [`Registration::on_start`].
    pub(crate) fn on_start(&self, monitor: Monitor) -> StartHook {
        let pipe = self.pipe.try_clone();
        let folder = self.folder.clone();
        Box::new(move |stats| {
            let mut pipe = pipe.ok();
            if let Some(pipe) = &mut pipe {
                // A supervisor that has gone takes this process with it.
                let _ = pipe.write_all(format!("started {}\n", monitor.name()).as_bytes());
            }
            stats_socket::serve(&folder, stats, pipe);
        })
    }

    /// Says how it ended.
    pub(crate) fn ended(mut self, report: &Report) -> io::Result<()> {
        let text = serde_json::to_string(report)?;
        self.pipe.write_all(format!("ended {text}\n").as_bytes())
    }
}

impl Supervisor {
    /// Passes on what `child` and others say until it has ended: its exit status, its report, and whether the end was asked for.
    fn attend(&mut self, child: Pid, mut pipe: PipeReader) -> (u8, Report, bool) {
        let (mut text, mut report, mut is_asked) = (String::new(), Report::default(), false);
        let mut is_open = true;
        loop {
            let mut polled = vec![PollFd::new(&self.signals.fd, PollFlags::IN)];
            polled.extend(is_open.then(|| PollFd::new(&pipe, PollFlags::IN)));
            // A signal that interrupts is none of those that are blocked.
            let _ = poll(&mut polled, None);
            let is_said = polled.get(1).is_some_and(|pipe| !pipe.revents().is_empty());
            if is_said {
                let mut chunk = [0; 8192];
                match pipe.read(&mut chunk) {
                    Ok(count) if count > 0 => text += &String::from_utf8_lossy(&chunk[..count]),
                    _ => is_open = false,
                }
                while let Some((line, rest)) = text.split_once('\n') {
                    self.hear(line, &mut report);
                    text = rest.to_string();
                }
                // Signals come after what was said before them.
                continue;
            }
            while let Some(signal) = self.signals.next() {
                if signal == Signal::SIGCHLD {
                    continue;
                }
                is_asked |= matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM);
                // Our own child, not reaped yet.
                let _ = kill(child, signal);
            }
            if let Ok(Some(status)) = reap(child.as_raw(), WaitOptions::NOHANG) {
                stats_socket::close(self.registration.path());
                if report.main {
                    self.tell(MAIN);
                }
                return (status, report, is_asked);
            }
        }
    }

    fn hear(&mut self, line: &str, report: &mut Report) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("started", monitor) => self.registration.update(|state| {
                state.monitor = Some(monitor.into());
                state.phase = Phase::Running;
            }),
            ("main", _) => self.tell(MAIN),
            ("ready", _) => self.tell(READY),
            ("ended", text) => *report = serde_json::from_str(text).unwrap_or_default(),
            _ => {}
        }
    }

    /// Tells the launcher, if it still waits.
    fn tell(&mut self, what: &str) {
        if let Some(pipe) = &mut self.launcher {
            let is_heard = pipe.write_all(what.as_bytes()).is_ok();
            if !is_heard || what == READY || self.goal == Goal::Main {
                self.launcher = None;
            }
        }
    }

    /// Whether the launcher still waits for the image to be up.
    fn is_awaited(&self) -> bool {
        let Some(pipe) = &self.launcher else {
            return false;
        };
        let mut polled = [PollFd::new(pipe, PollFlags::empty())];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let _ = poll(&mut polled, Some(&now));
        !polled[0].revents().contains(PollFlags::ERR)
    }

    /// Writes the end down; the exit status.
    fn end(self, status: u8, unwritten: Vec<String>) -> u8 {
        if let Err(error) = self.registration.ended(status, unwritten) {
            eprintln!("bespoke: cannot record for `bespoke ps` how the run ended: {error}");
        }
        status
    }
}

/// The signals that a supervisor waits for, blocked and read from a descriptor.
struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    fn block() -> io::Result<Self> {
        let users = USER_SIGNALS.into_iter().filter_map(signal);
        let awaited: SigSet = users.chain([Signal::SIGCHLD]).collect();
        let before = awaited.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self {
            fd: SignalFd::with_flags(&awaited, flags)?,
            before,
        })
    }

    /// For a child.
    fn unblock(&self) {
        // It was there before, so it can be there again.
        let _ = self.before.thread_set_mask();
    }

    /// A signal that has come.
    fn next(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok().flatten()?;
        Signal::try_from(info.ssi_signo as i32).ok()
    }

    /// Waits; whether a signal that ends the run came within `limit`.
    fn ended_within(&self, limit: Duration) -> bool {
        let start = Instant::now();
        loop {
            while let Some(signal) = self.next() {
                if matches!(signal, Signal::SIGTERM | Signal::SIGINT) {
                    return true;
                }
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            readable(&self.fd, left);
        }
    }
}
