//! The commands, one file each, and the command line above them.

mod apps;
mod bench;
mod build;
mod doctor;
mod env_file;
mod fetch;
mod heaps;
mod images;
mod inspect;
mod logs;
mod outputs;
mod prune;
mod ps;
mod replay;
mod report;
mod rm;
mod run;
mod run_line;
mod stats;
mod stop;
mod trace;
mod tune;

use crate::error::Error;
use crate::exit::{FAILED, INTERRUPTED, NOTHING_BETTER, RUN_FAILED, USAGE};
use crate::print::output;
use bespoke_bench::Session;
use bespoke_bench::tune::{Chosen, SearchOutcome};
use bespoke_builder::Builder;
use bespoke_monitor::{Monitor, probe_kvm};
use bespoke_recipe::app::App;
use bespoke_recipe::composition::{Composition, HeapArgument};
use bespoke_recipe::lock;
use bespoke_report::{FileReader, damage_of_trace};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

/// Build and run unikernel images of C applications, with the memory allocators that you choose
#[derive(Parser)]
#[command(name = "bespoke", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Arguments),
    /// Run an app (its image is built if needed) or an image file
    #[command(disable_help_flag = true)]
    Run,
    Ps(ps::Arguments),
    Logs(logs::Arguments),
    Stats(stats::Arguments),
    Stop(stop::Arguments),
    Rm(rm::Arguments),
    Trace(trace::Arguments),
    Replay(replay::Arguments),
    Heaps(heaps::Arguments),
    Apps(apps::Arguments),
    Images(images::Arguments),
    Inspect(inspect::Arguments),
    Prune(prune::Arguments),
    Bench(bench::Arguments),
    Tune(tune::Arguments),
    Report(report::Arguments),
    Doctor(doctor::Arguments),
    Fetch(fetch::Arguments),
}

/// `error` with advice that fits: clap's is to give an unknown option as a value, and no value of ours begins like one.
fn advised(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let command = words.get(1).and_then(|word| word.to_str());
    let is_memory = matches!(error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(option)) if option == "-m" || option == "--memory");
    let advice = match (error.kind(), command) {
        (ErrorKind::UnknownArgument, Some("bench" | "tune")) if is_memory => Some(
            "each workload is measured with the memory that `memory` in the app's recipe gives it",
        ),
        (ErrorKind::UnknownArgument, _) => None,
        (ErrorKind::InvalidSubcommand, Some("results")) => Some(
            "the published evaluation is a program of its own: run `make results` in Bespoke's sources",
        ),
        _ => return error,
    };
    error.remove(ContextKind::Suggested);
    if let Some(advice) = advice {
        let advice = ContextValue::StyledStrs(vec![advice.into()]);
        error.insert(ContextKind::Suggested, advice);
    }
    error
}

/// Runs the command that the process was started with; `started` is the time stamp counter at its
/// first instruction.
pub(crate) fn dispatch(started: u64) -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "run") {
        return run(words, started);
    }
    if words.get(1).is_some_and(|word| word == "trace")
        && words.get(2).is_none_or(|word| word != "show")
    {
        return record(words, started);
    }
    let arguments = Arguments::try_parse_from(&words);
    let arguments = arguments.unwrap_or_else(|error| advised(error, &words).exit());
    let result = match arguments.command {
        Command::Build(arguments) => build::run(&arguments),
        Command::Run => unreachable!("there is no option before a command"),
        Command::Ps(arguments) => ps::run(&arguments),
        Command::Logs(arguments) => logs::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Stop(arguments) => stop::run(&arguments),
        Command::Rm(arguments) => rm::run(&arguments),
        Command::Trace(arguments) => trace::show(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Heaps(arguments) => heaps::run(&arguments),
        Command::Apps(arguments) => apps::run(&arguments),
        Command::Images(arguments) => images::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Prune(arguments) => prune::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
    };
    let result = result.and_then(|()| output::finish());
    result.map_or_else(|error| failed(&error, FAILED), |()| ExitCode::SUCCESS)
}

