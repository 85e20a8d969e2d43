//! Which of several candidates is best, at the price of few measurements: a race in rounds, and the proof that
//! follows it. Logic alone; what a round is, the [`Field`] knows.
//!
//! **Race.** Entrant 0 is the incumbent: it stays to the end, for the others are compared with it. Others leave
//!
//! - when they cannot run, or break a constraint ([`Fate::Out`]);
//! - after [`FIRST_CUT`] rounds, when they are [`FAR`] times worse than the incumbent by the median, or when they are the
//!   last of more than the budget can carry to the next look ([`Fate::Behind`]): a guess, and called one;
//! - at a look (after 10, 15 and 20 rounds) when the leader is better by the project's test ([`Fate::Worse`]).
//!
//! The best replaces the incumbent only when the test says that it is better.
//!
//! **Proof.** A race looks several times, and at the best of many, so that its own p-values are too good. What is claimed is
//! therefore measured anew: the winner against the default, in rounds that had no part in the choice. This is one
//! comparison whatever the race was like, looked at three times, each time at a third of the significance level
//! (Bonferroni). So where nothing differs, a recommendation comes in at most [`SIGNIFICANCE`] of all cases.

use crate::Error;
use crate::{Comparison, EFFECT_FLOOR, SIGNIFICANCE, judge};
use bespoke_recipe::workload::Better;

/// Rounds after which the test is looked at; with 10 the permutation test can reach a third of its level.
pub(super) const LOOKS: [u32; 3] = [10, 15, 20];
/// Largest p-value at which a look believes a difference.
pub(super) const LOOK_SIGNIFICANCE: f64 = SIGNIFICANCE / LOOKS.len() as f64;
/// Rounds before anyone is given up without the test.
pub(super) const FIRST_CUT: u32 = 3;
/// Times worse than the incumbent at which nobody waits for the test.
pub(super) const FAR: f64 = 1.5;
/// Rounds to the first look, and to the last.
const FIRST_LOOK: u32 = LOOKS[0];
const LAST_LOOK: u32 = LOOKS[LOOKS.len() - 1];

/// What is raced.
pub(super) trait Field {
    /// Measures one entrant in one round, `Ok(Err(why))` when it is out of the race. The value is positive, and
    /// smaller is better.
    fn measure(&mut self, entrant: usize, round: u32) -> Result<Result<f64, String>, Error>;

    /// Whether the budget lasts for `runs` more measurements.
    fn affords(&self, runs: usize) -> bool;

    /// Why an entrant must not win although it may be ahead, judged at looks.
    fn fault(&self, _entrant: usize) -> Option<String> {
        None
    }

    /// Begins a round by shuffling the order in which its entrants are measured.
    fn begin_round(&mut self, order: &mut [usize]) -> Result<(), Error>;
}

/// What became of an entrant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// It was there at the end.
    Stayed,
    /// The leader was better by the test.
    Worse(Comparison),
    /// It was given up without the test: so many times behind the leader.
    Behind(f64),
    /// It cannot be chosen.
    Out(String),
}

/// How a race ended.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    /// The best entrant: the incumbent unless the test says otherwise. `None`: all are out.
    pub best: Option<usize>,
    /// What became of each.
    pub fates: Vec<Fate>,
    /// Values of each, by round.
    pub costs: Vec<Vec<f64>>,
}

impl Finish {
    /// How `this` compares with `other`, over the rounds that both ran.
    pub(super) fn compare(&self, this: usize, other: usize, exact: bool) -> Option<Comparison> {
        compare(&self.costs, this, other, exact)
    }

    /// Those that stayed, the best first; the incumbent only when it was not beaten.
    pub(super) fn stayed(&self) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.fates.len())
            .filter(|&each| self.fates[each] == Fate::Stayed && !self.costs[each].is_empty())
            .filter(|&each| each != 0 || self.best == Some(0))
            .collect();
        found.sort_by(|&a, &b| {
            median(&self.costs[a])
                .total_cmp(&median(&self.costs[b]))
                .then(a.cmp(&b))
        });
        if let Some(best) = self.best {
            found.retain(|&each| each != best);
            found.insert(0, best);
        }
        found
    }
}

