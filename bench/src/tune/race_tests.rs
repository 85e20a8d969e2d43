//! Races of constructed samples: what is better wins, what is not never does more often than stated, and nobody is
//! measured for nothing.

use super::*;

/// Entrants with a value each, noise of `noise` (as a standard deviation of the logarithm), drift that hits all alike.
struct Drawn {
    middles: Vec<f64>,
    noise: f64,
    random: fastrand::Rng,
    drift: Vec<f64>,
    /// Measurements the budget has left.
    left: usize,
    taken: Vec<u32>,
    fails: Option<(usize, u32)>,
    fault: Option<usize>,
}

impl Drawn {
    fn new(middles: &[f64], noise: f64, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let drift = (0..20).map(|_| 1.0 + random.f64()).collect();
        Self {
            middles: middles.to_vec(),
            noise,
            random,
            drift,
            left: usize::MAX,
            taken: vec![0; middles.len()],
            fails: None,
            fault: None,
        }
    }

    /// A race and its proof: whether anything would be recommended, and which.
    fn tune(&mut self, exact: bool) -> Option<usize> {
        let entrants = self.middles.len();
        let best = race(self, entrants, exact).unwrap().best?;
        if best == 0 {
            return None;
        }
        let middles = self.middles.clone();
        self.middles = vec![middles[0], middles[best]];
        let proof = prove(self, exact).unwrap();
        self.middles = middles;
        proof.unwrap().holds.then_some(best)
    }
}

impl Field for Drawn {
    fn measure(&mut self, entrant: usize, round: u32) -> Result<Result<f64, String>, Error> {
        if self.fails == Some((entrant, round)) {
            return Ok(Err("it ran out of memory".into()));
        }
        self.left = self.left.saturating_sub(1);
        self.taken[entrant] += 1;
        // About normal: twelve uniform draws.
        let normal: f64 = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        let noise = (normal * self.noise).exp();
        Ok(Ok(self.middles[entrant]
            * self.drift[round as usize]
            * noise))
    }

    fn affords(&self, runs: usize) -> bool {
        runs <= self.left
    }

    fn fault(&self, entrant: usize) -> Option<String> {
        (self.fault == Some(entrant)).then(|| "worse in memory".into())
    }

    fn begin_round(&mut self, order: &mut [usize]) -> Result<(), Error> {
        self.random.shuffle(order);
        Ok(())
    }
}

#[test]
fn a_clear_winner_is_found_whatever_the_drift() {
    for seed in 0..20 {
        let mut field = Drawn::new(&[1.0, 1.1, 0.8, 1.0, 3.0], 0.03, seed);
        assert_eq!(field.tune(false), Some(2), "seed {seed}");
        // The hopeless one was given up after the first cut.
        assert_eq!(field.taken[4], FIRST_CUT);
    }
}

#[test]
fn nothing_is_recommended_among_equals_more_often_than_stated() {
    let (mut wrong, tunes) = (0, 300);
    for seed in 0..tunes {
        // Noise well above the effect floor, so that the test alone is what holds.
        let mut field = Drawn::new(&[1.0; 5], 0.2, 1000 + seed);
        wrong += u32::from(field.tune(false).is_some());
    }
    let most = (SIGNIFICANCE * tunes as f64) as u32;
    assert!(wrong <= most, "{wrong} of {tunes} recommend one of equals");
}

#[test]
fn the_proof_alone_keeps_to_its_level() {
    // Whatever the race did, the proof sees two equals: its three looks together err in at most 1 % of all cases.
    let (mut wrong, proofs) = (0, 600);
    for seed in 0..proofs {
        let mut field = Drawn::new(&[1.0, 1.0], 0.2, 5000 + seed);
        wrong += u32::from(prove(&mut field, false).unwrap().unwrap().holds);
    }
    // Two standard deviations above the level, and not without any: it is a test that can err.
    let most = SIGNIFICANCE * f64::from(proofs as u32);
    let most = most + 2.0 * most.sqrt();
    assert!(f64::from(wrong) <= most, "{wrong} of {proofs}");
}

#[test]
fn effects_below_the_floor_are_not_recommended() {
    for seed in 0..20 {
        let mut field = Drawn::new(&[1.0, 0.98], 0.001, seed);
        assert_eq!(field.tune(false), None);
    }
}

#[test]
fn a_small_budget_goes_to_the_close_ones() {
    let mut field = Drawn::new(&[1.0, 1.3, 0.9, 1.2, 0.8, 1.25, 1.1, 1.15], 0.02, 7);
    // Three rounds of all eight, and seven more of three.
    field.left = 8 * 3 + 3 * 7;
    let finish = race(&mut field, 8, false).unwrap();
    assert_eq!(finish.best, Some(4));
    let rounds: Vec<usize> = finish.costs.iter().map(Vec::len).collect();
    assert_eq!(rounds, [10, 3, 10, 3, 10, 3, 3, 3]);
    assert!(matches!(finish.fates[1], Fate::Behind(ratio) if ratio > 1.5));
    assert!(matches!(finish.fates[2], Fate::Worse(_)), "{finish:?}");
    assert_eq!(finish.stayed(), [4]);
}

#[test]
fn who_cannot_run_is_out_and_the_rest_goes_on() {
    let mut field = Drawn::new(&[1.0, 0.5, 0.8], 0.02, 3);
    field.fails = Some((1, 4));
    let finish = race(&mut field, 3, false).unwrap();
    assert_eq!(finish.fates[1], Fate::Out("it ran out of memory".into()));
    assert_eq!(finish.best, Some(2));

    // An incumbent that cannot run does not stand in the way.
    let mut field = Drawn::new(&[1.0, 0.9, 0.8], 0.02, 3);
    field.fails = Some((0, 0));
    let finish = race(&mut field, 3, false).unwrap();
    assert_eq!(finish.best, Some(2));

    let mut field = Drawn::new(&[1.0], 0.02, 3);
    field.fails = Some((0, 0));
    assert_eq!(race(&mut field, 1, false).unwrap().best, None);
}

#[test]
fn who_has_a_fault_does_not_win_though_it_is_ahead() {
    let mut field = Drawn::new(&[1.0, 0.5, 0.8], 0.02, 3);
    field.fault = Some(1);
    let finish = race(&mut field, 3, false).unwrap();
    assert_eq!(finish.fates[1], Fate::Out("worse in memory".into()));
    assert_eq!(finish.best, Some(2));
}

#[test]
fn what_does_not_vary_takes_one_round() {
    let mut field = Drawn::new(&[1000.0, 990.0, 900.0], 0.0, 1);
    assert_eq!(field.tune(true), Some(2));
    assert_eq!(field.taken[1], 1 + 1);
    let mut field = Drawn::new(&[1000.0, 990.0], 0.0, 1);
    assert_eq!(field.tune(true), None);
}

#[test]
fn a_budget_that_ends_before_the_test_leaves_the_incumbent() {
    let mut field = Drawn::new(&[1.0, 0.8], 0.02, 1);
    field.left = 8;
    let finish = race(&mut field, 2, false).unwrap();
    assert_eq!(finish.best, Some(0));
    assert_eq!(finish.costs[1].len(), 4);
}
