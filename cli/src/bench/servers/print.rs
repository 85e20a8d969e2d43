//! A server's results as tables for people. Owns nothing; prints only what was measured.

use super::{Many, Repeats, Results};
use crate::bench::print::{figure, memory, rule};
use crate::table::{Align, Table};

/// Prints everything that was measured.
pub fn print(results: &Results) {
    println!("{}, monitor: {}", results.app, results.monitor);
    results.figures.iter().for_each(figure);
    if !results.memory.is_empty() {
        memory(&results.memory);
    }
    if !results.many.is_empty() {
        many(&results.many);
    }
    if !results.repeats.is_empty() {
        repeats(&results.repeats);
    }
    if !results.figures.is_empty() {
        rule();
    }
}

fn many(rows: &[Many]) {
    println!("\n1,000 connections, every request answered");
    let mut table = Table::new(&[
        ("heap", Align::Left),
        ("request", Align::Left),
        ("30 connections/s", Align::Right),
        ("1,000 connections/s", Align::Right),
        ("ratio", Align::Right),
    ]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.request.clone(),
            format!("{:.0}", row.few_per_second),
            format!("{:.0}", row.many_per_second),
            format!("{:.2}", row.many_per_second / row.few_per_second),
        ]);
    }
    table.print();
}

fn repeats(rows: &[Repeats]) {
    println!("\nthe same load in a row on one server");
    let mut table = Table::new(&[
        ("heap", Align::Left),
        ("request", Align::Left),
        ("first/s", Align::Right),
        ("last/s", Align::Right),
        ("last over first", Align::Right),
        ("slowest/s", Align::Right),
    ]);
    for row in rows {
        let (Some(first), Some(last)) = (row.per_second.first(), row.per_second.last()) else {
            continue;
        };
        let slowest = row.per_second.iter().copied().fold(f64::INFINITY, f64::min);
        table.row([
            row.name.clone(),
            row.request.clone(),
            format!("{first:.0}"),
            format!("{last:.0}"),
            format!("{:.3}", last / first),
            format!("{slowest:.0}"),
        ]);
    }
    table.print();
}
