//! `bespoke logs`: what detached images wrote to their standard output and standard error.

use crate::error::Error;
use crate::instances::log::Reader;
use crate::instances::{self, Run};
use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// How often the log of a running image is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A line of one of several logs is printed by then, whether it is whole or not.
const LONGEST_LINE_BYTES: usize = 64 << 10;

/// Print the output of background images
///
/// Prints standard output and standard error of every run that had the name since it was last
/// removed. A log keeps only the newest output, up to --log-limit of `bespoke run`. With several
/// images, each line begins with the name.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Names of images, or unambiguous prefixes of names
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// Print every log
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Follow the output until the images end
    #[arg(short, long)]
    follow: bool,
}

/// A log that is read.
struct Log {
    run: Run,
    reader: Reader,
    /// Of several: what each line begins with, and the line that is not whole yet.
    shared: Option<(String, Vec<u8>)>,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let runs = match arguments.all {
        true => instances::all()?,
        false => instances::find_each(&arguments.names)?,
    };
    let width = runs.iter().map(|run| run.name.len()).max().unwrap_or(0);
    let is_shared = arguments.all || runs.len() > 1;
    let (mut logs, mut wrong) = (Vec::new(), Vec::new());
    for run in runs {
        match Reader::open(&run.folder) {
            Ok(reader) => logs.push(Log {
                shared: is_shared.then(|| (format!("{:width$} | ", run.name), Vec::new())),
                run,
                reader,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound && arguments.all => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                wrong.push(Error::NoLog { name: run.name });
            }
            Err(error) => wrong.push(Error::file("read", run.log())(error)),
        }
    }
    match copy(&mut logs, arguments.follow) {
        // Whoever reads has seen enough.
        Err((error, _)) if error.kind() == ErrorKind::BrokenPipe => {}
        Err((error, log)) => wrong.push(Error::file("read", log.run.log())(error)),
        Ok(()) => {}
    }
    Error::all(wrong)
}

fn copy(logs: &mut [Log], follow: bool) -> Result<(), (io::Error, &Log)> {
    let mut out = io::stdout().lock();
    let mut left: Vec<&mut Log> = logs.iter_mut().collect();
    while !left.is_empty() {
        let mut on = Vec::new();
        for log in left {
            // Asked before the rest is read: nothing is written after the end.
            let goes_on = follow && log.run.again().is_some_and(|run| run.pid.is_some());
            match log.copy(&mut out, !goes_on).and_then(|()| out.flush()) {
                Ok(()) if goes_on => on.push(log),
                Ok(()) => {}
                Err(error) => return Err((error, log)),
            }
        }
        left = on;
        if !left.is_empty() {
            thread::sleep(LOOK);
        }
    }
    Ok(())
}

impl Log {
    /// Copies what was added; `at_end`, the beginning of a line is shown as well.
    fn copy(&mut self, out: &mut impl Write, at_end: bool) -> io::Result<()> {
        let Some((name, pending)) = &mut self.shared else {
            return self.reader.copy(out);
        };
        self.reader.copy(pending)?;
        let mut from = 0;
        while from < pending.len() {
            let rest = &pending[from..];
            let line = match rest.iter().position(|&byte| byte == b'\n') {
                Some(end) => &rest[..=end],
                None if at_end || rest.len() >= LONGEST_LINE_BYTES => rest,
                None => break,
            };
            out.write_all(name.as_bytes())?;
            out.write_all(line)?;
            if !line.ends_with(b"\n") {
                out.write_all(b"\n")?;
            }
            from += line.len();
        }
        pending.drain(..from);
        Ok(())
    }
}
