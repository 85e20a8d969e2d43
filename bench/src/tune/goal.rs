//! What a search is for: which metrics of which workload make up the one number that candidates are compared by.
//! Data alone; must never measure.

use crate::Error;
use crate::{Metric, counted};
use bespoke_recipe::composition::Component;
use bespoke_recipe::workload::{Better, Kind, Workload};

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Operations in a second.
    Throughput,
    /// The latency that 1 % of requests exceed; where there are no requests, of heap operations.
    Latency,
    /// Most memory in use at once.
    Memory,
    /// First guest instruction to ready.
    Boot,
    /// Bytes of the image.
    Size,
    /// All of these, and none worse than with the default.
    Balanced,
}

const GOALS: [(Goal, &str); 6] = [
    (Goal::Throughput, "throughput"),
    (Goal::Latency, "latency"),
    (Goal::Memory, "memory"),
    (Goal::Boot, "boot"),
    (Goal::Size, "size"),
    (Goal::Balanced, "balanced"),
];

/// What is told of every candidate, whatever the goal: by workload, as far as it has them.
pub(super) const TOLD: [&str; 6] = [
    "throughput",
    "value",
    "latency.p99",
    "memory",
    "boot",
    "image_size",
];

/// A metric of a workload that counts for a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The metric.
    pub metric: Metric,
    /// For metrics by component.
    pub component: Option<Component>,
    /// The direction of its values.
    pub better: Better,
}

impl Goal {
    /// The goal that `name` names.
    ///
    /// # Errors
    ///
    /// When there is none of that name; the error has the nearest.
    pub fn named(name: &str) -> Result<Self, Error> {
        let found = GOALS.iter().find(|(_, known)| *known == name);
        found.map(|(goal, _)| *goal).ok_or_else(|| {
            let known = GOALS.map(|(_, name)| name);
            let hint = format!("there are {}", known.join(", "));
            Error::unknown("goal", name, known, hint)
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        GOALS
            .iter()
            .find(|(goal, _)| *goal == self)
            .map_or("", |(_, name)| name)
    }

    /// What is compared, in words.
    pub fn subject(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency (p99)",
            Self::Memory => "memory in use",
            Self::Boot => "time to ready",
            Self::Size => "image size",
            Self::Balanced => "geometric mean of all metrics",
        }
    }

    /// Whether values of one round tell all.
    pub fn is_exact(self) -> bool {
        self == Self::Size
    }

    /// Whether one workload tells as much as all do: a start, or a file, does not depend on what comes after.
    pub fn takes_one_workload(self) -> bool {
        matches!(self, Self::Boot | Self::Size)
    }

    /// Whether its metrics are counts of bytes, not times.
    pub fn counts_bytes(self) -> bool {
        matches!(self, Self::Memory | Self::Size)
    }

    /// Whether runs of a few milliseconds mean nothing for it.
    pub fn needs_long_runs(self) -> bool {
        matches!(self, Self::Throughput | Self::Balanced)
    }

    /// What counts of `workload` when the heaps of `components` are chosen; nothing when it has no such metric.
    pub fn terms(self, workload: &Workload, components: &[Component]) -> Vec<Term> {
        let (rate, latency): (&str, Option<&str>) = match &workload.kind {
            Kind::Run(_) => ("throughput", None),
            Kind::Server(_) => ("throughput", Some("latency.p99")),
            Kind::Command(_) => ("value", None),
        };
        let is_command = matches!(workload.kind, Kind::Command(_));
        let of_image = |id: &'static str| (!is_command).then_some(id);
        let ids: Vec<Option<&str>> = match self {
            Self::Throughput => vec![Some(rate)],
            Self::Latency if is_command => vec![Some(rate)],
            Self::Latency => vec![Some(latency.unwrap_or("heap_latency.p99"))],
            Self::Memory => vec![of_image("memory")],
            Self::Boot => vec![of_image("boot")],
            Self::Size => vec![Some("image_size")],
            Self::Balanced => vec![
                Some(rate),
                latency,
                of_image("memory"),
                of_image("boot"),
                Some("image_size"),
            ],
        };
        let ids = ids.into_iter().flatten();
        ids.flat_map(|id| Term::of(id, workload, components))
            .collect()
    }
}

impl Term {
    fn of(id: &str, workload: &Workload, components: &[Component]) -> Vec<Self> {
        let metric = Metric::exactly(id).expect("a metric of the list");
        let better = direction(&metric, workload);
        let term = |component| Self {
            metric: metric.clone(),
            component,
            better,
        };
        match id.starts_with("heap_latency") {
            true => components.iter().map(|each| term(Some(*each))).collect(),
            false => vec![term(None)],
        }
    }
}

/// Which direction of a metric is better; of what a command prints its recipe says so.
pub(super) fn direction(metric: &Metric, workload: &Workload) -> Better {
    match &workload.kind {
        Kind::Command(shell) if metric.id == "value" => shell.value.better,
        _ => metric.better,
    }
}

/// The geometric mean of values, each turned so that smaller is better.
pub(super) fn cost(values: &[(Better, f64)]) -> f64 {
    let logs = values.iter().map(|(better, value)| match better {
        Better::Smaller => counted(*value).ln(),
        Better::Larger => -counted(*value).ln(),
    });
    (logs.sum::<f64>() / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bespoke_recipe::{app, paths};

    fn ids(goal: Goal, app: &str) -> Vec<String> {
        let app = app::find(&paths::home(), app).unwrap();
        let terms = goal.terms(&app.workloads[0], &[Component::App]);
        terms.into_iter().map(|term| term.metric.id).collect()
    }

    #[test]
    fn goals_are_metrics_that_the_kind_of_workload_has() {
        assert_eq!(ids(Goal::Latency, "redis"), ["latency.p99"]);
        assert_eq!(ids(Goal::Latency, "sqlite"), ["heap_latency.p99"]);
        assert_eq!(
            ids(Goal::Balanced, "redis"),
            ["throughput", "latency.p99", "memory", "boot", "image_size"]
        );
        assert_eq!(
            ids(Goal::Balanced, "sqlite"),
            ["throughput", "memory", "boot", "image_size"]
        );
        for (goal, name) in GOALS {
            assert_eq!(Goal::named(name).unwrap(), goal);
        }
        let error = Goal::named("thruput").unwrap_err().to_string();
        assert!(error.contains("did you mean \"throughput\"?"), "{error}");
    }

    #[test]
    fn a_cost_is_half_when_a_metric_is_twice_as_good() {
        let (old, new) = (
            cost(&[(Better::Larger, 10.0)]),
            cost(&[(Better::Larger, 20.0)]),
        );
        assert!((old / new - 2.0).abs() < 1e-12);
        let both = cost(&[(Better::Smaller, 4.0), (Better::Smaller, 9.0)]);
        assert!((both - 6.0).abs() < 1e-12);
        assert_eq!(cost(&[(Better::Smaller, 0.0)]), 1.0);
    }
}
