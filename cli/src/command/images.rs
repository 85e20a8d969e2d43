//! `bespoke images`: the images that were built and stand in the cache.

use super::{print_json, ps};
use crate::error::Error;
use crate::print::table::{Align, Table};
use bespoke_builder::cache::images;
use bespoke_recipe::{paths, size};
use std::time::{Duration, SystemTime};

/// List the images in the cache
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let built = images::built(&paths::cache()?)?;
    if arguments.json {
        print_json(&built);
        return Ok(());
    }
    let mut table = Table::new(&[
        ("app", Align::Left),
        ("heaps", Align::Left),
        ("size", Align::Right),
        ("built", Align::Right),
        ("path", Align::Left),
    ]);
    let now = images::unix_s(SystemTime::now());
    for image in built {
        let age = Duration::from_secs(now.saturating_sub(image.built_unix_s));
        table.row([
            image.app,
            image.heaps,
            size::show(image.bytes),
            format!("{} ago", ps::age(age)),
            image.path.display().to_string(),
        ]);
    }
    table.print();
    Ok(())
}
