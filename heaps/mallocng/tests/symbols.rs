//! The C part brings its own everything: nothing of the system is behind it.

use bespoke_heap_testkit::archive::{asks_only_for, defines_only};

const LIBRARY: &str = concat!(env!("OUT_DIR"), "/libbespoke_mallocng.a");

#[test]
fn the_c_part_asks_for_callbacks_and_memory_routines_only() {
    let callbacks = [
        "mallocng_corrupt",
        "mallocng_remap",
        "mallocng_secret",
        "mallocng_unmap",
    ];
    let allowed = [&callbacks[..], &["memcpy", "memset"]].concat();
    asks_only_for(LIBRARY, "mallocng_map", &allowed);
}

#[test]
fn the_c_part_defines_no_name_of_the_c_library() {
    defines_only(LIBRARY, &["mallocng_"]);
}
