//! Whether one configuration is better than another, and by how much.
//!
//! Rounds are interleaved: round k measures every candidate once, in shuffled order, so that
//! slow drifts of the machine hit all alike. Candidates are compared by the paired
//! differences of their logarithms (so "1.1x" means the same everywhere), with a two-sided
//! sign-flip permutation test. "Different" needs p < [`SIGNIFICANCE`] and an effect above
//! the stated floor. Owns no data; must never call a difference without both.

use bespoke_recipe::workload::Better;
use serde::{Deserialize, Serialize};

/// Effects smaller than this are not claimed: two runs of one binary differ by as much here.
pub const EFFECT_FLOOR: f64 = 0.03;
/// Largest p-value at which a difference is believed.
pub const SIGNIFICANCE: f64 = 0.01;
/// Up to this many rounds the permutation test is exact: 2^rounds sign patterns.
const EXACT_ROUNDS: usize = 20;
/// Sign patterns drawn beyond that.
const DRAWS: u32 = 20_000;

/// Middle and spread of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Median.
    pub median: f64,
    /// First quartile.
    pub low: f64,
    /// Third quartile.
    pub high: f64,
    /// Measurements.
    pub rounds: usize,
}

/// Value at `fraction` (0..=1) of a sorted sample, linearly interpolated.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let (below, above) = (
        sorted[position.floor() as usize],
        sorted[position.ceil() as usize],
    );
    below + (above - below) * position.fract()
}

impl Summary {
    /// Summarises `sample`; `None` when it is empty.
    pub fn of(sample: &[f64]) -> Option<Self> {
        if sample.is_empty() {
            return None;
        }
        let mut sorted = sample.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&sorted, 0.5),
            low: quantile(&sorted, 0.25),
            high: quantile(&sorted, 0.75),
            rounds: sorted.len(),
        })
    }
}

/// What the test says of a pair of candidates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Median of the per-round ratios, above 1 where `this` is the better one: 1.2 means that it took 1.2
    /// times less, or gave 1.2 times as much.
    pub ratio: f64,
    /// Two-sided p-value of the sign-flip permutation test.
    pub p: f64,
    /// `p < SIGNIFICANCE` and the ratio differs from 1 by more than the floor.
    pub different: bool,
}

/// Compares paired measurements, by a metric's direction. A metric that does not vary between runs
/// (`exact`) needs no test: its first values tell.
///
/// # Panics
///
/// When the samples differ in length or are empty.
pub fn judge(better: Better, exact: bool, this: &[f64], other: &[f64]) -> Comparison {
    let (this, other) = match better {
        Better::Smaller => (this, other),
        Better::Larger => (other, this),
    };
    if exact {
        let ratio = counted(other[0]) / counted(this[0]);
        return Comparison {
            ratio,
            p: if ratio == 1.0 { 1.0 } else { 0.0 },
            different: (ratio - 1.0).abs() > EFFECT_FLOOR,
        };
    }
    compare(this, other, EFFECT_FLOOR)
}

/// `value` as it enters a ratio. Only memory can be nothing, of a program that never asks its heap; it counts as one byte,
/// so that two of them are alike and any other is far more.
pub fn counted(value: f64) -> f64 {
    if value == 0.0 { 1.0 } else { value }
}

/// Compares paired measurements of round k of `this` and `other`, none of them negative.
/// `floor` is the smallest effect worth a claim (0.02: two percent).
///
/// # Panics
///
/// When the samples differ in length or are empty.
pub(crate) fn compare(this: &[f64], other: &[f64], floor: f64) -> Comparison {
    assert_eq!(this.len(), other.len(), "samples are paired");
    let pairs = this.iter().zip(other);
    let differences: Vec<f64> = pairs
        .map(|(t, o)| (counted(*o) / counted(*t)).ln())
        .collect();
    let mut sorted = differences.clone();
    sorted.sort_by(f64::total_cmp);
    let ratio = quantile(&sorted, 0.5).exp();
    let p = sign_flip_p(&differences);
    Comparison {
        ratio,
        p,
        different: p < SIGNIFICANCE && (ratio - 1.0).abs() > floor,
    }
}

