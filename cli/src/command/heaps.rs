//! `bespoke heaps`: the allocators there are and what each promises.

use super::print_json;
use crate::error::Error;
use crate::print::table::{Align, Table, mark};
use bespoke_heap::Parameter;
use bespoke_recipe::heap_spec;
use bespoke_recipe::registry::{self, Entry, HEAPS};
use bespoke_recipe::size;
use serde_json::{Value, json};

/// List the heaps and what each of them guarantees
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Show only this heap, with its parameters
    heap: Option<String>,
    /// List the parameters of each heap (--heap NAME:PARAMETER=VALUE): default, range, trade-off
    #[arg(long)]
    parameters: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let chosen: Vec<&Entry> = match &arguments.heap {
        Some(name) => vec![registry::find(name)?],
        None => HEAPS.iter().collect(),
    };
    if arguments.json {
        let heaps = chosen.iter().map(|entry| {
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
                "parameters": heap_spec::parameters(entry).map(parameter_json).collect::<Vec<_>>(),
            })
        });
        print_json(&heaps.collect::<Vec<_>>());
        return Ok(());
    }
    if arguments.heap.is_none() && !arguments.parameters {
        print_promises();
        return Ok(());
    }
    for (i, entry) in chosen.into_iter().enumerate() {
        if i > 0 {
            println!();
        }
        print_parameters(entry);
    }
    Ok(())
}

fn parameter_json(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "default": heap_spec::show(parameter, parameter.default),
        "range": heap_spec::range(parameter),
        "trades": parameter.trades,
    })
}

/// A heap, and what can be set of it.
fn print_parameters(entry: &'static Entry) {
    let info = &entry.info;
    println!("{}: {} ({})", info.name, info.summary, info.origin);
    let columns = [
        ("  parameter", Align::Left),
        ("default", Align::Right),
        ("range", Align::Left),
        ("trade-off", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for parameter in heap_spec::parameters(entry) {
        table.row([
            format!("  {}", parameter.name),
            heap_spec::show(parameter, parameter.default),
            heap_spec::range(parameter),
            parameter.trades.to_string(),
        ]);
    }
    table.print();
}

fn print_promises() {
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
}
