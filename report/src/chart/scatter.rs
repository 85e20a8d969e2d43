//! Two metrics against each other, and the candidates that nothing beats on both.

use super::{Frame, Scale, Title, height_axis, number, round, svg, value_axis};
use maud::{Markup, html};

/// One candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name.
    pub label: String,
    /// Across: smaller is better (memory).
    pub cost: f64,
    /// Up: larger is better (throughput).
    pub gain: f64,
}

/// Costs that differ by more are shown by orders of magnitude.
const MANIFOLD: f64 = 10.0;
const PLOT_HEIGHT: f64 = 220.0;

/// A point for each candidate; a stepped line joins the Pareto front.
pub fn scatter(title: &Title, points: &[Point]) -> Markup {
    let mut frame = Frame::new(44.0, PLOT_HEIGHT);
    frame.right -= 40.0;
    let across = (frame.left, frame.right);
    let costs = || points.iter().map(|point| point.cost);
    let (least, most) = (
        costs().fold(f64::INFINITY, f64::min),
        costs().fold(0.0, f64::max),
    );
    // A heap that takes all memory at its start would press the others together.
    let x = if most > least * MANIFOLD {
        Scale::logarithmic(costs(), across)
    } else {
        Scale::around(costs(), across)
    };
    let y = Scale::around(
        points.iter().map(|point| point.gain),
        (frame.bottom, frame.top),
    );
    let front = front(points);
    let marks = html! {
        (value_axis(&x, frame))
        (height_axis(&y, frame))
        path class="front" d=(steps(&front, &x, &y)) {}
        @for point in points {
            @let is_front = front.contains(&point);
            @let (px, py) = (x.at(point.cost), y.at(point.gain));
            g class=(if is_front { "best" } else { "other" }) {
                title { (point.label) ": " (number(point.cost)) ", " (number(point.gain)) }
                circle cx=(round(px)) cy=(round(py)) r="4.5" {}
            }
            @let raise = if is_crowded(point, points, &x, &y) { 10.0 } else { 0.0 };
            text class="label" x=(round(px + 7.0)) y=(round(py + 4.0 - raise)) { (point.label) }
        }
    };
    svg(title, frame.height(), &marks)
}

/// Whether another point begins where the label of this one stands.
fn is_crowded(point: &Point, points: &[Point], x: &Scale, y: &Scale) -> bool {
    let width = super::label_width([point.label.as_str()].into_iter());
    points.iter().any(|other| {
        let (right, down) = (
            x.at(other.cost) - x.at(point.cost),
            y.at(other.gain) - y.at(point.gain),
        );
        (0.0..width + 12.0).contains(&right) && down.abs() < 12.0 && other != point
    })
}

/// Points that no other one beats on both metrics, by rising cost.
pub(super) fn front(points: &[Point]) -> Vec<&Point> {
    let beats = |a: &Point, b: &Point| {
        a.cost <= b.cost && a.gain >= b.gain && (a.cost < b.cost || a.gain > b.gain)
    };
    let mut front: Vec<&Point> = points
        .iter()
        .filter(|point| !points.iter().any(|other| beats(other, point)))
        .collect();
    front.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    front
}

fn steps(front: &[&Point], x: &Scale, y: &Scale) -> String {
    let mut text = String::new();
    for (index, point) in front.iter().enumerate() {
        let (px, py) = (round(x.at(point.cost)), round(y.at(point.gain)));
        text += &if index == 0 {
            format!("M{px} {py}")
        } else {
            format!("H{px}V{py}")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats_on_both() {
        let point = |label: &str, cost, gain| Point {
            label: label.into(),
            cost,
            gain,
        };
        let points = [
            point("dear and slow", 9.0, 1.0),
            point("cheap", 1.0, 2.0),
            point("fast", 5.0, 8.0),
            point("dominated", 6.0, 7.0),
        ];
        let labels: Vec<_> = front(&points)
            .iter()
            .map(|point| point.label.clone())
            .collect();
        assert_eq!(labels, ["cheap", "fast"]);
    }
}
