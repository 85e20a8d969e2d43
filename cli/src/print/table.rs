//! Aligned tables on standard output; colour only on a terminal that wants it.

use crate::print::output;
use bespoke_monitor::printable;
use std::env;
use std::fmt::Write;
use std::io::IsTerminal;

/// Which side of a column its cells lean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: a header and rows of as many cells.
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let owned = columns
            .iter()
            .map(|(name, align)| ((*name).to_string(), *align));
        Self {
            columns: owned.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has a cell for every column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells(cells.into());
    }

    /// As [`Table::row`], where the number of columns is not known beforehand.
    pub(crate) fn cells(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len());
        let printable = cells.iter().map(|cell| printable(cell).into_owned());
        self.rows.push(printable.collect());
    }

    /// The table as text, a line per row.
    pub(crate) fn render(&self) -> String {
        let (header, rows) = self.lines();
        format!("{header}\n{rows}")
    }

    /// The header without its end of line, and the rows.
    fn lines(&self) -> (String, String) {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells
                .chain([self.columns[column].0.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut rows = String::new();
        for row in &self.rows {
            let _ = writeln!(rows, "{}", self.line(row, &widths));
        }
        (self.line(&header, &widths), rows)
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let width = widths[i];
            let _ = match self.columns[i].1 {
                Align::Left => write!(line, "{cell:<width$}"),
                Align::Right => write!(line, "{cell:>width$}"),
            };
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Prints the table, its header in bold where that can be seen.
    pub(crate) fn print(&self) {
        let (header, rows) = self.lines();
        let style = |sequence| {
            if stdout_is_coloured() {
                // What becomes of the text is told by what prints it.
                let _ = output::control(std::io::stdout(), sequence);
            }
        };
        style("\x1b[1m");
        print!("{header}");
        style("\x1b[0m");
        print!("\n{rows}");
    }
}

/// Whether standard output is a terminal whose user has not refused colour (`NO_COLOR`).
pub(crate) fn stdout_is_coloured() -> bool {
    std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `yes` or `-`, for tables of promises.
pub(crate) fn mark(promised: bool) -> String {
    if promised { "yes" } else { "-" }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_text_ends() {
        let mut table = Table::new(&[
            ("part", Align::Left),
            ("bytes", Align::Right),
            ("note", Align::Left),
        ]);
        table.row(["app".into(), "1234567".into(), String::new()]);
        table.row(["C library".into(), "9".into(), "x".into()]);
        let expected = "part         bytes  note\napp        1234567\nC library        9  x\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn a_cell_is_one_line_that_a_terminal_does_not_obey() {
        let mut table = Table::new(&[("name", Align::Left)]);
        table.row(["app\x1b[2J\nforged".into()]);
        assert_eq!(table.render(), "name\napp\\u{1b}[2J\\nforged\n");
    }
}
