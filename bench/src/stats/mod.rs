//! What may be said of measurements: values by metric and candidate, comparisons, ranks, and what makes them doubtful.

pub(crate) mod caveats;
pub(crate) mod columns;
pub(crate) mod compare;
pub(crate) mod rank;
