//! What else was promised: the cost of tracing, the same load twenty times; and how it was all measured.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::page::lacking;
use crate::say::{self, median};
use bespoke_bench::Column;
use bespoke_report::chart::number;

/// Most of its throughput that tracing may cost a workload.
const TRACING_LIMIT: f64 = 0.15;
/// How much slower the last of twenty loads may be than the first.
const REPEAT_LIMIT: f64 = 0.05;

/// Adds the sections.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "What tracing costs");
    page.paragraph("One run without recording and one with every call of `malloc` and its family recorded, in turns, on the same cores.");
    let costs = all(evaluation, "trace_cost");
    if costs.is_empty() {
        lacking(page, "the cost of tracing");
    }
    page.list(
        &costs
            .iter()
            .flat_map(|(app, column)| tracing(app, column))
            .collect::<Vec<_>>(),
    );

    page.heading(2, "The same load twenty times");
    page.paragraph(
        "The server is started once. The throughput of the first load is compared with that of the last.",
    );
    let repeats = all(evaluation, "repeat");
    if repeats.is_empty() {
        lacking(page, "the same load twenty times");
    }
    page.list(
        &repeats
            .iter()
            .flat_map(|(app, column)| repeat(app, column))
            .collect::<Vec<_>>(),
    );
    measured(page, evaluation);
}

fn all<'a>(evaluation: &'a Evaluation, metric: &str) -> Vec<(&'a str, &'a Column)> {
    let runs = evaluation.runs.iter();
    let columns = runs.flat_map(|each| {
        each.columns
            .iter()
            .map(|column| (&each.run.app[..], column))
    });
    columns
        .filter(|(_, column)| column.metric.id == metric)
        .collect()
}

fn tracing(app: &str, column: &Column) -> Vec<String> {
    let lost = |ratio: f64| 1.0 - 1.0 / ratio;
    let rows = column
        .rows
        .iter()
        .filter_map(|row| Some((row, row.summary?)));
    rows.map(|(row, summary)| {
        let [low, middle, high] = [summary.low, summary.median, summary.high].map(lost);
        let within = match (high < TRACING_LIMIT, middle < TRACING_LIMIT) {
            (true, _) => "below",
            (false, true) => "below by its median, not by its third quartile,",
            (false, false) => "not below",
        };
        format!(
            "{app}, {}, {}: {:.1} % of throughput (quartiles {:.1} to {:.1} %, {} pairs), {within} the {:.0} % wanted.",
            column.workload,
            row.candidate,
            middle * 100.0,
            low * 100.0,
            high * 100.0,
            summary.rounds,
            TRACING_LIMIT * 100.0
        )
    })
    .collect()
}

fn repeat(app: &str, column: &Column) -> Vec<String> {
    let rows = column.rows.iter();
    rows.filter_map(|row| {
        let ratio = median(column, &row.candidate)?;
        let within = if ratio <= 1.0 + REPEAT_LIMIT { "within" } else { "not within" };
        let change = (1.0 / ratio - 1.0) * 100.0;
        Some(format!(
            "{app}, {}, {}: the last load's throughput is {change:+.1} % of the first's, {within} the {:.0} % wanted.",
            column.workload,
            row.candidate,
            REPEAT_LIMIT * 100.0
        ))
    })
    .collect()
}

/// Machine, rounds and doubts of every run.
fn measured(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "How it was measured");
    let mut machines: Vec<String> = Vec::new();
    for each in &evaluation.runs {
        let machine = &each.run.machine;
        let line = format!(
            "{}, {} cores, {} GiB, Linux {}{}{}; bespoke {}",
            machine.cpu,
            machine.cores,
            number(machine.memory_bytes as f64 / f64::from(1 << 30)),
            machine.kernel,
            if machine.virtual_machine {
                ", itself a virtual machine"
            } else {
                ""
            },
            if machine.kvm {
                ", with KVM"
            } else {
                ", without KVM"
            },
            machine.bespoke
        );
        if !machines.contains(&line) {
            machines.push(line);
        }
    }
    page.list(
        &machines
            .iter()
            .map(|line| format!("{line}."))
            .collect::<Vec<_>>(),
    );
    let heads = [
        "step",
        "app",
        "monitor",
        "rounds",
        "began (UTC)",
        "measurements",
    ]
    .map(String::from);
    let rows: Vec<Vec<String>> = evaluation
        .runs
        .iter()
        .map(|each| {
            let run = &each.run;
            vec![
                each.step.clone(),
                run.app.clone(),
                run.monitor.clone(),
                run.rounds.to_string(),
                run.started.clone(),
                run.measurements.len().to_string(),
            ]
        })
        .collect();
    page.table(&heads, &rows);
    let doubts: Vec<String> = evaluation
        .runs
        .iter()
        .flat_map(|each| {
            let doubts = each.run.doubts().into_iter();
            doubts.map(|doubt| format!("{}: {}.", each.step, say::brief(&doubt)))
        })
        .collect();
    if doubts.is_empty() {
        page.paragraph("No caveats: the machine was steady, and no run was too short.");
    } else {
        page.paragraph("Caveats:");
        page.list(&doubts);
    }
}
