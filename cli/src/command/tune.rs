//! `bespoke tune`: searches the heaps that suit an app, and locks them.

use super::{measuring, print_json, session};
use crate::error::Error;
use crate::print::search;
use bespoke_bench::tune::{self, Constraint, Goal, Lock, SearchOutcome, SearchReport, Wanted};
use bespoke_bench::{Session, results_folder};
use bespoke_builder::Builder;
use bespoke_monitor::Monitor;
use bespoke_recipe::composition::{Component, Composition};
use bespoke_recipe::heap_spec::HeapSpec;
use bespoke_recipe::lock;
use bespoke_recipe::workload::Workload;
use std::path::PathBuf;

/// Search for an app's best heaps and write them to its lock file; exit status 3 if no heap is
/// better than the default
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The app, see `bespoke apps`
    app: String,
    /// Goal of the search: throughput, latency, memory, boot, size or balanced
    #[arg(long = "for", value_name = "GOAL", required_unless_present = "explain")]
    goal: Option<String>,
    /// Constraint on the choice, such as memory<=16M, latency.p99<=2ms or throughput>=50k; may be
    /// repeated
    #[arg(long, value_name = "METRIC<=VALUE", requires = "goal")]
    within: Vec<String>,
    /// Time for measuring, such as 90s, 5m or 1h; builds do not count [default: 5m, or longer if
    /// the test needs it]
    #[arg(long, value_name = "TIME", requires = "goal")]
    budget: Option<String>,
    /// Components to choose heaps for, in this order, separated by commas [default: app, net and
    /// libos, if the image has them]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "goal")]
    components: Vec<String>,
    /// Try only these heap specs, separated by commas [default: all heaps, then parameters of the
    /// best ones]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "goal")]
    heaps: Vec<String>,
    /// Workloads of the app's recipe, separated by commas [default: all that are not optional; runs
    /// that are too short are not compared]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "goal")]
    workloads: Vec<String>,
    /// Monitor that runs the images [default: kvm where it works, else process]
    #[arg(long, value_name = "MONITOR", value_parser = measuring())]
    monitor: Option<Monitor>,
    /// Folder for the raw data [default: $BESPOKE_RESULTS, else results beside Bespoke's sources]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Resume the newest unfinished search of the same command
    #[arg(long, requires = "goal")]
    resume: bool,
    /// Show every candidate and why it was dropped; without --for, explain the existing lock file
    #[arg(long)]
    explain: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// See [`Arguments`].
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let Some(goal) = &arguments.goal else {
        return explain(arguments);
    };
    let wanted = Wanted {
        goal: Goal::named(goal)?,
        within: parse(&arguments.within, Constraint::parse)?,
        budget_s: arguments.budget.as_deref().map(seconds).transpose()?,
        components: parse(&arguments.components, Component::find)?,
        heaps: parse(&arguments.heaps, HeapSpec::parse)?,
        workloads: Vec::new(),
        workloads_named: !arguments.workloads.is_empty(),
        results: arguments.results.clone().unwrap_or_else(results_folder),
        resume: arguments.resume,
    };
    let session = session(&arguments.app, arguments.monitor)?;
    let wanted = complete(wanted, arguments, &session)?;
    let place = lock::path(&session.app);
    // Before anything is measured: what is there stays if it is not understood, and nothing is measured for nothing.
    Lock::read(&place)?;
    lock::check_place(&place)?;
    let found = tune::search(&session, &wanted)?;
    let written = match &found.chosen {
        None => None,
        Some(composition) => {
            let lock = Lock {
                version: lock::VERSION,
                app: session.app.name.clone(),
                made_for: lock::made_for(&session.app)?,
                heaps: Lock::heaps(composition),
                why: found.account.clone(),
            };
            lock.write(&place)?;
            Some(place.display().to_string())
        }
    };
    print(arguments, &found.account, written.as_deref());
    eprintln!("bespoke: the raw data are in {}", found.raw.display());
    match (&written, place.exists()) {
        (Some(path), _) => {
            eprintln!(
                "bespoke: wrote {path}; `bespoke build {}` uses it",
                session.app.name
            );
            Ok(())
        }
        (None, there) => Err(Error::NothingBetter(format!(
            "nothing is recommended: {}; {}",
            found.account.note,
            match there {
                true => format!("{} is unchanged", place.display()),
                false => "no lock was written".into(),
            }
        ))),
    }
}

