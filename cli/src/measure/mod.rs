//! The measuring core: what every command that measures (`bench`, `tune`) or shows measurements
//! (`report`, `results`) stands on.
//!
//! | file | decides |
//! |---|---|
//! | `figure` | which figures there are, their units and directions, and by which kind of run each is had |
//! | `candidate` | what is measured: an image with a composition, or the native program |
//! | `record` | the JSON in which a run is kept (`docs/measurements.md`) |
//! | `journal` | how it is kept while it grows, so that nothing measured is lost |
//! | `columns` | what may be said of it: middles, comparisons, winners |
//! | `compare` | what may be called better |
//! | `machine` | what is told of the machine |
//!
//! To show runs: [`RunRecord::list`], [`RunRecord::read`], then [`RunRecord::columns`]; a column has the
//! values of every candidate, its [`Summary`], and who is best by the test.

#![allow(
    dead_code,
    unused_imports,
    reason = "the commands move onto it in the steps that follow"
)]

mod candidate;
mod columns;
mod compare;
mod figure;
mod journal;
mod machine;
mod record;

pub use candidate::{Candidate, CandidateRecord, Kind, NATIVE, Slot};
pub use columns::{Column, Row};
pub use compare::{Comparison, EFFECT_FLOOR, SIGNIFICANCE, Summary, compare, judge};
pub use figure::{Better, Figure, Pass};
pub use journal::Journal;
pub use machine::Machine;
pub use record::{Measurement, Outcome, Reading, RunRecord, SCHEMA, ValueUnit, WorkloadRecord};

#[cfg(test)]
mod tests;
