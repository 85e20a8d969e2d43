//! `bespoke report`: what was measured, as one page to look at and as SVG files.
//! Owns the choice and order of what is shown; must never compute what `measure` decides: middles,
//! spreads and winners come from there.
//!
//! | file | decides |
//! |---|---|
//! | `run` | what is shown of a run of measurements |
//! | `boot`, `curve`, `tradeoff` | the plots that take several figures |
//! | `trace`, `replay` | what is shown of an allocation trace, and of a replay of it |
//! | `unit` | how values are read: MiB for bytes |
//! | `page` | the page around it |
//! | `chart` | how a plot is drawn |

mod boot;
pub mod chart;
mod curve;
mod page;
mod replay;
mod run;
mod trace;
mod tradeoff;
mod unit;

pub use boot::phases;
pub use curve::curves;
pub use page::page;
pub use replay::{fragmentation as replay_fragmentation, memory as replay_memory, replay};
pub use run::{plot as intervals, run};
pub use trace::trace;
pub use unit::unit;

#[cfg(test)]
mod tests;

use chart::Title;
use maud::Markup;

/// One plot.
pub struct Plot {
    /// Name for a file, unique within its part: `throughput-set`.
    pub name: String,
    /// What it shows.
    pub title: Title,
    /// What is to be known when reading it; may be empty.
    pub note: String,
    /// The chart.
    pub chart: Markup,
}

/// Plots under one heading.
pub struct Section {
    /// Heading.
    pub heading: &'static str,
    /// What the section is about, in a sentence or two; markup, for tables.
    pub text: Markup,
    /// Plots, in order.
    pub plots: Vec<Plot>,
    /// Closed until it is opened: details.
    pub is_detail: bool,
}

/// Everything about one app or one trace.
pub struct Part {
    /// Heading, and the beginning of its files' names: `sqlite`.
    pub name: String,
    /// Where and how it was measured; markup.
    pub introduction: Markup,
    /// Sections, in order.
    pub sections: Vec<Section>,
}

impl Part {
    /// Every plot with the name of its SVG file.
    pub fn files(&self) -> impl Iterator<Item = (String, &Plot)> {
        let plots = self.sections.iter().flat_map(|section| &section.plots);
        plots.map(|plot| (format!("{}-{}.svg", self.name, plot.name), plot))
    }
}
