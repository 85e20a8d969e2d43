//! `bespoke prune`: removes from the cache what was not used for long, or what is too much.

use super::print_json;
use crate::error::Error;
use crate::instances;
use crate::print::table::{Align, Table};
use bespoke_builder::cache::prune::{self, Limits};
use bespoke_builder::cache::{Item, Kind};
use bespoke_recipe::{paths, size};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Remove old items from the cache, and limit its size
///
/// Keeps downloads, running images, and everything that a build is using. Removed items are built
/// again when they are needed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Remove items that were not used for this long, such as 30d, 12h or 10m
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time)]
    older_than: Duration,
    /// Then remove the longest unused items until at most this much is left
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = size::parse, conflicts_with = "all")]
    max_size: u64,
    /// Remove everything that is not in use
    #[arg(long)]
    all: bool,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// A number with s, m, h or d.
fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    found
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a number with s, m, h or d, such as 30d".into())
}

/// The images of the runs that live.
fn images() -> impl Iterator<Item = PathBuf> {
    let runs = instances::all().unwrap_or_default();
    let runs = runs.into_iter().filter(|run| run.lives());
    runs.filter_map(|run| run.state.ok())
        .map(|state| state.image)
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let limits = Limits {
        age: arguments.older_than,
        bytes: if arguments.all { 0 } else { arguments.max_size },
    };
    let root = paths::cache()?;
    let pruned = prune::prune(&root, &limits, arguments.dry_run, images())?;
    let freed = pruned.gone.iter().map(|item| item.bytes).sum::<u64>();
    if arguments.json {
        print_json(&json!({
            "cache": root,
            "dry_run": arguments.dry_run,
            "freed_bytes": freed,
            "kept_bytes": pruned.kept_bytes,
            "removed": pruned.gone,
            "in_use": pruned.busy,
        }));
        return Ok(());
    }
    let mut kinds: BTreeMap<Kind, Vec<&Item>> = BTreeMap::new();
    for item in &pruned.gone {
        kinds.entry(item.kind).or_default().push(item);
    }
    let mut table = Table::new(&[
        ("what", Align::Left),
        ("items", Align::Right),
        ("bytes", Align::Right),
    ]);
    for (kind, items) in &kinds {
        table.row([
            words(*kind).into(),
            items.len().to_string(),
            size::show(items.iter().map(|item| item.bytes).sum()),
        ]);
    }
    if !kinds.is_empty() {
        table.print();
    }
    let verb = if arguments.dry_run {
        "would free"
    } else {
        "freed"
    };
    println!(
        "{verb} {} ({freed} bytes); {} are left in {}, not counting downloads",
        size::show(freed),
        size::show(pruned.kept_bytes),
        root.display()
    );
    if !pruned.busy.is_empty() {
        let names: Vec<&str> = pruned
            .busy
            .iter()
            .map(|item| item.name.as_str())
            .take(5)
            .collect();
        println!(
            "kept because in use: {}, such as {}",
            pruned.busy.len(),
            names.join(", ")
        );
    }
    Ok(())
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "images",
        Kind::Tree => "source trees",
        Kind::Object => "objects",
        Kind::Libc => "C libraries",
        Kind::Composition => "compositions",
        Kind::Native => "native programs",
        Kind::Log => "logs",
        Kind::Target => "cargo's targets",
    }
}

#[cfg(test)]
mod tests {
    use super::time;
    use std::time::Duration;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        for wrong in ["30", "d", "-1h", "1w", "99999999999999999999d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
