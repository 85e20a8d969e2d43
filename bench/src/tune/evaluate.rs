//! How candidates of one race are measured: what a round of one of them is, what it costs of the budget, and what
//! takes it out of the race.

use super::constraint::Constraint;
use super::goal::{Goal, TOLD, Term, cost, direction};
use super::race::Field;
use crate::Error;
use crate::{
    Candidate, Journal, Metric, Outcome, Pass, Point, Progress, Session, Summary, calibrate,
    interrupt, judge, take,
};
use bespoke_recipe::composition::Component;
use bespoke_recipe::workload::Workload;
use std::collections::BTreeSet;
use std::time::Instant;

/// Rounds of different races have numbers that differ by this.
pub(super) const RACE_ROUNDS: u32 = 100;
/// Values of a metric that varies, before a constraint is judged by their median.
const ENOUGH: usize = 3;

/// The budget, in seconds of measuring.
pub(super) struct Clock {
    /// All of it.
    pub budget_s: f64,
    /// What was used.
    pub spent_s: f64,
    /// What a round of one candidate takes, by the latest ones.
    pub round_s: f64,
}

/// What all races of a search share.
pub(super) struct Course<'a> {
    /// Where.
    pub session: &'a Session,
    /// What for.
    pub goal: Goal,
    /// Within what.
    pub within: &'a [Constraint],
    /// Workloads in every round.
    pub timed: Vec<Workload>,
    /// Workloads that a candidate has to pass, once.
    pub passed: Vec<Workload>,
    /// What was measured.
    pub journal: Journal,
    /// What may still be.
    pub clock: Clock,
    /// For people.
    pub progress: Progress,
    /// Labels of candidates that have run before.
    pub seen: BTreeSet<String>,
    /// Of rounds.
    pub random: fastrand::Rng,
}

/// One race.
pub(super) struct Evaluator<'c, 'a> {
    /// What it shares with others.
    pub course: &'c mut Course<'a>,
    /// Its entrants, the incumbent first.
    pub candidates: Vec<Candidate>,
    /// Components whose heaps are at stake.
    pub components: Vec<Component>,
    /// Number of its first round.
    pub first_round: u32,
    /// What may be spent until its end, of the clock's seconds.
    pub until_s: f64,
    /// Everything that is told of a candidate is measured in each round, not only in its first.
    pub tells: bool,
}

