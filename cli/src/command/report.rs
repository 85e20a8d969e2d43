//! `bespoke report`: measurements as one HTML page, and as SVG files.

use super::complain;
use crate::error::Error;
use bespoke_bench::replay::ReplayRecord;
use bespoke_bench::{RunRecord, results_folder};
use bespoke_recipe::paths;
use bespoke_report::{
    Part, chart, page, replay as show_replay, run as show_run, trace as show_trace,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Write an HTML report of measurements: one file that needs no network
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Runs to show [default: without --trace and --replay, the newest of each app in the results folder]
    #[arg(value_name = "RUN.json")]
    runs: Vec<PathBuf>,
    /// An allocation trace to show as well (repeatable)
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// A replay to show as well: what `bespoke replay --json` printed (repeatable)
    #[arg(long, value_name = "FILE")]
    replay: Vec<PathBuf>,
    /// Folder of results files [default: $BESPOKE_RESULTS, else results beside Bespoke's sources]
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Output file
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Also write each plot as an SVG file into this folder
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let others = arguments.trace.len() + arguments.replay.len();
    let paths = if arguments.runs.is_empty() && others == 0 {
        newest(&arguments.results.clone().unwrap_or_else(results_folder))?
    } else {
        arguments.runs.clone()
    };
    let mut parts: Vec<Part> = Vec::new();
    for path in &paths {
        parts.push(show_run(&RunRecord::read(path)?));
    }
    for path in &arguments.trace {
        parts.push(show_trace(path, |damage| complain(damage))?);
    }
    for path in &arguments.replay {
        parts.push(show_replay(&ReplayRecord::read(path)?));
    }
    name_apart(&mut parts);
    write(&arguments.output, &page(&parts))?;
    println!("{}", arguments.output.display());
    if let Some(folder) = &arguments.svg {
        paths::create(folder)?;
        for (name, plot) in parts.iter().flat_map(Part::files) {
            write(&folder.join(name), &chart::file(&plot.title, &plot.chart))?;
        }
        println!("{}", folder.display());
    }
    Ok(())
}

/// The newest run of each app in `folder`.
fn newest(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut by_app: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
    for path in RunRecord::list(folder)? {
        let run = RunRecord::read(&path)?;
        let is_newer = by_app
            .get(&run.app)
            .is_none_or(|(started, _)| *started < run.started_unix_s);
        if run.command == "bench" && is_newer {
            by_app.insert(run.app, (run.started_unix_s, path));
        }
    }
    if by_app.is_empty() {
        return Err(Error::Usage(format!(
            "no finished run in {}; measure first, for example with `bespoke bench sqlite`, or name the files",
            folder.display()
        )));
    }
    Ok(by_app.into_values().map(|(_, path)| path).collect())
}

/// Two runs of one app become `redis` and `redis-2`, so that their files do not meet.
fn name_apart(parts: &mut [Part]) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for part in parts {
        let count = seen.entry(part.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            part.name = format!("{}-{count}", part.name);
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}