/// What depends on the app.
fn complete(wanted: Wanted, arguments: &Arguments, session: &Session) -> Result<Wanted, Error> {
    let app = &session.app;
    let workloads = Workload::choose(&app.workloads, &arguments.workloads)?;
    if workloads.is_empty() {
        return Err(Error::Usage(format!(
            "the recipe of {} declares no workload to measure; see docs/guide/add-an-app.md",
            app.name
        )));
    }
    let default = Composition::choose(&app.run.heaps, &[])?;
    let mut components = wanted.components.clone();
    if components.is_empty() {
        let all = [Component::App, Component::Net, Component::Libos];
        components.extend(all.into_iter().filter(|each| default.heap(*each).is_some()));
    }
    for (index, component) in components.iter().enumerate() {
        if default.heap(*component).is_none() {
            let (app, name) = (&app.name, component.name());
            return Err(Error::Usage(format!(
                "{app} has no component {name}; it has {default}"
            )));
        }
        if components[..index].contains(component) {
            let name = component.name();
            return Err(Error::Usage(format!("--components names {name} twice")));
        }
    }
    Ok(Wanted {
        components,
        workloads,
        ..wanted
    })
}

fn print(arguments: &Arguments, account: &SearchOutcome, lock: Option<&str>) {
    if arguments.json {
        print_json(&SearchReport {
            app: arguments.app.clone(),
            lock: lock.map(String::from),
            search: account.clone(),
        });
        return;
    }
    println!("{}\n", tune::head(&arguments.app, account));
    if arguments.explain {
        search::table(account).print();
        println!();
    }
    for line in tune::lines(account) {
        println!("{line}");
    }
}

/// What the lock that is there says.
fn explain(arguments: &Arguments) -> Result<(), Error> {
    let app = Builder::new(|_| {})?.app(&arguments.app)?;
    let path = lock::path(&app);
    let Some(lock) = Lock::read(&path)? else {
        return Err(Error::Usage(format!(
            "{} has no lock file ({} does not exist); `bespoke tune {} --for throughput` writes one",
            app.name,
            path.display(),
            app.name
        )));
    };
    print(arguments, &lock.why, Some(&path.display().to_string()));
    if let Some(warning) = lock::choose::<SearchOutcome>(&app, &[])?.warning {
        eprintln!("bespoke: {warning}");
    }
    Ok(())
}

fn parse<T, E: Into<Error>>(
    texts: &[String],
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Error> {
    let read = |text: &String| read(text).map_err(E::into);
    texts.iter().map(read).collect()
}

/// `90s`, `5m`, `1h`.
fn seconds(text: &str) -> Result<f64, Error> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let unit = units.iter().find(|(letter, _)| text.ends_with(*letter));
    let number = unit.and_then(|(_, each)| {
        let number: u32 = text[..text.len() - 1].parse().ok()?;
        (number > 0).then_some(f64::from(number) * f64::from(*each))
    });
    number.ok_or_else(|| {
        Error::Usage(format!(
            "--budget {text:?}: expected a time such as 90s, 5m or 1h"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn budgets_have_a_unit() {
        assert_eq!(seconds("90s").unwrap(), 90.0);
        assert_eq!(seconds("5m").unwrap(), 300.0);
        assert_eq!(seconds("1h").unwrap(), 3600.0);
        for text in ["5", "0s", "m", "", "-5m", "1.5m", "5min", "5é"] {
            assert!(seconds(text).unwrap_err().is_usage(), "{text}");
        }
    }
}
