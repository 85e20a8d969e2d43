//! Parts of a whole, a bar for each candidate.

use super::{
    Frame, ROW_HEIGHT, SLOTS, Scale, Title, WIDTH, label_width, number, round, svg, value_axis,
};
use maud::{Markup, html};

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Name.
    pub label: String,
    /// Lengths of its parts, in the order of the chart's part names.
    pub parts: Vec<f64>,
}

/// A horizontal bar for each candidate, made of `parts` in their order; a gap of the paper's colour parts them.
pub fn stacked(title: &Title, parts: &[&str], bars: &[Bar]) -> Markup {
    let legend_rows = parts.len().div_ceil(2);
    let mut frame = Frame::new(
        label_width(bars.iter().map(|bar| bar.label.as_str())),
        bars.len() as f64 * ROW_HEIGHT,
    );
    let legend_height = legend_rows as f64 * 16.0 + 4.0;
    frame.top += legend_height;
    frame.bottom += legend_height;
    frame.right = WIDTH - 46.0;
    let total = |bar: &Bar| bar.parts.iter().sum::<f64>();
    let scale = Scale::from_zero(bars.iter().map(total), (frame.left, frame.right));
    let marks = html! {
        @for (index, part) in parts.iter().enumerate() {
            @let x = (index % 2) as f64 * WIDTH / 2.0 + 4.0;
            @let y = (index / 2) as f64 * 16.0 + 12.0;
            rect class={ "slot" (index % SLOTS) } x=(x) y=(y - 8.0) width="9" height="9" rx="2" {}
            text class="label" x=(x + 14.0) y=(y) { (part) }
        }
        (value_axis(&scale, frame))
        @for (index, bar) in bars.iter().enumerate() {
            @let y = frame.top + index as f64 * ROW_HEIGHT + 3.0;
            text class="label" x=(round(frame.left - 6.0)) y=(round(y + 12.0)) text-anchor="end" { (bar.label) }
            @for (part, (start, length)) in spans(&bar.parts).enumerate() {
                @let (x, end) = (scale.at(start), scale.at(start + length));
                rect class={ "slot" (part % SLOTS) " part" } x=(round(x)) y=(round(y)) width=(round(end - x)) height=(ROW_HEIGHT - 6.0) {
                    title { (bar.label) ", " (parts[part]) ": " (number(length)) }
                }
            }
            text class="value" x=(WIDTH - 2.0) y=(round(y + 12.0)) text-anchor="end" { (number(total(bar))) }
        }
    };
    svg(title, frame.height(), &marks)
}

/// Start and length of each part.
fn spans(parts: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    parts.iter().scan(0.0, |end, length| {
        let start = *end;
        *end += length;
        Some((start, *length))
    })
}
