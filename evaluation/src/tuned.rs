//! What `bespoke tune` chooses, and whether its choice loses to any heap that is used everywhere.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::evaluation::Measured;
use crate::page::lacking;
use crate::say;
use bespoke_bench::Column;
use bespoke_bench::tune::{self, SearchReport};

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "What tune chooses");
    page.paragraph(
        "What `bespoke tune APP --for GOAL` prints: what won against the recipe's heaps, by how much, how sure that is, what it \
         costs in other metrics, and what was close. [guide/tune.md](guide/tune.md) explains the search.",
    );
    if evaluation.searches.is_empty() {
        lacking(page, "any search");
    }
    for told in evaluation.searches.values() {
        page.heading(3, &tune::head(&told.app, &told.search));
        page.list(&told_lines(told));
    }
    page.heading(3, "The choice against each heap used everywhere");
    let lines: Vec<String> = evaluation.of_choices().flat_map(rivals).collect();
    if lines.is_empty() {
        return lacking(page, "a choice against each heap in all components");
    }
    page.list(&lines);
}

fn told_lines(told: &SearchReport) -> Vec<String> {
    let lines = tune::lines(&told.search).into_iter();
    lines
        .map(|line| match line.split_once(' ') {
            Some((what, words)) => format!("{what}: {}", words.trim_start()),
            None => line,
        })
        .collect()
}

/// A sentence for each workload of a step, about the metric that its goal names.
fn rivals(step: &Measured) -> Vec<String> {
    let Some(chosen) = step.run.candidates.first() else {
        return Vec::new();
    };
    let goal = step.step.rsplit('-').next().unwrap_or_default();
    let columns = step.columns.iter();
    columns
        .filter(|column| column.component.is_none() && column.metric.id == goal)
        .map(|column| rival(&step.run.app, column, &chosen.label))
        .collect()
}

fn rival(app: &str, column: &Column, chosen: &str) -> String {
    let others = || {
        let rows = column.rows.iter();
        rows.map(|row| &row.candidate[..])
            .filter(|name| *name != chosen)
    };
    let ahead: Vec<String> = others()
        .filter(|other| {
            say::comparison(column, chosen, other)
                .is_some_and(|found| found.different && found.ratio < 1.0)
        })
        .map(|other| say::versus(column, chosen, other))
        .collect();
    let head = format!("{app}, {}, {}", column.workload, column.metric.title);
    if !ahead.is_empty() {
        return format!("{head}: the choice loses. {}.", ahead.join("; "));
    }
    let best = say::best_besides(column, chosen);
    let beside = best.map_or_else(
        || "none of them serves the workload".into(),
        |best| say::versus(column, chosen, best),
    );
    format!(
        "{head}: the choice loses to no heap used everywhere; compared with the best of them: {beside}."
    )
}
