//! The page. Owns its order; must never hold a claim about what was measured: such sentences are made from the metrics, by
//! [`crate::say`].

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::{checks, headline, replays, say, servers, smallest, sqlite, start, tuned};
use bespoke_bench::{Column, Row};
use bespoke_report::{chart::number, unit};

/// The whole page; its plots lie in `folder`, as seen from the page.
pub(crate) fn page(evaluation: &Evaluation, folder: &str) -> Document {
    let mut page = Document::new(folder);
    page.heading(1, "Results");
    page.paragraph(
        "This page redoes two evaluations on Bespoke: that of *the seed* (Lefeuvre, 2020), on which Bespoke builds, and that of its \
         publication with Unikraft (EuroSys'21). The program `bespoke-evaluation` makes the page, its plots, and every sentence \
         with a number in it from the raw data in [results/data](results/data). `make results` measures anew. \
         [guide/read-a-benchmark.md](guide/read-a-benchmark.md) explains the metrics. Two heaps are called different only by the \
         rule of that page: a paired permutation test with p < 0.01, and an effect above 3 %. ★ marks a value that nothing was \
         found to be better than.",
    );
    page.paragraph(
        "The published values come from other machines and another library OS. They stand beside ours to show what there is to \
         gain; only ratios and orders are compared. Here one heap serves `malloc`, and the rest of the image keeps the recipe's \
         heaps; there one heap served everything.",
    );
    headline::section(&mut page, evaluation);
    start::section(&mut page, evaluation);
    sqlite::section(&mut page, evaluation);
    servers::section(&mut page, evaluation);
    smallest::section(&mut page, evaluation);
    tuned::section(&mut page, evaluation);
    replays::section(&mut page, evaluation);
    checks::section(&mut page, evaluation);
    page
}

/// Medians of columns, a row a candidate, each with the mark of the best. `names` head the columns.
pub(crate) fn medians(
    page: &mut Document,
    columns: &[(String, &Column)],
    published: &[(String, Published)],
) {
    let mut heads = vec![String::new()];
    heads.extend(
        columns
            .iter()
            .map(|(name, column)| format!("{name} [{}]", unit(column).name)),
    );
    heads.extend(published.iter().map(|(name, _)| name.clone()));
    let mut candidates: Vec<&str> = Vec::new();
    for row in columns.iter().flat_map(|(_, column)| &column.rows) {
        if !candidates.contains(&&row.candidate[..]) {
            candidates.push(&row.candidate);
        }
    }
    let rows: Vec<Vec<String>> = candidates
        .iter()
        .map(|candidate| {
            let mut cells = vec![(*candidate).to_string()];
            cells.extend(columns.iter().map(|(_, column)| cell(column, candidate)));
            cells.extend(published.iter().map(|(_, values)| {
                let found = values.iter().find(|(name, _)| name == candidate);
                found.map_or_else(String::new, |(_, value)| number(*value))
            }));
            cells
        })
        .collect();
    page.table(&heads, &rows);
}

/// Values by candidate.
pub(crate) type Published = Vec<(&'static str, f64)>;

fn cell(column: &Column, candidate: &str) -> String {
    let Some(row) = column.row(candidate) else {
        return "–".into();
    };
    match row {
        Row {
            failure: Some(_), ..
        } => "fails".into(),
        Row { summary: None, .. } => "–".into(),
        Row {
            summary: Some(summary),
            ..
        } => {
            let star = if column.best.iter().any(|name| name == candidate) {
                " ★"
            } else {
                ""
            };
            format!("{}{star}", unit(column).show(summary.median))
        }
    }
}

/// A sentence for each heap that fails a workload.
pub(crate) fn failures(columns: &[(String, &Column)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, column) in columns {
        for row in &column.rows {
            if let Some(reason) = &row.failure {
                found.push(format!(
                    "{} fails in {name}: {}.",
                    row.candidate,
                    say::brief(reason)
                ));
            }
        }
    }
    found
}

/// Says that something was not measured.
pub(crate) fn lacking(page: &mut Document, what: &str) {
    page.paragraph(&format!("Not measured in these runs: {what}."));
}
