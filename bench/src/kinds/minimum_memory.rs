//! How little memory suffices, by bisection over whole runs of the workload.
//! Owns nothing; must never take "it started" for "it works": the caller judges a run.

use crate::Error;

const STEP_BYTES: u64 = 64 << 10;
const MOST_BYTES: u64 = 1 << 30;

/// The smallest multiple of 64 KiB with which `works` answers true, assuming that more never
/// hurts; `None` when 1 GiB does not suffice. About 14 runs.
fn smallest(works: &mut dyn FnMut(u64) -> Result<bool, Error>) -> Result<Option<u64>, Error> {
    let mut enough = 1 << 20;
    while !works(enough)? {
        enough *= 2;
        if enough > MOST_BYTES {
            return Ok(None);
        }
    }
    let mut too_little = if enough == 1 << 20 { 0 } else { enough / 2 };
    while enough - too_little > STEP_BYTES {
        let middle = (too_little + enough) / 2 / STEP_BYTES * STEP_BYTES;
        if works(middle)? {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    Ok(Some(enough))
}

/// [`smallest`] in bytes, where a run that fails as a workload does not suffice, and any other error, or being
/// asked to stop, ends the search.
///
/// # Errors
///
/// [`Error::Workload`] when 1 GiB does not suffice.
pub(crate) fn smallest_to_pass<T>(
    run: &mut dyn FnMut(u64) -> Result<T, Error>,
) -> Result<f64, Error> {
    let found = smallest(&mut |bytes| match run(bytes) {
        Ok(_) => Ok(true),
        Err(Error::Workload(_)) if !crate::interrupt::asked() => Ok(false),
        Err(other) => Err(other),
    })?;
    found.map_or_else(
        || Err(Error::Workload("it fails with 1 GiB and less".into())),
        |bytes| Ok(bytes as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::{STEP_BYTES, smallest};

    #[test]
    fn finds_the_edge_to_one_step() {
        for edge in [1, 100 << 10, 1 << 20, (3 << 20) + 5, 900 << 20] {
            let mut runs = 0;
            let found = smallest(&mut |bytes| {
                runs += 1;
                Ok(bytes >= edge)
            });
            assert_eq!(found.unwrap(), Some(edge.next_multiple_of(STEP_BYTES)));
            assert!(runs < 30);
        }
        assert_eq!(smallest(&mut |_| Ok(false)).unwrap(), None);
    }
}
