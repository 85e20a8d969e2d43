//! The C part brings its own everything: nothing of the system is behind it.

use bespoke_heap_testkit::archive::{asks_only_for, defines_only};

const LIBRARY: &str = concat!(env!("OUT_DIR"), "/libbespoke_mimalloc.a");

#[test]
fn the_c_part_asks_for_callbacks_and_memory_routines_only() {
    // Helpers of the compiler are in every image.
    let helpers = ["_GLOBAL_OFFSET_TABLE_", "__popcountdi2", "memcpy", "memset"];
    let allowed = [
        &helpers[..],
        &["mimalloc_corrupt", "mimalloc_discard", "mimalloc_unmap"],
    ]
    .concat();
    asks_only_for(LIBRARY, "mimalloc_map", &allowed);
}

#[test]
fn the_c_part_defines_no_name_of_the_c_library() {
    defines_only(LIBRARY, &["mi_", "_mi_", "mimalloc_"]);
}
