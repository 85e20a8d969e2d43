//! Replays an allocation trace natively against one heap. `bespoke replay`
//! generates programs from this crate.
//!
//! It compares heaps on the requests of a real application, without the application.
//! It contains the operations of one component, as slots (`operations`), the kinds of run
//! (`measure`, `check`) and the result, as JSON on standard output ([`Answer`]).
//! A program holds one heap only: in its own process a heap's failure affects no other
//! heap, and its C globals are fresh.
#![allow(
    clippy::print_stdout,
    reason = "the generated program says its answer there"
)]

mod check;
mod measure;
mod operations;

pub use measure::{Fragmentation, Usage};
pub use operations::{Kind, Operation, Operations, Skipped};

use bespoke_heap::{CHeap, Heap};
use bespoke_heap_testkit::{CInterface, RustInterface, Subject};
use bespoke_trace::Reader;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

/// The task, given by the program's arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The trace.
    pub file: String,
    /// Name of the component.
    pub component: String,
    /// Memory for the heap, in bytes.
    pub arena_bytes: usize,
    /// Most events of the trace to read.
    pub events: u64,
    /// The kind of run.
    pub mode: Mode,
}

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Measures time.
    Cycles,
    /// Runs the operations alone, for a simulator that counts instructions.
    Count,
    /// Measures memory.
    Memory,
    /// Checks correctness.
    Check,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Operations done.
    pub operations: u64,
    /// Operations skipped.
    pub skipped: Skipped,
    /// Why the run ended early.
    pub failure: Option<String>,
    /// Cycles of the time stamp counter that they took.
    pub cycles: u64,
    /// Memory use.
    pub usage: Option<Usage>,
}

/// The function whose instructions are counted.
pub const COUNTED_FUNCTION: &str = "bespoke_replay_counted";

/// The main function of a generated program. `A` serves C, `R` the
/// components that know their layouts.
pub fn main<A: CHeap + 'static, R: Heap + 'static>() -> ExitCode {
    match task().and_then(|task| run::<A, R>(&task)) {
        Ok(answer) => {
            println!(
                "{}",
                serde_json::to_string(&answer).expect("plain data becomes JSON")
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<Task, String> {
    let text = std::env::args().nth(1);
    let text = text.ok_or("bespoke replay starts this program with a task")?;
    serde_json::from_str(&text).map_err(|error| format!("{text} is no task: {error}"))
}

fn run<A: CHeap + 'static, R: Heap + 'static>(task: &Task) -> Result<Answer, String> {
    let about = |what: &dyn std::fmt::Display| format!("{}: {what}", task.file);
    let file = File::open(&task.file).map_err(|error| about(&error))?;
    let mut reader = Reader::open(BufReader::new(file)).map_err(|error| about(&error))?;
    let names = &reader.facts().components;
    let component = names.iter().position(|name| *name == task.component);
    let component = component.ok_or_else(|| about(&format!("it has no {}", task.component)))?;
    let most = usize::try_from(task.events).unwrap_or(usize::MAX);
    let events = reader.by_ref().take(most);
    let operations =
        Operations::of(events.filter(|event| usize::from(event.component) == component));
    // The C library is the one client that frees without a size.
    Ok(match task.component == "app" {
        true => replay::<CInterface<A>>(task, &operations),
        false => replay::<RustInterface<R>>(task, &operations),
    })
}

/// Runs `operations` against the heap of `S`.
pub fn replay<S: Subject>(task: &Task, operations: &Operations) -> Answer {
    match task.mode {
        Mode::Cycles => measure::cycles::<S>(operations, task.arena_bytes),
        Mode::Count => measure::count::<S>(operations, task.arena_bytes),
        Mode::Memory => measure::memory::<S>(operations, task.arena_bytes),
        Mode::Check => check::check::<S>(operations, task.arena_bytes),
    }
}

#[cfg(test)]
mod tests;
