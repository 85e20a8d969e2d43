//! The seed's gains over its baseline heap, redone.

use crate::document::Document;
use crate::evaluation::Evaluation;
use crate::published::{BASELINE, GAINS, Gain};
use crate::say;
use bespoke_bench::{Column, EFFECT_FLOOR};
use bespoke_recipe::workload::Better;

/// Adds the section.
pub(crate) fn section(page: &mut Document, evaluation: &Evaluation) {
    page.heading(2, "The gains that the seed reports");
    page.paragraph(&format!(
        "For `malloc`, the table compares the best of the other heaps, by its median, with `{BASELINE}`, which reproduces Unikraft's \
         default as published. Choosing the best of several heaps and testing it on the same runs flatters it a little: p is of that pair alone.",
    ));
    let heads = [
        "", "the seed", BASELINE, "best", "heap", "gain", "p", "verdict",
    ]
    .map(String::from);
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for gain in &GAINS {
        let mut any = false;
        for workload in gain.workloads {
            if let Some(column) = evaluation.column(gain.app, workload, gain.metric) {
                let (row, verdict) = line(gain, column);
                rows.push(row);
                verdicts.push((gain.what, column.workload.clone(), verdict));
                any = true;
            }
        }
        if !any {
            let mut row = vec![gain.what.to_string(), gain.words.to_string()];
            row.resize(heads.len() - 1, "–".into());
            row.push(Verdict::Missing.words());
            rows.push(row);
            verdicts.push((gain.what, String::new(), Verdict::Missing));
        }
    }
    page.table(&heads, &rows);
    page.list(&summary(&verdicts));
}

/// What became of a published gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As large here, or larger.
    Reached,
    /// A gain, but a smaller one.
    Less,
    /// None worth a claim: the effect is below the floor.
    None,
    /// These rounds can not tell it from noise.
    Unsure,
    /// The baseline is better.
    Reversed,
    /// The baseline does not serve the workload.
    BaselineFails,
    /// It was not measured.
    Missing,
}

impl Verdict {
    const ALL: [Self; 7] = [
        Self::Reached,
        Self::Less,
        Self::None,
        Self::Unsure,
        Self::Reversed,
        Self::BaselineFails,
        Self::Missing,
    ];

    fn words(self) -> String {
        match self {
            Self::Reached => "reached",
            Self::Less => "less than the seed's",
            Self::None => "no difference found",
            Self::Unsure => "no difference shown",
            Self::Reversed => "the baseline is better",
            Self::BaselineFails => "the baseline fails",
            Self::Missing => "not measured",
        }
        .into()
    }
}

/// What `column` says of `gain`.
pub(crate) fn verdict(gain: &Gain, column: &Column) -> Verdict {
    let baseline = column.row(BASELINE);
    if baseline.is_some_and(|row| row.failure.is_some()) {
        return Verdict::BaselineFails;
    }
    let best = say::best_besides(column, BASELINE);
    let compared = best.and_then(|best| say::comparison(column, best, BASELINE));
    match compared {
        None => Verdict::Missing,
        Some(found) if !found.different && (found.ratio - 1.0).abs() <= EFFECT_FLOOR => {
            Verdict::None
        }
        Some(found) if !found.different => Verdict::Unsure,
        Some(found) if found.ratio < 1.0 => Verdict::Reversed,
        Some(found) if found.ratio >= gain.ratio => Verdict::Reached,
        Some(_) => Verdict::Less,
    }
}

fn line(gain: &Gain, column: &Column) -> (Vec<String>, Verdict) {
    let verdict = verdict(gain, column);
    let best = say::best_besides(column, BASELINE).unwrap_or("–");
    let found = say::comparison(column, best, BASELINE);
    let shown = found.map_or_else(
        || "–".into(),
        |found| match column.metric.better {
            Better::Larger => format!("{:+.0} %", (found.ratio - 1.0) * 100.0),
            Better::Smaller => format!(
                "{:.2} times, {:+.0} %",
                found.ratio,
                (1.0 / found.ratio - 1.0) * 100.0
            ),
        },
    );
    let p = found.map_or_else(
        || "–".into(),
        |found| match column.metric.pass.is_exact() {
            true => "exact".into(),
            false => format!("{:.3}", found.p),
        },
    );
    let row = vec![
        format!("{} ({})", gain.what, column.workload),
        gain.words.to_string(),
        say::value(column, BASELINE),
        say::value(column, best),
        best.to_string(),
        shown,
        p,
        verdict.words(),
    ];
    (row, verdict)
}

/// A sentence for each verdict, with why it may be so.
fn summary(verdicts: &[(&str, String, Verdict)]) -> Vec<String> {
    let mut found = Vec::new();
    for kind in Verdict::ALL {
        let of_kind: Vec<String> = verdicts
            .iter()
            .filter(|(_, _, verdict)| *verdict == kind)
            .map(|(what, workload, _)| match workload.is_empty() {
                true => (*what).to_string(),
                false => format!("{what} ({workload})"),
            })
            .collect();
        if of_kind.is_empty() {
            continue;
        }
        let list = of_kind.join("; ");
        let (words, why) = match kind {
            Verdict::Reached => ("Reproduced or exceeded", ""),
            Verdict::Less => (
                "Smaller than the seed's",
                " Compare the absolute values. Where the baseline is already near the best heap, the heap's share of the whole \
                 limits any gain.",
            ),
            Verdict::None => (
                "Not reproduced, because the effect is below 3 %",
                " The heap's share of such an operation is too small for any heap to matter.",
            ),
            Verdict::Unsure => (
                "Not shown, because these rounds cannot tell the effect from noise",
                " More rounds or a quieter machine might show it.",
            ),
            Verdict::Reversed => ("Not reproduced, because the baseline is better", ""),
            Verdict::BaselineFails => (
                "Not comparable, because the baseline does not serve the workload",
                "",
            ),
            Verdict::Missing => ("Not measured", ""),
        };
        found.push(format!("{words}: {list}.{why}"));
    }
    found
}
