//! Where the time of a start goes: the phases of the boot time line as stacked bars.

use super::Plot;
use super::chart::{Bar, Title, stacked};
use bespoke_bench::Column;

/// Phases from the first guest instruction on, in order, and their names in the legend.
const PHASES: [(&str, &str); 5] = [
    ("boot.pages", "page source"),
    ("boot.heaps", "heaps"),
    ("boot.files", "files, stack"),
    ("boot.libc", "C library"),
    ("boot.app", "main() to listen()"),
];

/// A bar for each candidate, for the workload that `columns` are of; `None` when no phase was measured.
pub fn phases(workload: &str, columns: &[&Column]) -> Option<Plot> {
    let present: Vec<(&Column, &str)> = PHASES
        .iter()
        .filter_map(|(id, name)| {
            Some((
                *columns.iter().find(|column| column.metric.id == *id)?,
                *name,
            ))
        })
        .collect();
    let (first, _) = present.first()?;
    let candidates = first
        .rows
        .iter()
        .filter(|row| !row.native && row.summary.is_some());
    let bars: Vec<Bar> = candidates
        .map(|row| Bar {
            label: row.candidate.clone(),
            parts: present
                .iter()
                .map(|(column, _)| median(column, &row.candidate))
                .collect(),
        })
        .collect();
    let names: Vec<&str> = present.iter().map(|(_, name)| *name).collect();
    let title = Title {
        text: format!("{workload}: start of the image, us"),
        description:
            "Medians of the phases from the first guest instruction to ready, one bar a heap."
                .into(),
    };
    Some(Plot {
        name: format!("boot-{workload}"),
        chart: stacked(&title, &names, &bars),
        title,
        note: "Medians of each phase; a sum of medians need not be the median of the sum.".into(),
    })
}

/// Median of a phase; a phase that a candidate did not report took nothing.
fn median(column: &Column, candidate: &str) -> f64 {
    let summary = column.row(candidate).and_then(|row| row.summary);
    summary.map_or(0.0, |summary| summary.median)
}
