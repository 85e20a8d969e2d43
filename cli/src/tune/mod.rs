//! The search for the heaps that suit an app (`bespoke tune`, `docs/guide/tune.md`).
//!
//! | file | decides |
//! |---|---|
//! | `goal` | which figures make up the number that candidates are compared by |
//! | `constraint` | what a choice must keep to |
//! | `race` | who stays, who goes, who wins, and when that is proof enough |
//! | `lane` | how a candidate is measured in a round |
//! | `pilot` | what a round takes, which workloads count, whether the budget is enough |
//! | `search` | which candidates are raced, component by component |
//! | `telling`, `account`, `explain` | what is told of it |
//!
//! Measurements are made and kept by the measuring core; the choice is kept by [`crate::lock`].

mod account;
mod constraint;
mod explain;
mod goal;
mod lane;
mod pilot;
mod race;
mod search;
mod telling;

pub use account::{Account, Told};
pub use constraint::Constraint;
pub use explain::{head, lines, table};
pub use goal::Goal;
pub use search::{Wanted, search};