/// Share of sign patterns whose sum is at least as far from 0 as the observed one.
fn sign_flip_p(differences: &[f64]) -> f64 {
    // Sums that are equal but for rounding are equal.
    let observed = differences.iter().sum::<f64>().abs() * (1.0 - 1e-9);
    if differences.len() <= EXACT_ROUNDS {
        return exact_p(differences, observed);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut draw = || -> f64 {
        let signed = differences
            .iter()
            .map(|d| if random.bool() { *d } else { -d });
        signed.sum()
    };
    let extreme = (0..DRAWS).filter(|_| draw().abs() >= observed).count() as f64;
    (extreme + 1.0) / f64::from(DRAWS + 1)
}

/// Over all patterns, in the order of a Gray code: one sign changes from each to the next. A pattern and its opposite are as
/// far from 0, so that the last sign can stay.
fn exact_p(differences: &[f64], observed: f64) -> f64 {
    let Some((_, free)) = differences.split_last() else {
        return 1.0;
    };
    let mut signed = free.to_vec();
    let mut sum: f64 = differences.iter().sum();
    let mut extreme = u32::from(sum.abs() >= observed);
    let patterns = 1u32 << free.len();
    for pattern in 1..patterns {
        let changed = &mut signed[pattern.trailing_zeros() as usize];
        sum -= 2.0 * *changed;
        *changed = -*changed;
        extreme += u32::from(sum.abs() >= observed);
    }
    f64::from(extreme) / f64::from(patterns)
}

#[cfg(test)]
mod tests {
    use super::{Better, Summary, compare, judge};

    #[test]
    fn summary_is_the_middle_and_the_quartiles() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert_eq!(
            (summary.median, summary.low, summary.high, summary.rounds),
            (3.0, 2.0, 4.0, 5)
        );
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_clear_difference_is_found_whatever_the_drift() {
        let drift = [1.0, 1.9, 1.2, 1.5, 1.1, 1.7, 1.3, 1.6, 1.4, 1.8];
        let this: Vec<f64> = drift.to_vec();
        let other: Vec<f64> = drift
            .iter()
            .enumerate()
            .map(|(i, d)| d * (1.1 + 0.01 * (i % 3) as f64))
            .collect();
        let result = compare(&this, &other, 0.02);
        assert!(result.different, "{result:?}");
        assert!((1.09..1.13).contains(&result.ratio), "{result:?}");
        let reverse = compare(&other, &this, 0.02);
        assert!(reverse.different && reverse.ratio < 1.0, "{reverse:?}");
    }

    #[test]
    fn no_memory_at_all_is_a_value() {
        for exact in [false, true] {
            let (none, page) = ([0.0; 8], [4096.0; 8]);
            let alike = judge(Better::Smaller, exact, &none, &none);
            assert_eq!((alike.ratio, alike.different), (1.0, false));
            let less = judge(Better::Smaller, exact, &none, &page);
            assert!(less.different && (4095.0..4097.0).contains(&less.ratio));
        }
    }

    #[test]
    fn the_ratio_says_how_much_better_in_either_direction() {
        let (low, high) = ([1.0; 8], [2.0; 8]);
        for exact in [false, true] {
            assert_eq!(judge(Better::Smaller, exact, &low, &high).ratio, 2.0);
            assert_eq!(judge(Better::Larger, exact, &low, &high).ratio, 0.5);
            assert!(judge(Better::Larger, exact, &high, &low).different);
        }
        assert!(judge(Better::Smaller, true, &[1.0], &[1.1]).different);
        assert!(!judge(Better::Smaller, true, &[1.0], &[1.0]).different);
        assert!(!judge(Better::Smaller, true, &[1.0], &[1.01]).different);
    }

    #[test]
    fn noise_and_effects_below_the_floor_are_no_difference() {
        let this = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let noise = [1.1, 0.9, 1.05, 0.95, 1.2, 0.85, 1.01, 0.99, 1.15, 0.9];
        assert!(!compare(&this, &noise, 0.02).different);
        let tiny = [1.01; 10];
        let result = compare(&this, &tiny, 0.02);
        assert!(result.p < 0.01 && !result.different, "{result:?}");
    }

    #[test]
    fn few_rounds_can_never_be_significant() {
        assert!(!compare(&[1.0; 7], &[2.0; 7], 0.02).different);
        assert!(compare(&[1.0; 8], &[2.0; 8], 0.02).different);
    }

    #[test]
    fn the_exact_test_counts_every_pattern() {
        // Sums of 1, 2, 4 with signs: 7, 5, 3, 1 and their opposites.
        assert_eq!(super::sign_flip_p(&[1.0, 2.0, 4.0]), 2.0 / 8.0);
        assert_eq!(super::sign_flip_p(&[-1.0, 2.0, 4.0]), 4.0 / 8.0);
        assert_eq!(super::sign_flip_p(&[1.0, 2.0, -4.0]), 1.0);
        assert_eq!(super::sign_flip_p(&[0.1; 20]), 2.0 / f64::from(1 << 20));
        assert_eq!(super::sign_flip_p(&[0.0; 12]), 1.0);
    }

    #[test]
    fn many_rounds_use_the_sampled_test() {
        let this = vec![1.0; 30];
        let other: Vec<f64> = (0..30).map(|i| 1.2 + f64::from(i % 4) * 0.01).collect();
        assert!(compare(&this, &other, 0.02).different);
    }
}
