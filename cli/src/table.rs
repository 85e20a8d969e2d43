//! Aligned tables on standard output; colour only on a terminal that wants it.

use std::env;
use std::fmt::Write;
use std::io::IsTerminal;

/// Which side of a column its cells lean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: a header and rows of as many cells.
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let owned = columns
            .iter()
            .map(|(name, align)| ((*name).to_string(), *align));
        Self {
            columns: owned.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has a cell for every column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells(cells.into());
    }

    /// As [`Table::row`], where the number of columns is not known beforehand.
    pub fn cells(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table as text, a line per row; `bold` marks the header.
    pub fn render(&self, bold: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells
                .chain([self.columns[column].0.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        let (on, off) = if bold {
            ("\x1b[1m", "\x1b[0m")
        } else {
            ("", "")
        };
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let _ = writeln!(text, "{on}{}{off}", self.line(&header, &widths));
        for row in &self.rows {
            let _ = writeln!(text, "{}", self.line(row, &widths));
        }
        text
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

    /// Prints the table.
    pub fn print(&self) {
        print!("{}", self.render(stdout_is_coloured()));
    }
}

/// Whether standard output is a terminal whose user has not refused colour (`NO_COLOR`).
pub fn stdout_is_coloured() -> bool {
    std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `yes` or `-`, for tables of promises.
pub fn mark(promised: bool) -> String {
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
        assert_eq!(table.render(false), expected);
    }
}
