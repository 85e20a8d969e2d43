//! Whether a replay ranks heaps as real runs do: Spearman's rank correlation with every figure of a run of
//! measurements. Owns nothing; must never compare what a replay does not stand for.

use super::Results;
use crate::measure::{Better, RunRecord};
use serde::Serialize;

/// Fewer heaps have no ranking to speak of.
const LEAST: usize = 3;

/// How far two rankings agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The workload of the real run.
    pub workload: String,
    /// Its figure.
    pub figure: String,
    /// What of the replay it is compared with.
    pub replay: &'static str,
    /// Heaps that both have.
    pub heaps: usize,
    /// From -1 (the other way round) to 1 (the same).
    pub correlation: f64,
    /// The best heap of the real run, by its median.
    pub best: String,
    /// The best heap of the replay.
    pub best_in_replay: String,
    /// Worst over best in the real run: near 1, ranks are noise.
    pub spread: f64,
}

/// A measure of a replay, for all heaps; smaller is better.
struct Measure {
    name: &'static str,
    is_of_memory: bool,
    values: Vec<(String, f64)>,
}

fn measures(results: &Results) -> [Measure; 4] {
    let all = |of: &dyn Fn(&super::Outcome) -> Option<f64>| {
        let able = results
            .outcomes
            .iter()
            .filter(|outcome| outcome.failure.is_none());
        able.filter_map(|outcome| Some((outcome.heap.to_string(), of(outcome)?)))
            .collect()
    };
    let usage = |outcome: &super::Outcome| outcome.memory.as_ref()?.usage.clone();
    let measure = |name, is_of_memory, of: &dyn Fn(&super::Outcome) -> Option<f64>| Measure {
        name,
        is_of_memory,
        values: all(of),
    };
    [
        measure("instructions", false, &|outcome| outcome.instructions),
        measure("cycles", false, &|outcome| Some(outcome.summary()?.median)),
        measure("held", true, &|outcome| {
            Some(usage(outcome)?.held_peak_bytes as f64)
        }),
        measure("resident", true, &|outcome| {
            Some(usage(outcome)?.resident_peak_bytes as f64)
        }),
    ]
}

/// Every figure of `run` that `results` may stand for: of time and of memory, of the whole image or of
/// `component`.
pub fn against(results: &Results, run: &RunRecord, component: &str) -> Vec<Agreement> {
    let mut agreements = Vec::new();
    let measures = measures(results);
    for column in run.columns() {
        let is_memory = match &column.figure.unit[..] {
            "bytes" => true,
            "1/s" | "s" | "ms" | "us" | "ns" | "instructions" => false,
            _ => continue,
        };
        if column
            .component
            .as_deref()
            .is_some_and(|name| name != component)
        {
            continue;
        }
        let real: Vec<(&str, f64)> = column
            .rows
            .iter()
            .filter(|row| !row.native && row.failure.is_none())
            .filter_map(|row| Some((&row.candidate[..], row.summary?.median)))
            .map(|(name, median)| match column.figure.better {
                Better::Smaller => (name, median),
                Better::Larger => (name, 1.0 / median),
            })
            .collect();
        for measure in &measures {
            if measure.is_of_memory != is_memory {
                continue;
            }
            let pairs: Vec<(&str, f64, f64)> = real
                .iter()
                .filter_map(|&(name, value)| {
                    let (_, replayed) = measure.values.iter().find(|(label, _)| label == name)?;
                    Some((name, value, *replayed))
                })
                .collect();
            let (values, replays): (Vec<f64>, Vec<f64>) = pairs
                .iter()
                .map(|&(_, value, replay)| (value, replay))
                .unzip();
            let Some(correlation) = spearman(&values, &replays) else {
                continue;
            };
            let best = |by: &[f64]| {
                let least = by.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
                least.map_or(String::new(), |(index, _)| pairs[index].0.to_string())
            };
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            agreements.push(Agreement {
                workload: column.workload.clone(),
                figure: column.figure.id.clone(),
                replay: measure.name,
                heaps: pairs.len(),
                correlation,
                best: best(&values),
                best_in_replay: best(&replays),
                spread: most / least,
            });
        }
    }
    agreements
}

/// Ranks from 1; equals share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// Pearson's correlation of the ranks; `None` for too few, or where all are equal.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() < LEAST {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_agree_whatever_the_scale() {
        let close = |got: Option<f64>, wanted: f64| (got.expect("enough") - wanted).abs() < 1e-9;
        assert!(close(spearman(&[1.0, 2.0, 3.0], &[10.0, 1e6, 1e9]), 1.0));
        assert!(close(
            spearman(&[1.0, 2.0, 3.0, 4.0], &[4.0, 3.0, 2.0, 1.0]),
            -1.0
        ));
        // By the textbook: 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15).
        assert!(close(
            spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]),
            0.8
        ));
        assert_eq!(ranks(&[5.0, 5.0, 1.0]), [2.5, 2.5, 1.0]);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    }
}
