//! The C part brings its own everything: nothing of the system is behind it.

use std::process::Command;

/// What the C part may ask of others: our callbacks, and memory routines and helpers of the
/// compiler that every image has.
const ALLOWED: [&str; 7] = [
    "mallocng_corrupt",
    "mallocng_map",
    "mallocng_remap",
    "mallocng_secret",
    "mallocng_unmap",
    "memcpy",
    "memset",
];

#[test]
fn the_c_part_asks_for_callbacks_and_memory_routines_only() {
    let library = concat!(env!("OUT_DIR"), "/libbespoke_mallocng.a");
    let output = Command::new("nm")
        .args(["-u", library])
        .output()
        .expect("nm runs");
    assert!(
        output.status.success(),
        "nm {library}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listing = String::from_utf8_lossy(&output.stdout);
    let undefined: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("U "))
        .collect();
    assert!(
        undefined.contains(&"mallocng_map"),
        "nm shows no undefined symbols: {listing}"
    );
    let foreign: Vec<&&str> = undefined
        .iter()
        .filter(|name| !ALLOWED.contains(name))
        .collect();
    assert!(foreign.is_empty(), "the C part also asks for {foreign:?}");
}

#[test]
fn the_c_part_defines_no_name_of_the_c_library() {
    let library = concat!(env!("OUT_DIR"), "/libbespoke_mallocng.a");
    let output = Command::new("nm")
        .args(["--defined-only", "-g", library])
        .output()
        .expect("nm runs");
    let listing = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    assert!(!names.is_empty(), "nm shows no defined symbols: {listing}");
    let foreign: Vec<&&str> = names
        .iter()
        .filter(|name| !name.starts_with("mallocng_"))
        .collect();
    assert!(foreign.is_empty(), "the C part defines {foreign:?}");
}
