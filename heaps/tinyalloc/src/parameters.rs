//! The heap's parameters. Their values reach it as `const` generics, in this order.

use bespoke_heap::{Parameter, Unit};

/// Largest number of blocks; the default is the Unikraft port's.
pub(crate) const BLOCKS: Parameter = Parameter {
    tries: &[512, 8192, 32_768],
    ..Parameter::new(
        "blocks",
        Unit::Count,
        2048,
        (64, 65_536),
        "blocks there may be at once, live and free: more serve more, and take 24 bytes and a step of the start each",
    )
};

/// Share of the memory that is left at start.
pub(crate) const SHARE: Parameter = Parameter {
    tries: &[10, 25, 75],
    ..Parameter::new(
        "share",
        Unit::Percent,
        50,
        (1, 90),
        "share of the memory left at the start that is taken for ever: larger serves more, and leaves less to files and other components",
    )
};

/// All parameters.
pub(crate) const ALL: &[Parameter] = &[BLOCKS, SHARE];
