//! The `bespoke` command: builds images, runs them, and says what there is to build them from.
//!
//! One file per command under `command/`, images in the background under `instances/`, what is printed under `print/`. All
//! else is in the crates below. `run` is on the microsecond path: the time stamp counter is read first, and only its own
//! part of the command line is set up.
// A program: nothing of it is reachable from outside.
#![allow(unreachable_pub)]

// First: its macros are those of all the others.
#[macro_use]
mod print;

mod command;
mod error;
mod exit;
mod instances;

use std::process::ExitCode;

fn main() -> ExitCode {
    let started = bespoke_monitor::tsc();
    command::dispatch(started)
}
