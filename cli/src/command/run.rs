//! `bespoke run`: starts an image and ends as the application ends.
//!
//! The path from `run IMAGE` to the monitor reads no file but the image; `run APP` first asks whether the
//! image in the cache is still that of its inputs.

use super::report;
use super::run_line::Arguments;
use crate::build::Builder;
use crate::composition::Composition;
use crate::error::Error;
use bespoke_monitor::{Archive, Exit, ExportState, Monitor, Outcome, RunConfig};
use std::env;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Memory of an image that is run by its path, in bytes; a recipe says it for an app.
const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;

/// What is to be run, wherever it came from.
struct Target {
    image: PathBuf,
    /// Named by its app, not by its file.
    is_app: bool,
    memory_bytes: u64,
    name: OsString,
    arguments: Vec<OsString>,
}

/// Runs what the line names; returns the exit status.
pub fn run(arguments: &Arguments, started: u64) -> Result<u8, Error> {
    let target = target(arguments)?;
    // Looking after an app's image, perhaps building it, is not the start of the monitor.
    let started = if target.is_app {
        bespoke_monitor::tsc()
    } else {
        started
    };
    let outcome = match arguments.monitor {
        Some(monitor) => bespoke_monitor::run(config(arguments, &target, monitor, started))?,
        None => match bespoke_monitor::run(config(arguments, &target, Monitor::Kvm, started)) {
            Err(error) if error.is_kvm_unavailable() => {
                eprintln!("bespoke: {error}; using the process monitor");
                bespoke_monitor::run(config(arguments, &target, Monitor::Process, started))?
            }
            other => other?,
        },
    };
    finish(arguments, &outcome)
}

fn config(arguments: &Arguments, target: &Target, monitor: Monitor, started: u64) -> RunConfig {
    let mut config = RunConfig::new(target.image.clone(), monitor);
    config.memory_bytes = target.memory_bytes;
    config.arguments = std::iter::once(&target.name)
        .chain(&target.arguments)
        .cloned()
        .collect();
    config.environment = environment(&arguments.env);
    if !arguments.files.is_empty() {
        config.archive = Archive::Files(arguments.files.clone());
    }
    config.exports = arguments.outputs.clone();
    config.net = arguments.net.clone();
    config.trace_calls = arguments.trace_calls;
    config.monitor_start_tsc = started;
    config
}

/// The application's environment: little, so that a run does not depend on the host's.
fn environment(given: &[String]) -> Vec<OsString> {
    let mut variables = vec![OsString::from("HOME=/")];
    if let Some(terminal) = env::var_os("TERM") {
        let mut variable = OsString::from("TERM=");
        variable.push(terminal);
        variables.push(variable);
    }
    variables.extend(given.iter().map(OsString::from));
    variables
}

fn target(arguments: &Arguments) -> Result<Target, Error> {
    let path = Path::new(&arguments.target);
    let has_slash = arguments.target.as_encoded_bytes().contains(&b'/');
    if has_slash {
        return image(arguments, path);
    }
    let builder = Builder::new(std::io::stderr().is_terminal())?;
    let app = match builder.app(&arguments.target.to_string_lossy()) {
        Err(Error::Unknown { .. }) if path.exists() => return image(arguments, path),
        app => app?,
    };
    let composition = Composition::choose(&app.run.heaps, &arguments.heaps)?;
    let memory_bytes = arguments.memory.unwrap_or(app.run.memory.0);
    let chosen = if arguments.arguments.is_empty() {
        app.run.arguments(memory_bytes)
    } else {
        arguments.arguments.clone()
    };
    Ok(Target {
        image: builder.provide(&app, &composition)?,
        is_app: true,
        memory_bytes,
        name: arguments.target.clone(),
        arguments: chosen,
    })
}

fn image(arguments: &Arguments, path: &Path) -> Result<Target, Error> {
    if !arguments.heaps.is_empty() {
        let reason = "--heap chooses for an app; the heaps of a built image are fixed: build it again with `bespoke build`";
        return Err(Error::Usage(reason.into()));
    }
    Ok(Target {
        image: path.to_path_buf(),
        is_app: false,
        memory_bytes: arguments.memory.unwrap_or(DEFAULT_MEMORY_BYTES),
        name: path.file_name().unwrap_or(path.as_os_str()).to_os_string(),
        arguments: arguments.arguments.clone(),
    })
}

/// Reports what is to be reported; the exit status is the application's unless a file it should
/// have left could not be taken out.
fn finish(arguments: &Arguments, outcome: &Outcome) -> Result<u8, Error> {
    if let Exit::Crash(report) = &outcome.exit {
        // Standard error may be a closed pipe; the status still tells.
        let _ = write!(std::io::stderr(), "{report}");
    }
    let mut lost = false;
    for export in &outcome.exports {
        let (guest, host) = (&export.guest, export.host.display());
        let why = match &export.state {
            ExportState::Written { .. } => continue,
            ExportState::NotWritten => "the image has no such file".to_string(),
            ExportState::Unfinished => "the image ended in the middle of it".to_string(),
            ExportState::Failed(error) => error.to_string(),
        };
        eprintln!("bespoke: {guest} was not taken out: {why}; {host} is as it was");
        lost = true;
    }
    if arguments.boot_time || arguments.stats {
        report::print(
            outcome,
            arguments.boot_time,
            arguments.stats,
            arguments.json,
        );
    }
    let status = outcome.status();
    Ok(if lost && status == 0 {
        super::RUN_FAILED
    } else {
        status
    })
}
