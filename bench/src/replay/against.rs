//! Whether a replay ranks heaps as real runs do: Spearman's rank correlation with every metric of a run of
//! measurements. Owns nothing; must never compare what a replay does not stand for.

use super::record::{HeapRecord, ReplayRecord};
use crate::{RankCorrelation, RunRecord, spearman};
use bespoke_recipe::workload::Better;
use serde::{Deserialize, Serialize};

/// How far two rankings agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The workload of the real run.
    pub workload: String,
    /// Its metric.
    pub metric: String,
    /// The component, for metrics by component.
    pub component: Option<String>,
    /// What of the replay it is compared with.
    pub replay: String,
    /// How far the rankings of the heaps that both have agree.
    #[serde(flatten)]
    pub rank: RankCorrelation,
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

fn measures(replay: &ReplayRecord) -> [Measure; 4] {
    let usage = |heap: &HeapRecord| heap.memory.as_ref()?.usage.clone();
    let measure = |name, is_of_memory, of: &dyn Fn(&HeapRecord) -> Option<f64>| {
        let able = replay.heaps.iter().filter(|heap| heap.failure.is_none());
        Measure {
            name,
            is_of_memory,
            values: able
                .filter_map(|heap| Some((heap.heap.clone(), of(heap)?)))
                .collect(),
        }
    };
    [
        measure("instructions", false, &|heap| heap.instructions),
        measure("cycles", false, &|heap| Some(heap.cycles?.median)),
        measure("held", true, &|heap| {
            Some(usage(heap)?.held_peak_bytes as f64)
        }),
        measure("resident", true, &|heap| {
            Some(usage(heap)?.resident_peak_bytes as f64)
        }),
    ]
}

/// Every metric of `run` that `replay` may stand for: of time and of memory, of the whole image or of the component that
/// was traced; of the workload that was traced, where that is known.
pub fn against(replay: &ReplayRecord, run: &RunRecord) -> Vec<Agreement> {
    let mut agreements = Vec::new();
    let measures = measures(replay);
    for column in run.columns() {
        let traced = replay.workload.as_ref();
        if traced.is_some_and(|name| *name != column.workload) {
            continue;
        }
        let is_memory = match &column.metric.unit[..] {
            "bytes" => true,
            "1/s" | "1/op" | "s" | "ms" | "us" | "ns" => false,
            _ => continue,
        };
        if column
            .component
            .as_deref()
            .is_some_and(|name| name != replay.component)
        {
            continue;
        }
        let real: Vec<(&str, f64)> = column
            .rows
            .iter()
            .filter(|row| !row.native && row.failure.is_none())
            .filter_map(|row| Some((&row.candidate[..], row.summary?.median)))
            .map(|(name, median)| match column.metric.better {
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
            let Some(rank) = spearman(&values, &replays) else {
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
                metric: column.metric.id.clone(),
                component: column.component.clone(),
                replay: measure.name.into(),
                rank,
                best: best(&values),
                best_in_replay: best(&replays),
                spread: most / least,
            });
        }
    }
    agreements
}
