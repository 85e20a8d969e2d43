//! From races to the account of a search: what became of every candidate and why, and what was measured of it.

use super::evaluate::{RACE_ROUNDS, paired};
use super::goal::{TOLD, direction};
use super::outcome::{Became, Beside, Middle, Proven, SearchOutcome, Tried};
use super::race::{Fate, Finish, LOOK_SIGNIFICANCE, Proof};
use super::search::{DEFAULT, Found, Search};
use crate::Error;
use crate::{Metric, Summary};
use bespoke_recipe::composition::{Component, Composition};
use bespoke_recipe::workload::Workload;
use std::collections::BTreeSet;

impl Search<'_> {
    pub(super) fn note(&mut self, race: &str, labels: &[String], finish: &Finish, exact: bool) {
        for (entrant, label) in labels.iter().enumerate() {
            let is_best = finish.best == Some(entrant);
            let own = (entrant != 0)
                .then(|| finish.compare(entrant, 0, exact))
                .flatten();
            let (became, why) = match &finish.fates[entrant] {
                Fate::Out(why) => (Became::Out, why.clone()),
                Fate::Worse(ahead) => {
                    let leader = finish.best.map_or("", |best| &labels[best][..]);
                    let p = p(ahead.p, exact);
                    (
                        Became::Worse,
                        format!("{leader} is {:.2}x better{p}", ahead.ratio),
                    )
                }
                Fate::Behind(ratio) => (
                    Became::Behind,
                    format!("{ratio:.2}x behind the leader, given up without the test"),
                ),
                Fate::Stayed if is_best => (Became::Close, "won its race".into()),
                Fate::Stayed if entrant == 0 => {
                    (Became::Worse, "the winner is better by the test".into())
                }
                Fate::Stayed if finish.best == Some(0) => (
                    Became::Close,
                    "not better than the incumbent by the test".into(),
                ),
                Fate::Stayed => (Became::Close, "cannot be told from the winner".into()),
            };
            self.tried.push(Tried {
                label: label.clone(),
                race: race.into(),
                rounds: finish.costs[entrant].len() as u32,
                became,
                why,
                ratio: own.map(|own| own.ratio),
                p: own.map(|own| own.p),
                metrics: Vec::new(),
            });
        }
    }

    /// Why nothing can be chosen at all.
    pub(super) fn impossible(&self) -> String {
        let course = &self.course;
        let labels: Vec<&String> = course.seen.iter().collect();
        let unmet = self.wanted.within.iter().find_map(|constraint| {
            let standings = labels.iter().filter_map(|label| {
                course
                    .standing(label, constraint)
                    .map(|(value, _)| (label, value))
            });
            let nearest = standings.reduce(|a, b| match constraint.best(a.1, b.1) == a.1 {
                true => a,
                false => b,
            })?;
            (!constraint.allows(nearest.1)).then(|| {
                format!(
                    "no candidate satisfies {constraint}; the nearest is {} with {}",
                    nearest.0,
                    constraint.show(nearest.1)
                )
            })
        });
        unmet.unwrap_or_else(|| match self.wanted.within.is_empty() {
            true => "every candidate fails a workload".into(),
            false => "no candidate passes every workload within all constraints".into(),
        })
    }

    pub(super) fn finish(
        mut self,
        chosen: Option<Composition>,
        why: String,
    ) -> Result<Found, Error> {
        let label = chosen.as_ref().map(|chosen| self.label(chosen));
        if let Some(label) = &label {
            for tried in self.tried.iter_mut().filter(|tried| tried.label == *label) {
                tried.became = Became::Chosen;
            }
        }
        self.add_metrics();
        let beside = label
            .as_ref()
            .map_or_else(Vec::new, |label| self.beside(label));
        let run = self.course.journal.run().clone();
        let notes = [vec![why], std::mem::take(&mut self.notes)].concat();
        let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
        let names =
            |workloads: &[Workload]| workloads.iter().map(|each| each.name.clone()).collect();
        // Bytes do not depend on how fast the machine is.
        let mut doubts = match self.wanted.goal.counts_bytes() {
            true => Vec::new(),
            false => run.doubts(),
        };
        // A workload that was only passed has no metrics to doubt.
        doubts.retain(|doubt| {
            !self
                .course
                .passed
                .iter()
                .any(|each| doubt.starts_with(&format!("{}: ", each.name)))
        });
        let account = SearchOutcome {
            goal: self.wanted.goal.name().into(),
            within: self.wanted.within.iter().map(ToString::to_string).collect(),
            components: self
                .wanted
                .components
                .iter()
                .map(|each| each.name().into())
                .collect(),
            workloads: names(&self.course.timed),
            passed_only: names(&self.course.passed),
            monitor: run.monitor.clone(),
            started: run.started.clone(),
            budget_s: self.course.clock.budget_s.round(),
            took_s: self.course.clock.spent_s.round(),
            raw: run.id.clone(),
            default: self.default.to_string(),
            chosen: chosen.map(|chosen| chosen.to_string()),
            label,
            note: notes.join("; "),
            doubts,
            proof: self.proof.take(),
            machine: run.machine.clone(),
            beside,
            candidates: self.tried,
        };
        let (_, raw) = self.course.journal.finish()?;
        Ok(Found {
            account,
            chosen,
            raw,
        })
    }

    /// What is told of every candidate.
    pub(super) fn add_metrics(&mut self) {
        let course = &self.course;
        for tried in &mut self.tried {
            for workload in course.timed.iter().chain(&course.passed) {
                let is_timed = course.timed.iter().any(|timed| timed.name == workload.name);
                let terms = course.terms(workload, &self.wanted.components).into_iter();
                let mut told: Vec<(Metric, Option<Component>)> = terms
                    .filter(|_| is_timed)
                    .map(|term| (term.metric, term.component))
                    .collect();
                told.extend(
                    TOLD.iter()
                        .filter_map(|id| Some((Metric::exactly(id)?, None))),
                );
                told.extend(
                    course
                        .within
                        .iter()
                        .map(|each| (each.metric.clone(), each.component)),
                );
                let mut known = BTreeSet::new();
                for (metric, component) in told {
                    if !known.insert((metric.id.clone(), component.map(Component::name))) {
                        continue;
                    }
                    let values = course.values(&tried.label, &workload.name, &metric, component);
                    let values: Vec<f64> = values.into_iter().map(|(_, value)| value).collect();
                    tried
                        .metrics
                        .extend(Summary::of(&values).map(|summary| Middle {
                            workload: workload.name.clone(),
                            metric: metric.id.clone(),
                            component: component.map(|each| each.name().into()),
                            unit: metric.unit.clone(),
                            median: summary.median,
                            low: summary.low,
                            high: summary.high,
                            rounds: summary.rounds as u32,
                        }));
                }
            }
        }
    }

    /// The winner beside the default, by the rounds of the proof.
    pub(super) fn beside(&self, label: &str) -> Vec<Beside> {
        let course = &self.course;
        let first = self.races * RACE_ROUNDS;
        let mut found = Vec::new();
        for workload in &course.timed {
            for metric in TOLD.iter().filter_map(|id| Metric::exactly(id)) {
                let of = |label: &str| {
                    let all = course
                        .values(label, &workload.name, &metric, None)
                        .into_iter();
                    let exact = metric.pass.is_exact();
                    let of_proof = all.filter(|(round, _)| exact || *round >= first);
                    of_proof.collect::<Vec<_>>()
                };
                let (default, chosen) = (of(DEFAULT), of(label));
                let comparison = paired(&chosen, &default, &metric, direction(&metric, workload));
                let median = |values: &[(u32, f64)]| {
                    let values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
                    Summary::of(&values).map_or(0.0, |summary| summary.median)
                };
                found.extend(comparison.map(|comparison| Beside {
                    workload: workload.name.clone(),
                    metric: metric.id.clone(),
                    unit: metric.unit.clone(),
                    default: median(&default),
                    chosen: median(&chosen),
                    ratio: comparison.ratio,
                    p: comparison.p,
                    different: comparison.different,
                }));
            }
        }
        found
    }
}

/// The proof as it is written.
pub(super) fn proven(proof: &Proof, exact: bool) -> Proven {
    Proven {
        ratio: proof.comparison.ratio,
        low: proof.spread.0,
        high: proof.spread.1,
        p: proof.comparison.p,
        rounds: proof.rounds,
        level: if exact { 0.0 } else { LOOK_SIGNIFICANCE },
        holds: proof.holds,
    }
}

/// A p-value in brackets; nothing where there is no test.
pub(super) fn p(p: f64, exact: bool) -> String {
    match exact {
        true => String::new(),
        false => format!(" (p={p:.4})"),
    }
}

/// `90 s`, `5 min`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", (s / 60.0).ceil()),
    }
}
