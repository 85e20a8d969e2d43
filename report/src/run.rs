//! What is shown of a run of measurements: a table first, then plots by theme.

use super::chart::{Interval, Title, intervals, number};
use super::unit::unit;
use super::{Part, Plot, Section, boot, curve, tradeoff};
use bespoke_bench::{Column, EFFECT_FLOOR, RunRecord, SIGNIFICANCE};
use bespoke_recipe::workload::Better;
use maud::{Markup, html};

/// A theme: heading, what it is about, and the metrics that belong to it, by the beginning of their names.
struct Theme {
    heading: &'static str,
    text: &'static str,
    metrics: &'static [&'static str],
    is_detail: bool,
}

const THEMES: [Theme; 6] = [
    Theme {
        heading: "Speed",
        text: "What a user of the application waits for.",
        metrics: &["throughput", "value", "time", "answer", "latency", "repeat"],
        is_detail: false,
    },
    Theme {
        heading: "Memory",
        text: "In use: the page source's high-water mark. Smallest: with less, the workload itself fails. Resident: seen from the host.",
        metrics: &["memory", "minimum_memory", "resident", "creep"],
        is_detail: false,
    },
    Theme {
        heading: "Fragmentation",
        text: "Internal: bytes granted over bytes asked for. External: pages held over bytes live, each at its peak.",
        metrics: &["internal_fragmentation", "external_fragmentation"],
        is_detail: false,
    },
    Theme {
        heading: "The allocator alone",
        text: "Time of single operations inside the guest, without that of reading the clock, from separate runs.",
        metrics: &["heap_latency", "instructions", "trace_cost"],
        is_detail: false,
    },
    Theme {
        heading: "Size",
        text: "Of the stripped image.",
        metrics: &["image_size"],
        is_detail: false,
    },
    Theme {
        heading: "Every phase of the start, every component",
        text: "What the plots above are made of.",
        metrics: &["boot", "heap_start", "life", "peak_live", "peak_held"],
        is_detail: true,
    },
];

/// Everything that is shown of `run`.
pub fn run(run: &RunRecord) -> Part {
    let columns = once_started(run.columns());
    let mut sections = vec![overview(run, &columns), start(run, &columns)];
    for theme in &THEMES {
        let mut plots: Vec<Plot> = columns
            .iter()
            .filter(|column| belongs(column, theme))
            .filter_map(plot)
            .collect();
        if theme.heading == "Speed" {
            plots.splice(0..0, curve::curves("throughput", &columns));
        }
        if theme.heading == "Memory" {
            let by_workload = run.workloads.iter();
            let found = by_workload.filter_map(|workload| {
                tradeoff::tradeoff(&workload.name, &of(&columns, &workload.name))
            });
            plots.splice(0..0, found);
        }
        sections.push(Section {
            heading: theme.heading,
            text: html! { p { (theme.text) } },
            plots,
            is_detail: theme.is_detail,
        });
    }
    sections.retain(|section| !section.plots.is_empty() || section.heading == OVERVIEW);
    sections.push(failures(run, &columns));
    sections.push(fine_print(run));
    Part {
        name: run.app.clone(),
        introduction: introduction(run),
        sections,
    }
}

/// Figures of the start are had with every workload and do not depend on it: those of the first one stand for all.
fn once_started(mut columns: Vec<Column>) -> Vec<Column> {
    let is_start = |column: &Column| {
        let id = column.metric.id.as_str();
        id == "boot" || id == "heap_start" || id.starts_with("boot.")
    };
    let first = columns
        .iter()
        .find(|column| is_start(column))
        .map(|column| column.workload.clone());
    columns.retain(|column| !is_start(column) || Some(&column.workload) == first.as_ref());
    columns
}

const OVERVIEW: &str = "At a glance";

fn of<'a>(columns: &'a [Column], workload: &str) -> Vec<&'a Column> {
    columns
        .iter()
        .filter(|column| column.workload == workload)
        .collect()
}

fn belongs(column: &Column, theme: &Theme) -> bool {
    let id = &column.metric.id;
    theme.metrics.iter().any(|metric| {
        id == metric
            || id
                .strip_prefix(metric)
                .is_some_and(|rest| rest.starts_with('.'))
    })
}

fn start(run: &RunRecord, columns: &[Column]) -> Section {
    let plots = run
        .workloads
        .iter()
        .filter_map(|workload| boot::phases(&workload.name, &of(columns, &workload.name)));
    Section {
        heading: "Start",
        text: html! { p { "From the first guest instruction until the application listens, or enters main() where it never listens." } },
        plots: plots.collect(),
        is_detail: false,
    }
}

