//! The commands, one file each, and the command line above them.

mod apps;
mod bench;
mod build;
mod doctor;
mod fetch;
mod heaps;
mod report;
mod run;

use crate::error::Error;
use clap::{Parser, Subcommand};
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

/// Exit status of a command that failed.
const FAILED: u8 = 1;
/// Exit status of a wrong command line.
const USAGE: u8 = 2;
/// Exit status of `run` when Bespoke itself failed, so that it is not taken for the application's.
const RUN_FAILED: u8 = 125;

/// Single-purpose bootable images of C applications, each with the memory allocator that suits it
#[derive(Parser)]
#[command(name = "bespoke", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Arguments),
    Run(run::Arguments),
    Heaps(heaps::Arguments),
    Apps(apps::Arguments),
    Bench(bench::Arguments),
    Doctor(doctor::Arguments),
    Fetch(fetch::Arguments),
}

/// Runs the command that the process was started with; `started` is the time stamp counter at its
/// first instruction.
pub fn dispatch(started: u64) -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "run") {
        // Setting up the command line of every other command takes longer than starting a guest.
        let program = std::iter::once(OsString::from("bespoke run"));
        let arguments = run::Line::parse_from(program.chain(words.into_iter().skip(2)));
        return run::run(&arguments.arguments, started).map_or_else(|error| failed(&error, RUN_FAILED), ExitCode::from);
    }
    let result = match Arguments::parse_from(words).command {
        Command::Build(arguments) => build::run(&arguments),
        Command::Run(arguments) => run::run(&arguments, started).map(|_| ()),
        Command::Heaps(arguments) => heaps::run(&arguments),
        Command::Apps(arguments) => apps::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
    };
    result.map_or_else(|error| failed(&error, FAILED), |()| ExitCode::SUCCESS)
}

fn failed(error: &Error, status: u8) -> ExitCode {
    eprintln!("bespoke: {error}");
    ExitCode::from(if error.is_usage() { USAGE } else { status })
}

/// Prints `value` for `--json`.
fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("plain data becomes JSON"));
}
