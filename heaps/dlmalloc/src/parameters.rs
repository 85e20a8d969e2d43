//! The heap's parameters. Their values reach it as `const` generics, in this order.

use bespoke_heap::{PAGE_BYTES, Parameter, Unit};

/// Step in which memory is taken and given back.
pub(crate) const GRANULARITY: Parameter = Parameter {
    tries: &[64 << 10, 256 << 10],
    ..Parameter::new(
        "granularity",
        Unit::Bytes,
        PAGE_BYTES,
        (PAGE_BYTES, 1 << 20),
        "memory is taken and given back in multiples of this: larger asks the page source less often and wastes up to as much",
    )
};

/// The crate's own threshold, which it does not allow to change.
pub(crate) const TRIM: Parameter = Parameter {
    tries: &[128 << 10],
    ..Parameter::new(
        "trim",
        Unit::Bytes,
        2 << 20,
        (16 << 10, 2 << 20),
        "freed bytes after which the free end of the heap is given back: smaller holds less, and takes it again sooner",
    )
};

/// All parameters.
pub(crate) const ALL: &[Parameter] = &[GRANULARITY, TRIM, Parameter::RUN];
