//! Description and promises; needs no C, so that host tools can list the heap.

use bespoke_heap::{Capabilities, Info};

/// What `bespoke heaps` prints.
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
    // A segment at its alignment, wherever memory starts, and 8 KiB of segment map.
    smallest_pool_bytes: 1024 * 1024 + 8 * 1024,
    eager: false,
};