fn run(mut words: Vec<OsString>, started: u64) -> ExitCode {
    let status = match run_line::parse(words.split_off(2)) {
        Ok(Some(line)) => run::run(&line, started),
        Ok(None) => {
            print!("{}", run_line::HELP);
            Ok(0)
        }
        Err(error) => Err(error),
    };
    ended(status)
}

fn record(mut words: Vec<OsString>, started: u64) -> ExitCode {
    let status = match run_line::parse_trace(words.split_off(2)) {
        Ok(Some((line, trace))) => trace::record(&line, &trace, started),
        Ok(None) => {
            print!("{}", run_line::TRACE_HELP);
            Ok(0)
        }
        Err(error) => Err(error),
    };
    ended(status)
}

/// The exit status of a run, or of what stands in its place.
fn ended(status: Result<u8, Error>) -> ExitCode {
    let status = status.and_then(|status| output::finish().map(|()| status));
    status.map_or_else(|error| failed(&error, RUN_FAILED), ExitCode::from)
}

fn failed(error: &Error, status: u8) -> ExitCode {
    complain(error);
    ExitCode::from(match error {
        Error::Bench(bespoke_bench::Error::Interrupted(_)) => INTERRUPTED,
        Error::NothingBetter(_) => NOTHING_BETTER,
        error if error.is_usage() => USAGE,
        _ => status,
    })
}

/// Says something on standard error.
fn complain(about: impl Display) {
    eprintln!("bespoke: {about}");
}

/// The monitor to measure on: the one named, else kvm where it works.
fn monitor(named: Option<Monitor>) -> Monitor {
    named.unwrap_or_else(|| match probe_kvm() {
        Ok(_) => Monitor::Kvm,
        Err(error) => {
            complain(format_args!("{error}; using the process monitor"));
            Monitor::Process
        }
    })
}

/// Reads the monitor to measure on from the command line.
fn measuring() -> impl TypedValueParser<Value = Monitor> {
    let all = [Monitor::Kvm, Monitor::Process];
    PossibleValuesParser::new(all.map(Monitor::name)).map(move |name| {
        let mut all = all.into_iter();
        all.find(|monitor| monitor.name() == name)
            .expect("clap lets only these names through")
    })
}

/// Where `app` is measured.
fn session(app: &str, named: Option<Monitor>) -> Result<Session, Error> {
    let own = env::current_exe().map_err(Error::file("find", "bespoke"))?;
    Ok(Session::new(builder()?, own, app, monitor(named))?)
}

/// A builder that names its slow steps on standard error.
fn builder() -> Result<Builder, Error> {
    Ok(Builder::new(|step| complain(step))?)
}

/// As [`builder`]; silent where standard error is to carry JSON.
fn builder_beside(json: bool) -> Result<Builder, Error> {
    match json {
        false => builder(),
        true => Ok(Builder::new(|_| {})?),
    }
}

/// The heaps of an app, by its recipe, its lock and the command line; says what is wrong with the lock.
fn heaps_of(app: &App, arguments: &[HeapArgument]) -> Result<Chosen, Error> {
    let chosen = lock::choose(app, arguments)?;
    if let Some(warning) = &chosen.warning {
        complain(warning);
    }
    Ok(chosen)
}

/// The same heaps, without a word about the lock.
fn composition_of(app: &App, arguments: &[HeapArgument]) -> Result<Composition, Error> {
    Ok(lock::choose::<SearchOutcome>(app, arguments)?.composition)
}

/// Says what is wrong with a trace that was read to its end, if anything is.
fn warn_of_damage(path: &Path, reader: &FileReader) {
    if let Some(damage) = damage_of_trace(path, reader) {
        complain(damage);
    }
}

/// Prints `value` for `--json`.
fn print_json(value: &impl serde::Serialize) {
    println!("{}", output::json(value, true));
}
