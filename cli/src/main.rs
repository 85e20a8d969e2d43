//! The `bespoke` command.

fn main() {}
