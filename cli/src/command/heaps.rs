//! `bespoke heaps`: the allocators there are and what each promises.

use super::print_json;
use crate::error::Error;
use crate::heaps::HEAPS;
use crate::size;
use crate::table::{Align, Table, mark};
use serde_json::json;

/// List the heaps and what each promises
#[derive(clap::Args)]
pub struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    if arguments.json {
        let heaps = HEAPS.iter().map(|entry| {
            let (info, promises) = (&entry.info, &entry.info.capabilities);
            json!({
                "name": info.name,
                "summary": info.summary,
                "origin": info.origin,
                "smallest_pool_bytes": info.smallest_pool_bytes,
                "eager": info.eager,
                "frees": promises.frees,
                "bounded_time": promises.bounded_time,
                "reallocates_in_place": promises.reallocates_in_place,
                "gives_back": promises.gives_back,
                "hardened": promises.hardened,
                "frees_without_size": promises.frees_without_size,
                "shared_instance": promises.shared_instance,
            })
        });
        print_json(&heaps.collect::<Vec<_>>());
        return Ok(());
    }
    let mut table = Table::new(&[
        ("heap", Align::Left),
        ("frees", Align::Left),
        ("bounded time", Align::Left),
        ("realloc in place", Align::Left),
        ("gives back", Align::Left),
        ("hardened", Align::Left),
        ("eager start", Align::Left),
        ("smallest pool", Align::Right),
    ]);
    for entry in HEAPS {
        let (info, promises) = (&entry.info, &entry.info.capabilities);
        table.row([
            info.name.into(),
            mark(promises.frees),
            mark(promises.bounded_time),
            mark(promises.reallocates_in_place),
            mark(promises.gives_back),
            mark(promises.hardened),
            mark(info.eager),
            size::show(info.smallest_pool_bytes as u64),
        ]);
    }
    table.print();
    println!();
    let width = HEAPS
        .iter()
        .map(|entry| entry.info.name.len())
        .max()
        .unwrap_or(0);
    for entry in HEAPS {
        println!(
            "{:<width$}  {} ({})",
            entry.info.name, entry.info.summary, entry.info.origin
        );
    }
    Ok(())
}
