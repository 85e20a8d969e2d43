//! How often something is of which size: a column for each class.

use super::{Frame, Scale, Title, height_axis, number, round, svg};
use maud::{Markup, html};

const PLOT_HEIGHT: f64 = 150.0;
/// Classes that fit with their names beside each other.
const NAMED: usize = 9;

/// A column for each class, in order; every so many classes one is named.
pub fn columns(title: &Title, classes: &[(String, f64)]) -> Markup {
    let frame = Frame::new(44.0, PLOT_HEIGHT);
    let y = Scale::from_zero(
        classes.iter().map(|(_, count)| *count),
        (frame.bottom, frame.top),
    );
    let width = (frame.right - frame.left) / classes.len().max(1) as f64;
    let every = classes.len().div_ceil(NAMED).max(1);
    let marks = html! {
        (height_axis(&y, frame))
        @for (index, (name, count)) in classes.iter().enumerate() {
            @let x = frame.left + index as f64 * width;
            @let top = y.at(*count);
            rect class="slot0" x=(round(x + 1.0)) y=(round(top)) width=(round((width - 2.0).max(0.5))) height=(round(frame.bottom - top)) {
                title { (name) ": " (number(*count)) }
            }
            @if index % every == 0 {
                text class="tick" x=(round(x + width / 2.0)) y=(round(frame.bottom + 14.0)) text-anchor="middle" { (name) }
            }
        }
    };
    svg(title, frame.height(), &marks)
}
