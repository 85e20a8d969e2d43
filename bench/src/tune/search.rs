//! Which candidates are raced: for each component in turn every heap, then the parameters of those that stayed, with what
//! was chosen for the components before; at the end the winner's proof against the default.
//! Owns the course of one search; what it claims, [`super::race`] has proved.

use super::constraint::Constraint;
use super::evaluate::{Clock, Course, Evaluator, RACE_ROUNDS};
use super::goal::{Goal, TOLD};
use super::outcome::{Became, Proven, SearchOutcome, Tried};
use super::race::{FIRST_CUT, Field, LOOKS, prove, race};
use super::summary::{p, proven};
use crate::Error;
use crate::{Candidate, Journal, Metric, Plan, Progress, Session};
use bespoke_recipe::composition::{Component, Composition};
use bespoke_recipe::heap_spec::{HUGE, HeapSpec};
use bespoke_recipe::registry::HEAPS;
use bespoke_recipe::workload::Workload;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Label of what the app has without a lock.
pub(super) const DEFAULT: &str = "default";
/// Seconds of measuring when the user does not say.
const USUAL_BUDGET_S: f64 = 300.0;
/// Parts of the budget: a component's heaps, and its parameters.
const SHARES: (f64, f64) = (3.0, 2.0);

/// What is wanted.
pub struct Wanted {
    /// The goal.
    pub goal: Goal,
    /// Constraints.
    pub within: Vec<Constraint>,
    /// Components, in the order in which they are chosen.
    pub components: Vec<Component>,
    /// The heaps to try, and no others; none: all, and then the parameters of the best.
    pub heaps: Vec<HeapSpec>,
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// The user named them, so that none is left out.
    pub workloads_named: bool,
    /// Seconds of measuring.
    pub budget_s: Option<f64>,
    /// Where raw data are kept.
    pub results: PathBuf,
    /// Go on with an unfinished search.
    pub resume: bool,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").finish_non_exhaustive()
    }
}

/// What was found.
pub struct Found {
    /// How, and whether anything.
    pub account: SearchOutcome,
    /// The heaps; `None`: nothing is recommended.
    pub chosen: Option<Composition>,
    /// Where the raw data are.
    pub raw: PathBuf,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").finish_non_exhaustive()
    }
}

/// Searches the heaps of `session`'s app.
///
/// # Errors
///
/// When nothing could be measured, the budget is too small for any answer, or the user ended it.
pub fn search(session: &Session, wanted: &Wanted) -> Result<Found, Error> {
    let default = Composition::choose(&session.app.run.heaps, &[])?;
    let mut search = Search::begin(session, wanted, default)?;
    search.pilot()?;
    let mut incumbent = default;
    for (index, &component) in wanted.components.iter().enumerate() {
        let left = wanted.components.len() - index;
        match search.component(component, incumbent, left)? {
            Some(best) => incumbent = best,
            None => {
                let why = search.impossible();
                return search.finish(None, why);
            }
        }
    }
    search.conclude(incumbent)
}

/// A search that goes on.
pub(super) struct Search<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) course: Course<'a>,
    pub(super) default: Composition,
    /// The default can be chosen: it passes, within the constraints.
    pub(super) default_is_able: bool,
    pub(super) races: u32,
    pub(super) tried: Vec<Tried>,
    pub(super) notes: Vec<String>,
    pub(super) proof: Option<Proven>,
}

impl<'a> Search<'a> {
    fn begin(
        session: &'a Session,
        wanted: &'a Wanted,
        default: Composition,
    ) -> Result<Self, Error> {
        let goal = wanted.goal;
        let mut timed = Vec::new();
        let mut passed = Vec::new();
        for workload in &wanted.workloads {
            let counts = !goal.terms(workload, &wanted.components).is_empty();
            let enough = goal.takes_one_workload() && !timed.is_empty();
            match counts && !enough {
                true => timed.push(workload.clone()),
                false => passed.push(workload.clone()),
            }
        }
        if timed.is_empty() {
            return Err(Error::Usage(format!(
                "none of the workloads has a metric for {}; `bespoke bench {}` shows what they have",
                goal.name(),
                session.app.name
            )));
        }
        if session.service.is_some() {
            // What clients and native servers are made of is no part of the budget either.
            session.native()?;
            session.lab()?;
        }
        let candidates = [Candidate::image(DEFAULT, default)];
        let plan = Plan {
            command: "tune",
            session,
            candidates: &candidates,
            reference: DEFAULT,
            workloads: &wanted.workloads,
            metrics: &metrics(wanted),
            rounds: LOOKS[LOOKS.len() - 1],
        };
        let journal: Journal = match wanted.resume {
            true => plan.resume(&wanted.results)?,
            false => plan.begin(&wanted.results)?,
        };
        Ok(Self {
            wanted,
            default,
            default_is_able: true,
            races: 0,
            tried: Vec::new(),
            notes: Vec::new(),
            proof: None,
            course: Course {
                session,
                goal,
                within: &wanted.within,
                timed,
                passed,
                journal,
                clock: Clock {
                    budget_s: wanted.budget_s.unwrap_or(USUAL_BUDGET_S),
                    spent_s: 0.0,
                    round_s: 0.0,
                },
                progress: Progress::new("tuning", 0),
                seen: BTreeSet::new(),
                random: fastrand::Rng::new(),
            },
        })
    }

