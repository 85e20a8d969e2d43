//! `bespoke bench APP`: every heap on every figure of an application's image.
//!
//! | file | decides |
//! |---|---|
//! | `subject` | what one run is |
//! | `workload` | what is run |
//! | `parts` | which figures there are |
//! | `memory` | how little memory suffices |
//! | `print` | how people read it |
//! | `servers` | all of it for Redis and nginx |

mod memory;
mod parts;
mod print;
mod progress;
pub mod servers;
mod subject;
mod workload;

use crate::error::Error;
use crate::measure::{Comparison, EFFECT_FLOOR, Summary, compare};
pub use parts::{Bench, Images};
pub use print::print;
use progress::Progress;
use serde::Serialize;

/// One candidate of one figure: raw data in round order, and what follows from it.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Heap, or `native`.
    pub name: String,
    /// Raw measurements, a round each.
    pub raw: Vec<f64>,
    /// Middle and spread.
    pub summary: Summary,
    /// Against the figure's reference row; `None` for the reference itself.
    pub against_reference: Option<Comparison>,
}

/// One figure for all candidates.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Unit of all numbers.
    pub unit: &'static str,
    /// Row that the others are compared with.
    pub reference: String,
    /// Candidates.
    pub rows: Vec<Row>,
    /// Rows that the test cannot tell from the best one, the best first; reference rows that
    /// are not candidates (native) are left out.
    pub best: Vec<String>,
}

/// Runs `rounds` interleaved rounds over `names`, each round in shuffled order; `measure`
/// makes the measurement of one name, smaller is better.
pub fn interleave(
    title: &'static str,
    unit: &'static str,
    names: &[String],
    reference: &str,
    rounds: usize,
    measure: &mut dyn FnMut(&str) -> Result<f64, Error>,
) -> Result<Figure, Error> {
    let measures = [(title.to_string(), unit)];
    let figures = interleave_all(title, &measures, names, reference, rounds, &mut |name| {
        Ok(vec![measure(name)?])
    })?;
    Ok(figures.into_iter().next().expect("one measure, one figure"))
}

/// As [`interleave`], for measurements that yield several values at once, one for each of
/// `measures` (title and unit).
pub fn interleave_all(
    title: &'static str,
    measures: &[(String, &'static str)],
    names: &[String],
    reference: &str,
    rounds: usize,
    measure: &mut dyn FnMut(&str) -> Result<Vec<f64>, Error>,
) -> Result<Vec<Figure>, Error> {
    let mut raw = vec![vec![Vec::with_capacity(rounds); names.len()]; measures.len()];
    let mut order: Vec<usize> = (0..names.len()).collect();
    let mut random = fastrand::Rng::new();
    let mut progress = Progress::new(title, rounds * names.len());
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let values = measure(&names[index])?;
            assert_eq!(values.len(), measures.len(), "every measure has its value");
            for (samples, value) in raw.iter_mut().zip(values) {
                samples[index].push(value);
            }
            progress.step();
        }
    }
    let figures = measures.iter().zip(raw);
    Ok(figures
        .map(|((name, unit), raw)| figure(name.clone(), unit, names, reference, raw))
        .collect())
}

/// Summarises and compares complete rounds.
pub fn figure(
    name: String,
    unit: &'static str,
    names: &[String],
    reference: &str,
    raw: Vec<Vec<f64>>,
) -> Figure {
    let base = names.iter().position(|name| name == reference).unwrap_or(0);
    let rows: Vec<Row> = names
        .iter()
        .zip(&raw)
        .enumerate()
        .filter_map(|(index, (name, sample))| {
            let against_reference =
                (index != base).then(|| compare(sample, &raw[base], EFFECT_FLOOR));
            Some(Row {
                name: name.clone(),
                raw: sample.clone(),
                summary: Summary::of(sample)?,
                against_reference,
            })
        })
        .collect();
    let best = best_of(&rows);
    Figure {
        name,
        unit,
        reference: reference.to_string(),
        rows,
        best,
    }
}

fn best_of(rows: &[Row]) -> Vec<String> {
    let candidates = || rows.iter().filter(|row| is_heap(&row.name));
    let Some(first) = candidates().min_by(|a, b| a.summary.median.total_cmp(&b.summary.median))
    else {
        return Vec::new();
    };
    let ties = candidates().filter(|row| {
        row.name != first.name && !compare(&first.raw, &row.raw, EFFECT_FLOOR).different
    });
    std::iter::once(first)
        .chain(ties)
        .map(|row| row.name.clone())
        .collect()
}

/// Unit of throughput: smaller is better, as for all figures; printed as requests in a second.
pub const US_PER_REQUEST: &str = "us per request";

/// Name of the row that is the program built with the system's C library, run by the system.
pub const NATIVE: &str = "native";
/// Name of the row that is the kernel's own part in making a machine.
pub const KERNEL: &str = "kernel alone";

/// Whether a row is an image, not something images are compared with.
pub fn is_heap(name: &str) -> bool {
    name != NATIVE && name != KERNEL
}

#[cfg(test)]
mod tests {
    use super::{NATIVE, figure};

    #[test]
    fn the_best_and_its_ties_are_named_and_native_never_is() {
        let names: Vec<String> = ["a", "b", "c", NATIVE].map(String::from).to_vec();
        let wave = |scale: f64| {
            (0..10)
                .map(|i| scale * (1.0 + 0.1 * f64::from(i % 3)))
                .collect::<Vec<f64>>()
        };
        let mut nearly = wave(1.0);
        nearly.reverse();
        let figure = figure(
            "x".into(),
            "s",
            &names,
            NATIVE,
            vec![wave(1.0), nearly, wave(2.0), wave(0.5)],
        );
        assert_eq!(figure.best, ["a", "b"]);
        assert!(figure.rows[2].against_reference.unwrap().different);
        assert!(figure.rows[3].against_reference.is_none());
    }
}
