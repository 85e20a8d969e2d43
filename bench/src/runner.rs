//! The one call that measures: a workload with a candidate, once, in the way of a pass.

use crate::Error;
use crate::candidate::Candidate;
use crate::kinds::{batch, command, server};
use crate::metric::{Metric, Pass};
use crate::record::{Outcome, Reading};
use crate::session::{Session, app_of, timed};
use bespoke_recipe::workload::{self, Workload};
use std::fs;

/// What one measurement came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Seconds over which rates and latencies were taken.
    pub measured_s: f64,
    /// Values, or why the workload failed.
    pub outcome: Outcome,
}

impl Session {
    /// The kinds of run that `workload` has.
    pub fn passes(&self, workload: &Workload) -> Vec<Pass> {
        let plain = [
            Pass::Plain,
            Pass::HeapLatency,
            Pass::MinimumMemory,
            Pass::Image,
            Pass::Traced,
        ];
        match &workload.kind {
            workload::Kind::Run(run) => {
                let creep = (!run.again.is_empty()).then_some(Pass::Creep);
                let counted = Some(Pass::Instructions);
                plain.into_iter().chain(counted).chain(creep).collect()
            }
            workload::Kind::Server(_) => plain
                .into_iter()
                .chain([Pass::Creep, Pass::Repeat])
                .collect(),
            workload::Kind::Command(_) => vec![Pass::Plain, Pass::Image],
        }
    }

    /// Runs `workload` once with `candidate`, in the way of `pass`, and returns those of `metrics` that it yields.
    ///
    /// Figures that `workload` does not have are left out. A pass is measured as a whole: ask for all metrics of
    /// one pass in one call. Nothing else should run on the machine meanwhile, and who compares candidates takes
    /// them in turns, in shuffled order, and pairs what was taken in one turn.
    ///
    /// # Errors
    ///
    /// When it cannot be measured at all, for example because a tool is missing. That the workload fails with the
    /// candidate is no error but [`Outcome::Failed`], also when its image cannot be built.
    pub fn measure(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        pass: Pass,
        metrics: &[Metric],
    ) -> Result<Taken, Error> {
        if pass == Pass::HeapLatency {
            return self.heap_latency(candidate, workload, metrics);
        }
        self.take(candidate, workload, pass, metrics)
    }

    /// The plain pass of an image whose heaps are timed, of which only that is taken.
    fn heap_latency(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        metrics: &[Metric],
    ) -> Result<Taken, Error> {
        let Some(timed) = timed(candidate) else {
            return Ok(Taken {
                measured_s: 0.0,
                outcome: Outcome::Values(Vec::new()),
            });
        };
        self.take(&timed, workload, Pass::HeapLatency, metrics)
    }

    fn take(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        pass: Pass,
        metrics: &[Metric],
    ) -> Result<Taken, Error> {
        let wants = |id: &str| {
            let of_pass = |metric: &&Metric| metric.pass == pass;
            metrics.iter().filter(of_pass).any(|metric| metric.id == id)
        };
        let taken = match (&workload.kind, pass) {
            (_, Pass::Image) => self.image_size(candidate, workload),
            (workload::Kind::Run(run), _) => {
                batch::measure(self, candidate, workload, run, pass, &wants)
            }
            (workload::Kind::Server(load), _) => {
                server::measure(self, candidate, workload, load, pass, &wants)
            }
            (workload::Kind::Command(shell), _) => {
                command::measure(self, candidate, workload, shell)
            }
        };
        match taken {
            Ok((measured_s, mut readings)) => {
                readings.retain(|reading| wants(&reading.metric));
                Ok(Taken {
                    measured_s,
                    outcome: Outcome::Values(readings),
                })
            }
            Err(Error::Workload(reason)) => Ok(Taken {
                measured_s: 0.0,
                outcome: Outcome::Failed(reason),
            }),
            Err(other) => Err(other),
        }
    }

    fn image_size(
        &self,
        candidate: &Candidate,
        workload: &Workload,
    ) -> Result<(f64, Vec<Reading>), Error> {
        let path = self.file(candidate, app_of(workload))?;
        let bytes = fs::metadata(&path)
            .map_err(Error::file("look at", &path))?
            .len();
        Ok((0.0, vec![Reading::whole("image_size", bytes as f64)]))
    }
}
