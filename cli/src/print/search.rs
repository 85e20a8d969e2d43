//! Every candidate of a search, in a table.

use super::table::{Align, Table};
use bespoke_bench::tune::{Became, SearchOutcome};

/// Every candidate, and what became of it.
pub(crate) fn table(account: &SearchOutcome) -> Table {
    let mut table = Table::new(&[
        ("race", Align::Left),
        ("candidate", Align::Left),
        ("rounds", Align::Right),
        ("times better", Align::Right),
        ("p", Align::Right),
        ("became", Align::Left),
        ("why", Align::Left),
    ]);
    for tried in &account.candidates {
        let number = |number: Option<f64>, digits: usize| {
            number.map_or_else(|| "-".into(), |number| format!("{number:.digits$}"))
        };
        let became = match tried.became {
            Became::Chosen => "chosen",
            Became::Close => "close",
            Became::Worse => "worse",
            Became::Behind => "behind",
            Became::Out => "out",
        };
        let why = tried.why.lines().next().unwrap_or_default();
        table.row([
            tried.race.clone(),
            tried.label.clone(),
            tried.rounds.to_string(),
            number(tried.ratio, 2),
            number(tried.p, 4),
            became.into(),
            why.into(),
        ]);
    }
    table
}
