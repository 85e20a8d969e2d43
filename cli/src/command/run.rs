//! `bespoke run`: starts an image and ends as the application ends.
//!
//! The path from `run IMAGE` to the monitor reads no file but the image; `run APP` first asks whether the
//! image in the cache is still that of its inputs.

use super::report;
use crate::build::Builder;
use crate::composition::{Composition, HeapArgument};
use crate::error::Error;
use crate::size;
use bespoke_monitor::{
    Archive, Exit, ExportFile, ExportState, ImportFile, Monitor, Outcome, RunConfig,
};
use clap::ValueEnum;
use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Memory of an image that is run by its path, in bytes; a recipe says it for an app.
const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;

/// Run an app, built if need be, or an image
#[derive(clap::Args)]
pub struct Arguments {
    /// An app, see `bespoke apps`, or the path of an image (with a slash, or of an existing file)
    target: OsString,
    /// Memory of the whole image in bytes; K, M and G stand for KiB, MiB and GiB [default: the app's, else 256M]
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,
    /// What runs the image [default: kvm where it works, else process]
    #[arg(long, value_name = "MONITOR")]
    monitor: Option<MonitorArgument>,
    /// The heap of malloc, or of one component (app, libos, stack, boot); see `bespoke heaps`
    #[arg(long = "heap", value_name = "[COMPONENT=]NAME")]
    heaps: Vec<HeapArgument>,
    /// Put a host file into the image's file system
    #[arg(long = "file", value_name = "HOST=GUEST", value_parser = import)]
    files: Vec<ImportFile>,
    /// Write a file of the image's file system to the host when the image ends
    #[arg(long = "out", value_name = "GUEST=HOST", value_parser = export)]
    outputs: Vec<ExportFile>,
    /// Set an environment variable of the application
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// Print the boot time line to standard error when the image has ended
    #[arg(long)]
    boot_time: bool,
    /// Print what the heaps and the page source did to standard error when the image has ended
    #[arg(long)]
    stats: bool,
    /// With --boot-time or --stats: print JSON
    #[arg(long)]
    json: bool,
    /// Name each system call of the application on standard error
    #[arg(long)]
    trace_calls: bool,
    /// Arguments of the application [default: the app's]
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// The command line of `bespoke run` on its own.
#[derive(clap::Parser)]
#[command(
    name = "bespoke run",
    bin_name = "bespoke run",
    about = "Run an app, built if need be, or an image"
)]
pub struct Line {
    #[command(flatten)]
    pub arguments: Arguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum MonitorArgument {
    /// A virtual machine on /dev/kvm
    Kvm,
    /// A Linux process under seccomp
    Process,
}

impl From<MonitorArgument> for Monitor {
    fn from(argument: MonitorArgument) -> Self {
        match argument {
            MonitorArgument::Kvm => Self::Kvm,
            MonitorArgument::Process => Self::Process,
        }
    }
}

fn halves<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left, right)),
        _ => Err(format!("write it as {form}")),
    }
}

fn import(text: &str) -> Result<ImportFile, String> {
    let (host, guest) = halves(text, "HOST=GUEST, such as ./data.db=/data.db")?;
    Ok(ImportFile {
        host: host.into(),
        guest: guest.into(),
    })
}

fn export(text: &str) -> Result<ExportFile, String> {
    let (guest, host) = halves(text, "GUEST=HOST, such as /data.db=./data.db")?;
    Ok(ExportFile {
        guest: guest.into(),
        host: host.into(),
    })
}

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.into()),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// What is to be run, wherever it came from.
struct Target {
    image: PathBuf,
    memory_bytes: u64,
    name: OsString,
    arguments: Vec<OsString>,
}

/// See [`Arguments`]; returns the exit status.
pub fn run(arguments: &Arguments, started: u64) -> Result<u8, Error> {
    let target = target(arguments)?;
    let outcome = match arguments.monitor {
        Some(monitor) => bespoke_monitor::run(config(arguments, &target, monitor.into(), started))?,
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
    let chosen = if arguments.arguments.is_empty() {
        app.run.arguments.iter().map(OsString::from).collect()
    } else {
        arguments.arguments.clone()
    };
    Ok(Target {
        image: builder.provide(&app, &composition)?,
        memory_bytes: arguments.memory.unwrap_or(app.run.memory.0),
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
        memory_bytes: arguments.memory.unwrap_or(DEFAULT_MEMORY_BYTES),
        name: path.file_name().unwrap_or(path.as_os_str()).to_os_string(),
        arguments: arguments.arguments.clone(),
    })
}

/// Reports what is to be reported; the exit status is the application's unless a file it should
/// have left could not be taken out.
fn finish(arguments: &Arguments, outcome: &Outcome) -> Result<u8, Error> {
    if let Exit::Crash(report) = &outcome.exit {
        eprint!("{report}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(std::iter::once("bespoke run").chain(words.iter().copied()))
            .map(|line| line.arguments)
    }

    #[test]
    fn everything_after_the_dashes_is_the_applications() {
        let arguments = parse(&["sqlite", "-m", "64M", "--", ":memory:", "-m", "--stats"]).unwrap();
        assert_eq!(arguments.memory, Some(64 << 20));
        assert!(!arguments.stats);
        assert_eq!(arguments.arguments, [":memory:", "-m", "--stats"]);
    }

    #[test]
    fn refuses_what_is_half_written() {
        for words in [
            &["hello", "-m", "0"][..],
            &["hello", "-m", "lots"],
            &["hello", "--file", "only-host"],
            &["hello", "--file", "=/x"],
            &["hello", "--out", "/x="],
            &["hello", "--env", "=1"],
            &["hello", "--monitor", "qemu"],
            &[],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
