//! `-d`: the process splits. One side becomes the run, in a session of its own, with its output in the log; the
//! other waits until the image is up, says so, and ends.
//!
//! The run tells its launcher through a pipe: `name NAME BYTES` (where its part of the log begins), [`MAIN`],
//! [`READY`]; the pipe's end is the run's. Must be used before the process has a second thread.

use super::log::{LOG, Logger};
use super::wait::{Ready, readable, reap};
use super::{find, folder};
use crate::error::Error;
use bespoke_monitor::open_regular;
use nix::unistd::{ForkResult, fork};
use rustix::io::{FdFlags, close, fcntl_getfd};
use rustix::process::{WaitOptions, setsid};
use rustix::stdio::dup2_stdin;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// `main()` of the application is entered.
pub(crate) const MAIN: &str = "main\n";
/// The application listens.
pub(crate) const READY: &str = "ready\n";
/// As much of the log of a run that did not come up is shown.
const SHOWN_BYTES: u64 = 16 << 10;

/// Which side of the split this is.
pub(crate) enum Side {
    /// The one that the user waits for.
    Launcher(Launcher),
    /// The run.
    Run(PipeWriter),
}

/// The launcher's view of the run.
pub(crate) struct Launcher {
    child: i32,
    pipe: PipeReader,
}

/// What the launcher waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// `main()` is entered.
    Main,
    /// The application listens.
    Ready,
}

/// What the launcher has heard.
#[derive(Default)]
struct Heard {
    name: Option<String>,
    log_bytes: u64,
    main: bool,
    ready: bool,
}

/// Splits the process.
pub(crate) fn split() -> Result<Side, Error> {
    let system = |source| Error::System {
        action: "detach from the terminal",
        source,
    };
    let (pipe, writer) = io::pipe().map_err(system)?;
    // SAFETY: the process has one thread (said above), so the child may go on as the parent would.
    match unsafe { fork() }.map_err(|error| system(error.into()))? {
        ForkResult::Child => {
            // The new process leads no group yet, so this cannot fail.
            let _ = setsid();
            Ok(Side::Run(writer))
        }
        ForkResult::Parent { child } => Ok(Side::Launcher(Launcher {
            child: child.as_raw(),
            pipe,
        })),
    }
}

/// The run's side moves in: tells its name, and leaves the terminal and whatever else its launcher had open.
pub(crate) fn settle(
    mut launcher: &PipeWriter,
    name: &str,
    folder: &Path,
    log_bytes: u64,
) -> io::Result<Logger> {
    let before = fs::metadata(folder.join(LOG)).map_or(0, |log| log.len());
    writeln!(launcher, "name {name} {before}")?;
    let null = File::open("/dev/null")?;
    dup2_stdin(&null)?;
    let logger = Logger::start(folder, log_bytes)?;
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(fd) = number.filter(|&fd: &i32| fd > 2) else {
            continue;
        };
        // SAFETY: a descriptor is only asked about; one that was closed meanwhile gives an error.
        let flags = fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) });
        if flags.is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC)) {
            // SAFETY: our own all close on exec; what does not was left open by whoever started us, and nobody here
            // owns it.
            unsafe { close(fd) };
        }
    }
    Ok(logger)
}

impl Launcher {
    /// Waits until the run has reached `goal`, no longer than `limit`; the exit status of the launcher. The name of
    /// a run that is up goes to standard output.
    pub(crate) fn wait(mut self, goal: Goal, limit: Duration) -> Result<u8, Error> {
        let mut heard = Heard::default();
        let has_ended = self.listen(&mut heard, goal, limit);
        let Some(name) = &heard.name else {
            // It failed before it left our terminal, and has said why.
            return Ok(self.reap());
        };
        if has_ended {
            let status = self.reap();
            return conclude(name, &heard, goal, status);
        }
        println!("{name}");
        let reached = match goal {
            Goal::Main => heard.main,
            Goal::Ready => heard.ready,
        };
        if reached {
            return Ok(0);
        }
        let what = match goal {
            Goal::Main => "has not reached main()",
            Goal::Ready => "is not listening yet",
        };
        eprintln!(
            "bespoke: {name} is running but {what} after {} s; `bespoke logs {name}` shows its output, --wait SECONDS waits longer",
            limit.as_secs()
        );
        Ok(crate::exit::RUN_FAILED)
    }

    /// Hears the run out until it has reached `goal` or `limit` passes; whether it has ended.
    fn listen(&mut self, heard: &mut Heard, goal: Goal, limit: Duration) -> bool {
        let start = Instant::now();
        let mut text = String::new();
        let mut chunk = [0; 512];
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let ready = readable(&self.pipe, left);
            if ready == Ready::TooLate && heard.name.is_some() {
                return false;
            }
            if ready != Ready::Yes {
                // Interrupted, or it waits for the disk: its name comes in any case, or its end.
                continue;
            }
            match self.pipe.read(&mut chunk) {
                Ok(0) | Err(_) => return true,
                Ok(count) => text += &String::from_utf8_lossy(&chunk[..count]),
            }
            while let Some((line, rest)) = text.split_once('\n') {
                heard.line(line);
                text = rest.to_string();
            }
            if heard.ready || heard.main && goal == Goal::Main {
                return false;
            }
        }
    }

    fn reap(&self) -> u8 {
        let status = reap(self.child, WaitOptions::empty()).ok().flatten();
        status.unwrap_or(crate::exit::RUN_FAILED)
    }
}

impl Heard {
    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        match words.next() {
            Some("name") => {
                self.name = words.next().map(str::to_string);
                self.log_bytes = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            }
            Some("main") => self.main = true,
            Some("ready") => (self.main, self.ready) = (true, true),
            _ => {}
        }
    }
}

/// The run has ended before it was seen to be up.
fn conclude(name: &str, heard: &Heard, goal: Goal, status: u8) -> Result<u8, Error> {
    if status == 0 && goal == Goal::Main {
        // A short program that has done its work.
        println!("{name}");
        return Ok(0);
    }
    let log = folder()?.join(name).join(LOG);
    show(&log, heard.log_bytes).map_err(Error::file("read", &log))?;
    let when = match goal {
        Goal::Main => "at its start",
        Goal::Ready => "before it listened",
    };
    eprintln!("bespoke: {name} ended {when}, with status {status}");
    if !heard.main && heard.log_bytes == 0 {
        // All there is to know has been shown.
        find(name)?.remove()?;
    }
    Ok(if status == 0 {
        crate::exit::RUN_FAILED
    } else {
        status
    })
}

/// Shows the end of what the run wrote.
fn show(log: &Path, from: u64) -> io::Result<()> {
    let mut file = open_regular(log)?;
    let end = file.metadata()?.len();
    // Where a new file was begun meanwhile, all of it is of this run.
    let from = if from <= end { from } else { 0 };
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(SHOWN_BYTES))))?;
    io::copy(&mut file, &mut io::stderr()).map(drop)
}
