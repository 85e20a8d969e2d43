//! The figures of the SQLite benchmark, one function each.
//! Owns the images and the folder of the runs; must never compare across two runs of the command.

use super::memory::smallest;
use super::progress::Progress;
use super::subject::{Job, Run, Subject};
use super::workload::{Folder, VARIED_ROWS, VARIED_SCRIPT, insert_script};
use super::{Figure, KERNEL, NATIVE, interleave, is_heap};
use crate::error::Error;
use clap::ValueEnum;
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

const MIB: u64 = 1 << 20;
/// RAM of runs in which memory is not the question.
const AMPLE_BYTES: u64 = 1024 * MIB;
/// RAM of the start-up figure.
const START_BYTES: u64 = 256 * MIB;
/// Runs of the start-up figures in a round: each takes a millisecond.
const STARTS_PER_ROUND: usize = 5;
/// RAM sizes over which the start of heaps is measured.
const BOOT_RAM: [u64; 4] = [64 * MIB, 256 * MIB, 1024 * MIB, 4096 * MIB];
/// Rows of the seed's insert benchmark.
const INSERTS: u64 = 60_000;
/// Row counts of the curve over the number of inserts.
const CURVE: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];
/// RAM of the workload that separates the heaps: what a heap that never frees needs for it.
const VARIED_BYTES: u64 = 2048 * MIB;
/// `--size` of speedtest1: about two seconds a run.
const SPEEDTEST_SIZE: &str = "20";

/// Where images and native programs come from; each is built when it is first asked for.
pub trait Images {
    /// The image of `app` with `heap` in its `app` component.
    fn image(&self, app: &str, heap: &str) -> Result<PathBuf, Error>;
    /// The same program built natively with the same flags.
    fn native(&self, app: &str) -> Result<PathBuf, Error>;
}

/// A smallest memory, found by bisection.
#[derive(Debug, Serialize)]
pub struct SmallestMemory {
    /// Workload.
    pub workload: String,
    /// Heap, or `native` (peak resident size plus the database).
    pub heap: String,
    /// Bytes; `None`: it fails even with the most that was tried.
    pub bytes: Option<u64>,
}

/// One file of which the size counts.
#[derive(Debug, Serialize)]
pub struct ImageSize {
    /// Application.
    pub app: String,
    /// Heap.
    pub heap: String,
    /// Bytes of the stripped image.
    pub bytes: u64,
}

/// Everything `bespoke bench sqlite` measured.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// `kvm` or `process`.
    pub monitor: &'static str,
    /// Timed figures.
    pub figures: Vec<Figure>,
    /// Smallest memories.
    pub memory: Vec<SmallestMemory>,
    /// Image sizes.
    pub sizes: Vec<ImageSize>,
    /// Seconds to switch the heap of the SQLite image and rebuild, a switch each.
    pub rebuild_s: Vec<f64>,
}

/// What can be measured on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// hello, from the monitor's start to the guest's exit, and from process start to end
    Start,
    /// First guest instruction to main, 64 MiB to 4 GiB
    Boot,
    /// 60,000 autocommit inserts against native
    Inserts,
    /// Statements of varied size against native
    Varied,
    /// SQLite's own benchmark against native
    Speedtest,
    /// 10 to 100,000 autocommit inserts against native
    Curve,
    /// Smallest memory by bisection
    Memory,
    /// Size of the stripped images
    Size,
}

/// The benchmark.
pub struct Bench<'a> {
    /// Images.
    pub images: &'a dyn Images,
    /// Heaps to measure.
    pub heaps: Vec<String>,
    /// Interleaved rounds.
    pub rounds: usize,
    /// `kvm` or `process`.
    pub monitor: &'static str,
    folder: Folder,
}

impl<'a> Bench<'a> {
    /// A benchmark of `heaps` with `rounds` rounds on `monitor`.
    pub fn new(
        images: &'a dyn Images,
        heaps: Vec<String>,
        rounds: usize,
        monitor: &'static str,
    ) -> Result<Self, Error> {
        Ok(Self {
            images,
            heaps,
            rounds,
            monitor,
            folder: Folder::new()?,
        })
    }