    pub(super) fn heaps(&self) -> Vec<HeapSpec> {
        match &self.wanted.heaps[..] {
            [] => HEAPS.iter().map(HeapSpec::plain).collect(),
            named => named.to_vec(),
        }
    }

    /// Chooses the heap of a component, then its parameters; `None`: nothing can be chosen.
    fn component(
        &mut self,
        component: Component,
        incumbent: Composition,
        components_left: usize,
    ) -> Result<Option<Composition>, Error> {
        let own = incumbent.heap(component);
        let heaps = self.heaps();
        let heaps: Vec<HeapSpec> = heaps
            .into_iter()
            .filter(|heap| Some(*heap) != own)
            .collect();
        let name = component.name();
        let parts = (SHARES.0 + SHARES.1) * components_left as f64;
        let until = self.until(SHARES.0 / parts);
        let raced = self.race(name.into(), component, incumbent, &heaps, until)?;
        let Some(best) = raced.best else {
            return Ok(None);
        };
        if !self.wanted.heaps.is_empty() {
            return Ok(Some(best));
        }
        let variants: Vec<HeapSpec> = raced
            .stayed
            .iter()
            .flat_map(|heap| variants(component, *heap))
            .collect();
        let until = self.until(SHARES.1 / (parts - SHARES.0));
        let affordable = self.affordable(until);
        let some: Vec<HeapSpec> = variants.iter().copied().take(affordable).collect();
        if some.len() < variants.len() {
            self.notes.push(format!(
                "{} of {} parameters of {name} were not tried, for lack of budget",
                variants.len() - some.len(),
                variants.len()
            ));
        }
        if some.is_empty() {
            return Ok(Some(best));
        }
        let race_name = format!("{name} parameters");
        let raced = self.race(race_name, component, best, &some, until)?;
        // A winner of before that fails now, in a later round, is no winner.
        Ok(raced.best)
    }

    /// The second until which a race may spend `share` of what is left beside the proof.
    fn until(&self, share: f64) -> f64 {
        let clock = &self.course.clock;
        let proof = match self.wanted.goal.is_exact() {
            true => 2.0,
            false => 2.0 * f64::from(LOOKS[0]),
        };
        let left = clock.budget_s - clock.spent_s - proof * clock.round_s;
        clock.spent_s + left.max(0.0) * share
    }

    /// Entrants whose race ends before `until`.
    fn affordable(&self, until: f64) -> usize {
        let clock = &self.course.clock;
        let runs = (until - clock.spent_s) / clock.round_s;
        let (to_the_look, cut) = match self.wanted.goal.is_exact() {
            true => (0.0, 1.0),
            false => (f64::from(2 * (LOOKS[0] - FIRST_CUT)), f64::from(FIRST_CUT)),
        };
        (((runs - to_the_look) / cut).floor() - 1.0).max(0.0) as usize
    }

    fn race(
        &mut self,
        name: String,
        component: Component,
        incumbent: Composition,
        heaps: &[HeapSpec],
        until_s: f64,
    ) -> Result<Raced, Error> {
        let mut entrants = vec![incumbent];
        for &heap in heaps {
            let why = match incumbent.with(component, heap) {
                Err(error) => error.to_string(),
                Ok(_) if self.is_unfit(heap) => format!(
                    "it never gives memory back, and {} is a server",
                    self.course.session.app.name
                ),
                Ok(composition) => {
                    entrants.push(composition);
                    continue;
                }
            };
            self.tried.push(Tried {
                label: format!("{}={heap}", component.name()),
                race: name.clone(),
                rounds: 0,
                became: Became::Out,
                why,
                ratio: None,
                p: None,
                metrics: Vec::new(),
            });
        }
        let labels: Vec<String> = entrants.iter().map(|each| self.label(each)).collect();
        let candidates = labels.iter().zip(&entrants);
        let exact = self.wanted.goal.is_exact();
        let finish = {
            let mut evaluator = Evaluator {
                candidates: candidates
                    .map(|(label, each)| Candidate::image(label, *each))
                    .collect(),
                components: vec![component],
                first_round: self.races * RACE_ROUNDS,
                until_s,
                tells: false,
                course: &mut self.course,
            };
            race(&mut evaluator, entrants.len(), exact)?
        };
        self.races += 1;
        self.note(&name, &labels, &finish, exact);
        Ok(Raced {
            best: finish.best.map(|best| entrants[best]),
            stayed: finish
                .stayed()
                .iter()
                .filter_map(|&entrant| entrants[entrant].heap(component))
                .collect(),
        })
    }

