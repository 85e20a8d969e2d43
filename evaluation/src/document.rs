//! A Markdown page and the SVG files that it shows. Owns the text while it grows.

use bespoke_report::{Plot, chart};
use std::fmt::Write;

/// See the module.
pub(crate) struct Document {
    /// The Markdown.
    pub text: String,
    /// Names of files and their contents.
    pub plots: Vec<(String, String)>,
    /// The folder of the plots as the page names it.
    folder: String,
}

impl Document {
    /// An empty page whose plots lie in `folder`, as seen from the page.
    pub(crate) fn new(folder: &str) -> Self {
        Self {
            text: String::new(),
            plots: Vec::new(),
            folder: folder.into(),
        }
    }

    /// A heading of the level.
    pub(crate) fn heading(&mut self, level: usize, text: &str) {
        let _ = writeln!(self.text, "{} {text}\n", "#".repeat(level));
    }

    /// A paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}\n");
    }

    /// A list; nothing when it is empty.
    pub(crate) fn list(&mut self, items: &[String]) {
        for item in items {
            let _ = writeln!(self.text, "- {item}");
        }
        if !items.is_empty() {
            self.text.push('\n');
        }
    }

    /// A table: the first column are words, the others numbers; nothing when it has no rows.
    pub(crate) fn table(&mut self, heads: &[String], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let _ = writeln!(self.text, "{}", line(heads));
        let _ = writeln!(
            self.text,
            "|---|{}",
            "--:|".repeat(heads.len().saturating_sub(1))
        );
        for row in rows {
            let _ = writeln!(self.text, "{}", line(row));
        }
        self.text.push('\n');
    }

    /// A plot, as `NAME.svg`.
    pub(crate) fn plot(&mut self, name: &str, plot: &Plot) {
        let file = format!("{name}.svg");
        let _ = writeln!(
            self.text,
            "![{}]({}/{file})\n",
            plot.title.text, self.folder
        );
        self.plots
            .push((file, chart::file(&plot.title, &plot.chart)));
    }
}
