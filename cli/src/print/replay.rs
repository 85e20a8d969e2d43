//! What came of a replay, for reading and as JSON.

use super::table::{Align, Table};
use bespoke_bench::replay::{Agreement, Outcome, Request, Results};
use bespoke_recipe::size;
use bespoke_replay::Usage;

fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".into(), show)
}

fn usage(outcome: &Outcome) -> Option<&Usage> {
    let able = outcome.failure.is_none();
    outcome.memory.as_ref()?.usage.as_ref().filter(|_| able)
}

/// Prints it to standard output.
pub(crate) fn print(request: &Request, results: &Results, agreements: &[Agreement]) {
    let mut table = Table::new(&[
        ("heap", Align::Left),
        ("instructions", Align::Right),
        ("cycles", Align::Right),
        ("from", Align::Right),
        ("to", Align::Right),
        ("granted", Align::Right),
        ("held", Align::Right),
        ("resident", Align::Right),
        ("internal", Align::Right),
        ("external", Align::Right),
        ("check", Align::Left),
    ]);
    for outcome in &results.outcomes {
        let cycles = outcome.summary().filter(|_| outcome.failure.is_none());
        let usage = usage(outcome);
        let bytes = |of: fn(&Usage) -> u64| or_dash(usage, |usage| size::show(of(usage)));
        let check = match &outcome.check {
            None => "-",
            Some(Ok(_)) => "sound",
            Some(Err(_)) => "failed",
        };
        table.row([
            outcome.heap.to_string(),
            or_dash(outcome.instructions, |count| format!("{count:.1}")),
            or_dash(cycles, |cycles| format!("{:.1}", cycles.median)),
            or_dash(cycles, |cycles| format!("{:.1}", cycles.low)),
            or_dash(cycles, |cycles| format!("{:.1}", cycles.high)),
            bytes(|usage| usage.granted_peak_bytes),
            bytes(|usage| usage.held_peak_bytes),
            bytes(|usage| usage.resident_peak_bytes),
            or_dash(usage, |usage| {
                share(usage.requested_peak_bytes, usage.granted_peak_bytes)
            }),
            or_dash(usage, |usage| {
                share(usage.granted_peak_bytes, usage.held_peak_bytes)
            }),
            check.to_string(),
        ]);
    }
    table.print();
    let operations = results
        .outcomes
        .iter()
        .filter_map(|outcome| outcome.memory.as_ref());
    if let Some(answer) = operations.max_by_key(|answer| answer.operations) {
        println!(
            "\n{} operations of {}, with {} of memory for each heap; costs are per operation (the range is the middle half of {} rounds), memory is at its peak",
            answer.operations,
            request.component,
            size::show(request.arena_bytes as u64),
            request.rounds
        );
        let skipped = answer.skipped.refused + answer.skipped.unknown;
        if skipped > 0 {
            println!(
                "skipped: {skipped} operations that failed, or whose block the trace does not contain"
            );
        }
    }
    match &results.uncounted {
        Some(why) => println!("no instructions: {why}"),
        None => println!(
            "instructions of the first {} events",
            request.counted_events
        ),
    }
    for outcome in &results.outcomes {
        if let Some(failure) = &outcome.failure {
            println!("{}: {failure}", outcome.heap);
        }
        if let Some(Err(reason)) = &outcome.check {
            println!("{} under the shadow model: {reason}", outcome.heap);
        }
    }
    if !agreements.is_empty() {
        println!();
        agree(agreements);
    }
}

/// What is lost from `used` of `taken`.
fn share(used: u64, taken: u64) -> String {
    let lost = taken.saturating_sub(used) as f64;
    format!("{:.1} %", lost * 100.0 / taken.max(1) as f64)
}

fn agree(agreements: &[Agreement]) {
    let mut table = Table::new(&[
        ("workload", Align::Left),
        ("metric", Align::Left),
        ("replay", Align::Left),
        ("heaps", Align::Right),
        ("correlation", Align::Right),
        ("p", Align::Right),
        ("worst/best", Align::Right),
        ("best", Align::Left),
        ("best in replay", Align::Left),
    ]);
    for agreement in agreements {
        table.row([
            agreement.workload.clone(),
            agreement.metric.clone(),
            agreement.replay.clone(),
            agreement.rank.count.to_string(),
            format!("{:+.2}", agreement.rank.correlation),
            agreement.rank.shown_p(),
            format!("{:.2}", agreement.spread),
            agreement.best.clone(),
            agreement.best_in_replay.clone(),
        ]);
    }
    table.print();
}
