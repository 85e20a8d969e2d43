//! What a search found and why, as it stands in a lock file and is told to people. Data alone.

use crate::Machine;
use bespoke_recipe::lock;
use serde::{Deserialize, Serialize};

/// One search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchOutcome {
    /// The goal's name.
    pub goal: String,
    /// Constraints, as they were given.
    pub within: Vec<String>,
    /// Components whose heap was chosen.
    pub components: Vec<String>,
    /// Workloads in every round.
    pub workloads: Vec<String>,
    /// Workloads that every candidate had to pass, whose runs are too short for rounds or need none.
    pub passed_only: Vec<String>,
    /// `kvm` or `process`.
    pub monitor: String,
    /// When it began, UTC.
    pub started: String,
    /// Seconds of measuring allowed, and used.
    pub budget_s: f64,
    /// See `budget_s`.
    pub took_s: f64,
    /// Name of the raw data's file, without its folder and ending.
    pub raw: String,
    /// Heaps of the default, by component.
    pub default: String,
    /// Heaps of the winner; `None`: nothing is recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// Label of the winner among the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why nothing is recommended, or why the winner needed no proof.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What makes the metrics doubtful.
    pub doubts: Vec<String>,
    /// Winner against default, in rounds of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proven>,
    /// Where it was measured.
    pub machine: Machine,
    /// Winner against default, in what is told of every candidate.
    #[serde(default)]
    pub beside: Vec<Beside>,
    /// Everything that was tried.
    #[serde(default)]
    pub candidates: Vec<Tried>,
}

impl lock::Search for SearchOutcome {
    fn goal(&self) -> &str {
        &self.goal
    }
}

/// A search as `bespoke tune --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchReport {
    /// The app.
    pub app: String,
    /// The lock that holds the choice; `None`: nothing was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The search.
    pub search: SearchOutcome,
}

/// See [`SearchOutcome::proof`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// Times better: median over the rounds.
    pub ratio: f64,
    /// First and third quartile of the rounds' ratios.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// p-value of the permutation test; 0 for metrics that do not vary.
    pub p: f64,
    /// Rounds.
    pub rounds: u32,
    /// Largest p-value that was believed.
    pub level: f64,
    /// It is believed.
    pub holds: bool,
}

/// One metric of winner and default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Workload.
    pub workload: String,
    /// Metric.
    #[serde(rename = "figure")]
    pub metric: String,
    /// Unit of the medians.
    pub unit: String,
    /// Median of the default.
    pub default: f64,
    /// Median of the winner.
    pub chosen: f64,
    /// Times better, from the rounds that both ran.
    pub ratio: f64,
    /// p-value.
    pub p: f64,
    /// The test calls them different.
    pub different: bool,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Became {
    /// It is what the search chose.
    Chosen,
    /// It was there at the end of its race.
    Close,
    /// The test says that another is better.
    Worse,
    /// It was given up without the test.
    Behind,
    /// It cannot be chosen: it fails, breaks a constraint, or is not fit for the app.
    Out,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// What it is, by what differs from the default.
    pub label: String,
    /// In which race: `app`, `app parameters`.
    pub race: String,
    /// Rounds.
    pub rounds: u32,
    /// What became of it.
    pub became: Became,
    /// Why, in words.
    pub why: String,
    /// Times better than the incumbent of its race.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// p-value of that, which the race's many looks make too small to claim anything by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// What was measured of it.
    #[serde(default, rename = "figures")]
    pub metrics: Vec<Middle>,
}

/// Middle and spread of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Middle {
    /// Workload.
    pub workload: String,
    /// Metric.
    #[serde(rename = "figure")]
    pub metric: String,
    /// Component, of metrics by component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Unit.
    pub unit: String,
    /// Median.
    pub median: f64,
    /// First quartile.
    pub low: f64,
    /// Third quartile.
    pub high: f64,
    /// Measurements.
    pub rounds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use bespoke_recipe::lock::{Lock, VERSION};

    fn lock() -> Lock<SearchOutcome> {
        let why = SearchOutcome {
            goal: "memory".into(),
            within: vec!["size<=2M".into()],
            components: vec!["app".into()],
            workloads: vec!["inserts-1000".into()],
            passed_only: Vec::new(),
            monitor: "process".into(),
            started: "2026-11-25 20:00:00".into(),
            budget_s: 300.0,
            took_s: 12.0,
            raw: "sqlite-20261125-200000-1".into(),
            default: "app=tlsf libos=tlsf stack=region boot=region".into(),
            chosen: Some("app=tlsf:sl=4 libos=tlsf stack=region boot=region".into()),
            label: Some("app=tlsf:sl=4".into()),
            note: "why".into(),
            doubts: Vec::new(),
            proof: None,
            machine: Machine::here().unwrap(),
            beside: Vec::new(),
            candidates: Vec::new(),
        };
        Lock {
            version: VERSION,
            app: "sqlite".into(),
            made_for: "sqlite3 3.40.1 (00000000)".into(),
            heaps: [("app".to_string(), "tlsf:sl=4".to_string())].into(),
            why,
        }
    }

    #[test]
    fn a_lock_is_read_as_it_is_written_and_no_cut_of_it_is() {
        let text = lock().text();
        assert_eq!(Lock::parse(&text), Ok(lock()));
        for end in 0..text.len() {
            if text.is_char_boundary(end) && text[end..].trim().len() > 1 {
                let cut = Lock::<SearchOutcome>::parse(&text[..end]);
                assert!(cut.is_err(), "{}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_no_search_says_is_refused_by_name() {
        let text = lock().text();
        let text = text.replacen("budget_s = 300.0", "budget_s = \"five\"", 1);
        let error = Lock::<SearchOutcome>::parse(&text).unwrap_err();
        assert!(error.contains("budget_s"), "{error}");
    }
}
