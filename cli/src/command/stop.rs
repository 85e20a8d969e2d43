//! `bespoke stop`: SIGTERM to the applications, and SIGKILL to the monitors of those that it does not end.

use super::ps::age;
use crate::error::Error;
use crate::instances::{self, Run};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Stop running images
///
/// Sends SIGTERM to all the applications at once. If one does not end in time, its run is killed
/// and the exit status is 1. The exit status is also 1 if a file of --out was not written. Restart
/// policies end as well. The images stay listed, with their logs, until `bespoke rm`.
#[derive(clap::Args)]
pub struct Arguments {
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
pub fn run(arguments: &Arguments) -> Result<(), Error> {
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
    process.signal(libc::SIGTERM).map_err(system)?;
    Ok(process)
}

/// Waits for the end that was asked for, and says how it was.
fn conclude(process: &Process, run: Run, left: Duration, seconds: u32) -> Result<(), Error> {
    if !process.wait(left) {
        // It cannot be refused; what takes longer is the kernel's.
        process.signal(libc::SIGKILL).map_err(system)?;
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
        // SAFETY: a new descriptor, owned from here on.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        let process = (fd >= 0).then(|| {
            // SAFETY: as above.
            Process(unsafe { OwnedFd::from_raw_fd(fd as i32) })
        });
        let error = io::Error::last_os_error();
        // The kernel names the holder of the run's lock: when it still names the same process, the descriptor is
        // that process's, even if the number has been used again.
        let now = run.again().and_then(|run| run.pid);
        if now == pid {
            return match process {
                Some(process) => Ok(Some(process)),
                None => Err(system(error)),
            };
        }
        pid = now;
    }
    Ok(None)
}

impl Process {
    /// Sends `signal`; nothing where it has ended.
    fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: no structure is passed.
        if unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                0,
                0,
            )
        } == 0
        {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ESRCH) => Ok(()),
            _ => Err(error),
        }
    }

    /// Waits for the end; whether it came within `limit`.
    fn wait(&self, limit: Duration) -> bool {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let mut polled = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            let left_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: one structure, as the count says.
            match unsafe { libc::poll(&raw mut polled, 1, left_ms) } {
                0 if left_ms < i32::MAX => return false,
                1 => return true,
                _ => {}
            }
        }
    }
}
