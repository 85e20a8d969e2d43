//! The measuring core: what every command that measures (`bench`) or shows measurements (`report`) stands on.
//!
//! | file | decides |
//! |---|---|
//! | `figure` | which figures there are, their units and directions, and by which kind of run each is had |
//! | `candidate` | what is measured: an image with a composition, or the native program |
//! | `workload` | what is done with it, as recipes declare it |
//! | `session` | where it is measured, and the one call that measures |
//! | `run_to_end`, `serving`, `shell` | how each kind of workload is measured |
//! | `process`, `server`, `service`, `clients`, `lab`, `folder`, `smallest`, `counted`, `image_report` | what these stand on |
//! | `replies` | how long replies take over each link, by their size |
//! | `rounds` | interleaved, shuffled rounds, resumable |
//! | `record`, `journal` | the JSON in which a run is kept (`docs/reference/results-file.md`), also while it grows |
//! | `columns`, `compare`, `rank` | what may be said of it: middles, comparisons, winners, agreement of rankings |
//! | `doubts`, `machine` | what a reader has to know beside the figures |
//! | `print`, `progress` | how people see it |
//!
//! To measure: a [`Session`] of the app, [`Candidate`]s of any composition, workloads from `session.app.workloads`
//! ([`Workload::choose`]). Then either [`Session::measure`], once for each candidate in every round of your own, with each
//! measurement added to a [`journal::Journal`] ([`Plan::begin`]); or [`Rounds`], which does both for a fixed set.
//!
//! To show runs: [`RunRecord::list`], [`RunRecord::read`], then [`RunRecord::columns`]; a column has the
//! values of every candidate, its [`compare::Summary`], and who is best by the test.

mod candidate;
mod clients;
mod columns;
mod compare;
mod counted;
mod doubts;
mod figure;
mod folder;
mod image_report;
pub mod interrupt;
mod journal;
mod lab;
mod machine;
mod plan;
mod print;
mod process;
mod progress;
mod rank;
mod record;
pub mod replies;
mod rounds;
mod run_to_end;
mod server;
mod service;
mod serving;
mod session;
mod shell;
mod smallest;
mod workload;

pub use candidate::Candidate;
pub use columns::{Column, Row};
pub use compare::{Comparison, EFFECT_FLOOR, SIGNIFICANCE, Summary, counted, judge};
pub use figure::{Better, Figure, Pass};
pub use journal::Journal;
pub use machine::Machine;
pub use plan::{Plan, results_folder};
pub use print::{detail, print, value};
pub use progress::Progress;
pub use rank::{RankCorrelation, spearman};
#[cfg(test)]
pub use record::SCHEMA;
pub use record::{Outcome, RunRecord, ValueUnit};
pub use rounds::{Point, Rounds, calibrate, take};
pub use service::Serve;
pub use session::Session;
pub use workload::{Kind as Doing, Workload};

#[cfg(test)]
mod tests;
