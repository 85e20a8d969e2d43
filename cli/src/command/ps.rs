//! `bespoke ps`: the images that run under a name, and those that have ended.

use super::print_json;
use crate::error::Error;
use crate::instances::state::{Phase, State};
use crate::instances::{self, Run};
use crate::print::table::{Align, Table};
use bespoke_bench::resident;
use bespoke_recipe::size;
use serde_json::{Value, json};
use std::time::Duration;

/// List running images, and ended images that were not removed
///
/// Lists images that were started with `run -d` or `run --name`. An ended image stays listed, with
/// its log, until `bespoke rm`, until its name is used again, or until the machine restarts.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let runs = instances::all()?;
    if arguments.json {
        print_json(&runs.iter().map(as_json).collect::<Vec<_>>());
        return Ok(());
    }
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("image", Align::Left),
        ("monitor", Align::Left),
        ("pid", Align::Right),
        ("in use", Align::Right),
        ("memory", Align::Right),
        ("ports", Align::Left),
        ("since", Align::Right),
        ("state", Align::Left),
    ]);
    for run in &runs {
        let of = |field: &dyn Fn(&State) -> String| run.state.as_ref().map_or("-".into(), field);
        let in_use = run.pid.and_then(resident::bytes);
        table.row([
            run.name.clone(),
            of(&|state| state.target.clone()),
            of(&|state| state.monitor.clone().unwrap_or("-".into())),
            run.pid.map_or("-".into(), |pid| pid.to_string()),
            in_use.map_or("-".into(), size::show),
            of(&|state| size::show(state.memory_bytes)),
            of(&|state| match state.ports.len() {
                0 => "-".into(),
                _ => state.ports.join(" "),
            }),
            of(&|state| age(state.age())),
            run.fate(),
        ]);
    }
    table.print();
    for run in &runs {
        if let Err(reason) = &run.state {
            let next = match run.pid {
                Some(_) => "`bespoke stop` still ends it",
                None => "`bespoke rm` removes it",
            };
            eprintln!("bespoke: {} cannot be read: {reason}; {next}", run.name);
        }
    }
    Ok(())
}

fn as_json(run: &Run) -> Value {
    let mut value = json!({
        "name": run.name,
        "pid": run.pid,
        "in_use_bytes": run.pid.and_then(resident::bytes),
        "folder": run.folder,
    });
    let state = match &run.state {
        Ok(state) => state,
        Err(reason) => {
            value["state"] = json!("unreadable");
            value["reason"] = json!(reason);
            return value;
        }
    };
    value["image"] = json!(state.target);
    value["file"] = json!(state.image);
    value["monitor"] = json!(state.monitor);
    value["memory_bytes"] = json!(state.memory_bytes);
    value["ports"] = json!(state.ports);
    value["log"] = json!(state.detached.then(|| run.log()));
    value["restart"] = json!(state.restart);
    value["restarts"] = json!(state.restarts);
    value["started_unix_ms"] = json!(state.started_ms);
    value["since_s"] = json!(state.age().as_secs_f64());
    value["state"] = match state.phase {
        Phase::Starting => json!("starting"),
        Phase::Running => json!("running"),
        Phase::Waiting { status, until_ms } => {
            value["exit_status"] = json!(status);
            value["starts_unix_ms"] = json!(until_ms);
            json!("waiting")
        }
        Phase::Exited { status, .. } => {
            value["exit_status"] = json!(status);
            value["unwritten"] = json!(run.unwritten());
            json!("exited")
        }
        Phase::Killed { .. } => json!("killed"),
    };
    value
}

/// A time as a person says it: its largest unit and the next.
pub(super) fn age(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::age;
    use std::time::Duration;

    #[test]
    fn times_have_two_units() {
        for (s, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (3599, "59m59s"),
            (3600, "1h00m"),
            (86_399, "23h59m"),
            (90_000, "1d01h"),
        ] {
            assert_eq!(age(Duration::from_secs(s)), text);
        }
    }
}
