//! Checks which symbols a heap's C archive needs and defines.
//!
//! A C allocator must be self-contained: it has no system to call, and it must
//! not define names of the C library.

use std::process::Command;

/// Names of `archive` that `nm` lists with `options`, by the column they stand in.
fn names(archive: &str, options: &[&str], column: usize) -> Vec<String> {
    let output = Command::new("nm")
        .args(options)
        .arg(archive)
        .output()
        .expect("nm runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nm {archive}: {complaint}");
    let listing = String::from_utf8_lossy(&output.stdout);
    let name = |line: &str| line.split_whitespace().nth(column).map(str::to_owned);
    listing.lines().filter_map(name).collect()
}

/// # Panics
///
/// When `archive` needs a name that is not in `allowed`, or does not need `callback`.
pub fn asks_only_for(archive: &str, callback: &str, allowed: &[&str]) {
    let asked = names(archive, &["-u"], 1);
    assert!(asked.iter().any(|name| name == callback), "{asked:?}");
    let foreign = |name: &&String| *name != callback && !allowed.contains(&name.as_str());
    let foreign: Vec<_> = asked.iter().filter(foreign).collect();
    assert!(foreign.is_empty(), "{archive} also asks for {foreign:?}");
}

/// # Panics
///
/// When `archive` defines a global name without one of `prefixes`, or no global name at all.
pub fn defines_only(archive: &str, prefixes: &[&str]) {
    let defined = names(archive, &["-g", "--defined-only"], 2);
    assert!(!defined.is_empty(), "{archive} defines nothing");
    let foreign = |name: &&String| !prefixes.iter().any(|prefix| name.starts_with(prefix));
    let foreign: Vec<_> = defined.iter().filter(foreign).collect();
    assert!(foreign.is_empty(), "{archive} defines {foreign:?}");
}
