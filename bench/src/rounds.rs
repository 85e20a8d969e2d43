//! Interleaved, shuffled rounds over candidates, journalled as they are taken.
//!
//! A round takes every candidate once, in an order of its own, so that a slow or a busy moment of the machine hits all
//! alike. A candidate that fails a workload has its failure as its result and is left out of the rounds that
//! remain. What a journal already has is not taken again: that is all there is to going on after an interruption.

use crate::Error;
use crate::candidate::Candidate;
use crate::interrupt;
use crate::journal::Journal;
use crate::metric::{Metric, Pass};
use crate::progress::Progress;
use crate::record::{Measurement, Outcome};
use crate::session::Session;
use bespoke_recipe::workload::Workload;
use std::hint::black_box;
use std::time::Instant;

/// What is to be taken.
pub struct Rounds<'a> {
    /// Where.
    pub session: &'a Session,
    /// Of what.
    pub candidates: &'a [Candidate],
    /// Kind what.
    pub workloads: &'a [Workload],
    /// Which metrics.
    pub metrics: &'a [Metric],
    /// How often; metrics that do not vary are taken once.
    pub rounds: u32,
}

impl std::fmt::Debug for Rounds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rounds").finish_non_exhaustive()
    }
}

/// One kind of run of one workload.
struct Part<'a> {
    workload: &'a Workload,
    pass: Pass,
    rounds: u32,
}

impl Rounds<'_> {
    /// Takes what `journal` does not have yet.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the user asks to end; the measurement under way is then dropped.
    pub fn take(&self, journal: &mut Journal) -> Result<(), Error> {
        let parts = self.parts();
        let total: u32 = parts.iter().map(|part| part.rounds).sum();
        let mut progress = Progress::new("measuring", total as usize * self.candidates.len());
        let mut random = fastrand::Rng::new();
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        for part in &parts {
            for round in 0..part.rounds {
                random.shuffle(&mut order);
                let mut is_calibrated = false;
                for candidate in order.iter().map(|&index| &self.candidates[index]) {
                    if is_done(journal, part, candidate, round) {
                        progress.skip();
                        continue;
                    }
                    if !is_calibrated {
                        journal.calibrated(calibrate())?;
                        is_calibrated = true;
                    }
                    progress.next(&format!("{}, {}", part.workload.name, candidate.label));
                    let point = Point {
                        workload: part.workload,
                        pass: part.pass,
                        round,
                    };
                    take(journal, self.session, candidate, &point, self.metrics)?;
                    progress.step();
                }
            }
        }
        Ok(())
    }

    /// The kinds of run that yield any of the metrics.
    fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        for workload in self.workloads {
            for pass in self.session.passes(workload) {
                if self.metrics.iter().any(|metric| metric.pass == pass) {
                    parts.push(Part {
                        workload,
                        pass,
                        rounds: if pass.is_exact() { 1 } else { self.rounds },
                    });
                }
            }
        }
        parts
    }

    /// Builds everything first, so that no build runs between measurements.
    pub fn build(&self) -> Result<(), Error> {
        let total = self.candidates.len() * self.workloads.len();
        let mut progress = Progress::new("building", total);
        for workload in self.workloads {
            for candidate in self.candidates {
                progress.next(&candidate.label);
                match self.session.build(candidate, workload, self.metrics) {
                    // Told as the result of the candidate.
                    Ok(()) | Err(Error::Workload(_)) => progress.step(),
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(())
    }
}

/// What one measurement is of.
pub struct Point<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// The kind of run.
    pub pass: Pass,
    /// The round.
    pub round: u32,
}

impl std::fmt::Debug for Point<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Point").finish_non_exhaustive()
    }
}

/// Takes one measurement and adds it to `journal`.
///
/// # Errors
///
/// [`Error::Interrupted`] when the user asks to end; the measurement under way is then dropped.
pub fn take(
    journal: &mut Journal,
    session: &Session,
    candidate: &Candidate,
    point: &Point,
    metrics: &[Metric],
) -> Result<(), Error> {
    let interrupted = || Error::Interrupted(journal.path().to_path_buf());
    if interrupt::asked() {
        return Err(interrupted());
    }
    let taken = session.measure(candidate, point.workload, point.pass, metrics);
    // What ran was interrupted with us, whatever it says.
    if interrupt::asked() {
        return Err(interrupted());
    }
    let taken = taken?;
    journal.add(Measurement {
        workload: point.workload.name.clone(),
        candidate: candidate.label.clone(),
        pass: point.pass,
        round: point.round,
        measured_s: taken.measured_s,
        outcome: taken.outcome,
    })
}

/// Taken, or failed in an earlier round.
fn is_done(journal: &Journal, part: &Part, candidate: &Candidate, round: u32) -> bool {
    journal.run().measurements.iter().any(|taken| {
        taken.workload == part.workload.name
            && taken.candidate == candidate.label
            && taken.pass == part.pass
            && (taken.round == round || matches!(taken.outcome, Outcome::Failed(_)))
    })
}

/// Seconds of a fixed piece of arithmetic that touches no memory, some 10 ms: what varies of it is the machine.
pub fn calibrate() -> f64 {
    let start = Instant::now();
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..4_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    start.elapsed().as_secs_f64()
}
