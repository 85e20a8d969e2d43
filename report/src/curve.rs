//! One metric over the size of a workload, where several workloads differ by a number: `inserts-10`,
//! `inserts-1000`.

use super::Plot;
use super::chart::{Line, Title, lines};
use bespoke_bench::Column;
use std::collections::BTreeMap;

/// Fewest sizes that make a curve.
const FEWEST: usize = 3;

/// A plot for each family of workloads that has the metric `id` at three sizes or more.
pub fn curves(id: &str, columns: &[Column]) -> Vec<Plot> {
    let mut families: BTreeMap<&str, Vec<(f64, &Column)>> = BTreeMap::new();
    for column in columns
        .iter()
        .filter(|column| column.metric.id == id && column.component.is_none())
    {
        if let Some((family, size)) = size(&column.workload) {
            families.entry(family).or_default().push((size, column));
        }
    }
    families.retain(|_, sizes| sizes.len() >= FEWEST);
    let plot = |(family, mut sizes): (&str, Vec<(f64, &Column)>)| {
        sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let metric = &sizes[0].1.metric;
        let rows = sizes[0].1.rows.iter().enumerate();
        let series: Vec<Line> = rows
            .map(|(slot, row)| Line {
                label: row.candidate.clone(),
                slot,
                is_reference: row.native,
                points: points(&row.candidate, &sizes),
            })
            .collect();
        let title = Title {
            text: format!("{family}: {} [{}]", metric.title, metric.unit),
            description: format!(
                "Medians over the number of {family}, both axes by orders of magnitude, a line a candidate."
            ),
        };
        Plot {
            name: format!("curve-{family}-{}", metric.id.replace('.', "-")),
            chart: lines(&title, &series, true),
            title,
            note: format!("Across: number of {family}."),
        }
    };
    families.into_iter().map(plot).collect()
}

/// `inserts-1000`: the family and the number.
fn size(workload: &str) -> Option<(&str, f64)> {
    let (family, number) = workload.rsplit_once('-')?;
    let size: u64 = number.parse().ok()?;
    (size > 0).then_some((family, size as f64))
}

fn points(candidate: &str, sizes: &[(f64, &Column)]) -> Vec<(f64, f64)> {
    let point =
        |(size, column): &(f64, &Column)| Some((*size, column.row(candidate)?.summary?.median));
    sizes.iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_number_at_the_end_of_a_name_is_a_size() {
        assert_eq!(size("inserts-1000"), Some(("inserts", 1000.0)));
        assert_eq!(size("keep-alive"), None);
        assert_eq!(size("get-0"), None);
    }
}
