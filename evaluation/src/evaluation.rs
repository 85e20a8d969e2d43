//! Everything that was measured for the evaluation, to be asked by app, workload and metric. Owns the records; must
//! never mix two runs into one comparison.

use crate::error::Error;
use bespoke_bench::replay::ReplayRecord;
use bespoke_bench::tune::SearchReport;
use bespoke_bench::{Column, RunRecord};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Begins the names of steps that measure a choice beside each heap in all components: `everywhere-APP-GOAL`.
const EVERYWHERE: &str = "everywhere-";

/// A run with what may be said of it.
pub(crate) struct Measured {
    /// Name of the step that took it.
    pub step: String,
    /// The run.
    pub run: RunRecord,
    /// Its columns.
    pub columns: Vec<Column>,
}

impl Measured {
    fn is_of_a_choice(&self) -> bool {
        self.step.starts_with(EVERYWHERE)
    }
}

/// See the module.
pub(crate) struct Evaluation {
    /// Runs, the newest of each step.
    pub runs: Vec<Measured>,
    /// Replays by the name of their file.
    pub replays: BTreeMap<String, ReplayRecord>,
    /// Searches by the name of their file.
    pub searches: BTreeMap<String, SearchReport>,
}

impl Evaluation {
    /// Reads `folder`: a file of a step is `STEP.json`, or whatever lies in a folder `STEP`.
    ///
    /// # Errors
    ///
    /// When a file is neither a run nor a replay nor a search, or there is no run.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let mut newest: BTreeMap<String, RunRecord> = BTreeMap::new();
        let mut replays = BTreeMap::new();
        let mut searches = BTreeMap::new();
        for (step, path) in files(folder)? {
            match kind(&path)? {
                Kind::Replay => {
                    replays.insert(step, ReplayRecord::read(&path)?);
                }
                Kind::Search(told) => {
                    searches.insert(step, *told);
                }
                Kind::Run => {
                    let run = RunRecord::read(&path)?;
                    let is_newer = newest
                        .get(&step)
                        .is_none_or(|other| other.started_unix_s < run.started_unix_s);
                    if is_newer {
                        newest.insert(step, run);
                    }
                }
            }
        }
        if newest.is_empty() {
            return Err(Error::Usage(format!(
                "there is no run in {}; `make results` measures all that the page wants",
                folder.display()
            )));
        }
        let runs = newest.into_iter().map(|(step, run)| Measured {
            columns: run.columns(),
            step,
            run,
        });
        Ok(Self {
            runs: runs.collect(),
            replays,
            searches,
        })
    }

    /// The column of a metric of the whole image, where it was measured.
    pub(crate) fn column(&self, app: &str, workload: &str, metric: &str) -> Option<&Column> {
        self.columns(app, workload)
            .find(|column| column.metric.id == metric && column.component.is_none())
    }

    /// As [`Self::column`], of one component.
    pub(crate) fn of_component(
        &self,
        app: &str,
        workload: &str,
        metric: &str,
        component: &str,
    ) -> Option<&Column> {
        self.columns(app, workload).find(|column| {
            column.metric.id == metric && column.component.as_deref() == Some(component)
        })
    }

    /// All columns of a workload.
    fn columns(&self, app: &str, workload: &str) -> impl Iterator<Item = &Column> {
        self.of_app(app)
            .flat_map(|each| &each.columns)
            .filter(move |column| column.workload == workload)
    }

    /// The runs of an app that compare heaps for `malloc`, the rest of the image being the recipe's.
    pub(crate) fn of_app(&self, app: &str) -> impl Iterator<Item = &Measured> {
        self.runs
            .iter()
            .filter(move |each| each.run.app == app && !each.is_of_a_choice())
    }

    /// The runs of a choice, their first candidate, beside each heap in all components.
    pub(crate) fn of_choices(&self) -> impl Iterator<Item = &Measured> {
        self.runs.iter().filter(|each| each.is_of_a_choice())
    }
}

/// Steps and files below `folder`, by name.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file("read", folder))? {
        let path = entry.map_err(Error::file("read", folder))?.path();
        let name = |path: &Path| {
            path.file_stem()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        if path.is_dir() {
            let step = name(&path);
            let inside = RunRecord::list(&path)?;
            found.extend(inside.into_iter().map(|file| (step.clone(), file)));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            found.push((name(&path), path));
        }
    }
    found.sort();
    Ok(found)
}

enum Kind {
    Run,
    Replay,
    Search(Box<SearchReport>),
}

fn kind(path: &Path) -> Result<Kind, Error> {
    /// A search has no command; runs and replays have one.
    #[derive(Deserialize)]
    struct Named {
        command: Option<String>,
    }
    let bad = |error: serde_json::Error| bespoke_bench::Error::Results {
        path: path.into(),
        reason: error.to_string(),
    };
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    let named: Named = serde_json::from_str(&text).map_err(bad)?;
    Ok(match named.command.as_deref() {
        None => Kind::Search(serde_json::from_str(&text).map_err(bad)?),
        Some("replay") => Kind::Replay,
        Some(_) => Kind::Run,
    })
}