impl Course<'_> {
    /// What counts of a workload.
    pub(super) fn terms(&self, workload: &Workload, components: &[Component]) -> Vec<Term> {
        self.goal.terms(workload, components)
    }

    /// The value of a metric: of one round, or, of a metric that does not vary, of any.
    fn value(
        &self,
        label: &str,
        workload: &str,
        term: (&Metric, Option<Component>),
        round: u32,
    ) -> Option<f64> {
        let (metric, component) = term;
        let once = is_once(metric.pass);
        let values = self.values(label, workload, metric, component);
        let found = values.into_iter().find(|(of, _)| once || *of == round);
        found.map(|(_, value)| value)
    }

    /// Every value of a metric, with its round.
    pub(super) fn values(
        &self,
        label: &str,
        workload: &str,
        metric: &Metric,
        component: Option<Component>,
    ) -> Vec<(u32, f64)> {
        let component = component.map(Component::name);
        let taken = self.journal.run().measurements.iter().filter(|taken| {
            taken.candidate == label && taken.workload == workload && taken.pass == metric.pass
        });
        let values = taken.filter_map(|taken| match &taken.outcome {
            Outcome::Failed(_) => None,
            Outcome::Values(readings) => readings
                .iter()
                .find(|each| each.metric == metric.id && each.component.as_deref() == component)
                .map(|reading| (taken.round, reading.value)),
        });
        values.collect()
    }

    /// Worst median of a constraint's metric over the workloads, and whether there are enough values to judge by.
    pub(super) fn standing(&self, label: &str, constraint: &Constraint) -> Option<(f64, bool)> {
        let mut worst: Option<f64> = None;
        let mut enough = true;
        for workload in self.timed.iter().chain(&self.passed) {
            let values = self.values(
                label,
                &workload.name,
                &constraint.metric,
                constraint.component,
            );
            let values: Vec<f64> = values.into_iter().map(|(_, value)| value).collect();
            let Some(summary) = Summary::of(&values) else {
                continue;
            };
            let is_timed = self.timed.iter().any(|timed| timed.name == workload.name);
            // Where one round tells all there will be no more values.
            let once = is_once(constraint.metric.pass) || self.goal.is_exact();
            enough &= once || !is_timed || values.len() >= ENOUGH;
            let median = summary.median;
            worst = Some(worst.map_or(median, |worst| constraint.worst(worst, median)));
        }
        worst.map(|worst| (worst, enough))
    }

    /// The first constraint that a candidate breaks, in words.
    fn broken(&self, label: &str) -> Option<String> {
        self.within.iter().find_map(|constraint| {
            let (value, enough) = self.standing(label, constraint)?;
            let breaks = enough && !constraint.allows(value);
            breaks.then(|| {
                format!(
                    "{} is {}, outside {constraint}",
                    constraint.metric.id,
                    constraint.show(value)
                )
            })
        })
    }

    /// Kinds of run that a candidate needs of a workload, with the metrics of each.
    fn passes(
        &self,
        workload: &Workload,
        components: &[Component],
        all: bool,
    ) -> Vec<(Pass, Vec<Metric>)> {
        let is_timed = self.timed.iter().any(|timed| timed.name == workload.name);
        let mut metrics: Vec<Metric> = Vec::new();
        if is_timed {
            let terms = self.terms(workload, components).into_iter();
            metrics.extend(terms.map(|term| term.metric));
        }
        if is_timed || all {
            metrics.extend(self.within.iter().map(|each| each.metric.clone()));
        }
        if all {
            metrics.extend(TOLD.iter().filter_map(|id| Metric::exactly(id)));
        }
        let has = self.session.passes(workload);
        has.into_iter()
            .filter_map(|pass| {
                let own = metrics.iter().filter(|metric| metric.pass == pass);
                let own: Vec<Metric> = own.cloned().collect();
                (!own.is_empty()).then_some((pass, own))
            })
            .collect()
    }

    /// Takes what the journal does not have; says why when the workload fails.
    fn take(
        &mut self,
        candidate: &Candidate,
        point: &Point,
        metrics: &[Metric],
    ) -> Result<Option<String>, Error> {
        let (name, round, pass) = (&point.workload.name, point.round, point.pass);
        let known = |run: &crate::RunRecord| {
            let of = run.measurements.iter().find(|taken| {
                taken.candidate == candidate.label
                    && taken.workload == *name
                    && taken.pass == pass
                    && (taken.round == round
                        || is_once(pass)
                        || matches!(taken.outcome, Outcome::Failed(_)))
            });
            of.map(|taken| match &taken.outcome {
                Outcome::Failed(why) => Some(format!("{name} failed: {why}")),
                Outcome::Values(_) => None,
            })
        };
        if let Some(done) = known(self.journal.run()) {
            return Ok(done);
        }
        let left = self.clock.budget_s - self.clock.spent_s;
        self.progress
            .now(&format!("{name}, {}", candidate.label), left);
        let start = Instant::now();
        take(&mut self.journal, self.session, candidate, point, metrics)?;
        self.clock.spent_s += start.elapsed().as_secs_f64();
        self.progress.step();
        Ok(known(self.journal.run()).flatten())
    }
}

/// Whether one measurement of a pass is enough: it does not vary, or takes ten loads.
fn is_once(pass: Pass) -> bool {
    pass.is_exact() || pass == Pass::Creep
}

impl Evaluator<'_, '_> {
    /// Builds an entrant, which is no part of the budget; says why when that fails.
    fn build(&mut self, candidate: &Candidate) -> Result<Option<String>, Error> {
        let course = &mut *self.course;
        let left = course.clock.budget_s - course.clock.spent_s;
        course
            .progress
            .now(&format!("building {}", candidate.label), left);
        let workloads: Vec<Workload> = course.timed.iter().chain(&course.passed).cloned().collect();
        for workload in workloads {
            let passes = course.passes(&workload, &self.components, true);
            let metrics: Vec<Metric> = passes.into_iter().flat_map(|(_, own)| own).collect();
            let built = course.session.build(candidate, &workload, &metrics);
            // A compiler that Ctrl-C ended with us has not failed.
            if interrupt::asked() {
                return Err(Error::Interrupted(course.journal.path().to_path_buf()));
            }
            match built {
                Ok(()) => {}
                Err(Error::Workload(why)) => return Ok(Some(why)),
                Err(other) => return Err(other),
            }
        }
        let record = course.session.record(candidate)?;
        course.journal.enter(record)?;
        Ok(None)
    }
}

