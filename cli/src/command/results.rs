//! `bespoke results`: the page of the published evaluation, redone.

use crate::error::Error;
use crate::results::{Evaluation, page};
use bespoke_bench::tune::SearchReport;
use bespoke_recipe::paths;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Write the page of results from what `make results` measured: Markdown, plots, raw data
#[derive(clap::Args)]
pub struct Arguments {
    /// What was measured: a folder or a file of runs for each step, of replays and searches
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The page; its plots and the raw data go into a folder of its name beside it
    #[arg(short, long, value_name = "FILE.md", default_value = "docs/results.md")]
    output: PathBuf,
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let evaluation = Evaluation::read(&arguments.folder)?;
    let plots = arguments.output.with_extension("");
    let Some(name) = plots.file_name().filter(|_| plots != arguments.output) else {
        return Err(Error::Usage(format!(
            "{} should end with .md: the folder of the plots has its name without that",
            arguments.output.display()
        )));
    };
    let page = page(&evaluation, &name.to_string_lossy());
    let data = plots.join("data");
    paths::create(&data)?;
    write(&arguments.output, &page.text)?;
    for (file, plot) in &page.plots {
        write(&plots.join(file), plot)?;
    }
    for each in &evaluation.runs {
        keep(&data, &each.step, &each.run)?;
    }
    for (step, replay) in &evaluation.replays {
        keep(&data, step, replay)?;
    }
    for (step, told) in &evaluation.searches {
        // Where the lock was says nothing to a reader.
        let told = SearchReport {
            lock: None,
            ..told.clone()
        };
        keep(&data, step, &told)?;
    }
    println!("{}", arguments.output.display());
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
