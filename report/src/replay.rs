//! What is shown of a replay: memory and fragmentation over the trace, a line a heap, and its table.

use super::chart::{Line, Title, lines, number};
use super::{Part, Plot, Section};
use bespoke_bench::replay::{HeapRecord, ReplayRecord};
use bespoke_recipe::size;
use bespoke_replay::{Fragmentation, Usage};
use maud::{Markup, html};

const MIB: f64 = (1 << 20) as f64;
/// A heap whose pages are so many times those of the median heap is named instead of drawn: its line would press all
/// others flat.
const OUTSIZE: f64 = 4.0;
/// Where less than this share of the peak is asked for, a ratio to it says nothing.
const LEAST_SHARE: f64 = 0.05;

/// Everything that is shown of `replay`.
pub fn replay(replay: &ReplayRecord) -> Part {
    let sections = vec![
        Section {
            heading: "Memory over time",
            text: html! { p { "What each heap makes of the same operations, without the application around it." } },
            plots: memory(replay),
            is_detail: false,
        },
        Section {
            heading: "Fragmentation over time",
            text: html! {},
            plots: fragmentation(replay),
            is_detail: false,
        },
        Section {
            heading: "Costs and peaks",
            text: table(replay),
            plots: Vec::new(),
            is_detail: false,
        },
    ];
    let introduction = html! {
        p {
            "A trace of " b { (replay.app) } @if let Some(workload) = &replay.workload { ", " (workload) ", " }
            " replayed: the operations of " (replay.component) ", with " (size::show(replay.arena_bytes)) " for each heap."
        }
    };
    Part {
        name: format!("{}-replay", replay.app),
        introduction,
        sections,
    }
}

/// Something over the trace: name of its file, title, and its value at a point.
type Over<'a> = (&'a str, &'a str, &'a dyn Fn(&Fragmentation) -> f64);

/// Heaps that served the trace, with their place in the list, which is their colour.
fn able(replay: &ReplayRecord) -> Vec<(usize, &str, &Usage)> {
    let heaps = replay.heaps.iter().enumerate();
    let served = heaps.filter(|(_, heap)| heap.failure.is_none());
    let found = served.filter_map(|(slot, heap)| Some((slot, &heap.heap[..], usage(heap)?)));
    found
        .filter(|(_, _, usage)| !usage.points.is_empty())
        .collect()
}

fn usage(heap: &HeapRecord) -> Option<&Usage> {
    heap.memory.as_ref()?.usage.as_ref()
}

/// Bytes held and bytes written over the trace; what was asked for is dashed.
pub fn memory(replay: &ReplayRecord) -> Vec<Plot> {
    let able = able(replay);
    let Some((_, _, first)) = able.first() else {
        return Vec::new();
    };
    let asked = Line {
        label: "asked for".into(),
        slot: 0,
        is_reference: true,
        points: over_time(first, |point| Some(point.requested_bytes as f64 / MIB)),
    };
    let held = |point: &Fragmentation| point.held_bytes as f64 / MIB;
    let resident = |point: &Fragmentation| point.resident_bytes as f64 / MIB;
    let plots: [Over; 2] = [
        ("held", "memory held over time [MiB]", &held),
        ("resident", "memory written to over time [MiB]", &resident),
    ];
    let plot = |(name, text, of): Over| {
        let mut series = vec![asked.clone()];
        series.extend(able.iter().map(|&(slot, heap, usage)| Line {
            label: heap.into(),
            slot,
            is_reference: false,
            points: over_time(usage, |point| Some(of(point))),
        }));
        let left_out = take_outsize(&mut series);
        over_operations(replay, name, text, &series, &left_out)
    };
    plots.into_iter().map(plot).collect()
}

/// Bytes held over bytes asked for, and granted over asked for, over the trace.
pub fn fragmentation(replay: &ReplayRecord) -> Vec<Plot> {
    let held = |point: &Fragmentation| point.held_bytes as f64;
    let granted = |point: &Fragmentation| point.granted_bytes as f64;
    let plots: [Over; 2] = [
        (
            "overhead",
            "bytes held for a byte asked for, over time",
            &held,
        ),
        (
            "internal",
            "bytes granted for a byte asked for, over time",
            &granted,
        ),
    ];
    let able = able(replay);
    let plot = |(name, text, of): Over| {
        let series = able.iter().map(|&(slot, heap, usage)| {
            let least = usage.requested_peak_bytes as f64 * LEAST_SHARE;
            Line {
                label: heap.into(),
                slot,
                is_reference: false,
                points: over_time(usage, |point| {
                    let asked = point.requested_bytes as f64;
                    (asked > least).then(|| of(point) / asked)
                }),
            }
        });
        let mut series: Vec<Line> = series.filter(|line| !line.points.is_empty()).collect();
        let left_out = take_outsize(&mut series);
        (!series.is_empty()).then(|| over_operations(replay, name, text, &series, &left_out))
    };
    plots.into_iter().filter_map(plot).collect()
}

fn over_time(usage: &Usage, of: impl Fn(&Fragmentation) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = usage.points.iter();
    points
        .filter_map(|point| Some((point.operations as f64, of(point)?)))
        .collect()
}

/// Takes lines away that are far above the others; their labels with their highest points.
fn take_outsize(series: &mut Vec<Line>) -> Vec<(String, f64)> {
    let top = |line: &Line| line.points.iter().map(|point| point.1).fold(0.0, f64::max);
    let mut tops: Vec<f64> = series.iter().map(top).collect();
    tops.sort_by(f64::total_cmp);
    let Some(limit) = tops.get(tops.len() / 2).map(|middle| middle * OUTSIZE) else {
        return Vec::new();
    };
    let outsize = |line: &&Line| top(line) > limit && !line.is_reference;
    let left_out = series.iter().filter(outsize);
    let left_out = left_out.map(|line| (line.label.clone(), top(line)));
    let left_out = left_out.collect();
    series.retain(|line| !outsize(&line));
    left_out
}

fn over_operations(
    replay: &ReplayRecord,
    name: &str,
    text: &str,
    series: &[Line],
    left_out: &[(String, f64)],
) -> Plot {
    let of = replay.workload.as_ref().unwrap_or(&replay.app);
    let title = Title {
        text: format!("{of}: {text}"),
        description: "A line a heap over the operations of the trace.".into(),
    };
    let mut note = "Across: operations of the trace.".to_string();
    for (heap, most) in left_out {
        note += &format!(" Not drawn: {heap}, up to {}.", number(*most));
    }
    Plot {
        name: name.into(),
        chart: lines(&title, series, false),
        title,
        note,
    }
}

fn table(replay: &ReplayRecord) -> Markup {
    let bytes = |value: Option<u64>| value.map_or_else(|| "–".into(), size::show);
    let count = |value: Option<f64>| value.map_or_else(|| "–".into(), number);
    html! {
        div class="wide" { table {
            thead { tr {
                th { "heap" } th class="number" { "instructions" } th class="number" { "cycles" } th class="number" { "held" }
                th class="number" { "written" } th { "failure" }
            } }
            tbody { @for heap in &replay.heaps { tr {
                th scope="row" { (heap.heap) }
                td class="number" { (count(heap.instructions)) }
                td class="number" { (count(heap.cycles.map(|cycles| cycles.median))) }
                td class="number" { (bytes(usage(heap).map(|usage| usage.held_peak_bytes))) }
                td class="number" { (bytes(usage(heap).map(|usage| usage.resident_peak_bytes))) }
                td { @if let Some(failure) = &heap.failure { (failure) } }
            } } }
        } }
        p class="note" { "Instructions and cycles are of an operation; bytes at the peak." }
    }
}
