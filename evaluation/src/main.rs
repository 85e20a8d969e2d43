//! The published evaluation, redone: measured with the `bespoke` command, and written as a page. `make results` runs it.
//!
//! | module | decides |
//! |---|---|
//! | `steps` | what is measured, in which order |
//! | `measure` | how steps are taken: within a budget, going on where they were interrupted |
//! | `evaluation` | where the measurements are |
//! | `published` | what they stand beside |
//! | `say` | how a comparison is put into words |
//! | `headline`, `start`, `sqlite`, `servers`, `smallest`, `tuned`, `replays`, `checks` | a section of the page each |
//! | `page`, `document` | the order of the page, Markdown, and the files of plots |
#![allow(clippy::print_stdout, reason = "a program: its result")]
#![warn(missing_docs)]

mod checks;
mod document;
mod error;
mod evaluation;
mod headline;
mod measure;
mod page;
mod published;
mod replays;
mod say;
mod servers;
mod smallest;
mod sqlite;
mod start;
mod steps;
mod tuned;

#[cfg(test)]
mod tests;

use bespoke_bench::tune::SearchReport;
use bespoke_recipe::paths;
use clap::{Parser, Subcommand};
use error::Error;
use evaluation::Evaluation;
use measure::Measuring;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use steps::Extent;

/// Exit status of an evaluation that the user ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// The published evaluation, redone on this machine
#[derive(Parser)]
#[command(name = "bespoke-evaluation", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Measure(Measure),
    Page(Page),
}

/// Measure everything, then write the page
///
/// As root (servers are measured in network namespaces), on a quiet machine. Every step keeps its raw data in a folder of
/// its own. Interrupted, the same command goes on where it was; when all is measured, it only writes the page.
#[derive(clap::Args)]
struct Measure {
    /// The `bespoke` command to measure with
    bespoke: PathBuf,
    /// Some minutes instead of hours: two rounds, short loads, few heaps for what takes long; into results/quick and
    /// results/quick.md, to try the whole
    #[arg(long)]
    quick: bool,
    /// A step that would not end within so many minutes is left out, and the page says what it lacks; --quick leaves
    /// nothing out
    #[arg(long, value_name = "MINUTES", default_value_t = 120)]
    budget: u32,
    /// Forget what was measured before
    #[arg(long)]
    fresh: bool,
    /// Build everything that is measured, and no more
    #[arg(long)]
    build_only: bool,
}

/// Write the page alone: Markdown, plots, raw data
#[derive(clap::Args)]
struct Page {
    /// What was measured: a folder or a file of runs for each step, of replays and searches
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The page; its plots and the raw data go into a folder of its name beside it
    #[arg(short, long, value_name = "FILE.md", default_value = "docs/results.md")]
    output: PathBuf,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Measure(arguments) => measure(&arguments),
        Command::Page(arguments) => write_page(&arguments.folder, &arguments.output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bespoke-evaluation: {error}");
            match error {
                Error::Interrupted => ExitCode::from(INTERRUPTED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn measure(arguments: &Measure) -> Result<(), Error> {
    let home = paths::checked_home()?;
    let bespoke =
        fs::canonicalize(&arguments.bespoke).map_err(Error::file("find", &arguments.bespoke))?;
    let (folder, page) = match arguments.quick {
        true => ("results/quick", "results/quick.md"),
        false => ("results/evaluation", "docs/results.md"),
    };
    let measuring = Measuring {
        bespoke,
        folder: home.join(folder),
        extent: match arguments.quick {
            true => Extent::quick(),
            false => Extent::whole(),
        },
        budget_minutes: (!arguments.quick).then_some(arguments.budget),
    };
    if arguments.fresh && measuring.folder.exists() {
        let removed = fs::remove_dir_all(&measuring.folder);
        removed.map_err(Error::file("remove", &measuring.folder))?;
    }
    measuring.build()?;
    if arguments.build_only {
        return Ok(());
    }
    let failed = measuring.measure()?;
    write_page(&measuring.folder, &home.join(page))?;
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::NotMeasured(failed)),
    }
}

fn write_page(folder: &Path, output: &Path) -> Result<(), Error> {
    let evaluation = Evaluation::read(folder)?;
    let plots = output.with_extension("");
    let Some(name) = plots.file_name().filter(|_| plots != output) else {
        return Err(Error::Usage(format!(
            "{} should end with .md: the folder of the plots has its name without that",
            output.display()
        )));
    };
    let page = page::page(&evaluation, &name.to_string_lossy());
    let data = plots.join("data");
    paths::create(&data)?;
    write(output, &page.text)?;
    for (file, plot) in &page.plots {
        write(&plots.join(file), plot)?;
    }
    for each in &evaluation.runs {
        keep(&data, &each.step, &each.run)?;
    }
    for (step, replay) in &evaluation.replays {
        keep(&data, step, replay)?;
    }
    for (step, report) in &evaluation.searches {
        // Where the lock was says nothing to a reader.
        let report = SearchReport {
            lock: None,
            ..report.clone()
        };
        keep(&data, step, &report)?;
    }
    println!("{}", output.display());
    Ok(())
}

/// The raw data beside the page: a file a step.
fn keep(folder: &Path, step: &str, record: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(record).expect("plain data becomes JSON");
    write(&folder.join(format!("{step}.json")), &(text + "\n"))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}
