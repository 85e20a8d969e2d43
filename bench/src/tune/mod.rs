//! The search for the heaps that suit an app (`bespoke tune`, `docs/guide/tune.md`).
//!
//! | file | decides |
//! |---|---|
//! | `goal` | which metrics make up the number that candidates are compared by |
//! | `constraint` | what a choice must keep to |
//! | `race` | who stays, who goes, who wins, and when that is proof enough |
//! | `evaluate` | how a candidate is measured in a round |
//! | `pilot` | what a round takes, which workloads count, whether the budget is enough |
//! | `search` | which candidates are raced, component by component |
//! | `summary`, `outcome`, `explain` | what is said of it |
//!
//! Measurements are made and kept by the measuring core; the choice is kept by [`bespoke_recipe::lock`].

mod constraint;
mod evaluate;
mod explain;
mod goal;
mod outcome;
mod pilot;
mod race;
mod search;
mod summary;

use bespoke_recipe::lock;
pub use constraint::Constraint;
pub use explain::{head, lines};
pub use goal::Goal;
pub use outcome::{Became, Beside, SearchOutcome, SearchReport};
pub use search::{Wanted, search};

/// A lock file, with the search that chose its heaps.
pub type Lock = lock::Lock<SearchOutcome>;
/// The heaps of an app, and its lock.
pub type Chosen = lock::Chosen<SearchOutcome>;
