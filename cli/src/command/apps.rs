//! `bespoke apps`: the applications there are recipes for. A broken recipe is listed with what is wrong, and hides no other.

use super::{complain, heaps_of, print_json};
use crate::error::Error;
use crate::print::table::{Align, Table};
use bespoke_recipe::{app, paths, size};
use serde_json::json;

/// List the apps
///
/// Those of the folders that BESPOKE_APPS names, and Bespoke's own. A recipe that cannot be used is listed with its error,
/// and the exit status is 1.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let home = paths::checked_home()?;
    let columns = [
        ("app", Align::Left),
        ("memory", Align::Right),
        ("stack", Align::Right),
        ("heaps", Align::Left),
        ("description", Align::Left),
    ];
    let mut table = Table::new(&columns);
    let mut values = Vec::new();
    let mut broken = Vec::new();
    for name in app::names(&home)? {
        let read = app::find(&home, &name);
        let (app, chosen) = match read
            .map_err(Error::from)
            .and_then(|app| Ok((heaps_of(&app, &[])?, app)))
        {
            Ok((chosen, app)) => (app, chosen),
            Err(error) => {
                values.push(json!({ "name": name, "error": error.to_string() }));
                let dash = || "-".to_string();
                let note = "invalid recipe, see below".to_string();
                table.row([name.clone(), dash(), dash(), dash(), note]);
                broken.push((name, error));
                continue;
            }
        };
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
    for (_, error) in &broken {
        complain(error);
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Error::BrokenApps(
            broken.into_iter().map(|(name, _)| name).collect(),
        )),
    }
}
