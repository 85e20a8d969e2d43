//! What comes before a search: one run of the default, which tells what a round takes, whether the workloads have the
//! metrics of the constraints, which of them are long enough, and whether the budget is.

use super::evaluate::Evaluator;
use super::race::{FIRST_CUT, Field, LOOKS};
use super::search::{DEFAULT, Search};
use super::summary::span;
use crate::Error;
use crate::notice::say;
use crate::{Candidate, Pass};
use bespoke_recipe::workload::{Kind, Workload};

/// Runs shorter than this say nothing of a rate (`measure::doubts` has the same).
const SHORTEST_S: f64 = 0.1;
impl Search<'_> {
    /// Runs the default once: what a round takes, which workloads are long enough, whether the budget is.
    pub(super) fn pilot(&mut self) -> Result<(), Error> {
        let components = &self.wanted.components;
        let mut evaluator = Evaluator {
            candidates: vec![Candidate::image(DEFAULT, self.default)],
            components: components.clone(),
            first_round: 0,
            until_s: f64::INFINITY,
            tells: true,
            course: &mut self.course,
        };
        if let Err(why) = evaluator.measure(0, 0)? {
            self.default_is_able = false;
            self.notes
                .push(format!("the default cannot be chosen: {why}"));
        }
        self.check_constraints()?;
        self.leave_short_ones_out();
        let course = &mut self.course;
        let of_default = course.journal.run().measurements.iter();
        let timed_s: f64 = of_default
            .filter(|taken| {
                course
                    .timed
                    .iter()
                    .any(|timed| timed.name == taken.workload)
            })
            .map(|taken| taken.measured_s)
            .sum();
        let total: f64 = course
            .journal
            .run()
            .measurements
            .iter()
            .map(|taken| taken.measured_s)
            .sum();
        // Of what was spent, starts and ends included, the part of the workloads that are repeated.
        let share = if total > 0.0 { timed_s / total } else { 1.0 };
        course.clock.round_s = match course.clock.spent_s > 0.0 {
            true => course.clock.spent_s * share.max(0.05),
            false => timed_s,
        };
        self.check_budget()
    }

    fn check_constraints(&self) -> Result<(), Error> {
        if !self.default_is_able {
            return Ok(());
        }
        for constraint in &self.wanted.within {
            if self.course.standing(DEFAULT, constraint).is_none() {
                return Err(Error::Usage(format!(
                    "--within {constraint}: none of the workloads has {}",
                    constraint.metric.id
                )));
            }
        }
        Ok(())
    }

    /// Rates of runs of a few milliseconds are rates of starting a process.
    fn leave_short_ones_out(&mut self) {
        if !self.wanted.goal.needs_long_runs() || self.wanted.workloads_named {
            return;
        }
        let course = &mut self.course;
        let is_short = |workload: &Workload| {
            let run = course.journal.run();
            let taken = run
                .measurements
                .iter()
                .find(|taken| taken.workload == workload.name && taken.pass == Pass::Plain);
            let is_run = matches!(workload.kind, Kind::Run(_));
            is_run && taken.is_some_and(|taken| taken.measured_s < SHORTEST_S)
        };
        let (short, long): (Vec<Workload>, Vec<Workload>) =
            course.timed.iter().cloned().partition(is_short);
        if !short.is_empty() && !long.is_empty() {
            course.timed = long;
            course.passed.extend(short);
        }
    }

    fn check_budget(&mut self) -> Result<(), Error> {
        let entrants = self.heaps().len() + 1;
        let races = self.wanted.components.len();
        let runs = match self.wanted.goal.is_exact() {
            true => entrants * races + 2,
            false => {
                let to_the_look = 2 * (LOOKS[0] - FIRST_CUT) as usize;
                (entrants * FIRST_CUT as usize + to_the_look) * races + 2 * LOOKS[0] as usize
            }
        };
        let clock = &mut self.course.clock;
        let least_s = clock.spent_s + runs as f64 * clock.round_s;
        if self.wanted.budget_s.is_none() {
            clock.budget_s = clock.budget_s.max(1.25 * least_s);
            say(&format!("measuring for at most {}", span(clock.budget_s)));
        } else if least_s > clock.budget_s {
            let path = self.course.journal.path().to_path_buf();
            return Err(Error::Usage(format!(
                "a budget of {} is too short: one round of one candidate takes {}, and {entrants} candidates for {races} \
                 component(s) take at least {}; give that as --budget with --resume ({} has what was measured), or name fewer workloads, components or heaps",
                span(clock.budget_s),
                span(clock.round_s),
                span(least_s),
                path.display()
            )));
        }
        Ok(())
    }
}
