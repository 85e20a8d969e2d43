//! `bespoke trace`: records what the heaps of an app do. `bespoke trace show`: what a recording says.

use super::run_line::{Arguments as RunArguments, TraceArguments};
use super::{builder_beside, heaps_of, print_json, run, warn_of_damage};
use crate::error::Error;
use crate::print::trace as print;
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::trace::{CAPACITY_BYTES, Encoder, TraceRing};
use bespoke_bench::cores::bind_to_core;
use bespoke_monitor::{SourceLines, TraceRequest};
use bespoke_recipe::size;
use bespoke_report::{Sites, open_trace};
use bespoke_sources::hex;
use bespoke_trace::{Ending, Facts, Summary, Writer};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Record an app's allocations (`bespoke trace --help`), or show a recorded trace
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Show the sizes, lifetimes, call sites and live bytes of a trace
    Show {
        /// Trace file
        file: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        /// Number of call sites to print
        #[arg(long, value_name = "N", default_value_t = 15)]
        sites: usize,
    },
}

/// `bespoke trace show`.
pub(super) fn show(arguments: &Arguments) -> Result<(), Error> {
    let What::Show { file, json, sites } = &arguments.what;
    let mut reader = open_trace(file)?;
    let summary = Summary::of(&mut reader);
    warn_of_damage(file, &reader);
    let named = Sites::of(reader.facts(), &summary, *sites);
    if *json {
        print_json(&print::json(
            reader.facts(),
            &summary,
            &named,
            reader.result(),
        ));
    } else {
        print::print(reader.facts(), &summary, &named);
    }
    Ok(())
}

/// `bespoke trace APP`: a run that is recorded; returns its exit status.
pub(super) fn record(
    line: &RunArguments,
    wanted: &TraceArguments,
    started: u64,
) -> Result<u8, Error> {
    if line.detach || line.name.is_some() {
        let reason = "-d and --name do not work with `bespoke trace`, which runs in the foreground";
        return Err(Error::Usage(reason.into()));
    }
    let builder = builder_beside(line.json)?;
    let app = builder.app(&line.target.to_string_lossy())?;
    let composition = heaps_of(&app, &line.heaps)?.composition.recording();
    for &component in &wanted.components {
        if !composition.components().any(|(has, _)| has == component) {
            return Err(Error::Usage(format!(
                "{} has no component {}; it has {composition}",
                app.name,
                component.name()
            )));
        }
    }
    let target = run::of_app(&builder, &app, &composition, line)?;
    let lines = SourceLines::open(&target.image).map_err(Error::Usage)?;
    let text = |word: &std::ffi::OsString| word.to_string_lossy().into_owned();
    let facts = Facts {
        app: app.name.clone(),
        arguments: target.arguments.iter().map(text).collect(),
        composition: composition.to_string(),
        components: wanted
            .components
            .iter()
            .map(|component| component.name().into())
            .collect(),
        slots: (wanted.components.iter())
            .map(|component| component.slot())
            .collect(),
        monitor: String::new(),
        image: target.image.display().to_string(),
        build_id: hex(lines.build_id()),
        memory_bytes: target.memory_bytes,
        tsc_khz: bespoke_monitor::tsc_khz(),
    };
    drop(lines);
    let writer: Arc<Mutex<Option<Writer<File>>>> = Arc::default();
    let outcome = run::start(line.monitor, |monitor| {
        let facts = Facts {
            monitor: monitor.name().into(),
            ..facts.clone()
        };
        let file = File::create(&wanted.output).map_err(Error::file("create", &wanted.output))?;
        let new = Writer::new(file, &facts).map_err(Error::file("write", &wanted.output))?;
        *writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
        let shared = writer.clone();
        let mut core = wanted.writer_core;
        let mut config = run::config(line, &target, monitor, started);
        // Both are in the image: the application's share stays what it is.
        let recording = size_of::<TraceRing>() + size_of::<Encoder>();
        config.memory_bytes += recording.next_multiple_of(PAGE_BYTES) as u64;
        config.trace = Some(TraceRequest {
            components: wanted
                .components
                .iter()
                .fold(0, |bits, component| bits | 1 << component.slot()),
            ring_bytes: wanted.ring_bytes.unwrap_or(CAPACITY_BYTES),
            sink: Box::new(move |events| {
                if let Some(core) = core.take() {
                    bind_to_core(core)?;
                }
                let mut writer = shared.lock().unwrap_or_else(PoisonError::into_inner);
                writer.as_mut().map_or(Ok(()), |writer| writer.put(events))
            }),
        });
        Ok(config)
    })?;
    let status = run::finish(line, &outcome).status;
    let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(writer), Some(traced)) = (writer, &outcome.trace) {
        let cut_short = traced
            .error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let ending = Ending {
            waits: traced.waits,
            status,
            cut_short: cut_short.clone(),
            ..Ending::default()
        };
        writer
            .finish(ending)
            .map_err(Error::file("write", &wanted.output))?;
        if !cut_short.is_empty() {
            return Err(Error::CutShort {
                path: wanted.output.clone(),
                reason: cut_short,
            });
        }
        report(&wanted.output, traced.events, traced.waits)?;
    }
    Ok(status)
}

fn report(path: &Path, events: u64, waits: u64) -> Result<(), Error> {
    let bytes = path.metadata().map_err(Error::file("read", path))?.len();
    let each = bytes as f64 / events.max(1) as f64;
    let waits = match waits {
        0 => String::new(),
        waits => format!("; the image waited {waits} times for the file"),
    };
    eprintln!(
        "bespoke: {events} events in {}, {each:.2} bytes each: {}{waits}",
        size::show(bytes),
        path.display()
    );
    Ok(())
}
