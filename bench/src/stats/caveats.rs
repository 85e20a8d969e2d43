//! What makes the metrics of a run doubtful: an unsteady machine, runs too short, too few rounds. Owns nothing;
//! says so beside the metrics and changes none.

use crate::metric::Pass;
use crate::record::{Outcome, RunRecord};
use crate::stats::compare::Summary;

/// Largest spread (third quartile over first) of the calibration at which a machine counts as steady.
pub(crate) const STEADY_SPREAD: f64 = 1.10;
/// Largest spread of the reference's time or throughput.
pub(crate) const REFERENCE_SPREAD: f64 = 1.25;
/// Shortest run, in seconds, whose rate or latencies mean something: starting a process alone takes a
/// millisecond or two, and clocks of clients count in tens of microseconds.
pub(crate) const SHORTEST_S: f64 = 0.1;
/// Fewest rounds with which the test can find a difference at all.
pub(crate) const FEWEST_ROUNDS: u32 = 8;
/// Figures that a short run makes doubtful.
const RATES: [&str; 6] = [
    "throughput",
    "time",
    "latency.p50",
    "latency.p99",
    "latency.p999",
    "latency.max",
];

impl RunRecord {
    /// A sentence for each reason to doubt the metrics; none is a good sign.
    pub fn doubts(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(spread) = spread(&self.calibration_s).filter(|spread| *spread > STEADY_SPREAD) {
            found.push(format!(
                "the machine is noisy: a fixed piece of arithmetic took {:.0} % longer at its third quartile than at \
                 its first (limit {:.0} %)",
                (spread - 1.0) * 100.0,
                (STEADY_SPREAD - 1.0) * 100.0
            ));
        }
        if self.has_varying() && self.rounds < FEWEST_ROUNDS {
            found.push(format!(
                "with {} rounds no difference can be found; it takes {FEWEST_ROUNDS}",
                self.rounds
            ));
        }
        for workload in &self.workloads {
            found.extend(self.reference_doubt(&workload.name));
            found.extend(self.short_doubt(&workload.name));
        }
        found
    }

    fn has_varying(&self) -> bool {
        self.metrics.iter().any(|metric| !metric.pass.is_exact())
    }

    fn reference_doubt(&self, workload: &str) -> Option<String> {
        let values = |metric: &str| -> Vec<f64> {
            let of_reference = self
                .measurements
                .iter()
                .filter(|taken| taken.workload == workload && taken.candidate == self.reference);
            let readings = of_reference.filter_map(|taken| match &taken.outcome {
                Outcome::Values(readings) => readings.iter().find(|each| each.metric == metric),
                Outcome::Failed(_) => None,
            });
            readings.map(|reading| reading.value).collect()
        };
        let spread = spread(&values("throughput")).filter(|spread| *spread > REFERENCE_SPREAD)?;
        Some(format!(
            "{workload}: the throughput of {} itself varied by {:.0} % between quartiles (limit {:.0} %)",
            self.reference,
            (spread - 1.0) * 100.0,
            (REFERENCE_SPREAD - 1.0) * 100.0
        ))
    }

    fn short_doubt(&self, workload: &str) -> Option<String> {
        if !self
            .metrics
            .iter()
            .any(|metric| RATES.contains(&&metric.id[..]))
        {
            return None;
        }
        let seconds: Vec<f64> = self
            .measurements
            .iter()
            .filter(|taken| {
                taken.workload == workload
                    && taken.pass == Pass::Plain
                    && matches!(taken.outcome, Outcome::Values(_))
            })
            .map(|taken| taken.measured_s)
            .collect();
        let median = Summary::of(&seconds)?.median;
        (median < SHORTEST_S).then(|| {
            format!(
                "{workload}: a run takes {:.1} ms, too short for its time and throughput to mean much (limit {:.0} ms)",
                median * 1e3,
                SHORTEST_S * 1e3
            )
        })
    }
}

fn spread(sample: &[f64]) -> Option<f64> {
    let summary = Summary::of(sample)?;
    (sample.len() >= 4 && summary.low > 0.0).then(|| summary.high / summary.low)
}
