//! `bespoke logs`: what a detached image wrote to its standard output and standard error.

use crate::error::Error;
use crate::running::{self, Run};
use bespoke_monitor::open_regular;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// How often the log of a running image is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Print what a detached image wrote
///
/// Standard output and standard error, of all runs that had the name since it was last removed.
#[derive(clap::Args)]
pub struct Arguments {
    /// Its name, or the beginning of it
    name: String,
    /// Go on until the image ends
    #[arg(short, long)]
    follow: bool,
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let run = running::find(&arguments.name)?;
    let path = run.log();
    let mut log = match open_regular(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::NoLog { name: run.name });
        }
        log => log.map_err(Error::file("read", &path))?,
    };
    match copy(&mut log, &run, arguments.follow) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::file("read", path)),
    }
}

fn copy(log: &mut File, run: &Run, follow: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    loop {
        // Asked before the rest is read: nothing is written after the end.
        let goes_on = follow && run.again().is_some_and(|run| run.pid.is_some());
        io::copy(log, &mut out)?;
        out.flush()?;
        if !goes_on {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}
