//! Throughput against memory, with the candidates that nothing beats on both.

use super::Plot;
use super::chart::{Point, Title, scatter};
use super::unit::unit;
use bespoke_bench::Column;

/// A plot for the workload that `columns` are of, when both metrics were measured for two candidates or more.
pub(crate) fn tradeoff(workload: &str, columns: &[&Column]) -> Option<Plot> {
    let find = |id: &str| {
        columns
            .iter()
            .find(|column| column.metric.id == id && column.component.is_none())
    };
    let (speed, memory) = (find("throughput")?, find("memory")?);
    let bytes = unit(memory);
    let images = speed.rows.iter().filter(|row| !row.native);
    let points: Vec<Point> = images
        .filter_map(|row| {
            Some(Point {
                label: row.candidate.clone(),
                cost: bytes.convert(memory.row(&row.candidate)?.summary?.median),
                gain: row.summary?.median,
            })
        })
        .collect();
    if points.len() < 2 {
        return None;
    }
    let title = Title {
        text: format!("{workload}: operations in a second over {} in use", bytes.name),
        description: "Medians; further left needs less memory, further up is faster. The line joins what nothing beats on both.".into(),
    };
    Some(Plot {
        name: format!("pareto-{workload}"),
        chart: scatter(&title, &points),
        title,
        note: "Medians alone: whether two neighbours differ is what the tables say.".into(),
    })
}
