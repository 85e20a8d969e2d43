//! Charts as SVG: markup that stands in a page or in a file of its own.
//! Owns the geometry that all charts share; must never hold a colour: classes name roles, and
//! [`STYLE`] gives them colours for light, dark and paper.
//!
//! | file | shows |
//! |---|---|
//! | `intervals` | middle and spread of candidates, a row each |
//! | `stacked` | parts of a whole, a bar each |
//! | `lines` | values over time or size, a line each |
//! | `scatter` | two metrics against each other, with the Pareto front |
//! | `columns` | how often something is of which size |

mod columns;
mod intervals;
mod lines;
mod scale;
mod scatter;
mod stacked;

pub use columns::columns;
pub use intervals::{Interval, intervals};
pub use lines::{Line, lines};
pub use scale::Scale;
pub use scatter::{Point, scatter};
pub use stacked::{Bar, stacked};

use maud::{Markup, html};

/// Width of every chart in its own units, at which its text has its nominal size: that of a phone, so that
/// it can be read there and on paper.
pub const WIDTH: f64 = 440.0;
/// Colours that tell series apart; more series than this share colours and differ by label.
pub const SLOTS: usize = 8;

/// Classes of charts and their colours: also part of every SVG file.
pub const STYLE: &str = include_str!("chart.css");

/// What a chart says about itself, besides its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// What is shown, with its unit.
    pub text: String,
    /// A sentence for those who do not see it.
    pub description: String,
}

/// Places of a chart inside its SVG, in chart units.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    /// A plot area with room for `label_width` at its left and a value axis below.
    fn new(label_width: f64, plot_height: f64) -> Self {
        let top = 8.0;
        Self {
            left: label_width + 8.0,
            right: WIDTH - 14.0,
            top,
            bottom: top + plot_height,
        }
    }

    fn height(self) -> f64 {
        self.bottom + AXIS_HEIGHT
    }
}

/// Room for the numbers below a plot.
const AXIS_HEIGHT: f64 = 22.0;
/// Height of a row of candidates.
const ROW_HEIGHT: f64 = 22.0;

/// The SVG around the marks of a chart.
fn svg(title: &Title, height: f64, marks: &Markup) -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (round(height)) } role="img" class="chart"
            aria-label={ (title.text) ". " (title.description) } {
            (marks)
        }
    }
}

/// A complete SVG file of a chart that was made for a page.
pub fn file(title: &Title, chart: &Markup) -> String {
    let text = chart.clone().into_string();
    let (open, rest) = text
        .split_once('>')
        .expect("a chart begins with its svg element");
    let heading = html! { title { (title.text) } style { (maud::PreEscaped(STYLE)) } };
    format!("{open}>{}{rest}\n", heading.into_string())
}

/// Lines and numbers of a horizontal value axis.
fn value_axis(scale: &Scale, frame: Frame) -> Markup {
    html! {
        @for tick in scale.ticks() {
            @let x = round(scale.at(tick));
            line class="grid" x1=(x) x2=(x) y1=(frame.top) y2=(round(frame.bottom)) {}
            text class="tick" x=(x) y=(round(frame.bottom + 14.0)) text-anchor="middle" { (number(tick)) }
        }
    }
}

/// Lines and numbers of a vertical value axis.
fn height_axis(scale: &Scale, frame: Frame) -> Markup {
    html! {
        @for tick in scale.ticks() {
            @let y = round(scale.at(tick));
            line class="grid" x1=(frame.left) x2=(frame.right) y1=(y) y2=(y) {}
            text class="tick" x=(round(frame.left - 5.0)) y=(round(y + 4.0)) text-anchor="end" { (number(tick)) }
        }
    }
}

/// Width that the longest of `labels` takes, in chart units.
fn label_width<'a>(labels: impl Iterator<Item = &'a str>) -> f64 {
    let characters = labels.map(|label| label.chars().count()).max().unwrap_or(0);
    (characters as f64 * 6.6).min(WIDTH * 0.45)
}

/// A coordinate with the digits that can be seen.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A value with three significant digits, thousands and more by their letter.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    let (scaled, letter) = match magnitude {
        m if m >= 1e9 => (value / 1e9, "G"),
        m if m >= 1e6 => (value / 1e6, "M"),
        m if m >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits: usize = match scaled.abs() {
        0.0 => 0,
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        m => (2.0 - m.log10().floor()).clamp(0.0, 9.0) as usize,
    };
    let text = format!("{scaled:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text.as_str(),
    };
    format!("{text}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_no_tail() {
        let shown = [
            0.0,
            0.001_234,
            0.5,
            1.0,
            12.34,
            1234.0,
            12_340.0,
            5_600_000.0,
        ]
        .map(number);
        assert_eq!(
            shown,
            ["0", "0.00123", "0.5", "1", "12.3", "1234", "12.3k", "5.6M"]
        );
    }

    #[test]
    fn a_file_holds_its_chart_its_title_and_its_colours() {
        let title = Title {
            text: "a < b".into(),
            description: "nothing".into(),
        };
        let chart = svg(&title, 40.0, &html! { line class="grid" x1="0" {} });
        let file = file(&title, &chart);
        assert!(
            file.starts_with("<svg xmlns=") && file.ends_with("</svg>\n"),
            "{file}"
        );
        assert!(
            file.contains("<title>a &lt; b</title><style>") && file.contains("class=\"grid\""),
            "{file}"
        );
    }
}
