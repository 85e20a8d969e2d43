//! A run of measurements as it is kept on disk: one JSON file, described in `docs/reference/results-file.md`.
//! Raw data and what they were taken with; conclusions are drawn from it by [`crate::stats::columns`], never stored.

use crate::Error;
use crate::candidate::CandidateRecord;
use crate::machine::Machine;
use crate::metric::{Metric, Pass};
use bespoke_recipe::workload::{Kind, ValueUnit, Workload};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Version of the files; a file of another version is refused.
pub const SCHEMA: u32 = 1;

/// A run of measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the run and of its file: `sqlite-20261125-153102`.
    pub id: String,
    /// What made it: `bench`.
    pub command: String,
    /// The app.
    pub app: String,
    /// Seconds since the Unix epoch at which it began.
    pub started_unix_s: u64,
    /// The same as a date, in UTC: `2026-11-25 15:31:02`.
    pub started: String,
    /// Where.
    pub machine: Machine,
    /// `kvm` or `process`.
    pub monitor: String,
    /// Interleaved rounds wanted.
    pub rounds: u32,
    /// Label of the candidate that the others are compared with.
    pub reference: String,
    /// Candidates, in the order of tables.
    pub candidates: Vec<CandidateRecord>,
    /// Workloads, in the order of tables.
    pub workloads: Vec<WorkloadRecord>,
    /// Figures asked for, in the order of tables.
    #[serde(rename = "figures")]
    pub metrics: Vec<Metric>,
    /// What was measured, in the order of time.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
    /// Seconds of one fixed piece of arithmetic, once before each round: how steady the machine was.
    #[serde(default)]
    pub calibration_s: Vec<f64>,
}

/// A workload in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadRecord {
    /// Name, unique within the app.
    pub name: String,
    /// `run`, `server` or `command`.
    pub kind: String,
    /// One line for people.
    pub title: String,
    /// What `throughput` counts: `inserts`, `requests`.
    pub operation: String,
    /// The metric `value` of a command: its unit and direction take the place of the metric's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueUnit>,
    /// Seconds of a load on a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

impl WorkloadRecord {
    /// As `workload` is written to files.
    pub fn of(workload: &Workload) -> Self {
        let (kind, value) = match &workload.kind {
            Kind::Run(_) => ("run", None),
            Kind::Server(_) => ("server", None),
            Kind::Command(shell) => ("command", Some(shell.value.clone())),
        };
        Self {
            name: workload.name.clone(),
            kind: kind.into(),
            title: workload.title.clone(),
            operation: workload.operation.clone(),
            value,
            seconds: match &workload.kind {
                Kind::Server(load) => Some(load.seconds),
                Kind::Run(_) | Kind::Command(_) => None,
            },
        }
    }
}

/// One run of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Name of the workload.
    pub workload: String,
    /// Label of the candidate.
    pub candidate: String,
    /// Kind of run.
    pub pass: Pass,
    /// Round, from 0; measurements of one round are paired.
    pub round: u32,
    /// Seconds over which rates and latencies were taken; those of short runs mean little.
    pub measured_s: f64,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every metric it yielded.
    Values(Vec<Reading>),
    /// The workload failed, and why: a result like any other.
    Failed(String),
}

/// The value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// [`Metric::id`].
    #[serde(rename = "figure")]
    pub metric: String,
    /// The component, for metrics by component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// In the metric's unit.
    pub value: f64,
}

impl Reading {
    /// A metric of the whole image.
    pub fn whole(metric: &str, value: f64) -> Self {
        Self {
            metric: metric.into(),
            component: None,
            value,
        }
    }

    /// A metric of one component.
    pub fn of(metric: &str, component: &str, value: f64) -> Self {
        Self {
            metric: metric.into(),
            component: Some(component.into()),
            value,
        }
    }
}

impl RunRecord {
    /// Reads a finished run.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no such file, or has another version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text).map_err(|reason| Error::Results {
            path: path.into(),
            reason,
        })
    }

    /// Reads a run from JSON; the error says in words what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if schema != SCHEMA {
            return Err(format!(
                "it has version {schema}, and this bespoke reads version {SCHEMA}; measure again"
            ));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Writes it to `path`: complete, or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("plain data becomes JSON");
        let temporary = path.with_extension("json.new");
        fs::write(&temporary, text).map_err(Error::file("write", &temporary))?;
        fs::rename(&temporary, path).map_err(Error::file("create", path))
    }

    /// The paths of all finished runs in `folder`, by name; none when there is no folder.
    pub fn list(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::file("read", folder))? {
            let path = entry.map_err(Error::file("read", folder))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Workload, candidate and reason of everything that failed, once each.
    pub fn failures(&self) -> Vec<(&str, &str, &str)> {
        let mut found = Vec::new();
        for taken in &self.measurements {
            if let Outcome::Failed(reason) = &taken.outcome {
                let failure = (&taken.workload[..], &taken.candidate[..], &reason[..]);
                if !found.contains(&failure) {
                    found.push(failure);
                }
            }
        }
        found
    }
}
