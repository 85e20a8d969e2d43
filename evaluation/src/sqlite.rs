//! SQLite: inserts from 10 to 100,000, and the workloads that exercise the heap.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::page::failures;
use crate::page::lacking;
use crate::page::medians;
use crate::published::{BASELINE, SQLITE_60000_S, TINYALLOC_WINS_BELOW, UNIKRAFT_INSERT};
use crate::say::{self, median};
use bespoke_bench::Column;
use bespoke_report as report;

const APP: &str = "sqlite";
/// The size that was published.
const PUBLISHED: &str = "inserts-60000";
const NATIVE: &str = "native";

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "SQLite");
    page.paragraph("Autocommit inserts into a fresh database in memory. The time runs from before the process is started to after it has ended.");
    let curve = curve(evaluation);
    if curve.is_empty() {
        lacking(page, "SQLite's inserts");
    } else {
        let columns: Vec<(String, &Column)> = curve
            .iter()
            .map(|(count, column)| (count.to_string(), *column))
            .collect();
        medians(
            page,
            &columns,
            &[("60,000, EuroSys'21 [s]".into(), SQLITE_60000_S.to_vec())],
        );
        let rates: Vec<Column> = evaluation
            .of_app(APP)
            .flat_map(|each| &each.columns)
            .filter(|column| column.metric.id == "throughput")
            .cloned()
            .collect();
        for plot in report::curves("throughput", &rates) {
            page.plot("sqlite-inserts", &plot);
        }
        page.list(&failures(&columns));
        page.list(&of_curve(&curve));
    }
    others(page, evaluation);
    instructions(page, evaluation);
}

/// The time of each size that was measured, by size.
fn curve(evaluation: &Evaluation) -> Vec<(u64, &Column)> {
    let columns = evaluation
        .of_app(APP)
        .flat_map(|each| &each.columns)
        .filter(|column| column.metric.id == "time");
    let sized = columns.filter_map(|column| {
        let count = column.workload.strip_prefix("inserts-")?.parse().ok()?;
        Some((count, column))
    });
    let mut found: Vec<(u64, &Column)> = sized.collect();
    found.sort_by_key(|(count, _)| *count);
    found
}

fn of_curve(curve: &[(u64, &Column)]) -> Vec<String> {
    let mut found = Vec::new();
    for (count, column) in curve {
        let Some(best) = say::best(column) else {
            continue;
        };
        let mut line = format!(
            "{count} inserts: {}; {}",
            say::winners(column),
            say::versus(column, best, NATIVE)
        );
        if *count < TINYALLOC_WINS_BELOW {
            let wins = match (
                column.winner(),
                column.best.iter().any(|one| one == "tinyalloc"),
            ) {
                (Some("tinyalloc"), _) => "is reproduced",
                (_, true) => {
                    "is not shown, because tinyalloc is among those that cannot be told apart"
                }
                (_, false) => "is not reproduced",
            };
            line += &format!(
                ". EuroSys'21 found that tinyalloc wins below {TINYALLOC_WINS_BELOW}; this {wins}"
            );
        }
        found.push(line + ".");
    }
    if let Some((_, column)) = curve
        .iter()
        .find(|(_, column)| column.workload == PUBLISHED)
    {
        found.extend(at_published(column));
    }
    found
}

fn at_published(column: &Column) -> Vec<String> {
    let seconds = |name: &str| {
        let found = SQLITE_60000_S.iter().find(|(heap, _)| *heap == name);
        found.map_or(f64::NAN, |(_, seconds)| *seconds)
    };
    let mut found = vec![
        format!(
            "60,000 inserts, mimalloc against {BASELINE} (EuroSys'21: {:.2} times): {}.",
            seconds(BASELINE) / seconds("mimalloc"),
            say::versus(column, "mimalloc", BASELINE)
        ),
        format!(
            "60,000 inserts, mimalloc against {NATIVE} (EuroSys'21: {:.2} times): {}.",
            seconds(NATIVE) / seconds("mimalloc"),
            say::versus(column, "mimalloc", NATIVE)
        ),
    ];
    let published = SQLITE_60000_S.iter().filter(|(name, _)| *name != NATIVE);
    found.extend(say::order(column, published));
    found
}

/// Workloads besides the inserts.
fn others(page: &mut Document, evaluation: &Evaluation) {
    let mut columns = Vec::new();
    let mut sentences = Vec::new();
    for workload in ["speedtest1", "varied"] {
        for (metric, name) in [("time", "time"), ("memory", "memory in use")] {
            let Some(column) = evaluation.column(APP, workload, metric) else {
                continue;
            };
            columns.push((format!("{workload}, {name}"), column));
            if let (Some(best), true) = (say::best(column), metric == "time") {
                sentences.push(format!(
                    "{workload}: {}; {}; {}.",
                    say::winners(column),
                    say::versus(
                        column,
                        say::best_besides(column, BASELINE).unwrap_or(best),
                        BASELINE
                    ),
                    say::versus(column, best, NATIVE)
                ));
            }
        }
    }
    if columns.is_empty() {
        return lacking(
            page,
            "SQLite's speedtest1 and the statements of varied sizes",
        );
    }
    page.heading(3, "Workloads that exercise the heap");
    page.paragraph(
        "`speedtest1` is SQLite's own benchmark; `varied` builds, sorts and discards strings of many sizes. Memory of the \
         native program is its resident size plus its files.",
    );
    medians(page, &columns, &[]);
    page.list(&failures(&columns));
    page.list(&sentences);
}

fn instructions(page: &mut Document, evaluation: &Evaluation) {
    let counted = ["inserts-1000", PUBLISHED]
        .into_iter()
        .find_map(|workload| evaluation.column(APP, workload, "instructions"));
    let Some(column) = counted else {
        return lacking(page, "instructions of an insert");
    };
    page.heading(3, "Instructions of an insert");
    page.paragraph(
        "QEMU counts them from `main()` to the end. The counts are the same on any machine.",
    );
    medians(page, &[(column.workload.clone(), column)], &[]);
    let (Some(best), Some(worst)) = (say::best(column), say::worst(column)) else {
        return;
    };
    let (Some(least), Some(most)) = (median(column, best), median(column, worst)) else {
        return;
    };
    let (from, to) = UNIKRAFT_INSERT;
    page.list(&[format!(
        "They range from {least:.0} with {best} to {most:.0} with {worst}, {:.2} times as many. Unikraft 0.17 takes {from:.0} to \
         {to:.0} with any heap, which is {:.1} times our largest count. The heap does so little of the work of an insert that it \
         can change no more than that.",
        most / least,
        from / most
    )]);
}