impl Field for Evaluator<'_, '_> {
    fn measure(&mut self, entrant: usize, round: u32) -> Result<Result<f64, String>, Error> {
        let candidate = self.candidates[entrant].clone();
        let round = self.first_round + round;
        let is_new = !self.course.seen.contains(&candidate.label);
        if is_new {
            if let Some(why) = self.build(&candidate)? {
                return Ok(Err(why));
            }
            self.course.seen.insert(candidate.label.clone());
        }
        let workloads: Vec<(Workload, bool)> = {
            let timed = self.course.timed.iter().map(|each| (each.clone(), true));
            let passed = self.course.passed.iter().map(|each| (each.clone(), false));
            timed.chain(passed.filter(|_| is_new)).collect()
        };
        let mut values = Vec::new();
        let before = self.course.clock.spent_s;
        let mut timed_s = 0.0;
        for (workload, is_timed) in &workloads {
            let all = is_new || (self.tells && *is_timed);
            for (pass, metrics) in self.course.passes(workload, &self.components, all) {
                let point = Point {
                    workload,
                    pass,
                    round,
                };
                if let Some(why) = self.course.take(&candidate, &point, &metrics)? {
                    return Ok(Err(why));
                }
            }
            if !is_timed {
                continue;
            }
            timed_s = self.course.clock.spent_s - before;
            for term in self.course.terms(workload, &self.components) {
                let what = (&term.metric, term.component);
                match self
                    .course
                    .value(&candidate.label, &workload.name, what, round)
                {
                    Some(value) => values.push((term.better, value)),
                    None => {
                        let id = &term.metric.id;
                        return Ok(Err(format!("{} gave no {id}", workload.name)));
                    }
                }
            }
        }
        if timed_s > 0.0 && !is_new {
            let clock = &mut self.course.clock;
            clock.round_s = 0.8 * clock.round_s + 0.2 * timed_s;
        }
        Ok(match self.course.broken(&candidate.label) {
            Some(why) => Err(why),
            None => Ok(cost(&values)),
        })
    }

    fn affords(&self, runs: usize) -> bool {
        let clock = &self.course.clock;
        clock.spent_s + runs as f64 * clock.round_s <= self.until_s
    }

    /// For a balanced choice no metric may be worse than the incumbent's, by the test.
    fn fault(&self, entrant: usize) -> Option<String> {
        if self.course.goal != Goal::Balanced || entrant == 0 {
            return None;
        }
        let rounds = self.first_round..self.first_round + RACE_ROUNDS;
        let course = &self.course;
        course.timed.iter().find_map(|workload| {
            course
                .terms(workload, &self.components)
                .into_iter()
                .find_map(|term| {
                    let of = |candidate: &Candidate| {
                        let all = course.values(
                            &candidate.label,
                            &workload.name,
                            &term.metric,
                            term.component,
                        );
                        let exact = is_once(term.metric.pass);
                        all.into_iter()
                            .filter(|(round, _)| exact || rounds.contains(round))
                            .collect::<Vec<_>>()
                    };
                    let (incumbent, this) =
                        (of(&self.candidates[0]), of(&self.candidates[entrant]));
                    let comparison = paired(
                        &this,
                        &incumbent,
                        &term.metric,
                        direction(&term.metric, workload),
                    )?;
                    (comparison.different && comparison.ratio < 1.0).then(|| {
                        format!(
                            "worse in {}: {:.2}x of the incumbent's on {}",
                            term.metric.id, comparison.ratio, workload.name
                        )
                    })
                })
        })
    }

    fn begin_round(&mut self, order: &mut [usize]) -> Result<(), Error> {
        self.course.random.shuffle(order);
        self.course.journal.calibrated(calibrate())
    }
}

/// How `this` compares with `other` over the rounds that both have; metrics that do not vary by their first values.
pub(super) fn paired(
    this: &[(u32, f64)],
    other: &[(u32, f64)],
    metric: &Metric,
    better: bespoke_recipe::workload::Better,
) -> Option<crate::Comparison> {
    let exact = is_once(metric.pass);
    let (a, b): (Vec<f64>, Vec<f64>) = match exact {
        true => this.iter().zip(other).map(|(a, b)| (a.1, b.1)).unzip(),
        false => this
            .iter()
            .filter_map(|(round, value)| {
                let other = other.iter().find(|(of, _)| of == round)?;
                Some((*value, other.1))
            })
            .unzip(),
    };
    (!a.is_empty()).then(|| judge(better, exact, &a, &b))
}
