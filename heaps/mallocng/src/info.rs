//! Description and capabilities. It needs no C, so that host tools can list the heap.

use bespoke_heap::{Capabilities, Info};

/// The heap's description.
#[allow(unreachable_pub, reason = "the build script includes this file")]
pub const INFO: Info = Info {
    name: "mallocng",
    summary: "musl's own: metadata out of band, finds double frees; small, not fast",
    origin: "musl 1.2.3 (Rich Felker), src/malloc/mallocng",
    capabilities: Capabilities {
        frees: true,
        bounded_time: false,
        // Only blocks of 128 KiB and more grow in place.
        reallocates_in_place: false,
        gives_back: true,
        hardened: true,
        frees_without_size: true,
        shared_instance: true,
    },
    // Two pages of metadata (one is the guard) and one for the first group.
    smallest_pool_bytes: 3 * 4096,
    eager: false,
    // musl fixes its size classes and when they grow.
    parameters: &[],
};