/// Races `entrants` entrants. `exact`: values do not vary, so that one round tells all.
///
/// # Errors
///
/// Those of the field.
pub(super) fn race(field: &mut dyn Field, entrants: usize, exact: bool) -> Result<Finish, Error> {
    let mut state = Finish {
        best: None,
        fates: vec![Fate::Stayed; entrants],
        costs: vec![Vec::new(); entrants],
    };
    let mut rounds = 0;
    while rounds < if exact { 1 } else { LAST_LOOK } {
        if rounds >= FIRST_CUT && !field.affords(state.running().len()) {
            break;
        }
        take_round(field, &mut state, rounds)?;
        rounds += 1;
        let Some(leader) = state.leader() else {
            break;
        };
        if exact || LOOKS.contains(&rounds) {
            look(field, &mut state, leader, exact);
        } else if rounds >= FIRST_CUT {
            cut(field, &mut state, leader, rounds);
        }
        if state.is_decided(exact, rounds) {
            break;
        }
    }
    state.best = state.choose(exact);
    Ok(state)
}

fn take_round(field: &mut dyn Field, state: &mut Finish, round: u32) -> Result<(), Error> {
    let mut order = state.running();
    field.begin_round(&mut order)?;
    for entrant in order {
        match field.measure(entrant, round)? {
            Ok(cost) => state.costs[entrant].push(cost),
            Err(why) => state.fates[entrant] = Fate::Out(why),
        }
    }
    Ok(())
}

/// Drops whom the test, or a fault, excludes.
fn look(field: &dyn Field, state: &mut Finish, leader: usize, exact: bool) {
    for entrant in state.rivals() {
        if let Some(why) = field.fault(entrant) {
            state.fates[entrant] = Fate::Out(why);
        }
    }
    // A leader with a fault leads nobody.
    let Some(leader) = (match state.fates[leader] {
        Fate::Stayed => Some(leader),
        _ => state.leader(),
    }) else {
        return;
    };
    for entrant in state.rivals() {
        let ahead = compare(&state.costs, leader, entrant, exact);
        if let Some(ahead) = ahead.filter(|ahead| is_better(ahead, exact)) {
            state.fates[entrant] = Fate::Worse(ahead);
        }
    }
}

/// Gives up who is far behind, and as many of the last as the budget cannot carry to the next look.
fn cut(field: &dyn Field, state: &mut Finish, leader: usize, rounds: u32) {
    let behind = |state: &Finish, entrant| ratio(&state.costs, entrant, leader);
    // Far from the incumbent: a leader may turn out to be out itself.
    let mark = match state.fates[0] {
        Fate::Stayed => 0,
        _ => leader,
    };
    for entrant in state.rivals() {
        if entrant != leader && ratio(&state.costs, entrant, mark) >= FAR {
            state.fates[entrant] = Fate::Behind(behind(state, entrant));
        }
    }
    let next = LOOKS.into_iter().find(|look| *look > rounds);
    let rounds_left = next.map_or(0, |next| (next - rounds) as usize);
    loop {
        let running = state.running().len();
        let mut last = state.rivals();
        last.retain(|&entrant| entrant != leader);
        last.sort_by(|&a, &b| behind(state, a).total_cmp(&behind(state, b)));
        match last.last() {
            Some(&entrant) if !field.affords(running * rounds_left) => {
                state.fates[entrant] = Fate::Behind(behind(state, entrant));
            }
            _ => return,
        }
    }
}

impl Finish {
    fn running(&self) -> Vec<usize> {
        (0..self.fates.len())
            .filter(|&each| self.fates[each] == Fate::Stayed)
            .collect()
    }

    /// Everybody in the race but the incumbent.
    fn rivals(&self) -> Vec<usize> {
        let mut running = self.running();
        running.retain(|&entrant| entrant != 0);
        running
    }

    /// Who has the best median; against the incumbent round by round while that runs, for the machine drifts.
    fn leader(&self) -> Option<usize> {
        let standing = |&entrant: &usize| match self.fates[0] {
            Fate::Stayed => ratio(&self.costs, entrant, 0),
            _ => median(&self.costs[entrant]),
        };
        let running = self.running().into_iter();
        running
            .filter(|&each| !self.costs[each].is_empty())
            .min_by(|a, b| standing(a).total_cmp(&standing(b)).then(a.cmp(b)))
    }

