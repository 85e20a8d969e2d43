//! Shrinks a failing script (delta debugging, Zeller and
//! Hildebrandt 2002). The result always fails.

use crate::script::Op;

/// Runs at most this many candidates.
const MOST_RUNS: usize = 300;

/// Returns a short part of `script` for which `fails` still holds. `script` itself must fail.
pub fn shrink(script: &[Op], mut fails: impl FnMut(&[Op]) -> bool) -> Vec<Op> {
    let mut best = script.to_vec();
    let mut chunk = best.len().div_ceil(2);
    let mut runs = 0;
    while chunk > 0 && runs < MOST_RUNS {
        let mut removed = false;
        let mut at = 0;
        while at < best.len() && runs < MOST_RUNS {
            let mut candidate = best.clone();
            candidate.drain(at..(at + chunk).min(best.len()));
            runs += 1;
            if fails(&candidate) {
                best = candidate;
                removed = true;
            } else {
                at += chunk;
            }
        }
        if !removed || chunk > best.len() {
            chunk /= 2;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::shrink;
    use crate::script::{allocate, free};

    #[test]
    fn keeps_only_what_the_failure_needs() {
        let script: Vec<_> = (0..500)
            .map(|slot| allocate(slot, 16))
            .chain((0..500).map(free))
            .collect();
        let (first, second) = (allocate(123, 16), free(77));
        let short = shrink(&script, |part| {
            part.contains(&first) && part.contains(&second)
        });
        assert_eq!(short, [first, second]);
    }
}
