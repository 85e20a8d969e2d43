//! Measures the steps, one after the other, with the `bespoke` command. Owns the folder of the evaluation: every step keeps
//! its raw data there and is not measured twice, so that the same command goes on where it was interrupted.

use crate::error::Error;
use crate::steps::{APPS, Extent, Step, Work, heaps, steps};
use bespoke_bench::interrupt;
use bespoke_bench::tune::SearchReport;
use bespoke_recipe::paths;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// Exit statuses of `bespoke`: it was interrupted; nothing is better than the default, and that is an answer.
const INTERRUPTED: i32 = 130;
const NOTHING_BETTER: i32 = 3;

/// What is to be measured, and with what.
pub(crate) struct Measuring {
    /// The `bespoke` command.
    pub bespoke: PathBuf,
    /// Where raw data go, a folder or a file for each step.
    pub folder: PathBuf,
    /// How much is measured.
    pub extent: Extent,
    /// Minutes: a step that would not end within them is left out. `None`: none is.
    pub budget_minutes: Option<u32>,
}

impl Measuring {
    /// Builds all that is measured, before any clock runs.
    pub(crate) fn build(&self) -> Result<(), Error> {
        paths::create(&self.folder)?;
        for app in APPS {
            eprintln!("== building {app} ==");
            self.must(&["build", app, "--native"])?;
            for heap in heaps() {
                self.must(&["build", app, "--heap", heap])?;
            }
        }
        // The programs of the replay, and the image that is traced first.
        let trace = self.folder.join("build.trace");
        let file = trace.to_string_lossy();
        self.must(&["trace", "sqlite", "-o", &file, "--", "-version"])?;
        self.must(&["replay", &file, "--rounds", "1", "--count-events", "0"])?;
        fs::remove_file(&trace).map_err(Error::file("remove", &trace))
    }

    /// Measures every step that was not measured yet and that the budget has room for.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] after Ctrl-C. A step that fails stops no other; those that did are returned.
    pub(crate) fn measure(&self) -> Result<Vec<String>, Error> {
        paths::create(&self.folder)?;
        interrupt::listen();
        let began = Instant::now();
        let mut failed = Vec::new();
        for step in steps(&self.extent) {
            if !self.is_wanted(&step)? || !self.fits(&step, began) {
                continue;
            }
            if !self.take(&step)? {
                failed.push(step.name);
            }
        }
        Ok(failed)
    }

    /// Whether `step` is to be taken: it was not yet, and what it needs is there.
    fn is_wanted(&self, step: &Step) -> Result<bool, Error> {
        Ok(match &step.work {
            Work::Measure(_) => !self.holds(step, "json")?,
            Work::Everywhere { choice, .. } => {
                self.record(choice).exists() && !self.holds(step, "json")?
            }
            Work::Replay { app, workload } => {
                !self.record(&step.name).exists() && self.trace(app, workload).exists()
            }
            Work::Choose { .. } => {
                self.extent.search_minutes.is_some() && !self.record(&step.name).exists()
            }
        })
    }

    fn fits(&self, step: &Step, began: Instant) -> bool {
        let (name, minutes) = (&step.name, step.minutes);
        let spent = (began.elapsed().as_secs() / 60) as u32;
        match self.budget_minutes {
            Some(budget) if spent + minutes > budget => {
                eprintln!(
                    "== {name}: left out, {spent} of {budget} minutes are spent and it takes {minutes} =="
                );
                false
            }
            _ => {
                eprintln!("== {name}, after {spent} min ==");
                true
            }
        }
    }

