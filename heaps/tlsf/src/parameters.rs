//! The heap's parameters. Their values reach it as `const` generics, in this order.

use bespoke_heap::{Parameter, Unit};

/// Powers of two, from 32 bytes on. All 59 cover every size, which allows
/// the crate to merge adjacent pools.
pub(crate) const FL: Parameter = Parameter {
    tries: &[24],
    ..Parameter::new(
        "fl",
        Unit::Count,
        59,
        (23, 59),
        "powers of two with lists, for blocks up to 2^(5+fl) bytes: fewer take less memory at the start, but below 59 memory taken later is never joined with what is there",
    )
};

/// Lists for each power of two.
pub(crate) const SL: Parameter = Parameter {
    power_of_two: true,
    tries: &[4, 8, 32, 64],
    ..Parameter::new(
        "sl",
        Unit::Count,
        16,
        (2, 64),
        "lists to each power of two: more fit blocks closer (a request is rounded up to 1/sl of its size when searched for), fewer take less memory at the start",
    )
};

/// All parameters.
pub(crate) const ALL: &[Parameter] = &[FL, SL, Parameter::RUN];
