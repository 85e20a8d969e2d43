//! `bespoke stats`: the statistics page of a running image, without stopping it.

use crate::error::Error;
use crate::instances::{self, Run, stats_socket};
use crate::print::output;
use crate::print::stats;
use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show the memory statistics of a running image
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Name of the image, or an unambiguous prefix of it
    name: String,
    /// Print as JSON; with --watch, one line each second
    #[arg(long)]
    json: bool,
    /// Refresh every second until the image ends
    #[arg(long)]
    watch: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let run = instances::find(&arguments.name)?;
    let mut text = look(&run, arguments)?;
    loop {
        let mut out = io::stdout().lock();
        let clear = arguments.watch && !arguments.json && out.is_terminal();
        let cleared = match clear {
            true => output::control(&mut out, CLEAR),
            false => Ok(()),
        };
        let shown = cleared.and_then(|()| output::plain(&mut out, format_args!("{text}")));
        match shown.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.map_err(|source| Error::System {
                action: "write to standard output",
                source,
            })?,
        }
        drop(out);
        if !arguments.watch {
            return Ok(());
        }
        thread::sleep(INTERVAL);
        text = match look(&run, arguments) {
            Err(Error::NotRunning { .. }) if run.again().is_some_and(|run| run.waits()) => continue,
            Err(Error::NotRunning { .. }) => return Ok(()),
            text => text?,
        };
    }
}

/// The page as text.
fn look(run: &Run, arguments: &Arguments) -> Result<String, Error> {
    let page = match stats_socket::ask(&run.folder) {
        Ok(page) => page,
        Err(why) => {
            let name = run.name.clone();
            return Err(match run.again() {
                Some(run) if run.waits() => instances::not_running(&run, run.fate()),
                Some(run) if run.lives() => Error::NoPage {
                    name,
                    why: why.to_string(),
                },
                Some(run) => instances::not_running(&run, run.fate()),
                None => instances::not_running(run, "it was removed".into()),
            });
        }
    };
    let tsc_khz = bespoke_monitor::tsc_khz();
    Ok(if !arguments.json {
        stats::stats(&page)
    } else {
        let value = stats::json(&page, tsc_khz, true, true);
        output::json(&value, !arguments.watch) + "\n"
    })
}