    /// The figures named in `parts`.
    pub fn run(&self, parts: &[Part]) -> Result<Results, Error> {
        let mut results = Results {
            monitor: self.monitor,
            rebuild_s: self.rebuild()?,
            ..Results::default()
        };
        for part in parts {
            match part {
                Part::Start => {
                    results.figures.push(self.start_to_exit()?);
                    results.figures.push(self.start_to_end()?);
                }
                Part::Boot => {
                    for ram in BOOT_RAM {
                        results.figures.push(self.boot(ram)?);
                    }
                }
                Part::Inserts => results.figures.push(self.inserts(INSERTS)?),
                Part::Varied => results.figures.push(self.varied()?),
                Part::Speedtest => results.figures.push(self.speedtest()?),
                Part::Curve => {
                    for rows in CURVE {
                        results.figures.push(self.inserts(rows)?);
                    }
                }
                Part::Memory => results.memory = self.memory()?,
                Part::Size => results.sizes = self.sizes()?,
            }
        }
        Ok(results)
    }

    fn subject(&self, app: &str, name: &str) -> Result<Subject, Error> {
        if name == NATIVE {
            return Ok(Subject::Native(self.images.native(app)?));
        }
        Ok(Subject::Image {
            path: self.images.image(app, name)?,
            monitor: self.monitor,
        })
    }

    fn names(&self, with_native: bool) -> Vec<String> {
        let native = with_native.then(|| NATIVE.to_string());
        native
            .into_iter()
            .chain(self.heaps.iter().cloned())
            .collect()
    }

    /// hello, from the monitor's first instruction to the exit of the guest, beside what the kernel
    /// alone takes to make a machine.
    fn start_to_exit(&self) -> Result<Figure, Error> {
        let mut names = self.names(false);
        let kvm = self.monitor == "kvm";
        let reference = if kvm {
            KERNEL.to_string()
        } else {
            self.baseline()
        };
        if kvm {
            names.insert(0, KERNEL.to_string());
        }
        interleave(
            "hello, monitor start to guest exit, 256 MiB",
            "us",
            &names,
            &reference,
            self.rounds * STARTS_PER_ROUND,
            &mut |name| {
                if name == KERNEL {
                    return Ok(bespoke_monitor::kvm_floor()?.as_secs_f64() * 1e6);
                }
                let line = self.hello(name, true)?.boot_us;
                line.get("exit")
                    .copied()
                    .ok_or_else(|| Error::Usage("the image did not say when it ended".into()))
            },
        )
    }

    /// hello, from before its process starts to after it ends, beside the same program natively.
    fn start_to_end(&self) -> Result<Figure, Error> {
        interleave(
            "hello, start of the process to its end, 256 MiB",
            "us",
            &self.names(true),
            NATIVE,
            self.rounds * STARTS_PER_ROUND,
            &mut |name| Ok(self.hello(name, false)?.wall.as_secs_f64() * 1e6),
        )
    }

    fn hello(&self, name: &str, boot_time: bool) -> Result<Run, Error> {
        let subject = self.subject("hello", name)?;
        let job = Job {
            subject: &subject,
            arguments: Vec::new(),
            memory_bytes: START_BYTES,
            files: Vec::new(),
            boot_time,
        };
        job.succeed()
    }

    /// The heap others are compared with where there is nothing native: `region`, which does least.
    fn baseline(&self) -> String {
        let region = self.heaps.iter().find(|heap| *heap == "region");
        region.unwrap_or(&self.heaps[0]).clone()
    }

    /// First guest instruction to `main`, SQLite image, by RAM size.
    fn boot(&self, ram: u64) -> Result<Figure, Error> {
        let names = self.names(false);
        let reference = self.baseline();
        let mut figure = interleave(
            "first instruction to main",
            "us",
            &names,
            &reference,
            self.rounds,
            &mut |name| {
                let subject = self.subject("sqlite", name)?;
                let job = Job {
                    subject: &subject,
                    arguments: vec!["-version".into()],
                    memory_bytes: ram,
                    files: Vec::new(),
                    boot_time: true,
                };
                let line = job.succeed()?.boot_us;
                match (line.get("first_instruction"), line.get("main")) {
                    (Some(first), Some(main)) => Ok(main - first),
                    _ => Err(Error::Usage("the image did not reach main()".into())),
                }
            },
        )?;
        figure.name = format!("first instruction to main, {} MiB", ram / MIB);
        Ok(figure)
    }