    /// Takes one step; whether it succeeded.
    fn take(&self, step: &Step) -> Result<bool, Error> {
        match &step.work {
            Work::Measure(arguments) => self.bench(step, arguments),
            Work::Everywhere {
                choice,
                app,
                arguments,
            } => {
                let mut all = vec![(*app).to_string(), "--heaps".into()];
                match self.chosen(choice) {
                    Ok(chosen) => all.push(everywhere(&chosen)),
                    Err(error) => {
                        eprintln!("{error}");
                        return Ok(false);
                    }
                }
                all.push("--no-native".into());
                all.extend_from_slice(arguments);
                self.bench(step, &all)
            }
            Work::Replay { app, workload } => {
                let mut command = self.command();
                command.arg("replay").arg(self.trace(app, workload));
                command.args(["--workload", workload, "--json"]);
                command.args(["--events", &self.extent.events.to_string()]);
                command.args(["--rounds", &self.extent.replays.to_string()]);
                self.keep(&step.name, command, &[])
            }
            Work::Choose {
                app,
                goal,
                workload,
                components,
            } => {
                // Its raw data lie elsewhere: rounds of a search are no comparison of their own.
                let searches = self.searches();
                paths::create(&searches)?;
                let minutes = self.extent.search_minutes.unwrap_or_default();
                let mut command = self.command();
                command.env("BESPOKE_LOCKS", &searches);
                command.args(["tune", app, "--for", goal, "--workloads", workload]);
                command.args(["--components", components, "--json"]);
                command.args(["--budget", &format!("{minutes}m")]);
                command.arg("--results").arg(&searches);
                self.keep(&step.name, command, &[NOTHING_BETTER])
            }
        }
    }

    fn bench(&self, step: &Step, arguments: &[String]) -> Result<bool, Error> {
        let traces = self.traces().to_string_lossy().into_owned();
        let mut command = self.command();
        command.arg("bench");
        command.args(arguments.iter().map(|word| match &word[..] {
            "TRACES" => &traces,
            _ => word,
        }));
        if self.holds(step, "unfinished")? {
            command.arg("--resume");
        }
        command.arg("--results").arg(self.folder.join(&step.name));
        let text = self.folder.join(format!("{}.txt", step.name));
        let status = self.run(command, &text)?;
        Ok(status.success())
    }

    /// Runs `command`, whose output becomes the record `name` when it ends with 0 or a status among `answers`.
    fn keep(&self, name: &str, command: Command, answers: &[i32]) -> Result<bool, Error> {
        let record = self.record(name);
        let part = record.with_extension("json.part");
        let status = self.run(command, &part)?;
        let answered = status.code().is_some_and(|code| answers.contains(&code));
        if !status.success() && !answered {
            return Ok(false);
        }
        fs::rename(&part, &record).map_err(Error::file("create", &record))?;
        Ok(true)
    }

    /// Runs `command` to its end, its output into `output`.
    fn run(&self, mut command: Command, output: &Path) -> Result<ExitStatus, Error> {
        let file = File::create(output).map_err(Error::file("create", output))?;
        let status = command.stdout(file).status();
        let status = status.map_err(|source| self.no_command(source))?;
        match interrupt::asked() || status.code() == Some(INTERRUPTED) {
            true => Err(Error::Interrupted),
            false => Ok(status),
        }
    }

    /// Runs `bespoke` with `arguments`, which must succeed.
    fn must(&self, arguments: &[&str]) -> Result<(), Error> {
        let status = self
            .command()
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        match status.map_err(|source| self.no_command(source))?.success() {
            true => Ok(()),
            false => Err(Error::Build(arguments.join(" "))),
        }
    }

    fn command(&self) -> Command {
        Command::new(&self.bespoke)
    }

    fn no_command(&self, source: std::io::Error) -> Error {
        Error::NoCommand {
            bespoke: self.bespoke.clone(),
            source,
        }
    }

    /// The heaps by component that the step `choice` chose, or the default.
    fn chosen(&self, choice: &str) -> Result<String, Error> {
        let path = self.record(choice);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let report: SearchReport =
            serde_json::from_str(&text).map_err(|error| bespoke_bench::Error::Results {
                path,
                reason: error.to_string(),
            })?;
        Ok(report.search.chosen.unwrap_or(report.search.default))
    }

    /// Whether the folder of `step` holds a file that ends so.
    fn holds(&self, step: &Step, extension: &str) -> Result<bool, Error> {
        let folder = self.folder.join(&step.name);
        if !folder.exists() {
            return Ok(false);
        }
        let entries = fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        Ok(paths.any(|path| path.extension().is_some_and(|found| found == extension)))
    }