/// A column as intervals; `None` when nothing was measured, or one value alone tells nothing.
pub fn plot(column: &Column) -> Option<Plot> {
    let unit = unit(column);
    let rows: Vec<Interval> = column
        .rows
        .iter()
        .filter_map(|row| {
            let summary = row.summary?;
            Some(Interval {
                label: row.candidate.clone(),
                quartiles: [summary.low, summary.median, summary.high]
                    .map(|value| unit.convert(value)),
                is_best: column.best.contains(&row.candidate),
                is_reference: row.native,
            })
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let component = column
        .component
        .as_ref()
        .map_or_else(String::new, |component| format!(", component {component}"));
    let direction = match column.metric.better {
        Better::Smaller => "less is better",
        Better::Larger => "more is better",
    };
    let title = Title {
        text: format!(
            "{}: {}{component} [{}]",
            column.workload, column.metric.title, unit.name
        ),
        description: format!("Medians and quartiles; {direction}. {}", verdict(column)),
    };
    let name = [
        Some(column.metric.id.as_str()),
        Some(column.workload.as_str()),
        column.component.as_deref(),
    ];
    Some(Plot {
        name: name
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("-")
            .replace(['.', '_'], "-"),
        note: format!("{direction}; {}", verdict(column)),
        chart: intervals(&title, &rows),
        title,
    })
}

/// What the test says of a column, in words.
fn verdict(column: &Column) -> String {
    match (column.winner(), column.best.len()) {
        (Some(winner), _) => format!("{winner} is best"),
        (None, 0) => "no candidate has a value".into(),
        (None, count) if count == column.rows.iter().filter(|row| !row.native).count() => {
            "no difference found".into()
        }
        (None, _) => format!("no difference found among ★: {}", column.best.join(", ")),
    }
}

/// The metrics of the table, for each workload that has them.
const HEADLINES: [&str; 7] = [
    "throughput",
    "value",
    "time",
    "latency.p99",
    "boot",
    "memory",
    "minimum_memory",
];

fn overview(run: &RunRecord, columns: &[Column]) -> Section {
    let shown: Vec<&Column> = columns
        .iter()
        .filter(|column| {
            column.component.is_none() && HEADLINES.contains(&column.metric.id.as_str())
        })
        .collect();
    let text = html! {
        p { "Medians. ★: nothing was found to be better. A ★ alone in its row is a winner by the test." }
        div class="wide" { table {
            thead { tr {
                th { "metric" } th { "unit" }
                @for candidate in &run.candidates { th class="number" { (candidate.label) } }
            } }
            tbody { @for column in shown { (line(column)) } }
        } }
    };
    Section {
        heading: OVERVIEW,
        text,
        plots: Vec::new(),
        is_detail: false,
    }
}

fn line(column: &Column) -> Markup {
    let unit = unit(column);
    html! {
        tr {
            th scope="row" { (column.workload) ", " (column.metric.id) }
            td { (unit.name) }
            @for row in &column.rows {
                td class="number" title=[row.failure.as_deref()] {
                    @match row.summary {
                        Some(summary) => { (unit.show(summary.median)) @if column.best.contains(&row.candidate) { " ★" } }
                        None => { @if row.failure.is_some() { "failed" } @else { "–" } }
                    }
                }
            }
        }
    }
}

/// Candidates that failed a workload, with the reason.
fn failures(run: &RunRecord, columns: &[Column]) -> Section {
    let found = run.failures();
    let text = html! {
        @if found.is_empty() {
            p { "No workload failed with any candidate; " (columns.len()) " metrics were measured." }
        } @else {
            div class="wide" { table {
                thead { tr { th { "workload" } th { "candidate" } th { "why" } } }
                tbody { @for (workload, candidate, reason) in &found { tr { td { (workload) } td { (candidate) } td { (reason) } } } }
            } }
        }
    };
    Section {
        heading: "What failed",
        text,
        plots: Vec::new(),
        is_detail: found.is_empty(),
    }
}

fn introduction(run: &RunRecord) -> Markup {
    let machine = &run.machine;
    let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    html! {
        p {
            "Measured " (run.started) " UTC on the " b { (run.monitor) } " monitor, " (run.rounds) " interleaved rounds, by bespoke "
            (machine.bespoke) ". Machine: " (machine.cpu) ", " (machine.cores) " cores, " (number(gib)) " GiB, Linux " (machine.kernel)
            @if machine.virtual_machine { ", itself a virtual machine" }
            @if machine.kvm { ", with KVM" } @else { ", without KVM" } "."
        }
        @let doubts = run.doubts();
        @if !doubts.is_empty() {
            p { "Caveats:" }
            ul { @for doubt in &doubts { li { (doubt) } } }
        }
    }
}

/// What the metrics mean and how far they carry.
fn fine_print(run: &RunRecord) -> Section {
    let text = html! {
        ul {
            li { "A round runs every candidate once, in shuffled order, so that slow and busy moments of the machine hit all alike." }
            li {
                "Two candidates are called different only when a paired sign-flip permutation test over the rounds gives p < "
                (SIGNIFICANCE) " and the effect is above " (number(EFFECT_FLOOR * 100.0)) " %. With fewer than 8 rounds the test cannot succeed."
            }
            li { "Intervals are quartiles over the rounds, not confidence intervals. Exact figures (instructions, smallest memory, size) are measured once." }
            li { "Compare within this run only: another hour of the same machine may differ by more than two heaps do." }
        }
        h4 { "What was measured" }
        div class="wide" { table {
            thead { tr { th { "candidate" } th { "heaps" } th class="number" { "bytes" } th { "SHA-256 of the image" } } }
            tbody { @for candidate in &run.candidates { tr {
                td { (candidate.label) }
                td {
                    @for (component, slot) in &candidate.components {
                        (component) "=" (slot.heap)
                        @for (name, value) in &slot.parameters { ":" (name) "=" (value) }
                        " "
                    }
                }
                td class="number" { @if let Some(bytes) = candidate.image_bytes { (bytes) } }
                td { code { @if let Some(hash) = &candidate.image_sha256 { (hash.get(..16).unwrap_or(hash)) "…" } } }
            } } }
        } }
    };
    Section {
        heading: "Fine print",
        text,
        plots: Vec::new(),
        is_detail: true,
    }
}
