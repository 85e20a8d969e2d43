//! `bespoke stop`: SIGTERM to the application, and SIGKILL to the monitor when that does not help.

use super::ps::age;
use crate::error::Error;
use crate::running::{self, Run};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// End a running image
///
/// The application gets SIGTERM. When it has not ended within the time given, everything of the run is killed, and the
/// exit status is 1, as it is when a file of --out was not written. The image stays listed, with its log, until `bespoke rm`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Its name, or the beginning of it
    name: String,
    /// How long the application may take
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let run = running::find(&arguments.name)?;
    let Some(process) = open(&run)? else {
        return Err(gone(run));
    };
    let limit = Duration::from_secs(arguments.timeout.into());
    if !process.end(libc::SIGTERM, limit).map_err(system)? {
        // It cannot be refused; what takes longer is the kernel's.
        process.end(libc::SIGKILL, Duration::MAX).map_err(system)?;
        // Looks after what it left.
        let _ = run.again();
        return Err(Error::StopKilled {
            name: run.name,
            seconds: arguments.timeout,
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

fn gone(run: Run) -> Error {
    let how = match &run.state {
        Ok(state) => format!("{}, {} ago", run.fate(), age(state.age())),
        Err(reason) => reason.clone(),
    };
    Error::NotRunning {
        name: run.name,
        how,
    }
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
    /// Sends `signal` and waits for the end; whether it came within `limit`.
    fn end(&self, signal: i32, limit: Duration) -> io::Result<bool> {
        let fd = self.0.as_raw_fd();
        // SAFETY: no structure is passed.
        if unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(true),
                _ => Err(error),
            };
        }
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let mut polled = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            let left_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: one structure, as the count says.
            match unsafe { libc::poll(&raw mut polled, 1, left_ms) } {
                0 if left_ms < i32::MAX => return Ok(false),
                1 => return Ok(true),
                _ => {}
            }
        }
    }
}