    /// Nobody is left to be told apart.
    fn is_decided(&self, exact: bool, rounds: u32) -> bool {
        let rivals = self.rivals();
        let incumbent_runs = self.fates[0] == Fate::Stayed;
        match rivals[..] {
            [] => true,
            [one] if incumbent_runs => LOOKS.contains(&rounds) && self.beats_incumbent(one, exact),
            [_] => rounds >= FIRST_CUT,
            _ => false,
        }
    }

    fn beats_incumbent(&self, entrant: usize, exact: bool) -> bool {
        let enough = exact || self.costs[entrant].len() as u32 >= FIRST_LOOK;
        let ahead = compare(&self.costs, entrant, 0, exact);
        enough && ahead.is_some_and(|ahead| is_better(&ahead, exact))
    }

    fn choose(&self, exact: bool) -> Option<usize> {
        let leader = self.leader()?;
        let incumbent_runs = self.fates[0] == Fate::Stayed;
        match incumbent_runs && !self.beats_incumbent(leader, exact) {
            true => Some(0),
            false => Some(leader),
        }
    }
}

/// What the proof came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proof {
    /// How the winner compares with the default.
    pub comparison: Comparison,
    /// Rounds in which both were measured.
    pub rounds: u32,
    /// Ratios of the rounds: first and third quartile.
    pub spread: (f64, f64),
    /// The test, at a look's level, says that the winner is better.
    pub holds: bool,
}

/// Measures entrant 1, the winner, against entrant 0, the default, in rounds of their own. The first look is always
/// reached; further ones only while the budget lasts. `Ok(Err(why))` when one of them is out.
///
/// # Errors
///
/// Those of the field.
pub(super) fn prove(field: &mut dyn Field, exact: bool) -> Result<Result<Proof, String>, Error> {
    let mut costs = vec![Vec::new(), Vec::new()];
    let last = if exact { 1 } else { LAST_LOOK };
    for round in 0..last {
        let mut order = [0, 1];
        field.begin_round(&mut order)?;
        for entrant in order {
            match field.measure(entrant, round)? {
                Ok(cost) => costs[entrant].push(cost),
                Err(why) => return Ok(Err(why)),
            }
        }
        let rounds = round + 1;
        if rounds != last && !LOOKS.contains(&rounds) {
            continue;
        }
        let comparison = compare(&costs, 1, 0, exact).expect("both ran every round");
        let mut ratios: Vec<f64> = costs[0].iter().zip(&costs[1]).map(|(d, w)| d / w).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios[(share * (ratios.len() - 1) as f64).round() as usize];
        let proof = Proof {
            comparison,
            rounds,
            spread: (at(0.25), at(0.75)),
            holds: is_better(&comparison, exact),
        };
        let next = LOOKS.into_iter().find(|look| *look > rounds);
        let more = next.map_or(0, |next| 2 * (next - rounds) as usize);
        if proof.holds || rounds == last || !field.affords(more) {
            return Ok(match field.fault(1) {
                Some(why) => Err(why),
                None => Ok(proof),
            });
        }
    }
    unreachable!("the last round returns")
}

/// Better by the test at one look's level, and by more than the floor.
fn is_better(ahead: &Comparison, exact: bool) -> bool {
    let significant = exact || ahead.p < LOOK_SIGNIFICANCE;
    significant && ahead.ratio - 1.0 > EFFECT_FLOOR
}

/// Over the rounds that both ran: who leaves never comes back, so these are the first ones.
fn compare(costs: &[Vec<f64>], this: usize, other: usize, exact: bool) -> Option<Comparison> {
    let rounds = costs[this].len().min(costs[other].len());
    let pair = (&costs[this][..rounds], &costs[other][..rounds]);
    (rounds > 0).then(|| judge(Better::Smaller, exact, pair.0, pair.1))
}

/// Median over common rounds of how many times worse `this` is than `other`; 1 where they have none.
fn ratio(costs: &[Vec<f64>], this: usize, other: usize) -> f64 {
    let pairs = costs[this].iter().zip(&costs[other]);
    let ratios: Vec<f64> = pairs.map(|(this, other)| this / other).collect();
    if ratios.is_empty() {
        return 1.0;
    }
    median(&ratios)
}

fn median(sample: &[f64]) -> f64 {
    crate::Summary::of(sample).map_or(f64::INFINITY, |summary| summary.median)
}

#[cfg(test)]
#[path = "race_tests.rs"]
mod tests;
