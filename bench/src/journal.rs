//! A run while it is measured: a file of JSON lines that only ever grows, so that whatever ends the
//! run, nothing measured is lost. The first line is the run without its measurements; each further line is
//! one of them. When the run is complete it becomes one JSON file, and the journal goes.
//!
//! Owns the journal's file; must never write a line that is not followed to the disk by its end.

use crate::Error;
use crate::candidate::CandidateRecord;
use crate::record::{Measurement, RunRecord};
use bespoke_recipe::paths;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Extension of an unfinished run.
const UNFINISHED: &str = "unfinished";

/// One line after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Measurement(Measurement),
    CalibrationS(f64),
    Candidate(CandidateRecord),
}

/// An unfinished run.
pub struct Journal {
    path: PathBuf,
    file: File,
    run: RunRecord,
    /// Candidates on the first line.
    begun_with: usize,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Begins `run` in `folder`.
    pub fn begin(folder: &Path, run: RunRecord) -> Result<Self, Error> {
        paths::create(folder)?;
        let path = folder.join(format!("{}.{UNFINISHED}", run.id));
        let file = File::options()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(Error::file("create", &path))?;
        let begun_with = run.candidates.len();
        let mut journal = Self {
            path,
            file,
            run,
            begun_with,
        };
        let header = serde_json::to_string(&journal.run).expect("plain data becomes JSON");
        journal.write(header)?;
        Ok(journal)
    }

    /// Goes on with the unfinished run at `path`. A last line that was cut off is dropped.
    pub fn resume(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::file("read", path))?;
        let bad = |reason: String| Error::Results {
            path: path.into(),
            reason,
        };
        let end = bytes.iter().rposition(|&byte| byte == b'\n');
        let whole = end
            .ok_or_else(|| bad("it has no complete line; start anew without --resume".into()))?
            + 1;
        let text = std::str::from_utf8(&bytes[..whole]).map_err(|error| bad(error.to_string()))?;
        let mut lines = text.lines();
        let mut run = RunRecord::parse(lines.next().unwrap_or_default()).map_err(bad)?;
        let begun_with = run.candidates.len();
        for (index, line) in lines.enumerate() {
            let line = serde_json::from_str(line)
                .map_err(|error| bad(format!("line {}: {error}", index + 2)))?;
            match line {
                Line::Measurement(measurement) => run.measurements.push(measurement),
                Line::CalibrationS(seconds) => run.calibration_s.push(seconds),
                Line::Candidate(candidate) => run.candidates.push(candidate),
            }
        }
        let file = File::options()
            .append(true)
            .open(path)
            .map_err(Error::file("open", path))?;
        file.set_len(whole as u64)
            .map_err(Error::file("shorten", path))?;
        Ok(Self {
            path: path.into(),
            file,
            run,
            begun_with,
        })
    }

    /// The newest unfinished run of `app` by `command` in `folder`.
    pub fn latest(folder: &Path, command: &str, app: &str) -> Result<Option<PathBuf>, Error> {
        if !folder.exists() {
            return Ok(None);
        }
        let mut found: Option<(u64, PathBuf)> = None;
        for entry in fs::read_dir(folder).map_err(Error::file("read", folder))? {
            let path = entry.map_err(Error::file("read", folder))?.path();
            if path
                .extension()
                .is_none_or(|extension| extension != UNFINISHED)
            {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            // One that was cut off before its first line was written holds nothing.
            let Ok(run) = RunRecord::parse(text.lines().next().unwrap_or_default()) else {
                continue;
            };
            let newer = found
                .as_ref()
                .is_none_or(|(start, _)| *start < run.started_unix_s);
            if run.command == command && run.app == app && newer {
                found = Some((run.started_unix_s, path));
            }
        }
        Ok(found.map(|(_, path)| path))
    }

    /// What was measured so far.
    pub fn run(&self) -> &RunRecord {
        &self.run
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a measurement.
    pub fn add(&mut self, measurement: Measurement) -> Result<(), Error> {
        let line = Line::Measurement(measurement.clone());
        self.write(serde_json::to_string(&line).expect("plain data becomes JSON"))?;
        self.run.measurements.push(measurement);
        Ok(())
    }

    /// The candidates it began with.
    pub fn first_candidates(&self) -> &[CandidateRecord] {
        &self.run.candidates[..self.begun_with]
    }

    /// Adds a candidate that was not known at the beginning.
    ///
    /// # Errors
    ///
    /// When the journal has another image under the same label: what was measured of that one says nothing of this.
    pub fn enter(&mut self, candidate: CandidateRecord) -> Result<(), Error> {
        let known = &self.run.candidates;
        match known.iter().find(|known| known.label == candidate.label) {
            Some(known) if *known == candidate => return Ok(()),
            Some(_) => {
                return Err(Error::Usage(format!(
                    "{} was measured with another image of {}; leave out --resume to start anew",
                    self.path.display(),
                    candidate.label
                )));
            }
            None => {}
        }
        let line = Line::Candidate(candidate.clone());
        self.write(serde_json::to_string(&line).expect("plain data becomes JSON"))?;
        self.run.candidates.push(candidate);
        Ok(())
    }

    /// Adds the seconds of one calibration.
    pub fn calibrated(&mut self, seconds: f64) -> Result<(), Error> {
        let line = Line::CalibrationS(seconds);
        self.write(serde_json::to_string(&line).expect("plain data becomes JSON"))?;
        self.run.calibration_s.push(seconds);
        Ok(())
    }

    /// Makes it one finished file; returns the run and the file's path.
    pub fn finish(self) -> Result<(RunRecord, PathBuf), Error> {
        let path = self.path.with_extension("json");
        self.run.write(&path)?;
        fs::remove_file(&self.path).map_err(Error::file("remove", &self.path))?;
        Ok((self.run, path))
    }

    fn write(&mut self, mut line: String) -> Result<(), Error> {
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(Error::file("write", &self.path))
    }
}
