//! What can be set. The numbers reach the heap as `const` generics, in this order.

use bespoke_heap::{Parameter, Unit};

/// Blocks there may be; the default is the Unikraft port's.
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

/// What it takes of the memory that is left when it starts.
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

/// All of them.
pub(crate) const ALL: &[Parameter] = &[BLOCKS, SHARE];
