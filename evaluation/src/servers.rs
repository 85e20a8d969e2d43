//! Redis and nginx: throughput, latency and memory by heap.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::page::Published;
use crate::page::failures;
use crate::page::lacking;
use crate::page::medians;
use crate::published::{BASELINE, REDIS_GET};
use crate::say;
use bespoke_bench::Column;
use bespoke_report as report;

const NATIVE: &str = "native";

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "Redis and nginx under load");
    page.paragraph(
        "Server and client have one core each, and there are 30 connections. *In use* is the page source's high-water mark; the \
         baseline heap takes all memory at its start. *Resident* is what the host sees, monitor included.",
    );
    one(page, evaluation, "redis", &["get", "set", "mixed"]);
    one(page, evaluation, "nginx", &["small", "new"]);
}

fn one(page: &mut Document, evaluation: &Evaluation, app: &str, workloads: &[&str]) {
    page.heading(3, app);
    let of = |metric: &str| -> Vec<(String, &Column)> {
        let found = workloads.iter();
        found
            .filter_map(|workload| {
                let column = evaluation.column(app, workload, metric)?;
                Some(((*workload).to_string(), column))
            })
            .collect()
    };
    let rates = of("throughput");
    if rates.is_empty() {
        return lacking(page, &format!("load on {app}"));
    }
    page.paragraph("Requests a second:");
    let published: Vec<(String, Published)> = match app {
        "redis" => vec![("GET, EuroSys'21 [1/s]".into(), REDIS_GET.to_vec())],
        _ => Vec::new(),
    };
    medians(page, &rates, &published);
    for (workload, column) in &rates {
        if let Some(plot) = report::intervals(column) {
            page.plot(&format!("{app}-{workload}-throughput"), &plot);
        }
    }
    page.paragraph("The latency that 1 % of requests exceed, and memory:");
    let mut others: Vec<(String, &Column)> = Vec::new();
    for (metric, name) in [
        ("latency.p99", "p99"),
        ("memory", "in use"),
        ("resident.peak", "resident"),
    ] {
        others.extend(
            of(metric)
                .into_iter()
                .map(|(workload, column)| (format!("{workload}, {name}"), column)),
        );
    }
    medians(page, &others, &[]);
    page.list(&failures(&rates));
    page.list(&sentences(app, &rates, &of("resident.peak")));
}

fn sentences(
    app: &str,
    rates: &[(String, &Column)],
    resident: &[(String, &Column)],
) -> Vec<String> {
    let mut found = Vec::new();
    for (workload, column) in rates {
        let Some(best) = say::best(column) else {
            continue;
        };
        let mut line = format!("{workload}: {}", say::winners(column));
        line += &against_baseline(column);
        if column.row(NATIVE).is_some() {
            line += &format!("; {}", say::versus(column, best, NATIVE));
        }
        found.push(line + ".");
        if (app, &workload[..]) == ("redis", "get") {
            found.extend(against_published(column));
        }
    }
    for (workload, column) in resident {
        found.push(format!(
            "{workload}, resident memory: {}{}.",
            say::winners(column),
            against_baseline(column)
        ));
    }
    found
}

/// The best of the other heaps against the baseline, after a semicolon.
fn against_baseline(column: &Column) -> String {
    say::best_besides(column, BASELINE).map_or_else(String::new, |best| {
        format!("; {}", say::versus(column, best, BASELINE))
    })
}

fn against_published(column: &Column) -> Vec<String> {
    let rate = |name: &str| {
        let found = REDIS_GET.iter().find(|(heap, _)| *heap == name);
        found.map_or(f64::NAN, |(_, rate)| *rate)
    };
    let mut found = vec![format!(
        "get, mimalloc against {BASELINE} (EuroSys'21: {:.2} times): {}.",
        rate("mimalloc") / rate(BASELINE),
        say::versus(column, "mimalloc", BASELINE)
    )];
    found.extend(say::order(column, &REDIS_GET));
    found
}
