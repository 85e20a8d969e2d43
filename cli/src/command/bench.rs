//! `bespoke bench`: measures every heap on every figure that matters.

use super::print_json;
use crate::bench::servers::{self, ServerBench, Service};
use crate::bench::{self, Bench, Images};
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
    /// The app
    app: BenchedApp,
    /// Heaps to measure, separated by commas; `none`: the native program alone [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    heaps: Vec<String>,
    /// Interleaved rounds of every figure; fewer than 8 can not show a difference
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only these figures, separated by commas [default: all]
    ///
    /// sqlite: start, boot, inserts, varied, speedtest, curve, memory, size. Servers: load, boot,
    /// answer, memory, many, repeat.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<String>,
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
    /// Redis under redis-benchmark; as root, on two cores
    Redis,
    /// nginx under wrk; as root, on two cores
    Nginx,
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
    let names = names(&arguments.heaps)?;
    let monitor = match (arguments.monitor.as_deref(), probe_kvm()) {
        (Some("kvm"), _) | (None, Ok(_)) => "kvm",
        (Some(_), _) => "process",
        (None, Err(error)) => {
            eprintln!("bespoke: {error}; using the process monitor");
            "process"
        }
    };
    let built = Built(Builder::new(std::io::stderr().is_terminal())?);
    let rounds = arguments.rounds.into();
    let service = match arguments.app {
        BenchedApp::Sqlite => {
            if names.is_empty() {
                let reason = "the figures of sqlite are about images; name a heap";
                return Err(Error::Usage(reason.into()));
            }
            let parts = parts(&arguments.only)?;
            let results = Bench::new(&built, names, rounds, monitor)?.run(&parts)?;
            show(arguments.json, &results, bench::print);
            return Ok(());
        }
        BenchedApp::Redis => Service::Redis,
        BenchedApp::Nginx => Service::Nginx,
    };
    let parts = parts(&arguments.only)?;
    let app = built.0.app(service.app())?;
    let bench = ServerBench::new(&built, service, app.run, names, rounds, monitor)?;
    let results = bench.run(&parts)?;
    show(arguments.json, &results, servers::print);
    Ok(())
}

fn names(chosen: &[String]) -> Result<Vec<String>, Error> {
    match chosen {
        [] => Ok(HEAPS
            .iter()
            .map(|entry| entry.info.name.to_string())
            .collect()),
        [none] if none == "none" => Ok(Vec::new()),
        chosen => chosen
            .iter()
            .map(|name| heaps::find(name).map(|entry| entry.info.name.into()))
            .collect(),
    }
}

/// The parts named, or all there are.
fn parts<P: ValueEnum + Clone>(chosen: &[String]) -> Result<Vec<P>, Error> {
    if chosen.is_empty() {
        return Ok(P::value_variants().to_vec());
    }
    let name = |part: &P| Some(part.to_possible_value()?.get_name().to_string());
    let all: Vec<String> = P::value_variants().iter().filter_map(name).collect();
    let find = |text: &String| {
        P::from_str(text, true).map_err(|_| {
            let known = all.iter().map(String::as_str);
            Error::unknown(
                "figure",
                text,
                known,
                format!("there are {}", all.join(", ")),
            )
        })
    };
    chosen.iter().map(find).collect()
}

fn show<R: serde::Serialize>(as_json: bool, results: &R, print: fn(&R)) {
    if as_json {
        print_json(results);
    } else {
        print(results);
    }
}
