//! Memory of the host that a run takes: its process and those below it. Owns nothing; reads what Linux tells.

use std::fs;

/// Bytes that the process `pid` and its children hold, shared pages by their share. Processes that may not be
/// looked at count nothing; `None` when that is all of them.
pub fn bytes(pid: i32) -> Option<u64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    let below = children.filter_map(bytes).sum();
    match own(pid) {
        Some(own) => Some(own + below),
        None => (below > 0).then_some(below),
    }
}

fn own(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
