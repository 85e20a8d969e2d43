//! Values over time or size, a line for each series.

use super::{Frame, SLOTS, Scale, Title, WIDTH, height_axis, number, round, svg, value_axis};
use maud::{Markup, html};
use std::fmt::Write;

/// One series.
#[derive(Clone, Debug)]
pub struct Line {
    /// Name.
    pub label: String,
    /// Which colour; the same series has the same colour in every chart.
    pub slot: usize,
    /// Whether it is what the others are compared with: drawn dashed, in ink.
    pub is_reference: bool,
    /// Places, in order of their first coordinate.
    pub points: Vec<(f64, f64)>,
}

const PLOT_HEIGHT: f64 = 190.0;

/// Lines over a shared axis, with a legend above; both axes by orders of magnitude when `is_log`, from zero otherwise.
pub fn lines(title: &Title, series: &[Line], is_log: bool) -> Markup {
    const COLUMNS: usize = 4;
    let legend_height = series.len().div_ceil(COLUMNS) as f64 * 16.0 + 4.0;
    let mut frame = Frame::new(44.0, PLOT_HEIGHT);
    frame.top += legend_height;
    frame.bottom += legend_height;
    let all = || series.iter().flat_map(|line| line.points.iter().copied());
    let (across, up) = ((frame.left, frame.right), (frame.bottom, frame.top));
    let (x, y) = if is_log {
        (
            Scale::logarithmic(all().map(|(x, _)| x), across),
            Scale::logarithmic(all().map(|(_, y)| y), up),
        )
    } else {
        (
            Scale::from_zero(all().map(|(x, _)| x), across),
            Scale::from_zero(all().map(|(_, y)| y), up),
        )
    };
    let marks = html! {
        @for (index, line) in series.iter().enumerate() {
            @let left = (index % COLUMNS) as f64 * WIDTH / COLUMNS as f64 + 4.0;
            @let top = (index / COLUMNS) as f64 * 16.0 + 12.0;
            rect class=(role("slot", line)) x=(left) y=(top - 8.0) width="9" height="9" rx="2" {}
            text class="label" x=(left + 13.0) y=(top) { (line.label) }
        }
        (value_axis(&x, frame))
        (height_axis(&y, frame))
        @for line in series {
            path class={ "line " (role("stroke", line)) } d=(path(line, &x, &y)) { title { (line.label) } }
            @if line.points.len() <= MARKED_POINTS {
                @for (value, height) in &line.points {
                    circle class=(role("slot", line)) cx=(round(x.at(*value))) cy=(round(y.at(*height))) r="2.5" {
                        title { (line.label) ": " (number(*value)) ", " (number(*height)) }
                    }
                }
            }
        }
    };
    svg(title, frame.height(), &marks)
}

/// Lines of at most so many points show each of them.
const MARKED_POINTS: usize = 20;

/// Class that gives a series its colour.
fn role(kind: &str, line: &Line) -> String {
    match line.is_reference {
        true => format!("{kind}-reference"),
        false => format!("{kind}{}", line.slot % SLOTS),
    }
}

fn path(line: &Line, x: &Scale, y: &Scale) -> String {
    let mut text = String::new();
    for (index, (value, height)) in line.points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _ = write!(
            text,
            "{letter}{} {}",
            round(x.at(*value)),
            round(y.at(*height))
        );
    }
    text
}
