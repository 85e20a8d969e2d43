//! `bespoke apps`: the applications there are recipes for.

use super::{heaps_of, print_json};
use crate::error::Error;
use crate::table::{Align, Table};
use crate::{place, recipe, size};
use serde_json::json;

/// List the apps
#[derive(clap::Args)]
pub struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let home = place::checked_home()?;
    let columns = [
        ("app", Align::Left),
        ("memory", Align::Right),
        ("stack", Align::Right),
        ("heaps", Align::Left),
        ("description", Align::Left),
    ];
    let mut table = Table::new(&columns);
    let mut values = Vec::new();
    for name in recipe::app_names(&home)? {
        let app = recipe::app(&home, &name)?;
        let chosen = heaps_of(&app, &[])?;
        let heaps = chosen.composition;
        let lock = chosen.lock.map(|(path, _)| path.display().to_string());
        values.push(json!({
            "name": app.name,
            "description": app.description,
            "memory_bytes": app.run.memory.0,
            "stack_bytes": app.run.stack.0,
            "heaps": heaps.to_string(),
            "lock": lock,
        }));
        let (memory, stack) = (size::show(app.run.memory.0), size::show(app.run.stack.0));
        table.row([app.name, memory, stack, heaps.to_string(), app.description]);
    }
    if arguments.json {
        print_json(&values);
    } else {
        table.print();
    }
    Ok(())
}
