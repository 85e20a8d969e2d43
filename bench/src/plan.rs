//! How a run begins: a new journal in the folder of results, or the unfinished one that fits.
//! Owns nothing; must never go on with a run that measured something else.

use crate::Error;
use crate::candidate::Candidate;
use crate::interrupt;
use crate::journal::Journal;
use crate::machine::Machine;
use crate::metric::Metric;
use crate::notice::say;
use crate::record::{RunRecord, SCHEMA, WorkloadRecord};
use crate::session::Session;
use bespoke_recipe::paths;
use bespoke_recipe::workload::Workload;
use std::env;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a run will measure.
pub struct Plan<'a> {
    /// What makes it: `bench`.
    pub command: &'static str,
    /// Where.
    pub session: &'a Session,
    /// Of what.
    pub candidates: &'a [Candidate],
    /// Label of the candidate that the others are compared with.
    pub reference: &'a str,
    /// Kind what.
    pub workloads: &'a [Workload],
    /// Which metrics.
    pub metrics: &'a [Metric],
    /// Rounds wanted.
    pub rounds: u32,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").finish_non_exhaustive()
    }
}

/// Where runs are kept: `$BESPOKE_RESULTS`, or `results` beside Bespoke's sources.
pub fn results_folder() -> PathBuf {
    env::var_os("BESPOKE_RESULTS").map_or_else(|| paths::home().join("results"), PathBuf::from)
}

impl Plan<'_> {
    /// Begins the run in `folder`. From here on Ctrl-C is noted instead of ending the process.
    pub fn begin(&self, folder: &Path) -> Result<Journal, Error> {
        let run = self.run()?;
        interrupt::listen();
        if let Some(left) = Journal::latest(folder, self.command, &run.app)? {
            say(&format!(
                "{} was not finished; --resume continues it",
                left.display()
            ));
        }
        Journal::begin(folder, run)
    }

    /// Goes on with the newest unfinished run in `folder`.
    ///
    /// # Errors
    ///
    /// When there is none, or when it measured something else.
    pub fn resume(&self, folder: &Path) -> Result<Journal, Error> {
        let app = &self.session.app.name;
        let path = Journal::latest(folder, self.command, app)?.ok_or_else(|| {
            Error::Usage(format!(
                "no unfinished run of {app} in {}; leave out --resume to start one",
                folder.display()
            ))
        })?;
        let journal = Journal::resume(&path)?;
        if let Some(what) = difference(&journal, &self.run()?) {
            return Err(Error::Usage(format!(
                "{} has different {what}; repeat its command, or leave out --resume to start anew",
                path.display()
            )));
        }
        interrupt::listen();
        Ok(journal)
    }

    fn run(&self) -> Result<RunRecord, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let started_unix_s = now.map_or(0, |since| since.as_secs());
        let (date, stamp) = (
            date(started_unix_s, "%Y-%m-%d %H:%M:%S"),
            date(started_unix_s, "%Y%m%d-%H%M%S"),
        );
        let candidates = self.candidates.iter();
        let app = self.session.app.name.clone();
        Ok(RunRecord {
            schema: SCHEMA,
            id: format!("{app}-{stamp}-{}", std::process::id()),
            command: self.command.into(),
            app,
            started_unix_s,
            started: date,
            machine: Machine::here()?,
            monitor: self.session.monitor.name().into(),
            rounds: self.rounds,
            reference: self.reference.into(),
            candidates: candidates
                .map(|candidate| self.session.record(candidate))
                .collect::<Result<_, _>>()?,
            workloads: self.workloads.iter().map(WorkloadRecord::of).collect(),
            metrics: self.metrics.to_vec(),
            measurements: Vec::new(),
            calibration_s: Vec::new(),
        })
    }
}

/// What two runs differ in, of all that must not change in the middle of one.
fn difference(journal: &Journal, new: &RunRecord) -> Option<&'static str> {
    let old = journal.run();
    let same_candidates = journal.first_candidates() == new.candidates;
    let parts = [
        (old.machine == new.machine, "machine"),
        (old.monitor == new.monitor, "monitor"),
        (old.rounds == new.rounds, "rounds"),
        (same_candidates, "heaps or images"),
        (old.workloads == new.workloads, "workloads"),
        (old.metrics == new.metrics, "figures"),
    ];
    parts.iter().find(|(same, _)| !same).map(|(_, what)| *what)
}

/// A time in UTC, as `strftime` writes it.
fn date(unix_s: u64, format: &str) -> String {
    let time = jiff::Timestamp::from_second(unix_s as i64).unwrap_or(jiff::Timestamp::MAX);
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_utc() {
        assert_eq!(
            date(951_827_696, "%Y-%m-%d %H:%M:%S"),
            "2000-02-29 12:34:56"
        );
    }
}
