//! The results as tables for people. Owns nothing; prints only what was measured.

use super::parts::{ImageSize, Results, SmallestMemory, heap_spread, winner};
use super::{Figure, NATIVE, US_PER_REQUEST};
use crate::measure::{Comparison, EFFECT_FLOOR, SIGNIFICANCE};
use crate::table::{Align, Table};

const MIB: f64 = (1 << 20) as f64;

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn against(comparison: Option<Comparison>) -> String {
    match comparison {
        None => "reference".into(),
        Some(Comparison {
            ratio,
            different: true,
            p,
        }) => format!("{ratio:.2}x (p={p:.3})"),
        Some(Comparison { ratio, p, .. }) => format!("{ratio:.2}x, no difference found (p={p:.3})"),
    }
}

/// Prints one figure. What is measured as time per request is read as requests in a second.
pub fn figure(figure: &Figure) {
    let is_rate = figure.unit == US_PER_REQUEST;
    let unit = if is_rate { "requests/s" } else { figure.unit };
    println!(
        "\n{} [{unit}], {} rounds; ratios against {}",
        figure.name,
        rounds(figure),
        figure.reference
    );
    let shown = |value: f64| number(if is_rate { 1e6 / value } else { value });
    let mut table = Table::new(&[
        ("heap", Align::Left),
        ("median", Align::Right),
        ("quartiles", Align::Right),
        ("times better", Align::Left),
    ]);
    for row in &figure.rows {
        let best = if figure.best.contains(&row.name) {
            "*"
        } else {
            ""
        };
        let (low, high) = if is_rate {
            (row.summary.high, row.summary.low)
        } else {
            (row.summary.low, row.summary.high)
        };
        table.row([
            format!("{}{best}", row.name),
            shown(row.summary.median),
            format!("{} .. {}", shown(low), shown(high)),
            against(row.against_reference),
        ]);
    }
    table.print();
    if let Some(spread) = heap_spread(figure) {
        println!(
            "slowest heap over fastest: {spread:.2}x; best (*): {}",
            winner(figure)
        );
    }
}

fn rounds(figure: &Figure) -> usize {
    figure.rows.first().map_or(0, |row| row.summary.rounds)
}

/// Prints everything that was measured.
pub fn print(results: &Results) {
    println!("monitor: {}", results.monitor);
    for each in &results.figures {
        figure(each);
    }
    if !results.memory.is_empty() {
        memory(&results.memory);
    }
    if !results.sizes.is_empty() {
        sizes(&results.sizes);
    }
    if let Some(slowest) = results.rebuild_s.iter().copied().max_by(f64::total_cmp) {
        println!(
            "\nproviding the SQLite image of a heap: {slowest:.1} s at most, over {} heaps",
            results.rebuild_s.len()
        );
    }
    rule();
}

/// Says what a difference is.
pub fn rule() {
    println!(
        "\n\"difference\" needs p < {SIGNIFICANCE} in a paired permutation test over interleaved rounds and an effect above {:.0} %.",
        EFFECT_FLOOR * 100.0
    );
}

/// Prints the smallest memories.
pub fn memory(rows: &[SmallestMemory]) {
    println!("\nsmallest memory to pass the workload");
    let mut table = Table::new(&[
        ("workload", Align::Left),
        ("heap", Align::Left),
        ("MiB", Align::Right),
    ]);
    for row in rows {
        let bytes = row.bytes.map_or_else(
            || "more than 1024".into(),
            |bytes| format!("{:.2}", bytes as f64 / MIB),
        );
        let heap = if row.heap == NATIVE {
            "native: peak RSS (and database)".into()
        } else {
            row.heap.clone()
        };
        table.row([row.workload.clone(), heap, bytes]);
    }
    table.print();
}

fn sizes(rows: &[ImageSize]) {
    println!("\nsize of the stripped image");
    let mut table = Table::new(&[
        ("app", Align::Left),
        ("heap", Align::Left),
        ("MiB", Align::Right),
    ]);
    for row in rows {
        table.row([
            row.app.clone(),
            row.heap.clone(),
            format!("{:.3}", row.bytes as f64 / MIB),
        ]);
    }
    table.print();
}
