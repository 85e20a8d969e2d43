//! The boot time line and the statistics page, for people and as JSON.

use crate::print::output;
use crate::print::table::{Align, Table};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::{BootPoint, ComponentStats, Label, StatsPage};
use bespoke_monitor::Outcome;
use bespoke_recipe::size;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The points of the time line, and what has happened when they are reached.
const POINTS: &[(BootPoint, &str, &str)] = &[
    (
        BootPoint::MonitorStart,
        "monitor_start",
        "monitor's first instruction",
    ),
    (
        BootPoint::MachineReady,
        "machine_ready",
        "machine built, image in memory",
    ),
    (BootPoint::Enter, "enter", "monitor enters the guest"),
    (
        BootPoint::FirstInstruction,
        "first_instruction",
        "first guest instruction",
    ),
    (BootPoint::Pages, "pages", "page source ready"),
    (BootPoint::Heaps, "heaps", "heaps started"),
    (BootPoint::Files, "files", "files unpacked, stack built"),
    (BootPoint::Main, "main", "main() entered"),
    (BootPoint::Ready, "ready", "ready for requests"),
    (BootPoint::Exit, "exit", "application ended"),
];

/// Prints what was asked for to standard error.
pub(crate) fn print(outcome: &Outcome, boot_time: bool, stats: bool, as_json: bool) {
    let text = match &outcome.stats {
        None => {
            "bespoke: the image destroyed its statistics page; there is nothing to report\n".into()
        }
        Some(page) if as_json => {
            output::json(&json(page, outcome.tsc_khz, boot_time, stats), true) + "\n"
        }
        Some(page) => {
            let boot_time = boot_time.then(|| time_line_table(page, outcome.tsc_khz));
            let stats = stats.then(|| self::stats(page));
            boot_time.unwrap_or_default() + &stats.unwrap_or_default()
        }
    };
    eprint!("{text}");
}

/// The time line, the statistics, or both.
pub(crate) fn json(page: &StatsPage, tsc_khz: u64, boot_time: bool, stats: bool) -> Value {
    let mut value = json!({});
    if boot_time {
        value["boot_us"] = time_line(page, tsc_khz)
            .into_iter()
            .map(|(name, _, us)| (name.to_string(), json!(us)))
            .collect();
    }
    if stats {
        value["stats"] = stats_json(page, tsc_khz);
    }
    value
}

fn time_line_table(page: &StatsPage, tsc_khz: u64) -> String {
    let mut table = Table::new(&[
        ("boot time", Align::Left),
        ("us", Align::Right),
        ("step", Align::Right),
    ]);
    let mut before = 0.0;
    for (_, words, us) in time_line(page, tsc_khz) {
        table.row([
            words.to_string(),
            format!("{us:.1}"),
            format!("+{:.1}", us - before),
        ]);
        before = us;
    }
    table.render()
}

/// Name, words and microseconds since the monitor's start, of the points that were reached.
fn time_line(page: &StatsPage, tsc_khz: u64) -> Vec<(&'static str, &'static str, f64)> {
    let start = page.boot[BootPoint::MonitorStart as usize].get();
    let reached = POINTS.iter().filter_map(|&(point, name, words)| {
        let tsc = page.boot[point as usize].get();
        (tsc != 0).then(|| {
            (
                name,
                words,
                // Of a machine whose counter began after we did, the start is below zero.
                tsc.wrapping_sub(start) as f64 * 1e3 / tsc_khz.max(1) as f64,
            )
        })
    });
    reached.collect()
}

fn text(label: &Label) -> String {
    let padded = label.padded();
    let end = padded
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(padded.len());
    String::from_utf8_lossy(&padded[..end]).into_owned()
}

/// What the heaps and the page source did, as a table and two lines.
pub(crate) fn stats(page: &StatsPage) -> String {
    let pages = |count: u64| size::show(count.saturating_mul(PAGE_BYTES as u64));
    let mut table = Table::new(&[
        ("component", Align::Left),
        ("heap", Align::Left),
        ("live", Align::Right),
        ("peak", Align::Right),
        ("requested", Align::Right),
        ("granted", Align::Right),
        ("allocations", Align::Right),
        ("frees", Align::Right),
        ("reallocs", Align::Right),
        ("failures", Align::Right),
        ("held", Align::Right),
        ("peak held", Align::Right),
    ]);
    for component in page.used_components() {
        table.row([
            text(&component.name),
            text(&component.heap),
            size::show(component.live_bytes.get()),
            size::show(component.peak_bytes.get()),
            size::show(component.requested_bytes.get()),
            size::show(component.granted_bytes.get()),
            component.allocations.get().to_string(),
            component.frees.get().to_string(),
            component.reallocations.get().to_string(),
            component.failures.get().to_string(),
            pages(component.held_pages.get()),
            pages(component.peak_pages.get()),
        ]);
    }
    let mut text = table.render();
    let source = &page.pages;
    let _ = writeln!(
        text,
        "pages  {} in all, {} at most in use, {} in use now, {} never touched, {} given back, {} cleared again, {} refusals",
        pages(source.total.get()),
        pages(source.high_water.get()),
        pages(source.held.get()),
        pages(source.untouched.get()),
        pages(source.given_back.get()),
        size::show(source.zeroed_bytes.get()),
        source.failures.get(),
    );
    let _ = writeln!(
        text,
        "calls  {} system calls, {} of them unknown, {} hypercalls",
        page.calls.get(),
        page.unknown_calls.get(),
        page.hypercalls.get(),
    );
    text
}

fn stats_json(page: &StatsPage, tsc_khz: u64) -> Value {
    let component = |stats: &ComponentStats| {
        json!({
            "name": text(&stats.name),
            "heap": text(&stats.heap),
            "requested_bytes": stats.requested_bytes.get(),
            "granted_bytes": stats.granted_bytes.get(),
            "live_bytes": stats.live_bytes.get(),
            "peak_bytes": stats.peak_bytes.get(),
            "allocations": stats.allocations.get(),
            "frees": stats.frees.get(),
            "reallocations": stats.reallocations.get(),
            "failures": stats.failures.get(),
            "held_pages": stats.held_pages.get(),
            "peak_pages": stats.peak_pages.get(),
            "start_us": stats.start_cycles.get() as f64 * 1e3 / tsc_khz.max(1) as f64,
        })
    };
    let pages = &page.pages;
    json!({
        "components": page.used_components().iter().map(component).collect::<Vec<_>>(),
        "pages": {
            "total": pages.total.get(),
            "held": pages.held.get(),
            "high_water": pages.high_water.get(),
            "untouched": pages.untouched.get(),
            "given_back": pages.given_back.get(),
            "failures": pages.failures.get(),
            "zeroed_bytes": pages.zeroed_bytes.get(),
        },
        "calls": page.calls.get(),
        "unknown_calls": page.unknown_calls.get(),
        "hypercalls": page.hypercalls.get(),
    })
}
