//! Workloads that run to their end. Owns nothing; takes a run for a measurement only when its last line is the
//! right one.

use crate::Error;
use crate::candidate::{Candidate, Kind};
use crate::kinds::minimum_memory::smallest_to_pass;
use crate::metric::Pass;
use crate::record::Reading;
use crate::session::Session;
use crate::testbed::icount::Counted;
use crate::testbed::image_report::ImageReport;
use crate::testbed::process::{Job, Run, Subject, last_words};
use crate::testbed::scratch::bytes_below;
use bespoke_monitor::{ImportFile, Monitor};
use bespoke_recipe::workload::{self, Workload};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Times a workload is repeated for the metric creep.
const REPEATS: usize = 10;
/// The input's path in an image.
const INPUT: &str = "/workload-input";

/// One measurement: seconds, readings.
pub(crate) fn measure(
    session: &Session,
    candidate: &Candidate,
    workload: &Workload,
    run: &workload::Run,
    pass: Pass,
    wants: &dyn Fn(&str) -> bool,
) -> Result<(f64, Vec<Reading>), Error> {
    let task = Task {
        session,
        subject: session.subject(candidate, workload)?,
        candidate,
        workload,
        run,
    };
    let ample = workload.memory_bytes;
    match pass {
        Pass::MinimumMemory => {
            let bytes = task.minimum(ample)?;
            Ok((0.0, vec![Reading::whole("minimum_memory", bytes)]))
        }
        Pass::Instructions => Ok((0.0, task.instructions()?)),
        Pass::Creep => {
            let (once, often) = (task.memory(1)?, task.memory(REPEATS)?);
            Ok((
                0.0,
                vec![
                    Reading::whole("creep", often / once),
                    Reading::whole("creep.memory", often),
                ],
            ))
        }
        Pass::Traced => {
            let (seconds, cost) = task.trace_cost()?;
            let reading = cost.map(|cost| Reading::whole("trace_cost", cost));
            Ok((seconds, reading.into_iter().collect()))
        }
        _ => {
            let timed = ["time", "throughput", "resident.peak", "life.floor"];
            let report = crate::metric::Metric::all()
                .iter()
                .any(|metric| wants(&metric.id) && !timed.contains(&&metric.id[..]));
            let mut readings = Vec::new();
            if wants("life.floor")
                && session.monitor == Monitor::Kvm
                && candidate.kind != Kind::Native
            {
                let floor = bespoke_monitor::kvm_floor()
                    .map_err(Box::new)?
                    .as_secs_f64()
                    * 1e6;
                readings.push(Reading::whole("life.floor", floor));
            }
            let ended = task.succeed(ample, report, 1)?;
            let seconds = ended.wall.as_secs_f64();
            readings.extend([
                Reading::whole("time", seconds),
                Reading::whole("throughput", run.operations.0 as f64 / seconds),
                Reading::whole("resident.peak", ended.peak_resident_bytes as f64),
            ]);
            match &ended.report {
                Some(report) => readings.extend(report.readings()),
                None if candidate.kind == Kind::Native => {
                    readings.push(Reading::whole("memory", task.native_memory(&ended)?));
                }
                None => {}
            }
            Ok((seconds, readings))
        }
    }
}

/// A workload with a candidate.
struct Task<'a> {
    session: &'a Session,
    candidate: &'a Candidate,
    subject: Subject,
    workload: &'a Workload,
    run: &'a workload::Run,
}

