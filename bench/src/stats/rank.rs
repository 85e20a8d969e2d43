//! Whether two rankings agree: Spearman's rank correlation and how likely chance alone would do as well.
//! Owns nothing; must never give a correlation without the chance that it means nothing.

use serde::{Deserialize, Serialize};

/// Fewer have no ranking to speak of.
const LEAST: usize = 3;
/// Up to so many, every order is tried: 9! = 362,880.
const EXACT: usize = 9;
/// Orders drawn beyond that.
const DRAWS: u32 = 50_000;

/// How far two rankings agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankCorrelation {
    /// Spearman's coefficient, from -1 (the other way round) to 1 (the same).
    pub correlation: f64,
    /// Two-sided p-value of the permutation test: the share of all orders with which it would be as far from 0.
    pub p: f64,
    /// How many were ranked.
    pub count: usize,
}

impl RankCorrelation {
    /// The p-value in three digits.
    pub fn shown_p(&self) -> String {
        match self.p {
            p if p < 0.001 => "<0.001".into(),
            p => format!("{p:.3}"),
        }
    }
}

/// Compares the ranks of paired values; equals share the mean of their ranks. `None` for fewer than three, or where
/// all are equal.
///
/// # Panics
///
/// When the samples differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<RankCorrelation> {
    assert_eq!(a.len(), b.len(), "samples are paired");
    if a.len() < LEAST {
        return None;
    }
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let centred = |values: &[f64]| -> Vec<f64> {
        ranks(values).into_iter().map(|rank| rank - mean).collect()
    };
    let (a, mut b) = (centred(a), centred(b));
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    if spread == 0.0 {
        return None;
    }
    let found = product(&a, &b);
    // Ranks are halves: sums of their products are exact but for the mean of an even count.
    let as_far = |order: &[f64]| product(&a, order).abs() >= found.abs() - 1e-9;
    let (mut hits, mut tried) = (0_u64, 0_u64);
    if a.len() <= EXACT {
        permutations(&mut b, &mut |order| {
            tried += 1;
            hits += u64::from(as_far(order));
        });
    } else {
        let mut random = fastrand::Rng::with_seed(0x5eed);
        // The order that was found is one of those that could have been.
        (hits, tried) = (1, u64::from(DRAWS) + 1);
        for _ in 0..DRAWS {
            random.shuffle(&mut b);
            hits += u64::from(as_far(&b));
        }
    }
    Some(RankCorrelation {
        correlation: found / spread,
        p: hits as f64 / tried as f64,
        count: a.len(),
    })
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Ranks from 1; equals share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// Shows `see` every order of `values`, by Heap's algorithm.
fn permutations(values: &mut [f64], see: &mut impl FnMut(&[f64])) {
    fn step(count: usize, values: &mut [f64], see: &mut impl FnMut(&[f64])) {
        if count <= 1 {
            return see(values);
        }
        for index in 0..count {
            step(count - 1, values, see);
            let other = if count.is_multiple_of(2) { index } else { 0 };
            if index + 1 < count {
                values.swap(other, count - 1);
            }
        }
    }
    step(values.len(), values, see);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
        spearman(a, b).map(|found| found.correlation)
    }

    #[test]
    fn ranks_agree_whatever_the_scale() {
        let close = |got: Option<f64>, wanted: f64| (got.expect("enough") - wanted).abs() < 1e-9;
        assert!(close(correlation(&[1.0, 2.0, 3.0], &[10.0, 1e6, 1e9]), 1.0));
        assert!(close(
            correlation(&[1.0, 2.0, 3.0, 4.0], &[4.0, 3.0, 2.0, 1.0]),
            -1.0
        ));
        // By the textbook: 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15).
        assert!(close(
            correlation(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]),
            0.8
        ));
        assert_eq!(ranks(&[5.0, 5.0, 1.0]), [2.5, 2.5, 1.0]);
        assert_eq!(correlation(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(correlation(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
    }

    #[test]
    fn every_order_is_tried_once() {
        let mut seen = std::collections::BTreeSet::new();
        let mut count = 0;
        permutations(&mut [1.0, 2.0, 3.0, 4.0, 5.0], &mut |order| {
            count += 1;
            seen.insert(order.iter().map(|&value| value as u8).collect::<Vec<_>>());
        });
        assert_eq!((count, seen.len()), (120, 120));
    }

    #[test]
    fn the_chance_of_a_perfect_ranking_is_two_orders_of_all() {
        let ranked: Vec<f64> = (0..5).map(f64::from).collect();
        let found = spearman(&ranked, &ranked).unwrap();
        assert!((found.p - 2.0 / 120.0).abs() < 1e-12, "{found:?}");
        // Table of exact critical values: of eight, 0.738 is the least with p <= 0.05.
        let (a, b) = (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            [2.0, 3.0, 1.0, 5.0, 4.0, 8.0, 7.0, 6.0],
        );
        let found = spearman(&a, &b).unwrap();
        assert!(found.correlation > 0.738 && found.p < 0.05, "{found:?}");
        let many: Vec<f64> = (0..12).map(f64::from).collect();
        assert!(spearman(&many, &many).unwrap().p < 0.001);
    }
}
