//! `bespoke replay`: a trace against every heap, natively.

use super::{builder, print_json, warn_of_damage};
use crate::error::Error;
use crate::print;
use bespoke_bench::RunRecord;
use bespoke_bench::replay::{self, ReplayRecord, Request};
use bespoke_recipe::heap_spec::HeapSpec;
use bespoke_recipe::registry::HEAPS;
use bespoke_recipe::size;
use bespoke_report::open_trace;
use std::fs;
use std::path::PathBuf;

/// Replay a trace on heaps, without the application: instructions, cycles, memory, correctness
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A trace file written by `bespoke trace`
    file: PathBuf,
    /// Heap specs, separated by commas, such as tlsf,tlsf:sl=4 [default: all heaps]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    heaps: Vec<String>,
    /// Component whose operations are replayed [default: app, else the first in the trace]
    #[arg(long, value_name = "COMPONENT")]
    component: Option<String>,
    /// Check every operation against an independent model of the live blocks
    #[arg(long)]
    check: bool,
    /// Memory of each heap [default: that of the traced image]
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,
    /// Interleaved rounds in which cycles are measured
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Replay only the first N events
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Count instructions over the first N events (needs valgrind); 0 counts none
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    count_events: u64,
    /// Compare the ranking with a run of `bespoke bench`, by rank correlation
    #[arg(long, value_name = "RUN.json")]
    against: Option<PathBuf>,
    /// Compare only with this workload of the run: the one that was traced
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let heaps = match &arguments.heaps[..] {
        [] => HEAPS.iter().map(HeapSpec::plain).collect(),
        named => named
            .iter()
            .map(|text| HeapSpec::parse(text))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let real = arguments
        .against
        .as_deref()
        .map(RunRecord::read)
        .transpose()?;
    let mut reader = open_trace(&arguments.file)?;
    reader.by_ref().for_each(drop);
    warn_of_damage(&arguments.file, &reader);
    let facts = reader.facts();
    let component = match &arguments.component {
        Some(name) if facts.components.contains(name) => name.clone(),
        Some(name) => {
            let known = facts.components.iter().map(String::as_str);
            let hint = format!("the trace has {}", facts.components.join(", "));
            return Err(Error::unknown("component in the trace", name, known, hint));
        }
        None => {
            let app = facts.components.iter().find(|name| *name == "app");
            app.or(facts.components.first())
                .cloned()
                .unwrap_or_default()
        }
    };
    if let Some(run) = real.as_ref().filter(|run| run.app != facts.app) {
        let (file, app) = (arguments.against.clone().unwrap_or_default(), &facts.app);
        return Err(Error::Usage(format!(
            "{} has measurements of {}, but the trace is of {app}",
            file.display(),
            run.app
        )));
    }
    if let (Some(run), Some(name)) = (&real, &arguments.workload) {
        let measured = || run.workloads.iter().map(|workload| &workload.name[..]);
        if !measured().any(|other| other == name) {
            let all: Vec<&str> = measured().collect();
            let hint = format!("the run has {}", all.join(", "));
            return Err(Error::unknown("workload", name, measured(), hint));
        }
    }
    let file = fs::canonicalize(&arguments.file).map_err(Error::file("find", &arguments.file))?;
    let request = Request {
        app: facts.app.clone(),
        workload: arguments.workload.clone(),
        file: file.to_string_lossy().into_owned(),
        component,
        heaps,
        arena_bytes: arguments.memory.unwrap_or(facts.memory_bytes) as usize,
        events: arguments.events,
        counted_events: arguments.count_events,
        rounds: arguments.rounds,
        check: arguments.check,
    };
    let builder = builder()?;
    let results = replay::replay(&builder, &request)?;
    let mut record = ReplayRecord::new(&request, &results);
    if let Some(run) = &real {
        record.against = replay::against(&record, run);
    }
    if arguments.json {
        print_json(&record);
    } else {
        print::replay::print(&request, &results, &record.against);
    }
    Ok(())
}
