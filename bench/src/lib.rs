//! Measures candidates under workloads, and says what may be concluded. `bespoke bench`, `tune` and `replay` stand on it.
//!
//! | module | decides |
//! |---|---|
//! | `metric` | which metrics there are, their units and directions, and by which kind of run each is had |
//! | `candidate` | what is measured: an image with a composition, or the native program |
//! | `session`, `runner` | where it is measured, and the one call that measures |
//! | `kinds` | how each kind of workload is measured |
//! | `testbed` | processes, network namespaces, servers and clients that these stand on |
//! | `rounds` | interleaved, shuffled rounds, resumable |
//! | `record`, `journal`, `plan` | the JSON in which a run is kept (`docs/reference/results-file.md`), also while it grows |
//! | `stats` | what may be said of it: medians, comparisons, winners, agreement of rankings, caveats |
//! | [`replies`] | how long replies take over each link, by their size |
//! | [`tune`] | the search for the heaps that suit an app |
//! | [`replay`] | a recorded trace against heaps, natively |
//!
//! To measure: a [`Session`] of the app, [`Candidate`]s of any composition, workloads of the app's recipe
//! ([`Workload::choose`](bespoke_recipe::workload::Workload::choose)). Then either [`Session::measure`], once for each
//! candidate in every round of your own, with each measurement added to a [`Journal`] ([`Plan::begin`]); or [`Rounds`],
//! which does both for a fixed set.
//!
//! To show runs: [`RunRecord::list`], [`RunRecord::read`], then [`RunRecord::columns`]; a [`Column`] has the values of
//! every candidate, its [`Summary`], and who is best by the test.
//!
//! ```
//! use bespoke_bench::Summary;
//!
//! let summary = Summary::of(&[3.0, 1.0, 2.0]).expect("there are values");
//! assert_eq!(summary.median, 2.0);
//! ```
#![warn(missing_docs)]

mod candidate;
pub mod cores;
mod error;
pub mod interrupt;
mod journal;
mod kinds;
mod machine;
mod metric;
mod notice;
mod plan;
mod progress;
mod record;
pub mod replay;
pub mod replies;
pub mod resident;
mod rounds;
mod runner;
mod session;
mod stats;
mod testbed;
pub mod tune;

pub use candidate::Candidate;
pub use error::Error;
pub use journal::Journal;
pub use machine::Machine;
pub use metric::{Metric, Pass, show};
pub use plan::{Plan, results_folder};
pub use progress::Progress;
pub use record::{Outcome, RunRecord, SCHEMA};
pub use rounds::{Point, Rounds, calibrate, take};
pub use session::Session;
pub use stats::columns::{Column, Row};
pub use stats::compare::{Comparison, EFFECT_FLOOR, SIGNIFICANCE, Summary, counted, judge};
pub use stats::rank::{RankCorrelation, spearman};

#[cfg(test)]
mod tests;
