//! From values to places: linear or logarithmic, with round ticks. Owns two ranges; must never place a
//! value that is not finite.

/// A scale from values to chart units.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    domain: (f64, f64),
    range: (f64, f64),
    is_log: bool,
}

impl Scale {
    /// From 0 to a little more than the largest of `values`.
    pub fn from_zero(values: impl Iterator<Item = f64>, range: (f64, f64)) -> Self {
        let largest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let domain = (0.0, if largest > 0.0 { largest * 1.05 } else { 1.0 });
        Self {
            domain,
            range,
            is_log: false,
        }
    }

    /// Around all of `values`, none of which needs to be near 0.
    pub fn around(values: impl Iterator<Item = f64>, range: (f64, f64)) -> Self {
        let (low, high) = extent(values);
        let margin = ((high - low) * 0.08)
            .max(high.abs() * 0.01)
            .max(f64::MIN_POSITIVE);
        Self {
            domain: (low - margin, high + margin),
            range,
            is_log: false,
        }
    }

    /// By orders of magnitude, around all positive `values`.
    pub fn logarithmic(values: impl Iterator<Item = f64>, range: (f64, f64)) -> Self {
        let (low, high) = extent(values.filter(|value| *value > 0.0));
        let (low, high) = if low > 0.0 { (low, high) } else { (1.0, 10.0) };
        let high = if high > low { high } else { low * 10.0 };
        Self {
            domain: (low / 1.15, high * 1.15),
            range,
            is_log: true,
        }
    }

    /// Place of `value`, inside the range.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let share = if self.is_log {
            (value.max(low) / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        self.range.0 + share.clamp(0.0, 1.0) * (self.range.1 - self.range.0)
    }

    /// Round values inside the domain, about five.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.domain;
        if self.is_log {
            return logarithmic_ticks(low, high);
        }
        let step = round_step((high - low) / 4.5);
        let first = (low / step).ceil() as i64;
        let last = (high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// 1, 2 or 5 times a power of ten, at least `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

/// Powers of ten; with few of them, also twice and five times each.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let factors: &[f64] = match (high / low).log10() {
        decades if decades > 3.0 => &[1.0],
        decades if decades > 1.2 => &[1.0, 3.0],
        _ => &[1.0, 2.0, 5.0],
    };
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all = exponents.flat_map(|exponent| {
        factors
            .iter()
            .map(move |factor| factor * 10f64.powi(exponent))
    });
    all.filter(|tick| (low..=high).contains(tick)).collect()
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn linear_scales_reach_from_end_to_end_with_round_ticks() {
        let scale = Scale::from_zero([3.0, 94.0].into_iter(), (10.0, 110.0));
        assert_eq!(scale.at(0.0), 10.0);
        assert!((scale.at(94.0 * 1.05) - 110.0).abs() < 1e-9);
        assert_eq!(scale.at(1e9), 110.0);
        assert_eq!(scale.ticks(), [0.0, 50.0]);
    }

    #[test]
    fn logarithmic_scales_give_each_decade_the_same_room() {
        let scale = Scale::logarithmic([10.0, 100_000.0].into_iter(), (0.0, 100.0));
        let decade = scale.at(1_000.0) - scale.at(100.0);
        assert!((scale.at(10_000.0) - scale.at(1_000.0) - decade).abs() < 1e-9);
        assert_eq!(scale.ticks(), [10.0, 100.0, 1e3, 1e4, 1e5]);
    }

    #[test]
    fn no_values_and_equal_values_still_make_a_scale() {
        for values in [vec![], vec![0.0], vec![5.0, 5.0]] {
            for scale in [
                Scale::from_zero(values.iter().copied(), (0.0, 1.0)),
                Scale::around(values.iter().copied(), (0.0, 1.0)),
                Scale::logarithmic(values.iter().copied(), (0.0, 1.0)),
            ] {
                assert!(
                    scale.at(5.0).is_finite() && scale.ticks().len() < 20,
                    "{scale:?}"
                );
            }
        }
    }
}