    /// The SQLite shell on a script; native databases lie in memory too.
    fn shell(&self, name: &str, script: &str, memory_bytes: u64) -> Result<Run, Error> {
        let subject = self.subject("sqlite", name)?;
        let (database, script_path, files) = match subject {
            Subject::Native(_) => {
                self.folder.remove_database("bench.db");
                (
                    self.folder.path("bench.db"),
                    self.folder.path(script),
                    Vec::new(),
                )
            }
            Subject::Image { .. } => {
                let mut file = OsString::from(self.folder.path(script));
                file.push("=/script.sql");
                (
                    PathBuf::from("/bench.db"),
                    PathBuf::from("/script.sql"),
                    vec![file],
                )
            }
        };
        let read = format!(".read {}", script_path.display());
        let arguments = vec!["-bail".into(), database.into(), read.into()];
        Job {
            subject: &subject,
            arguments,
            memory_bytes,
            files,
            boot_time: false,
        }
        .run()
    }

    /// A run that must print `rows` as its last line.
    fn shell_seconds(
        &self,
        name: &str,
        script: &str,
        rows: u64,
        memory_bytes: u64,
    ) -> Result<f64, Error> {
        let run = self.shell(name, script, memory_bytes)?;
        let last = run.output.lines().last().unwrap_or("").trim();
        if run.status.success() && last == rows.to_string() {
            return Ok(run.wall.as_secs_f64());
        }
        Err(Error::Tool {
            purpose: format!("the workload {script} with {name}"),
            status: run.status.to_string(),
            command: "sqlite".into(),
            output: run.output,
        })
    }

    /// Autocommit inserts against native.
    fn inserts(&self, rows: u64) -> Result<Figure, Error> {
        self.folder.write("inserts.sql", &insert_script(rows))?;
        let names = self.names(true);
        let mut figure = interleave(
            "autocommit inserts",
            "s",
            &names,
            NATIVE,
            self.rounds,
            &mut |name| self.shell_seconds(name, "inserts.sql", rows, AMPLE_BYTES),
        )?;
        figure.name = format!("{rows} autocommit inserts");
        Ok(figure)
    }

    /// Statements of varied size in one transaction.
    fn varied(&self) -> Result<Figure, Error> {
        self.folder.write("varied.sql", VARIED_SCRIPT)?;
        interleave(
            "statements of varied size",
            "s",
            &self.names(true),
            NATIVE,
            self.rounds,
            &mut |name| self.shell_seconds(name, "varied.sql", VARIED_ROWS, VARIED_BYTES),
        )
    }

    /// SQLite's own benchmark against native.
    fn speedtest(&self) -> Result<Figure, Error> {
        interleave(
            "speedtest1",
            "s",
            &self.names(true),
            NATIVE,
            self.rounds,
            &mut |name| {
                let subject = self.subject("speedtest1", name)?;
                let database = if name == NATIVE {
                    self.folder.remove_database("speed.db");
                    self.folder.path("speed.db")
                } else {
                    PathBuf::from("/speed.db")
                };
                let arguments = vec!["--size".into(), SPEEDTEST_SIZE.into(), database.into()];
                let job = Job {
                    subject: &subject,
                    arguments,
                    memory_bytes: AMPLE_BYTES,
                    files: Vec::new(),
                    boot_time: false,
                };
                Ok(job.succeed()?.wall.as_secs_f64())
            },
        )
    }

