//! Description and capabilities. It needs no C, so that host tools can list the heap.

use bespoke_heap::{Capabilities, Info, Parameter, Unit};

/// Size of one request to the page source.
pub(crate) const SEGMENT: Parameter = Parameter {
    tries: &[256 << 10, 1 << 20, 4 << 20],
    defined_in_c: true,
    ..Parameter::new(
        "segment",
        Unit::Bytes,
        512 << 10,
        (256 << 10, 4 << 20),
        "memory taken from the page source at once: larger asks less often and serves larger blocks from shared segments, smaller needs and holds less",
    )
};

/// Memory kept for segments when they are given up.
pub(crate) const RESERVE: Parameter = Parameter {
    least: 1 << 20,
    tries: &[8 << 20],
    word: Some(("none", 0)),
    ..Parameter::new(
        "reserve",
        Unit::Bytes,
        0,
        (0, 256 << 20),
        "size of an arena: segments are taken from it and return to it, never to the page source, which is asked once; none: segments come and go one by one",
    )
};

/// A word instead of a number switches it off.
pub(crate) const PURGE_DELAY: Parameter = Parameter {
    most: 60_000,
    tries: &[0, 100],
    word: Some(("never", NEVER)),
    ..Parameter::new(
        "purge_delay",
        Unit::Milliseconds,
        NEVER,
        (0, NEVER),
        "time (to a factor of two) after which unused pages of a segment go back to the host: smaller keeps less of the host's memory, and pays a call and a fault each time",
    )
};

/// Never purge.
pub(crate) const NEVER: usize = i32::MAX as usize;

/// The heap's description.
#[allow(unreachable_pub, reason = "the build script includes this file")]
pub const INFO: Info = Info {
    name: "mimalloc",
    summary: "fastest in general; takes memory 512 KiB at a time, largest code",
    origin: "mimalloc 2.3.2 (Leijen, Zorn, de Moura, APLAS 2019), from crate libmimalloc-sys",
    capabilities: Capabilities {
        frees: true,
        bounded_time: false,
        reallocates_in_place: false,
        gives_back: true,
        hardened: false,
        frees_without_size: true,
        shared_instance: true,
    },
    smallest_pool_bytes: smallest_pool_bytes(SEGMENT.default),
    eager: false,
    parameters: &[SEGMENT, RESERVE, PURGE_DELAY],
};

/// A segment at its alignment, wherever memory starts, and 8 KiB of segment map.
pub(crate) const fn smallest_pool_bytes(segment_bytes: usize) -> usize {
    2 * segment_bytes + 8 * 1024
}
