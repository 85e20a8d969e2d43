//! A word to the user on standard error while something is measured.

use bespoke_monitor::printable;
use std::io::{Write, stderr};

/// Says `text`; one that nobody takes, such as a log on a full disk, changes nothing.
pub(crate) fn say(text: &str) {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    let _ = writeln!(stderr(), "bespoke: {}", lines.join("\n"));
}
