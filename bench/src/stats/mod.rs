//! What may be said of measurements: values by metric and candidate, comparisons, ranks, and what makes them doubtful.

pub mod caveats;
pub mod columns;
pub mod compare;
pub mod rank;