    /// A heap that never frees suits what ends, not what serves.
    fn is_unfit(&self, heap: HeapSpec) -> bool {
        self.course.session.service.is_some() && !heap.entry().info.capabilities.frees
    }

    /// What differs from the default, as after `--heap`.
    pub(super) fn label(&self, composition: &Composition) -> String {
        let differing = composition
            .components()
            .filter(|(component, heap)| self.default.heap(*component) != Some(*heap));
        let words: Vec<String> = differing
            .map(|(component, heap)| format!("{}={heap}", component.name()))
            .collect();
        match words.is_empty() {
            true => DEFAULT.into(),
            false => words.join("+"),
        }
    }

    /// Proves the winner, if it is not the default.
    fn conclude(mut self, winner: Composition) -> Result<Found, Error> {
        if winner == self.default {
            let subject = self.wanted.goal.subject();
            let why = format!("by the test no candidate has a better {subject} than the default");
            return self.finish(None, why);
        }
        let exact = self.wanted.goal.is_exact();
        let label = self.label(&winner);
        let mut candidates = vec![Candidate::image(label, winner)];
        if self.default_is_able {
            candidates.insert(0, Candidate::image(DEFAULT, self.default));
        }
        let changed = self.wanted.components.iter().copied();
        let changed = changed.filter(|each| winner.heap(*each) != self.default.heap(*each));
        let mut evaluator = Evaluator {
            components: changed.collect(),
            candidates,
            first_round: self.races * RACE_ROUNDS,
            until_s: self.course.clock.budget_s,
            tells: true,
            course: &mut self.course,
        };
        if !self.default_is_able {
            let rounds = if exact { 1 } else { LOOKS[0] };
            for round in 0..rounds {
                evaluator.begin_round(&mut [0])?;
                if let Err(why) = evaluator.measure(0, round)? {
                    return self.finish(
                        None,
                        format!("the winner failed when measured again: {why}"),
                    );
                }
            }
            return self.finish(Some(winner), String::new());
        }
        let proof = match prove(&mut evaluator, exact)? {
            Ok(proof) => proof,
            Err(why) => {
                return self.finish(
                    None,
                    format!("the winner failed when measured again: {why}"),
                );
            }
        };
        self.proof = Some(proven(&proof, exact));
        match proof.holds {
            true => self.finish(Some(winner), String::new()),
            false => {
                let (ratio, rounds) = (proof.comparison.ratio, proof.rounds);
                let why = format!(
                    "{} won its race, but when measured again it is {ratio:.2}x better than the default in {rounds} rounds{}, which the test does not confirm",
                    self.label(&winner),
                    p(proof.comparison.p, exact)
                );
                self.finish(None, why)
            }
        }
    }
}

/// What a race left.
struct Raced {
    best: Option<Composition>,
    /// Heaps of those that stayed, the best first.
    stayed: Vec<HeapSpec>,
}

/// The heap with one parameter changed, for each value that its heap says is worth a try.
fn variants(component: Component, heap: HeapSpec) -> Vec<HeapSpec> {
    let mut found = Vec::new();
    for (index, (parameter, value)) in heap.pairs().enumerate() {
        if component != Component::App && parameter.name == HUGE.name {
            continue;
        }
        let others = parameter.tries.iter().filter(|other| **other != value);
        found.extend(others.map(|other| heap.with(index, *other)));
    }
    found
}

/// Every metric that is measured, in the order of tables.
fn metrics(wanted: &Wanted) -> Vec<Metric> {
    let mut ids: BTreeSet<String> = TOLD.iter().map(|id| (*id).to_string()).collect();
    ids.extend(wanted.within.iter().map(|each| each.metric.id.clone()));
    for workload in &wanted.workloads {
        let terms = wanted.goal.terms(workload, &wanted.components).into_iter();
        ids.extend(terms.map(|term| term.metric.id));
    }
    let all = Metric::all().into_iter();
    all.filter(|metric| ids.contains(&metric.id)).collect()
}
