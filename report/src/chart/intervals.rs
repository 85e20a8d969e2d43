//! Candidates with middle and spread, a row each.

use super::{Frame, ROW_HEIGHT, Scale, Title, WIDTH, label_width, number, round, svg, value_axis};
use maud::{Markup, html};

/// One candidate.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Name.
    pub label: String,
    /// First quartile, median, third quartile.
    pub quartiles: [f64; 3],
    /// Whether nothing was found to be better.
    pub is_best: bool,
    /// Whether it is what the others are compared with, not a candidate.
    pub is_reference: bool,
}

/// Room for the star of the best.
const STAR_WIDTH: f64 = 14.0;
/// Room for the number at the end of a row.
const VALUE_WIDTH: f64 = 46.0;

/// A row for each candidate: a line from quartile to quartile and a dot at the median. The axis begins at 0
/// unless the spread of everything would vanish there.
pub fn intervals(title: &Title, rows: &[Interval]) -> Markup {
    let mut frame = Frame::new(
        label_width(rows.iter().map(|row| row.label.as_str())) + STAR_WIDTH,
        rows.len() as f64 * ROW_HEIGHT,
    );
    frame.right = WIDTH - VALUE_WIDTH;
    let values = || rows.iter().flat_map(|row| row.quartiles);
    let range = (frame.left, frame.right);
    let scale = Scale::from_zero(values(), range);
    let marks = html! {
        (value_axis(&scale, frame))
        @for (index, row) in rows.iter().enumerate() {
            @let y = frame.top + (index as f64 + 0.5) * ROW_HEIGHT;
            @let [low, median, high] = row.quartiles;
            @let role = if row.is_reference { "reference" } else if row.is_best { "best" } else { "other" };
            @if row.is_reference {
                line class="against" x1=(round(scale.at(median))) x2=(round(scale.at(median))) y1=(frame.top) y2=(round(frame.bottom)) {}
            }
            text class="label" x=(round(frame.left - 6.0)) y=(round(y + 4.0)) text-anchor="end" {
                (row.label) @if row.is_best { " ★" }
            }
            g class=(role) {
                title { (row.label) ": median " (number(median)) ", quartiles " (number(low)) " to " (number(high)) }
                line class="spread" x1=(round(scale.at(low))) x2=(round(scale.at(high))) y1=(round(y)) y2=(round(y)) {}
                circle cx=(round(scale.at(median))) cy=(round(y)) r="4" {}
            }
            text class="value" x=(WIDTH - 2.0) y=(round(y + 4.0)) text-anchor="end" { (number(median)) }
        }
    };
    svg(title, frame.height(), &marks)
}
