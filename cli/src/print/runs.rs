//! A run as tables for people: heaps by metrics, and one metric in detail. Owns nothing; marks nobody best whom
//! the test does not.

use super::table::{Align, Table};
use bespoke_bench::{Column, Comparison, EFFECT_FLOOR, RunRecord, SIGNIFICANCE, show};
use std::env;

/// Characters of a line where the terminal does not say (`COLUMNS`).
const WIDTH: usize = 110;

/// Prints heaps by metrics, a table or more for each workload, then what is to be doubted and what failed.
pub(crate) fn print(run: &RunRecord) {
    println!(
        "{} on {}, {} rounds at most, {}",
        run.app, run.monitor, run.rounds, run.started
    );
    let columns = run.columns();
    for workload in &run.workloads {
        let own: Vec<&Column> = columns
            .iter()
            .filter(|column| column.workload == workload.name)
            .collect();
        println!("\n{}: {}", workload.name, workload.title);
        if own.is_empty() {
            println!("nothing was measured");
        }
        for chunk in chunks(&own) {
            table(run, chunk).print();
        }
    }
    notes(run);
}

/// Prints each metric alone: middle, quartiles, and how it compares with the reference.
pub(crate) fn detail(run: &RunRecord) {
    for column in run.columns() {
        println!(
            "\n{}, {} [{}]: {}; ratios against {}",
            column.workload,
            heading(&column),
            column.metric.unit,
            column.metric.title,
            run.reference
        );
        let mut table = Table::new(&[
            ("heap", Align::Left),
            ("median", Align::Right),
            ("quartiles", Align::Right),
            ("rounds", Align::Right),
            ("times better", Align::Left),
        ]);
        for row in &column.rows {
            let unit = &column.metric.unit;
            let [median, quartiles, rounds] = match row.summary {
                None => ["-".into(), String::new(), String::new()],
                Some(summary) => [
                    show(summary.median, unit),
                    format!(
                        "{} .. {}",
                        show(summary.low, unit),
                        show(summary.high, unit)
                    ),
                    summary.rounds.to_string(),
                ],
            };
            let against = match (&row.failure, row.candidate == run.reference) {
                (Some(_), _) => "failed".into(),
                (None, true) => "reference".into(),
                (None, false) => against(row.against_reference),
            };
            let name = format!("{}{}", row.candidate, mark(&column, &row.candidate));
            table.row([name, median, quartiles, rounds, against]);
        }
        table.print();
    }
    notes(run);
}

fn notes(run: &RunRecord) {
    println!(
        "\n* better than every other heap; = not distinguishable from the best. A difference needs p < {SIGNIFICANCE} in a paired\npermutation test over interleaved rounds and an effect above {:.0} %; exact metrics need only the effect.",
        EFFECT_FLOOR * 100.0
    );
    for (workload, candidate, reason) in run.failures() {
        println!("failed: {workload} with {candidate}: {reason}");
    }
    for doubt in run.doubts() {
        println!("caveat: {doubt}");
    }
}

fn heading(column: &Column) -> String {
    match &column.component {
        None => column.metric.id.clone(),
        Some(component) => format!("{}@{component}", column.metric.id),
    }
}

fn mark(column: &Column, candidate: &str) -> &'static str {
    let rivals = column.rows.iter().filter(|row| !row.native).count();
    match column.winner() {
        Some(winner) if winner == candidate => "*",
        None if column.best.len() > 1
            && column.best.len() < rivals
            && column.best.iter().any(|label| label == candidate) =>
        {
            "="
        }
        _ => "",
    }
}

fn table(run: &RunRecord, columns: &[&Column]) -> Table {
    let headings: Vec<String> = columns.iter().map(|column| heading(column)).collect();
    let mut header = vec![("heap", Align::Left)];
    header.extend(headings.iter().map(|text| (&text[..], Align::Right)));
    let mut table = Table::new(&header);
    for candidate in &run.candidates {
        let mut cells = vec![candidate.label.clone()];
        for column in columns {
            cells.push(cell(column, &candidate.label));
        }
        table.cells(cells);
    }
    let mut verdicts = vec!["best ahead by".to_string()];
    verdicts.extend(columns.iter().map(|column| verdict(column)));
    table.cells(verdicts);
    table
}

fn cell(column: &Column, candidate: &str) -> String {
    let Some(row) = column.row(candidate) else {
        return "-".into();
    };
    match (&row.failure, row.summary) {
        (Some(_), _) => "failed".into(),
        (None, None) => "-".into(),
        // Every cell has room for a mark, so that numbers line up.
        (None, Some(summary)) => {
            let mark = mark(column, candidate);
            let value = show(summary.median, &column.metric.unit);
            format!("{value}{}", if mark.is_empty() { " " } else { mark })
        }
    }
}

/// How far the winner is ahead of the next, or that there is none.
fn verdict(column: &Column) -> String {
    let rivals: Vec<_> = column.rows.iter().filter(|row| !row.native).collect();
    let Some(winner) = column.winner().and_then(|label| column.row(label)) else {
        return if rivals.len() > 1 && column.best.len() > 1 {
            "no difference ".into()
        } else {
            String::new()
        };
    };
    let exact = column.metric.pass.is_exact();
    let next = rivals
        .iter()
        .filter(|row| row.candidate != winner.candidate && row.failure.is_none())
        .filter_map(|row| winner.compare(row, column.metric.better, exact))
        .map(|comparison| comparison.ratio)
        .min_by(f64::total_cmp);
    next.map_or_else(String::new, |ratio| format!("{ratio:.2}x "))
}

fn against(comparison: Option<Comparison>) -> String {
    match comparison {
        None => String::new(),
        Some(Comparison {
            ratio,
            different: true,
            p,
        }) => format!("{ratio:.2}x (p={p:.3})"),
        Some(Comparison { ratio, p, .. }) => format!("{ratio:.2}x, no difference found (p={p:.3})"),
    }
}

/// As many columns to a table as a line has room for.
fn chunks<'a>(columns: &'a [&'a Column]) -> Vec<&'a [&'a Column]> {
    let width = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let width: usize = width.unwrap_or(WIDTH);
    let labels = columns
        .iter()
        .flat_map(|column| column.rows.iter().map(|row| row.candidate.len()));
    let first = labels.max().unwrap_or(0).max("best ahead by".len());
    let mut found = Vec::new();
    let (mut start, mut used) = (0, first);
    for (index, column) in columns.iter().enumerate() {
        let cells = column
            .rows
            .iter()
            .map(|row| cell(column, &row.candidate).len());
        let wide = cells
            .chain([heading(column).len(), verdict(column).len()])
            .max()
            .unwrap_or(0)
            + 2;
        if used + wide > width && index > start {
            found.push(&columns[start..index]);
            (start, used) = (index, first);
        }
        used += wide;
    }
    if start < columns.len() {
        found.push(&columns[start..]);
    }
    found
}
