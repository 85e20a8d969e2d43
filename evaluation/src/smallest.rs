//! The smallest memory with which an app passes its workload.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::page::failures;
use crate::page::lacking;
use crate::page::medians;
use crate::published::{BASELINE, SMALLEST_MB};
use crate::say::{self, median};
use bespoke_bench::Column;

/// The workload of each app, in the order of the table; the first of an app is the one that stands beside the published.
const WORKLOADS: [(&str, &str); 5] = [
    ("hello", "hello"),
    ("sqlite", "inserts-1000"),
    ("sqlite", "inserts-60000"),
    ("nginx", "small"),
    ("redis", "get"),
];
const MIB: f64 = (1 << 20) as f64;

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "The smallest memory");
    page.paragraph(
        "With less memory, the workload itself fails. A run must print the right last line; a server must answer every key or page \
         right, before and after a second of load. The steps are 64 KiB. The value of the native program is its resident size \
         (and its files), beside an operating system.",
    );
    let found: Vec<(&str, &str, &Column)> = WORKLOADS
        .iter()
        .filter_map(|(app, workload)| {
            let column = evaluation.column(app, workload, "minimum_memory")?;
            Some((*app, *workload, column))
        })
        .collect();
    if found.is_empty() {
        return lacking(page, "the smallest memory of any app");
    }
    let columns: Vec<(String, &Column)> = found
        .iter()
        .map(|(app, workload, column)| (format!("{app}, {workload}"), *column))
        .collect();
    medians(page, &columns, &[]);
    page.list(&failures(&columns));
    let mut sentences = Vec::new();
    let mut compared = Vec::new();
    for (app, workload, column) in &found {
        let Some(best) = say::best(column) else {
            continue;
        };
        let challenger = say::best_besides(column, BASELINE).unwrap_or(best);
        let versus = say::versus(column, challenger, BASELINE);
        let mut line = format!("{app}, {workload}: {versus}");
        let published = SMALLEST_MB.iter().find(|(name, _)| name == app);
        if let (Some((_, megabytes)), Some(bytes), false) =
            (published, median(column, best), compared.contains(app))
        {
            compared.push(app);
            let ours = bytes / MIB;
            let side = if ours <= *megabytes {
                "not more than"
            } else {
                "more than"
            };
            line +=
                &format!("; {ours:.2} MiB with {best}, {side} the {megabytes:.0} MB of EuroSys'21");
        }
        sentences.push(line + ".");
    }
    page.list(&sentences);
}
