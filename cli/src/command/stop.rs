//! `bespoke stop`: SIGTERM to the applications, and SIGKILL to the monitors of those that it does not end.

use super::ps::age;
use crate::error::Error;
use crate::instances::wait::{self, Ready};
use crate::instances::{self, Run};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Stop running images
///
/// Sends SIGTERM to all the applications at once. If one does not end in time, its run is killed
/// and the exit status is 1. The exit status is also 1 if a file of --out was not written. Restart
/// policies end as well. The images stay listed, with their logs, until `bespoke rm`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Names of images, or unambiguous prefixes of names
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// Stop all running images
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Time that the applications have to end before they are killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let runs = if arguments.all {
        instances::all()?.into_iter().filter(Run::lives).collect()
    } else {
        instances::find_each(&arguments.names)?
    };
    let start = Instant::now();
    let limit = Duration::from_secs(arguments.timeout.into());
    let asked: Vec<_> = runs.into_iter().map(|run| (ask(&run), run)).collect();
    let ended = asked.into_iter().map(|(process, run)| {
        let left = limit.saturating_sub(start.elapsed());
        conclude(&process?, run, left, arguments.timeout)
    });
    Error::all(ended.filter_map(Result::err).collect())
}

/// Sends SIGTERM.
fn ask(run: &Run) -> Result<Process, Error> {
    let process = open(run)?.ok_or_else(|| gone(run))?;
    process.signal(Signal::TERM).map_err(system)?;
    Ok(process)
}

/// Waits for the end that was asked for, and says how it was.
fn conclude(process: &Process, run: Run, left: Duration, seconds: u32) -> Result<(), Error> {
    if !process.wait(left) {
        // It cannot be refused; what takes longer is the kernel's.
        process.signal(Signal::KILL).map_err(system)?;
        process.wait(Duration::MAX);
        // Looks after what it left.
        let _ = run.again();
        return Err(Error::StopKilled {
            name: run.name,
            seconds,
        });
    }
    match run.again() {
        Some(run) if !run.unwritten().is_empty() => {
            return Err(Error::StopUnwritten {
                fate: run.fate(),
                reasons: run.unwritten().join("\n  "),
                name: run.name,
            });
        }
        Some(run) => println!("{}: {}", run.name, run.fate()),
        None => println!("{}: ended", run.name),
    }
    Ok(())
}

fn system(source: io::Error) -> Error {
    Error::System {
        action: "send a signal to the run",
        source,
    }
}

fn gone(run: &Run) -> Error {
    let how = match &run.state {
        Ok(state) => format!("{}, {} ago", run.fate(), age(state.age())),
        Err(reason) => reason.clone(),
    };
    instances::not_running(run, how)
}

/// A process that cannot be mistaken for another.
struct Process(OwnedFd);

/// The process of `run`; `None` when it has ended.
fn open(run: &Run) -> Result<Option<Process>, Error> {
    let mut pid = run.pid;
    while let Some(number) = pid {
        let process = wait::process(number);
        // The kernel names the holder of the run's lock: when it still names the same process, the descriptor is
        // that process's, even if the number has been used again.
        let now = run.again().and_then(|run| run.pid);
        if now == pid {
            return process.map(|fd| Some(Process(fd))).map_err(system);
        }
        pid = now;
    }
    Ok(None)
}

impl Process {
    /// Sends `signal`; nothing where it has ended.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the end; whether it came within `limit`.
    fn wait(&self, limit: Duration) -> bool {
        let start = Instant::now();
        loop {
            match wait::readable(&self.0, limit.saturating_sub(start.elapsed())) {
                Ready::Yes => return true,
                Ready::TooLate => return false,
                Ready::Interrupted => {}
            }
        }
    }
}
