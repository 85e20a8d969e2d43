//! What is shown of an allocation trace: sizes, lifetimes, live bytes over time, and who asked.

use super::chart::{Line, Title, columns, lines, number};
use super::{Error, Sites, damage_of_trace, open_trace};
use super::{Part, Plot, Section};
use bespoke_recipe::size;
use bespoke_trace::{Facts, Summary};
use maud::{Markup, html};
use std::path::Path;

/// Calls that are named.
const SITES: usize = 15;
const MIB: f64 = (1 << 20) as f64;

/// Everything that is shown of the trace at `path`. A damaged trace is shown up to its damage, which is told to
/// `say`.
///
/// # Errors
///
/// When it cannot be read, is no trace, or is one of another version.
pub fn trace(path: &Path, say: impl Fn(&str)) -> Result<Part, Error> {
    let mut reader = open_trace(path)?;
    let summary = Summary::of(&mut reader);
    if let Some(damage) = damage_of_trace(path, &reader) {
        say(&damage);
    }
    let facts = reader.facts();
    let sites = Sites::of(facts, &summary, SITES);
    let sections = vec![live(facts, &summary), sizes(&summary), calls(facts, &sites)];
    Ok(Part {
        name: format!("{}-trace", facts.app),
        introduction: introduction(facts, &summary),
        sections,
    })
}

fn introduction(facts: &Facts, summary: &Summary) -> Markup {
    html! {
        p {
            "An allocation trace of " b { (facts.app) } " " code { (facts.arguments.join(" ")) } " on the " (facts.monitor) " monitor with "
            (size::show(facts.memory_bytes)) " of memory; heaps: " (facts.composition) ". " (summary.events) " operations, at most "
            (size::show(summary.peak_bytes)) " asked for and live at once."
        }
    }
}

fn live(facts: &Facts, summary: &Summary) -> Section {
    let (width, points) = summary.live.points();
    let seconds = |cycles: u64| cycles as f64 / 1e3 / facts.tsc_khz.max(1) as f64;
    let point =
        |(index, bytes): (usize, &u64)| (seconds(width * index as u64), *bytes as f64 / MIB);
    let title = Title {
        text: "live bytes over time [MiB]".into(),
        description: format!(
            "Bytes asked for and not freed, over seconds; {} at most.",
            size::show(summary.peak_bytes)
        ),
    };
    let line = Line {
        label: "live".into(),
        slot: 0,
        is_reference: false,
        points: points.iter().enumerate().map(point).collect(),
    };
    let plot = Plot {
        name: "live".into(),
        chart: lines(&title, &[line], false),
        title,
        note: "Across: seconds since the first operation; each point is the most of its stretch of time.".into(),
    };
    Section {
        heading: "Memory over time",
        text: html! {},
        plots: vec![plot],
        is_detail: false,
    }
}

fn sizes(summary: &Summary) -> Section {
    let plot =
        |name: &str, text: &str, buckets: &[u64; 64], note: &str, show: &dyn Fn(u64) -> String| {
            let title = Title {
                text: text.into(),
                description: "A column for each power of two.".into(),
            };
            let used = |count: &u64| *count > 0;
            let first = buckets.iter().position(used).unwrap_or(0);
            let end = buckets
                .iter()
                .rposition(used)
                .map_or(first, |last| last + 1);
            let classes: Vec<(String, f64)> = (first..end)
                .map(|bucket| (show(1 << bucket), buckets[bucket] as f64))
                .collect();
            Plot {
                name: name.into(),
                chart: columns(&title, &classes),
                title,
                note: note.into(),
            }
        };
    let plots = vec![
        plot(
            "sizes",
            "requests by size",
            &summary.sizes,
            "Across: bytes asked for, from this power of two to the next.",
            &size::show,
        ),
        plot(
            "bytes",
            "bytes by size of request",
            &summary.size_bytes,
            "The same, each request counted by its bytes.",
            &size::show,
        ),
        plot(
            "lives",
            "freed blocks by length of life",
            &summary.lives_in_events,
            "Across: operations between a block's allocation and its end.",
            &|events| number(events as f64),
        ),
    ];
    let text = html! { p { (summary.immortal) " blocks were live at the end; the third plot is of the others." } };
    Section {
        heading: "Sizes and lifetimes",
        text,
        plots,
        is_detail: false,
    }
}

fn calls(facts: &Facts, sites: &Sites) -> Section {
    let text = html! {
        @if let Some(hint) = &sites.hint { p { (hint) } }
        div class="wide" { table {
            thead { tr { th class="number" { "grants" } th class="number" { "requested" } th class="number" { "live at the end" } th { "component" } th { "call" } } }
            tbody { @for named in &sites.top { tr {
                td class="number" { (named.site.grants) }
                td class="number" { (size::show(named.site.requested_bytes)) }
                td class="number" { (size::show(named.site.live_bytes)) }
                td { (facts.components[usize::from(named.site.component)]) }
                td { code { (named.name) } }
            } } }
        } }
    };
    Section {
        heading: "Who asked",
        text,
        plots: Vec::new(),
        is_detail: false,
    }
}
