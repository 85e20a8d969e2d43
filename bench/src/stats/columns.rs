//! From raw measurements to what may be said: for each workload and metric, every candidate's middle and
//! spread, how it compares with the reference, and which is best. Owns nothing; must never name a
//! winner that the test does not name.

use crate::metric::Metric;
use crate::record::{Outcome, RunRecord};
use crate::stats::compare::{Comparison, Summary, judge};
use bespoke_recipe::workload::Better;
use serde::Serialize;
use std::collections::BTreeMap;

/// One metric of one workload, for all candidates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// Name of the workload.
    pub workload: String,
    /// The metric; unit and direction are those of its values.
    #[serde(rename = "figure")]
    pub metric: Metric,
    /// The component, for metrics by component.
    pub component: Option<String>,
    /// A row for each candidate, in the order of the file.
    pub rows: Vec<Row>,
    /// Labels: the best candidate first, then those the test cannot tell from it. The native program is
    /// never among them. One label alone is a winner.
    pub best: Vec<String>,
}

/// One candidate in a [`Column`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Label of the candidate.
    pub candidate: String,
    /// The native program.
    pub native: bool,
    /// Values by round.
    pub values: BTreeMap<u32, f64>,
    /// Middle and spread; `None`: nothing was measured.
    pub summary: Option<Summary>,
    /// Against the reference; `None` for the reference itself, or where they share no round.
    pub against_reference: Option<Comparison>,
    /// Why the workload failed with it, if it did in any round.
    pub failure: Option<String>,
}

impl Row {
    /// Values of the rounds that both have, in order of rounds.
    fn paired(&self, other: &Self) -> (Vec<f64>, Vec<f64>) {
        let common = self.values.iter();
        common
            .filter_map(|(round, value)| Some((*value, *other.values.get(round)?)))
            .unzip()
    }

    /// How this one compares with `other`; `None` where they share no round.
    pub fn compare(&self, other: &Self, better: Better, exact: bool) -> Option<Comparison> {
        let (this, other) = self.paired(other);
        (!this.is_empty()).then(|| judge(better, exact, &this, &other))
    }
}

impl Column {
    /// The only best candidate, when the test says that all others are worse.
    pub fn winner(&self) -> Option<&str> {
        let rivals = self.rows.iter().filter(|row| !row.native).count();
        match &self.best[..] {
            [one] if rivals > 1 => Some(one),
            _ => None,
        }
    }

    /// The row of a candidate.
    pub fn row(&self, candidate: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.candidate == candidate)
    }

    fn find_best(&self) -> Vec<String> {
        let exact = self.metric.pass.is_exact();
        let better = self.metric.better;
        let able = || {
            self.rows
                .iter()
                .filter(|row| !row.native && row.failure.is_none())
        };
        let median = |row: &Row| row.summary.map(|summary| summary.median);
        let ranked = able().filter_map(|row| Some((row, median(row)?)));
        let first = match better {
            Better::Smaller => ranked.min_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Larger => ranked.max_by(|a, b| a.1.total_cmp(&b.1)),
        };
        let Some((first, _)) = first else {
            return Vec::new();
        };
        let is_tied = |row: &&Row| {
            row.candidate != first.candidate
                && row.summary.is_some()
                && !first
                    .compare(row, better, exact)
                    .is_some_and(|comparison| comparison.different)
        };
        std::iter::once(first)
            .chain(able().filter(is_tied))
            .map(|row| row.candidate.clone())
            .collect()
    }
}

impl RunRecord {
    /// Every column of which anything was measured, workload by workload, in the order of the file's
    /// metrics; within a metric by component name.
    pub fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        for workload in &self.workloads {
            for metric in &self.metrics {
                let mut metric = metric.clone();
                if let (Some(value), "value") = (&workload.value, &metric.id[..]) {
                    metric.unit.clone_from(&value.unit);
                    metric.better = value.better;
                }
                for component in self.components(&workload.name, &metric.id) {
                    columns.push(self.column(&workload.name, &metric, component));
                }
            }
        }
        columns
    }

    /// Components (`None`: the whole image) for which the workload has values of the metric.
    fn components(&self, workload: &str, metric: &str) -> Vec<Option<String>> {
        let mut found: Vec<Option<String>> = Vec::new();
        for measurement in &self.measurements {
            if let (true, Outcome::Values(readings)) =
                (measurement.workload == workload, &measurement.outcome)
            {
                let of_metric = readings.iter().filter(|reading| reading.metric == metric);
                found.extend(of_metric.map(|reading| reading.component.clone()));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn column(&self, workload: &str, metric: &Metric, component: Option<String>) -> Column {
        let row = |candidate: &crate::candidate::CandidateRecord| {
            let mut values = BTreeMap::new();
            let mut failure = None;
            let of_candidate = self.measurements.iter().filter(|measurement| {
                measurement.workload == workload
                    && measurement.candidate == candidate.label
                    && measurement.pass == metric.pass
            });
            for measurement in of_candidate {
                match &measurement.outcome {
                    Outcome::Failed(reason) => failure = Some(reason.clone()),
                    Outcome::Values(readings) => {
                        let reading = readings.iter().find(|reading| {
                            reading.metric == metric.id && reading.component == component
                        });
                        values.extend(reading.map(|reading| (measurement.round, reading.value)));
                    }
                }
            }
            let sample: Vec<f64> = values.values().copied().collect();
            Row {
                candidate: candidate.label.clone(),
                native: candidate.native,
                summary: Summary::of(&sample),
                values,
                against_reference: None,
                failure,
            }
        };
        let mut rows: Vec<Row> = self.candidates.iter().map(row).collect();
        if let Some(reference) = rows.iter().find(|row| row.candidate == self.reference) {
            let reference = reference.clone();
            for row in rows
                .iter_mut()
                .filter(|row| row.candidate != self.reference)
            {
                row.against_reference =
                    row.compare(&reference, metric.better, metric.pass.is_exact());
            }
        }
        let mut column = Column {
            workload: workload.into(),
            metric: metric.clone(),
            component,
            rows,
            best: Vec::new(),
        };
        column.best = column.find_best();
        column
    }
}
