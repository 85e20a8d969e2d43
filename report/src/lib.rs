//! What was measured, as one page to look at and as SVG files.
//!
//! [`run`], [`trace()`] and [`replay()`] each make a [`Part`] of what there is to show; [`page`] puts parts into one HTML file
//! that needs no network; [`Part::files`] are its plots. [`chart`] draws plots of any data.
//!
//! Owns the choice and order of what is shown. Medians, spreads and winners come from `bespoke-bench`; nothing here computes
//! them anew.
//!
//! | module | decides |
//! |---|---|
//! | `run` | what is shown of a run of measurements |
//! | `boot`, `curve`, `tradeoff` | the plots that take several metrics |
//! | `trace`, `replay` | what is shown of an allocation trace, and of a replay of it |
//! | `sites`, `trace_file` | names of the calls that allocate; trace files, opened |
//! | `unit` | how values are read: MiB for bytes |
//! | `page` | the page around it |
//! | [`chart`] | how a plot is drawn |
//!
//! ```
//! let page = bespoke_report::page(&[]);
//! assert!(page.starts_with("<!DOCTYPE html>"));
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod boot;
pub mod chart;
mod curve;
mod error;
mod page;
mod replay;
mod run;
mod sites;
mod trace;
mod trace_file;
mod tradeoff;
mod unit;

pub use boot::phases;
pub use curve::curves;
pub use error::Error;
pub use page::page;
pub use replay::{fragmentation as replay_fragmentation, memory as replay_memory, replay};
pub use run::{plot as intervals, run};
pub use sites::{Named, Sites};
pub use trace::trace;
pub use trace_file::{FileReader, damage_of_trace, open_trace};
pub use unit::unit;

#[cfg(test)]
mod tests;

use chart::Title;
use maud::Markup;

/// One plot.
#[derive(Debug)]
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
#[derive(Debug)]
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

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

impl Part {
    /// Every plot with the name of its SVG file.
    pub fn files(&self) -> impl Iterator<Item = (String, &Plot)> {
        let plots = self.sections.iter().flat_map(|section| &section.plots);
        plots.map(|plot| (format!("{}-{}.svg", self.name, plot.name), plot))
    }
}
