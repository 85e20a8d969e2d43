//! The heap's parameters. Their values reach it as `const` generics, in this order.

use bespoke_heap::{Parameter, Unit};

/// Bins for each power of two. The crate fixes the total number of bins, so a larger value
/// covers a smaller range of sizes.
pub(crate) const DIVISIONS: Parameter = Parameter {
    power_of_two: true,
    tries: &[2, 4, 16],
    ..Parameter::new(
        "divisions",
        Unit::Count,
        8,
        (2, 16),
        "bins to each power of two: more fit blocks closer, fewer reach larger sizes (16: 256 KiB; 8: 128 MiB) before the last bin is searched chunk by chunk",
    )
};

/// Free bytes at a run's end at which they are given back.
pub(crate) const TRIM: Parameter = Parameter {
    tries: &[64 << 10, 4 << 20],
    ..Parameter::new(
        "trim",
        Unit::Bytes,
        256 << 10,
        (16 << 10, 4 << 20),
        "free bytes at the end of the heap that make it give back three quarters of them: smaller holds less, and takes it again sooner",
    )
};

/// All parameters.
pub(crate) const ALL: &[Parameter] = &[DIVISIONS, TRIM, Parameter::RUN];
