//! Sentences about metrics. Whatever depends on what was measured is made here, from the comparison test; must never
//! say "better" where the test does not.

use bespoke_bench::{Column, Comparison, RankCorrelation, spearman};
use bespoke_recipe::workload::Better;
use bespoke_report::unit;

/// Largest p with which two rankings are said to agree.
pub(crate) const RANKS_AGREE: f64 = 0.05;

/// How `this` compares with `other`; `None` where one of them has no value, or failed.
pub(crate) fn comparison(column: &Column, this: &str, other: &str) -> Option<Comparison> {
    let able = |name| column.row(name).filter(|row| row.failure.is_none());
    able(this)?.compare(
        able(other)?,
        column.metric.better,
        column.metric.pass.is_exact(),
    )
}

/// The best heap by its median among those that served the workload.
pub(crate) fn best(column: &Column) -> Option<&str> {
    column.best.first().map(String::as_str)
}

/// The heap at the good end of the medians, of those that served the workload; `besides` is left out.
pub(crate) fn best_besides<'a>(column: &'a Column, besides: &str) -> Option<&'a str> {
    let ranked = ranked(column).filter(|(name, _)| *name != besides);
    let first = match column.metric.better {
        Better::Smaller => ranked.min_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Larger => ranked.max_by(|a, b| a.1.total_cmp(&b.1)),
    };
    first.map(|(name, _)| name)
}

/// The heap at the bad end of the medians, of those that served the workload.
pub(crate) fn worst(column: &Column) -> Option<&str> {
    let ranked = ranked(column);
    let last = match column.metric.better {
        Better::Smaller => ranked.max_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Larger => ranked.min_by(|a, b| a.1.total_cmp(&b.1)),
    };
    last.map(|(name, _)| name)
}

fn ranked(column: &Column) -> impl Iterator<Item = (&str, f64)> {
    let able = column.rows.iter();
    able.filter(|row| !row.native && row.failure.is_none())
        .filter_map(|row| Some((&row.candidate[..], row.summary?.median)))
}

/// The median of a candidate.
pub(crate) fn median(column: &Column, candidate: &str) -> Option<f64> {
    let row = column.row(candidate).filter(|row| row.failure.is_none())?;
    Some(row.summary?.median)
}

/// The median of a candidate with its unit.
pub(crate) fn value(column: &Column, candidate: &str) -> String {
    median(column, candidate).map_or_else(
        || "no value".into(),
        |median| {
            let unit = unit(column);
            format!("{} {}", unit.show(median), unit.name)
        },
    )
}

/// `this` against `other` in a sentence, without a full stop.
pub(crate) fn versus(column: &Column, this: &str, other: &str) -> String {
    for name in [this, other] {
        let failure = column.row(name).and_then(|row| row.failure.as_ref());
        if let Some(reason) = failure {
            return format!("{name} fails: {}", brief(reason));
        }
    }
    let Some(found) = comparison(column, this, other) else {
        return format!("{this} and {other} were not both measured");
    };
    let (first, second, times) = if found.ratio >= 1.0 {
        (this, other, found.ratio)
    } else {
        (other, this, 1.0 / found.ratio)
    };
    let (above, below) = match column.metric.better {
        Better::Smaller => (second, first),
        Better::Larger => (first, second),
    };
    let sure = sure(column, &found);
    if !found.different {
        return format!(
            "no difference found between {this} and {other} ({} against {}, {sure})",
            value(column, this),
            value(column, other)
        );
    }
    let does = match column.metric.better {
        Better::Smaller => "takes",
        Better::Larger => "does",
    };
    format!(
        "{above} {does} {times:.2} times as much as {below} ({} against {}, {sure})",
        value(column, above),
        value(column, below)
    )
}

/// How sure a comparison is; what does not vary between runs is exact, and measured once.
pub(crate) fn sure(column: &Column, found: &Comparison) -> String {
    if column.metric.pass.is_exact() {
        return "exact".into();
    }
    probability(found.p)
}

/// A p-value.
pub(crate) fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".into(),
        p => format!("p = {p:.3}"),
    }
}

/// The heaps that nothing was found to be better than.
pub(crate) fn winners(column: &Column) -> String {
    match (column.winner(), &column.best[..]) {
        (Some(winner), _) => format!("{winner} is better than every other heap"),
        (None, []) => "no heap has a value".into(),
        (None, [one]) => format!("{one} alone was measured"),
        (None, [first, others @ ..]) => format!(
            "{first} is first by its median, and cannot be told apart from {}",
            others.join(", ")
        ),
    }
}

/// How the order of the heaps agrees with the published one; `None` where too few were measured.
pub(crate) fn order<'a>(
    column: &Column,
    published: impl IntoIterator<Item = &'a (&'a str, f64)>,
) -> Option<String> {
    let (theirs, ours): (Vec<f64>, Vec<f64>) = published
        .into_iter()
        .filter_map(|(heap, theirs)| Some((*theirs, median(column, heap)?)))
        .unzip();
    let rank = spearman(&theirs, &ours)?;
    Some(format!(
        "The order of the heaps, compared with EuroSys'21: {}.",
        ranks(&rank)
    ))
}

/// What a rank correlation says.
pub(crate) fn ranks(rank: &RankCorrelation) -> String {
    let metrics = format!(
        "Spearman's {:+.2}, n = {}, {}",
        rank.correlation,
        rank.count,
        probability(rank.p)
    );
    match (rank.p <= RANKS_AGREE, rank.correlation > 0.0) {
        (true, true) => format!("the rankings agree ({metrics})"),
        (true, false) => format!("the rankings are opposite ({metrics})"),
        (false, _) => format!("no agreement of the rankings is shown ({metrics})"),
    }
}

/// The first words of a failure, without places of this machine.
pub(crate) fn brief(reason: &str) -> String {
    let text: Vec<&str> = reason
        .split_whitespace()
        .filter(|word| !word.trim_start_matches(['"', '\'', '(']).starts_with('/'))
        .collect();
    let text = text.join(" ").replace('|', "/");
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
