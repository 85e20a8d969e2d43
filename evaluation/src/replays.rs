//! Whether a replay of a trace ranks the heaps as real runs do.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::page::lacking;
use crate::say::{self, median};
use bespoke_bench::Column;
use bespoke_bench::replay::{Agreement, ReplayRecord, against};
use bespoke_report as report;

/// Figures that a heap may change. Others, such as phases of the start, are not of the traced operations.
const FIGURES: [&str; 7] = [
    "throughput",
    "latency.p99",
    "instructions",
    "memory",
    "peak_held",
    "resident.peak",
    "minimum_memory",
];

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "Does a replay rank heaps as real runs do?");
    page.paragraph(
        "The allocations of each workload were traced once and replayed against every heap, without the application. The ranking by \
         each measure of the replay is compared with that of the images. p tells how often chance alone would agree or disagree \
         as much. Where *worst/best* is near 1, the real run has hardly a ranking to agree with.",
    );
    if evaluation.replays.is_empty() {
        return lacking(page, "replays");
    }
    for replay in evaluation.replays.values() {
        one(page, evaluation, replay);
    }
}

fn one(page: &mut Document, evaluation: &Evaluation, replay: &ReplayRecord) {
    let workload = replay.workload.clone().unwrap_or_default();
    page.heading(3, &format!("{}, {workload}", replay.app));
    let operations = replay
        .heaps
        .iter()
        .filter_map(|heap| heap.memory.as_ref())
        .map(|memory| memory.operations)
        .max()
        .unwrap_or(0);
    page.paragraph(&format!(
        "{operations} operations of the component {}.",
        replay.component
    ));
    let mut found: Vec<(Agreement, &Column)> = Vec::new();
    for each in evaluation.of_app(&replay.app) {
        for agreement in against(replay, &each.run) {
            let column = each.columns.iter().find(|column| {
                column.workload == agreement.workload
                    && column.metric.id == agreement.metric
                    && column.component == agreement.component
            });
            let wanted = FIGURES.contains(&&agreement.metric[..]);
            found.extend(column.filter(|_| wanted).map(|column| (agreement, column)));
        }
    }
    let heads = [
        "real run",
        "replay",
        "heaps",
        "Spearman",
        "p",
        "worst/best",
        "best",
        "best in replay",
    ]
    .map(String::from);
    let rows: Vec<Vec<String>> = found.iter().map(|(agreement, _)| row(agreement)).collect();
    page.table(&heads, &rows);
    for plot in report::replay_memory(replay)
        .into_iter()
        .chain(report::replay_fragmentation(replay))
    {
        page.plot(&format!("replay-{}-{}", replay.app, plot.name), &plot);
        page.paragraph(&plot.note);
    }
    let failed = replay.heaps.iter().filter_map(|heap| {
        let reason = heap.failure.as_ref()?;
        Some(format!(
            "{} does not serve it: {}.",
            heap.heap,
            say::brief(reason)
        ))
    });
    page.list(&failed.collect::<Vec<_>>());
    page.list(&sentences(&found));
}

fn row(agreement: &Agreement) -> Vec<String> {
    let real = match &agreement.component {
        Some(component) => format!("{} ({component})", agreement.metric),
        None => agreement.metric.clone(),
    };
    vec![
        real,
        agreement.replay.clone(),
        agreement.rank.count.to_string(),
        format!("{:+.2}", agreement.rank.correlation),
        agreement.rank.shown_p(),
        format!("{:.2}", agreement.spread),
        agreement.best.clone(),
        agreement.best_in_replay.clone(),
    ]
}

fn sentences(found: &[(Agreement, &Column)]) -> Vec<String> {
    found
        .iter()
        .map(|(agreement, column)| sentence(agreement, column))
        .collect()
}

/// What a comparison of rankings comes to: do they agree, and what would choosing by the replay cost?
fn sentence(agreement: &Agreement, column: &Column) -> String {
    let mut line = format!(
        "{} by the replay's {}: {}",
        agreement.metric,
        agreement.replay,
        say::ranks(&agreement.rank)
    );
    let (best, chosen) = (&agreement.best, &agreement.best_in_replay);
    if best == chosen {
        line += &format!("; both put {best} first");
    } else if column.best.contains(chosen) {
        line += &format!(
            "; the replay puts {chosen} first, and nothing was found better in the real run"
        );
    } else if let (Some(best), Some(chosen)) = (median(column, best), median(column, chosen)) {
        let times = (best / chosen).max(chosen / best);
        line += &format!(
            "; **misleading**: the replay puts {} first, and {} is {times:.2} times better in the real run",
            agreement.best_in_replay, agreement.best
        );
    }
    line + "."
}
