//! A trace's summary for reading, and as JSON.

use super::table::{Align, Table};
use bespoke_recipe::size;
use bespoke_report::Sites;
use bespoke_trace::{Buckets, Damage, Ending, Facts, Summary};
use serde_json::{Value, json};

const PLOT_ROWS: usize = 8;
const BAR: usize = 40;

/// Prints `summary` to standard output.
pub(crate) fn print(facts: &Facts, summary: &Summary, sites: &Sites) {
    println!(
        "{} {}\n{} on {}, {} of memory; {} events in {}\n",
        facts.app,
        facts.arguments.join(" "),
        facts.composition,
        facts.monitor,
        size::show(facts.memory_bytes),
        summary.events,
        time(seconds(facts, summary.cycles))
    );
    components(facts, summary);
    println!();
    histogram("bytes asked for", "grants", &summary.sizes, size::show);
    println!();
    histogram(
        "life in operations",
        "blocks",
        &summary.lives_in_events,
        |at| at.to_string(),
    );
    println!();
    histogram(
        "life in time",
        "blocks",
        &summary.lives_in_cycles,
        |cycles| time(seconds(facts, cycles)),
    );
    println!("{} blocks live at the end\n", summary.immortal);
    table_of_sites(facts, sites);
    println!();
    plot(facts, summary);
}

fn seconds(facts: &Facts, cycles: u64) -> f64 {
    cycles as f64 / 1e3 / facts.tsc_khz.max(1) as f64
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

fn components(facts: &Facts, summary: &Summary) {
    let mut table = Table::new(&[
        ("component", Align::Left),
        ("allocations", Align::Right),
        ("frees", Align::Right),
        ("reallocs", Align::Right),
        ("refused", Align::Right),
        ("unknown", Align::Right),
        ("requested", Align::Right),
        ("peak", Align::Right),
        ("peak blocks", Align::Right),
        ("at the end", Align::Right),
    ]);
    for (name, counts) in facts.components.iter().zip(&summary.components) {
        table.row([
            name.clone(),
            counts.allocations.to_string(),
            counts.frees.to_string(),
            counts.resizes.to_string(),
            counts.refused.to_string(),
            counts.unknown.to_string(),
            size::show(counts.requested_bytes),
            size::show(counts.peak_bytes),
            counts.peak_blocks.to_string(),
            size::show(counts.live_bytes),
        ]);
    }
    table.print();
}

/// Buckets between the first and the last that hold something.
fn used(buckets: &Buckets) -> std::ops::Range<usize> {
    let first = buckets.iter().position(|&count| count > 0).unwrap_or(0);
    first
        ..buckets
            .iter()
            .rposition(|&count| count > 0)
            .map_or(first, |last| last + 1)
}

fn histogram(
    what: &'static str,
    of: &'static str,
    buckets: &Buckets,
    show: impl Fn(u64) -> String,
) {
    let total: u64 = buckets.iter().sum();
    let most = buckets.iter().copied().max().unwrap_or(0).max(1);
    let mut table = Table::new(&[
        (what, Align::Right),
        (of, Align::Right),
        ("share", Align::Right),
        ("", Align::Left),
    ]);
    for bucket in used(buckets) {
        let count = buckets[bucket];
        table.row([
            format!("from {}", show(1 << bucket)),
            count.to_string(),
            format!("{:.1} %", count as f64 * 100.0 / total.max(1) as f64),
            "#".repeat((count as f64 * BAR as f64 / most as f64).ceil() as usize),
        ]);
    }
    table.print();
}

fn table_of_sites(facts: &Facts, sites: &Sites) {
    if let Some(hint) = &sites.hint {
        println!("{hint}");
    }
    let mut table = Table::new(&[
        ("grants", Align::Right),
        ("requested", Align::Right),
        ("at the end", Align::Right),
        ("component", Align::Left),
        ("call", Align::Left),
    ]);
    for named in &sites.top {
        table.row([
            named.site.grants.to_string(),
            size::show(named.site.requested_bytes),
            size::show(named.site.live_bytes),
            facts.components[usize::from(named.site.component)].clone(),
            named.name.clone(),
        ]);
    }
    table.print();
}

/// Live bytes over time, eight steps a row.
fn plot(facts: &Facts, summary: &Summary) {
    const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (width, points) = summary.live.points();
    let most = summary.peak_bytes.max(1);
    println!("live bytes, {} at most", size::show(summary.peak_bytes));
    for row in (0..PLOT_ROWS).rev() {
        let line: String = points
            .iter()
            .map(|&value| {
                let filled = (value as f64 * (PLOT_ROWS * 8) as f64 / most as f64).round() as usize;
                STEPS[filled.saturating_sub(row * 8).min(8)]
            })
            .collect();
        println!("|{}", line.trim_end());
    }
    let end = time(seconds(facts, width * points.len() as u64));
    println!("+{}", "-".repeat(points.len()));
    println!("0{end:>width$}", width = points.len());
}

/// The summary for programs. Sizes in bytes, times in nanoseconds.
pub(crate) fn json(
    facts: &Facts,
    summary: &Summary,
    sites: &Sites,
    result: Option<&Result<Ending, Damage>>,
) -> Value {
    let ns = |cycles: u64| (seconds(facts, cycles) * 1e9) as u64;
    let buckets = |buckets: &Buckets, show: &dyn Fn(u64) -> u64| -> Vec<Value> {
        used(buckets)
            .map(|bucket| json!({ "from": show(1 << bucket), "count": buckets[bucket] }))
            .collect()
    };
    let components = facts
        .components
        .iter()
        .zip(&summary.components)
        .map(|(name, counts)| {
            json!({
                "name": name,
                "allocations": counts.allocations,
                "frees": counts.frees,
                "reallocations": counts.resizes,
                "refused": counts.refused,
                "unknown": counts.unknown,
                "requested_bytes": counts.requested_bytes,
                "peak_bytes": counts.peak_bytes,
                "peak_blocks": counts.peak_blocks,
                "live_bytes": counts.live_bytes,
                "live_blocks": counts.live_blocks,
            })
        });
    let top = sites.top.iter().map(|named| {
        json!({
            "component": facts.components[usize::from(named.site.component)],
            "address": named.site.address,
            "call": named.name,
            "grants": named.site.grants,
            "requested_bytes": named.site.requested_bytes,
            "live_bytes": named.site.live_bytes,
        })
    });
    let (width, points) = summary.live.points();
    let ending = match result {
        Some(Ok(ending)) => json!({
            "whole": ending.cut_short.is_empty(),
            "reason": ending.cut_short,
            "waits": ending.waits,
            "status": ending.status,
        }),
        Some(Err(damage)) => json!({ "whole": false, "reason": damage.to_string() }),
        None => Value::Null,
    };
    json!({
        "app": facts.app,
        "arguments": facts.arguments,
        "composition": facts.composition,
        "monitor": facts.monitor,
        "memory_bytes": facts.memory_bytes,
        "tsc_khz": facts.tsc_khz,
        "events": summary.events,
        "time_ns": ns(summary.cycles),
        "ending": ending,
        "components": components.collect::<Vec<_>>(),
        "peak_bytes": summary.peak_bytes,
        "sizes": buckets(&summary.sizes, &|size| size),
        "size_bytes": buckets(&summary.size_bytes, &|size| size),
        "lives_in_operations": buckets(&summary.lives_in_events, &|count| count),
        "lives_in_ns": buckets(&summary.lives_in_cycles, &ns),
        "live_at_end": summary.immortal,
        "sites": top.collect::<Vec<_>>(),
        "live_bytes_over_time": { "step_ns": ns(width), "most": points },
    })
}
