//! `bespoke bench`: measures every heap on every figure that matters.

use super::print_json;
use crate::bench::{self, Bench, Images, Part};
use crate::build::Builder;
use crate::composition::{Composition, HeapArgument};
use crate::error::Error;
use crate::heaps::{self, HEAPS};
use bespoke_monitor::probe_kvm;
use clap::ValueEnum;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Measure an app with every heap, in interleaved rounds, beside the native program
#[derive(clap::Args)]
pub struct Arguments {
    /// The app: sqlite
    app: BenchedApp,
    /// Heaps to measure, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    heaps: Vec<String>,
    /// Interleaved rounds of every figure; fewer than 8 can not show a difference
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only these figures, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Part>,
    /// What runs the images [default: kvm where it works, else process]
    #[arg(long, value_name = "MONITOR", value_parser = ["kvm", "process"])]
    monitor: Option<String>,
    /// Print all raw data as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum BenchedApp {
    /// The sqlite3 shell and speedtest1
    Sqlite,
}

struct Built(Builder);

impl Images for Built {
    fn image(&self, app: &str, heap: &str) -> Result<PathBuf, Error> {
        let app = self.0.app(app)?;
        let composition = Composition::choose(&app.run.heaps, &[HeapArgument::from(heap)])?;
        self.0.provide(&app, &composition)
    }

    fn native(&self, app: &str) -> Result<PathBuf, Error> {
        self.0.build_native(&self.0.app(app)?)
    }
}

/// See [`Arguments`].
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let BenchedApp::Sqlite = arguments.app;
    let names: Vec<String> = match &arguments.heaps[..] {
        [] => HEAPS
            .iter()
            .map(|entry| entry.info.name.to_string())
            .collect(),
        chosen => chosen
            .iter()
            .map(|name| heaps::find(name).map(|entry| entry.info.name.into()))
            .collect::<Result<_, _>>()?,
    };
    let monitor = match (arguments.monitor.as_deref(), probe_kvm()) {
        (Some("kvm"), _) | (None, Ok(_)) => "kvm",
        (Some(_), _) => "process",
        (None, Err(error)) => {
            eprintln!("bespoke: {error}; using the process monitor");
            "process"
        }
    };
    let built = Built(Builder::new(std::io::stderr().is_terminal())?);
    let parts = if arguments.only.is_empty() {
        Part::value_variants().to_vec()
    } else {
        arguments.only.clone()
    };
    let results = Bench::new(&built, names, arguments.rounds.into(), monitor)?.run(&parts)?;
    if arguments.json {
        print_json(&results);
    } else {
        bench::print(&results);
    }
    Ok(())
}
