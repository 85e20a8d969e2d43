//! `bespoke bench`: measures heaps by metrics, on the workloads of an app's recipe.

use super::{complain, composition_of, measuring, print_json, session};
use crate::error::Error;
use crate::print::runs;
use crate::print::table::{Align, Table};
use bespoke_bench::{Candidate, Metric, Pass, Plan, Rounds, Session, replies, results_folder};
use bespoke_monitor::Monitor;
use bespoke_recipe::composition::HeapArgument;
use bespoke_recipe::paths;
use bespoke_recipe::registry::HEAPS;
use bespoke_recipe::workload::{Better, ValueUnit, Workload};
use std::path::PathBuf;

/// Measure an app with each heap and natively, in interleaved rounds
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The app, see `bespoke apps`
    app: String,
    /// Metrics or metric families, separated by commas, or `all` [default: the metrics of plain
    /// runs]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Former name of --metrics
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        hide = true,
        conflicts_with = "metrics"
    )]
    figures: Vec<String>,
    /// Workloads of the app's recipe, separated by commas [default: all that are not optional]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    workloads: Vec<String>,
    /// Your own workload: a shell command that prints a number; see docs/guide/read-a-benchmark.md
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Unit of the number that --command prints
    #[arg(long, value_name = "UNIT", requires = "command", default_value = "")]
    unit: String,
    /// Which direction of that number is better
    #[arg(long, value_name = "DIRECTION", requires = "command", value_parser = ["smaller", "larger"], default_value = "smaller")]
    better: String,
    /// Heap specs, separated by commas: NAME for malloc, or COMPONENT=NAME joined by +; `none`
    /// measures the native program alone [default: each heap for malloc]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    heaps: Vec<String>,
    /// Leave the native program out
    #[arg(long)]
    no_native: bool,
    /// Interleaved rounds; fewer than 8 cannot show a difference
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Seconds of each load on a server [default: the workload's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Monitor that runs the images [default: kvm where it works, else process]
    #[arg(long, value_name = "MONITOR", value_parser = measuring())]
    monitor: Option<Monitor>,
    /// Keep the traces of the metric trace_cost in this folder, as APP-WORKLOAD-HEAP.trace
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Folder for the raw data [default: $BESPOKE_RESULTS, else results beside Bespoke's sources]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Resume the newest unfinished run of the same command
    #[arg(long)]
    resume: bool,
    /// Measure only how long replies of 1 KiB to 1 MiB take over each link: forwarded port, TAP,
    /// veth, loopback
    #[arg(long, conflicts_with_all = ["metrics", "figures", "workloads", "command", "traces", "resume", "detail"])]
    replies: bool,
    /// Print a table for each metric, with quartiles and the ratio to the reference
    #[arg(long, conflicts_with = "json")]
    detail: bool,
    /// Print the raw data as JSON, as in the results file
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let named = match arguments.figures.is_empty() {
        true => &arguments.metrics,
        false => {
            complain("--figures is deprecated; use --metrics");
            &arguments.figures
        }
    };
    let metrics = metrics(named)?;
    let mut session = session(&arguments.app, arguments.monitor)?;
    if let Some(folder) = &arguments.traces {
        paths::create(folder)?;
        session.traces = Some(folder.clone());
    }
    let session = session;
    if arguments.replies {
        return replies(arguments, &session);
    }
    let workloads = workloads(arguments, &session)?;
    check(&session, &workloads, &metrics)?;
    let candidates = candidates(arguments, &session)?;
    let rounds = Rounds {
        session: &session,
        candidates: &candidates,
        workloads: &workloads,
        metrics: &metrics,
        rounds: arguments.rounds,
    };
    rounds.build()?;
    let plan = Plan {
        command: "bench",
        session: &session,
        candidates: &candidates,
        reference: &candidates[0].label,
        workloads: &workloads,
        metrics: &metrics,
        rounds: arguments.rounds,
    };
    let folder = arguments.results.clone().unwrap_or_else(results_folder);
    let mut journal = match arguments.resume {
        true => plan.resume(&folder)?,
        false => plan.begin(&folder)?,
    };
    rounds.take(&mut journal)?;
    let (run, path) = journal.finish()?;
    if arguments.json {
        print_json(&run);
    } else if arguments.detail {
        runs::detail(&run);
    } else {
        runs::print(&run);
    }
    eprintln!("bespoke: the raw data are in {}", path.display());
    Ok(())
}

/// The table of replies, with the first of the named heaps or the recipe's.
fn replies(arguments: &Arguments, session: &Session) -> Result<(), Error> {
    let heaps: Vec<HeapArgument> = arguments.heaps.first().map_or_else(Vec::new, |label| {
        label.split('+').map(HeapArgument::from).collect()
    });
    let image = Candidate::image("image", composition_of(&session.app, &heaps)?);
    let links = replies::measure(session, &image)?;
    if arguments.json {
        print_json(&links);
        return Ok(());
    }
    let sizes = replies::SIZES_KIB.map(|kib| format!("{kib} KiB"));
    let columns = ["link", "server"].map(|name| (name, Align::Left));
    let columns = columns.into_iter();
    let columns: Vec<_> = columns
        .chain(sizes.iter().map(|size| (&size[..], Align::Right)))
        .collect();
    let mut table = Table::new(&columns);
    for link in links {
        let mut cells = vec![link.link.to_string(), link.monitor.to_string()];
        cells.extend(
            link.replies
                .iter()
                .map(|reply| format!("{:.3}", reply.median_ms)),
        );
        table.cells(cells);
    }
    println!("Milliseconds from request to whole reply, median:");
    table.print();
    Ok(())
}

fn metrics(names: &[String]) -> Result<Vec<Metric>, Error> {
    let all = Metric::all();
    match names {
        [] => Ok(all
            .into_iter()
            .filter(|metric| matches!(metric.pass, Pass::Plain | Pass::Image))
            .collect()),
        [word] if word == "all" => Ok(all),
        names => {
            let mut chosen = Vec::new();
            for name in names {
                chosen.extend(Metric::named(name)?);
            }
            // In the order of tables, once each.
            Ok(all
                .into_iter()
                .filter(|metric| chosen.contains(metric))
                .collect())
        }
    }
}

fn workloads(arguments: &Arguments, session: &Session) -> Result<Vec<Workload>, Error> {
    let declared = &session.app.workloads;
    let mut chosen = match (&arguments.command, &arguments.workloads[..]) {
        // The user's own command alone, unless others are named too.
        (Some(_), []) => Vec::new(),
        (_, names) => Workload::choose(declared, names)?,
    };
    if let Some(seconds) = arguments.seconds {
        chosen
            .iter_mut()
            .for_each(|workload| workload.set_seconds(seconds));
    }
    if let Some(command) = &arguments.command {
        let better = match &arguments.better[..] {
            "larger" => Better::Larger,
            _ => Better::Smaller,
        };
        let unit = arguments.unit.clone();
        chosen.push(Workload::shell(command.clone(), ValueUnit { unit, better }));
    }
    if chosen.is_empty() {
        return Err(Error::Usage(format!(
            "the recipe of {} declares no workload; give one with --command, or see docs/guide/add-an-app.md",
            session.app.name
        )));
    }
    Ok(chosen)
}

/// Refuses metrics that none of the workloads has.
fn check(session: &Session, workloads: &[Workload], metrics: &[Metric]) -> Result<(), Error> {
    let passes: Vec<Pass> = workloads
        .iter()
        .flat_map(|workload| session.passes(workload))
        .collect();
    if metrics.iter().any(|metric| passes.contains(&metric.pass)) {
        return Ok(());
    }
    let ids: Vec<&str> = metrics.iter().map(|metric| &metric.id[..]).collect();
    Err(Error::Usage(format!(
        "no workload has the metric {}; see docs/guide/read-a-benchmark.md",
        ids.join(", ")
    )))
}

/// The native program, the reference, first.
fn candidates(arguments: &Arguments, session: &Session) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    if !arguments.no_native {
        candidates.push(Candidate::native());
    }
    let every = || HEAPS.iter().map(|entry| entry.info.name.to_string());
    let labels: Vec<String> = match &arguments.heaps[..] {
        [] => every().collect(),
        [none] if none == "none" => Vec::new(),
        chosen => chosen.to_vec(),
    };
    for label in labels {
        let heaps: Vec<HeapArgument> = label.split('+').map(HeapArgument::from).collect();
        let composition = composition_of(&session.app, &heaps)?;
        if candidates.iter().any(|other| other.label == label) {
            return Err(Error::Usage(format!("--heaps names {label} twice")));
        }
        candidates.push(Candidate::image(label, composition));
    }
    if candidates.is_empty() {
        let reason = "nothing to measure; name a heap with --heaps, or leave out --no-native";
        return Err(Error::Usage(reason.into()));
    }
    Ok(candidates)
}
