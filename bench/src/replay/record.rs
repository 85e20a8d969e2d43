//! A replay as it is kept: what `bespoke replay --json` prints and what shows it reads again. Bytes; counts and cycles
//! are of an operation.

use super::{Agreement, Request, Results};
use crate::Error;
use crate::Summary;
use bespoke_replay::Answer;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What `command` says, so that it is not taken for a run of `bench`.
const COMMAND: &str = "replay";

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayRecord {
    /// `replay`.
    pub command: String,
    /// The app that was traced.
    pub app: String,
    /// The workload that was traced, if it was said.
    pub workload: Option<String>,
    /// Name of the file of the trace.
    pub file: String,
    /// The component whose operations were run.
    pub component: String,
    /// Memory of each heap.
    pub arena_bytes: u64,
    /// Interleaved rounds for cycles.
    pub rounds: u32,
    /// Events whose instructions were counted, at most.
    pub counted_events: u64,
    /// Why none were.
    pub uncounted: Option<String>,
    /// What came of each heap.
    pub heaps: Vec<HeapRecord>,
    /// How its rankings agree with those of a run.
    pub against: Vec<Agreement>,
}

/// What came of one heap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapRecord {
    /// The heap with its parameters.
    pub heap: String,
    /// Why it did not serve the trace to its end.
    pub failure: Option<String>,
    /// Instructions, with what the replay adds itself.
    pub instructions: Option<f64>,
    /// Middle and spread of the cycles.
    pub cycles: Option<Summary>,
    /// Cycles, by round.
    pub cycles_by_round: Vec<f64>,
    /// The run for memory.
    pub memory: Option<Answer>,
    /// What the shadow model said, if it was asked.
    pub check: Option<CheckRecord>,
}

/// What the shadow model said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// No operation was wrong.
    pub sound: bool,
    /// Operations that were checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ReplayRecord {
    /// What came of `request`, compared with nothing yet.
    pub fn new(request: &Request, results: &Results) -> Self {
        let heaps = results.outcomes.iter().map(|outcome| HeapRecord {
            heap: outcome.heap.to_string(),
            failure: outcome.failure.clone(),
            instructions: outcome.instructions,
            cycles: outcome.summary(),
            cycles_by_round: outcome.cycles.clone(),
            memory: outcome.memory.clone(),
            check: outcome.check.as_ref().map(|check| match check {
                Ok(operations) => CheckRecord {
                    sound: true,
                    operations: Some(*operations),
                    reason: None,
                },
                Err(reason) => CheckRecord {
                    sound: false,
                    operations: None,
                    reason: Some(reason.clone()),
                },
            }),
        });
        Self {
            command: COMMAND.into(),
            app: request.app.clone(),
            workload: request.workload.clone(),
            file: Path::new(&request.file)
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            component: request.component.clone(),
            arena_bytes: request.arena_bytes as u64,
            rounds: request.rounds,
            counted_events: request.counted_events,
            uncounted: results.uncounted.clone(),
            heaps: heaps.collect(),
            against: Vec::new(),
        }
    }

    /// Reads what `bespoke replay --json` printed.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        let record: Self = serde_json::from_str(&text).map_err(|error| Error::Results {
            path: path.into(),
            reason: format!("it is not what `bespoke replay --json` prints: {error}"),
        })?;
        Ok(record)
    }
}