impl Task<'_> {
    fn is_native(&self) -> bool {
        self.subject.is_native()
    }

    /// Runs it with the work done `repeats` times over.
    fn once(&self, memory_bytes: u64, report: bool, repeats: usize) -> Result<Run, Error> {
        let input = self.input()?;
        let files = input.iter().filter(|_| !self.is_native()).map(|host| {
            let mut file = OsString::from(host);
            file.push("=");
            file.push(INPUT);
            file
        });
        Job {
            subject: &self.subject,
            arguments: self.arguments(input.as_deref(), memory_bytes, repeats)?,
            memory_bytes,
            files: files.collect(),
            report,
        }
        .run()
    }

    /// The host's file with the input.
    fn input(&self) -> Result<Option<PathBuf>, Error> {
        let Some(command) = &self.run.generate else {
            return Ok(None);
        };
        let name = format!("input-{}", self.workload.name);
        let folder = self.session.app.workload_folder();
        let made = self.session.folder.generated(&name, command, folder)?;
        Ok(Some(made))
    }

    fn arguments(
        &self,
        input: Option<&Path>,
        memory_bytes: u64,
        repeats: usize,
    ) -> Result<Vec<OsString>, Error> {
        let (input, scratch) = match (self.is_native(), input) {
            (true, input) => {
                let scratch = self.session.folder.empty("scratch")?;
                let input = input.map_or_else(String::new, |path| path.display().to_string());
                (input, scratch.display().to_string())
            }
            // The root of an image's own file system.
            (false, _) => (INPUT.into(), String::new()),
        };
        let place = |text: &String| {
            OsString::from(
                text.replace("{input}", &input)
                    .replace("{scratch}", &scratch),
            )
        };
        let mut arguments: Vec<OsString> = self.run.arguments.iter().map(place).collect();
        for _ in 1..repeats {
            arguments.extend(self.run.again.iter().map(place));
        }
        if arguments.is_empty() && self.run.app.is_none() {
            arguments = self.session.app.run.arguments(memory_bytes);
        }
        Ok(arguments)
    }

    /// Instructions of an operation; none of a native program.
    fn instructions(&self) -> Result<Vec<Reading>, Error> {
        let Kind::Image(composition) = &self.candidate.kind else {
            return Ok(Vec::new());
        };
        let input = self.input()?;
        let memory_bytes = self.workload.memory_bytes;
        let files: Vec<ImportFile> = input
            .iter()
            .map(|host| ImportFile {
                folder: false,
                host: host.clone(),
                guest: INPUT.into(),
                canonical: true,
            })
            .collect();
        let image = self
            .session
            .image_with(composition, self.workload, &files)?;
        let counted = Counted {
            image: &image,
            arguments: &self.arguments(input.as_deref(), memory_bytes, 1)?,
            memory_bytes,
            scratch: &self.session.folder.empty("scratch")?,
        };
        let (instructions, output) = counted.run()?;
        let last = output.lines().last().unwrap_or_default().trim();
        if let Some(expected) = self
            .run
            .expect
            .as_deref()
            .filter(|expected| *expected != last)
        {
            return Err(Error::Workload(format!(
                "its last line under QEMU should be {expected:?}: {}",
                last_words(&output, "")
            )));
        }
        let each = instructions / self.run.operations.0 as f64;
        Ok(vec![Reading::whole("instructions", each)])
    }

    /// A run that did what it must.
    fn succeed(&self, memory_bytes: u64, report: bool, repeats: usize) -> Result<Run, Error> {
        let run = self.once(memory_bytes, report, repeats)?;
        let last = run.output.lines().last().unwrap_or_default().trim();
        let words = || last_words(&run.output, &run.messages);
        if !run.status.success() {
            return Err(Error::Workload(format!("{}: {}", run.status, words())));
        }
        match &self.run.expect {
            Some(expected) if expected != last => Err(Error::Workload(format!(
                "its last line should be {expected:?}: {}",
                words()
            ))),
            _ if report && !self.is_native() && run.report.is_none() => Err(Error::Workload(
                format!("it left no report: {}", last_words("", &run.messages)),
            )),
            _ => Ok(run),
        }
    }

    fn minimum(&self, ample: u64) -> Result<f64, Error> {
        // With ample memory it must work, or the search would tell of something else.
        let run = self.succeed(ample, false, 1)?;
        if self.is_native() {
            return self.native_memory(&run);
        }
        smallest_to_pass(&mut |bytes| self.succeed(bytes, false, 1))
    }

    /// Resident memory and files, for an image's files are in its memory too.
    fn native_memory(&self, run: &Run) -> Result<f64, Error> {
        let files = bytes_below(&self.session.folder.path("scratch"))?;
        Ok((run.peak_resident_bytes + files) as f64)
    }

    /// Seconds from `main()` to the end, and how many times longer that takes with allocations traced; which comes
    /// first is drawn by lot.
    fn trace_cost(&self) -> Result<(f64, Option<f64>), Error> {
        let Some(subject) = self.session.traced(self.candidate, self.workload, None)? else {
            return Ok((0.0, None));
        };
        let traced = Task { subject, ..*self };
        let (plain_us, traced_us) = if fastrand::bool() {
            (self.inside_us()?, traced.inside_us()?)
        } else {
            let traced_us = traced.inside_us()?;
            (self.inside_us()?, traced_us)
        };
        Ok((plain_us / 1e6, Some(traced_us / plain_us)))
    }

    /// Microseconds of an image from `main()` to its end.
    fn inside_us(&self) -> Result<f64, Error> {
        let run = self.succeed(self.workload.memory_bytes, true, 1)?;
        let inside = run.report.as_ref().and_then(ImageReport::inside_us);
        inside.ok_or_else(|| Error::Workload("it did not say when main() began".into()))
    }

    fn memory(&self, repeats: usize) -> Result<f64, Error> {
        let run = self.succeed(self.workload.memory_bytes, true, repeats)?;
        match &run.report {
            Some(report) => Ok(report.memory_bytes()),
            None => self.native_memory(&run),
        }
    }
}