    /// Smallest memory for hello, 1,000 and 60,000 inserts, by heap, beside native.
    fn memory(&self) -> Result<Vec<SmallestMemory>, Error> {
        let mut found = Vec::new();
        let mut progress = Progress::new("smallest memory", self.heaps.len() * 3);
        for heap in &self.heaps {
            let subject = self.subject("hello", heap)?;
            let bytes = smallest(&mut |memory_bytes| {
                let job = Job {
                    subject: &subject,
                    arguments: Vec::new(),
                    memory_bytes,
                    files: Vec::new(),
                    boot_time: false,
                };
                Ok(job.run()?.status.success())
            })?;
            found.push(SmallestMemory {
                workload: "hello".into(),
                heap: heap.clone(),
                bytes,
            });
            progress.step();
        }
        for rows in [1_000, INSERTS] {
            let script = format!("inserts-{rows}.sql");
            self.folder.write(&script, &insert_script(rows))?;
            let workload = format!("{rows} inserts");
            for heap in &self.heaps {
                let bytes = smallest(&mut |memory_bytes| {
                    let run = self.shell(heap, &script, memory_bytes)?;
                    let last = run.output.lines().last().unwrap_or("").trim().to_string();
                    Ok(run.status.success() && last == rows.to_string())
                })?;
                found.push(SmallestMemory {
                    workload: workload.clone(),
                    heap: heap.clone(),
                    bytes,
                });
                progress.step();
            }
            let run = self.shell(NATIVE, &script, AMPLE_BYTES)?;
            let path = self.folder.path("bench.db");
            let database = std::fs::metadata(&path)
                .map_err(Error::file("look at", &path))?
                .len();
            let bytes = Some(run.peak_resident_bytes + database);
            found.push(SmallestMemory {
                workload,
                heap: NATIVE.into(),
                bytes,
            });
        }
        Ok(found)
    }

    fn sizes(&self) -> Result<Vec<ImageSize>, Error> {
        let mut sizes = Vec::new();
        for app in ["hello", "sqlite"] {
            for heap in &self.heaps {
                let path = self.images.image(app, heap)?;
                let bytes = std::fs::metadata(&path)
                    .map_err(Error::file("look at", &path))?
                    .len();
                sizes.push(ImageSize {
                    app: app.into(),
                    heap: heap.clone(),
                    bytes,
                });
            }
        }
        Ok(sizes)
    }

    /// Builds every image of the benchmark; switching the heap of the SQLite image is timed.
    fn rebuild(&self) -> Result<Vec<f64>, Error> {
        let mut progress = Progress::new("building", self.heaps.len() * 3 + 3);
        for app in ["hello", "sqlite", "speedtest1"] {
            self.images.native(app)?;
            progress.step();
        }
        let mut seconds = Vec::new();
        for heap in &self.heaps {
            let start = Instant::now();
            self.images.image("sqlite", heap)?;
            seconds.push(start.elapsed().as_secs_f64());
            progress.step();
            for app in ["hello", "speedtest1"] {
                self.images.image(app, heap)?;
                progress.step();
            }
        }
        Ok(seconds)
    }
}

/// The spread between heaps: slowest over fastest median of a figure.
pub fn heap_spread(figure: &Figure) -> Option<f64> {
    let medians = || {
        figure
            .rows
            .iter()
            .filter(|row| is_heap(&row.name))
            .map(|row| row.summary.median)
    };
    Some(medians().max_by(f64::total_cmp)? / medians().min_by(f64::total_cmp)?)
}

/// A figure of one part of others, for the crossing of curves.
pub fn winner(figure: &Figure) -> String {
    if figure.best.len() == figure.rows.iter().filter(|row| is_heap(&row.name)).count() {
        return "no difference found".into();
    }
    figure.best.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::figure;
    use super::{NATIVE, heap_spread, winner};

    #[test]
    fn spread_and_winner_leave_native_out() {
        let names: Vec<String> = ["a", "b", NATIVE].map(String::from).to_vec();
        let raw = vec![vec![1.0; 10], vec![1.5; 10], vec![9.0; 10]];
        let figure = figure("x".into(), "s", &names, NATIVE, raw);
        assert_eq!(heap_spread(&figure), Some(1.5));
        assert_eq!(winner(&figure), "a");
    }
}