    fn record(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn traces(&self) -> PathBuf {
        self.folder.join("traces")
    }

    fn trace(&self, app: &str, workload: &str) -> PathBuf {
        self.traces().join(format!("{app}-{workload}-tlsf.trace"))
    }

    fn searches(&self) -> PathBuf {
        let mut name = self.folder.clone().into_os_string();
        name.push("-searches");
        name.into()
    }
}

/// `chosen` and, for each heap, that heap in all of its components, as `bench --heaps` takes them.
fn everywhere(chosen: &str) -> String {
    let mut all = vec![chosen.replace(' ', "+")];
    for heap in heaps() {
        let components = chosen
            .split(' ')
            .map(|pair| format!("{}={heap}", pair.split('=').next().unwrap_or_default()));
        all.push(components.collect::<Vec<_>>().join("+"));
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_stands_beside_each_heap_in_all_of_its_components() {
        let list = everywhere("app=tlsf:sl=4 libos=talc net=tlsf stack=region boot=region");
        let list: Vec<&str> = list.split(',').collect();
        assert_eq!(list.len(), 1 + heaps().len());
        assert_eq!(
            list[0],
            "app=tlsf:sl=4+libos=talc+net=tlsf+stack=region+boot=region"
        );
        assert_eq!(
            list[2],
            "app=buddy+libos=buddy+net=buddy+stack=buddy+boot=buddy"
        );
    }

    fn measuring(name: &str, script: &str) -> Measuring {
        let folder =
            std::env::temp_dir().join(format!("bespoke-evaluation-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let bespoke = folder.join("bespoke");
        fs::write(&bespoke, format!("#!/bin/sh\n{script}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&bespoke, executable).unwrap();
        Measuring {
            bespoke,
            folder: folder.join("data"),
            extent: Extent::whole(),
            budget_minutes: None,
        }
    }

    #[test]
    fn what_is_there_is_kept_what_is_unfinished_goes_on_and_what_fails_stops_nothing() {
        // Notes how it was called; searches find nothing better, and one step fails.
        let measuring = measuring(
            "steps",
            "echo \"$@\" >>\"$0.calls\"\ncase \"$*\" in\n*\" speedtest1 \"*) exit 1 ;;\ntune*) exit 3 ;;\nesac",
        );
        let data = &measuring.folder;
        for (step, file) in [("start-nginx", "x.json"), ("start-hello", "x.unfinished")] {
            fs::create_dir_all(data.join(step)).unwrap();
            fs::write(data.join(step).join(file), "").unwrap();
        }
        let failed = measuring.measure().unwrap();
        let (of_choices, others): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|step| step.starts_with("everywhere-"));
        // The record of a search is no JSON here.
        assert_eq!((of_choices.len(), others.len()), (5, 1));
        assert_eq!(others, ["speed-sqlite"]);
        let calls = fs::read_to_string(measuring.bespoke.with_extension("calls")).unwrap();
        let about = |words: &str| calls.lines().filter(|line| line.contains(words)).count();
        assert_eq!(about("heap_start"), 0, "{calls}");
        assert_eq!(about("life,minimum_memory"), 1, "{calls}");
        assert!(
            calls
                .lines()
                .any(|line| line.contains("life") && line.contains("--resume")),
            "{calls}"
        );
        assert_eq!(about("--for size"), 3, "{calls}");
        assert!(data.join("tune-redis-size.json").exists());
        // No trace was made, so none is replayed.
        assert_eq!(about("replay"), 0, "{calls}");
        fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_step_that_the_budget_has_no_room_for_is_left_out() {
        let mut measuring = measuring("budget", "echo \"$@\" >>\"$0.calls\"");
        measuring.budget_minutes = Some(2);
        measuring.extent.search_minutes = None;
        measuring.measure().unwrap();
        let calls = fs::read_to_string(measuring.bespoke.with_extension("calls")).unwrap();
        assert!(calls.contains("heap_start"), "{calls}");
        assert!(!calls.contains("get,set,mixed"), "{calls}");
        fs::remove_dir_all(measuring.folder.parent().unwrap()).unwrap();
    }
}
