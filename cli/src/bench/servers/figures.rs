//! The figures of a server's benchmark, one function each.
//! Owns the lab and the folder of the native server; must never compare across two runs of the command.

use super::lab::Lab;
use super::load::{Load, redis_benchmark};
use super::server::{Ended, Plan, Server};
use super::service::{PAGE, Service, VERIFIED};
use super::{Many, Repeats, Results};
use crate::bench::memory::smallest;
use crate::bench::parts::{Images, SmallestMemory};
use crate::bench::progress::Progress;
use crate::bench::subject::Subject;
use crate::bench::workload::Folder;
use crate::bench::{Figure, NATIVE, US_PER_REQUEST, interleave, interleave_all};
use crate::error::Error;
use crate::place;
use crate::recipe::Run;
use clap::ValueEnum;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// RAM of runs in which memory is not the question, as in the published figures.
const AMPLE_BYTES: u64 = 1 << 30;
/// Connections of the usual load.
const FEW: u32 = 30;
/// Connections of the load over many.
const MANY: u32 = 1_000;
/// Seconds of one load, of each of a row of loads, and of the load over many connections.
const LOAD_SECONDS: u32 = 3;
const MANY_SECONDS: u32 = 60;
/// Loads in a row.
const REPEATS: usize = 20;

/// What can be measured on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Throughput, latency and memory under load of 30 connections, against native
    Load,
    /// First guest instruction to listen(), 1 GiB
    Boot,
    /// Start of the process to the first right answer, against native
    Answer,
    /// Smallest memory to pass the workload, by bisection
    Memory,
    /// 1,000 connections for 60 s beside 30
    Many,
    /// 20 loads in a row on one server
    Repeat,
}

/// The benchmark.
pub struct ServerBench<'a> {
    images: &'a dyn Images,
    heaps: Vec<String>,
    rounds: usize,
    monitor: &'static str,
    service: Service,
    /// How the app's recipe runs it.
    run: Run,
    native: PathBuf,
    native_arguments: Vec<OsString>,
    lab: Lab,
    redis_benchmark: PathBuf,
    _folder: Folder,
}

impl<'a> ServerBench<'a> {
    /// A benchmark of `service` with `heaps`; `run` is from the app's recipe. Builds what is missing.
    pub fn new(
        images: &'a dyn Images,
        service: Service,
        run: Run,
        heaps: Vec<String>,
        rounds: usize,
        monitor: &'static str,
    ) -> Result<Self, Error> {
        let lab = Lab::new()?;
        let mut progress = Progress::new("building", heaps.len() + 2);
        let native = images.native(service.app())?;
        progress.step();
        let redis_benchmark = match service {
            Service::Redis => redis_benchmark(&native),
            Service::Nginx => PathBuf::new(),
        };
        progress.step();
        for heap in &heaps {
            images.image(service.app(), heap)?;
            progress.step();
        }
        let folder = Folder::new()?;
        let native_arguments = prepare(service, &run, &folder)?;
        Ok(Self {
            images,
            heaps,
            rounds,
            monitor,
            service,
            run,
            native,
            native_arguments,
            lab,
            redis_benchmark,
            _folder: folder,
        })
    }

    /// The figures named in `parts`.
    pub fn run(&self, parts: &[Part]) -> Result<Results, Error> {
        let mut results = Results {
            app: self.service.app(),
            monitor: self.monitor,
            ..Results::default()
        };
        for part in parts {
            match part {
                Part::Load => results.figures.extend(self.load()?),
                Part::Boot if self.heaps.is_empty() => {}
                Part::Boot => results.figures.push(self.boot()?),
                Part::Answer => results.figures.push(self.answer()?),
                Part::Memory => results.memory = self.memory()?,
                Part::Many => results.many = self.many()?,
                Part::Repeat => results.repeats = self.repeats()?,
            }
        }
        Ok(results)
    }

    fn names(&self) -> Vec<String> {
        let native = std::iter::once(NATIVE.to_string());
        native.chain(self.heaps.iter().cloned()).collect()
    }

    fn subject(&self, name: &str) -> Result<Subject, Error> {
        if name == NATIVE {
            return Ok(Subject::Native(self.native.clone()));
        }
        Ok(Subject::Image {
            path: self.images.image(self.service.app(), name)?,
            monitor: self.monitor,
        })
    }

    fn start(&self, subject: &Subject, memory_bytes: u64) -> Result<Server<'_>, Error> {
        let arguments = match subject {
            Subject::Native(_) => self.native_arguments.clone(),
            Subject::Image { .. } => self.run.arguments(memory_bytes),
        };
        let plan = Plan {
            lab: &self.lab,
            service: self.service,
            subject,
            arguments: &arguments,
            memory_bytes,
        };
        plan.start()
    }

    fn clients(&self) -> Load<'_> {
        Load {
            lab: &self.lab,
            service: self.service,
            redis_benchmark: self.redis_benchmark.clone(),
        }
    }

    /// Throughput, latency and memory under the usual load.
    fn load(&self) -> Result<Vec<Figure>, Error> {
        let requests = Load::requests(self.service);
        let mut measures = Vec::new();
        for request in requests {
            measures.push((format!("{request}, {FEW} connections"), US_PER_REQUEST));
            measures.push((format!("{request}, median latency"), "ms"));
            measures.push((format!("{request}, p99 latency"), "ms"));
        }
        measures.push(("most memory in use under this load".to_string(), "MiB"));
        interleave_all(
            "load",
            &measures,
            &self.names(),
            NATIVE,
            self.rounds,
            &mut |name| {
                let server = self.start(&self.subject(name)?, AMPLE_BYTES)?;
                let rates = self.clients().run(server.address, FEW, LOAD_SECONDS)?;
                let ended = server.stop()?;
                let mut values = Vec::new();
                for rate in rates {
                    values.extend([1e6 / rate.per_second, rate.p50_ms, rate.p99_ms]);
                }
                values.push(ended.peak_bytes as f64 / f64::from(1 << 20));
                Ok(values)
            },
        )
    }

    /// First guest instruction to `listen()`.
    fn boot(&self) -> Result<Figure, Error> {
        let reference = self.heaps[0].clone();
        let title = "first instruction to listen(), 1 GiB";
        interleave(
            title,
            "us",
            &self.heaps,
            &reference,
            self.rounds,
            &mut |name| {
                let line = self
                    .start(&self.subject(name)?, AMPLE_BYTES)?
                    .stop()?
                    .boot_us;
                match (line.get("first_instruction"), line.get("ready")) {
                    (Some(first), Some(ready)) => Ok(ready - first),
                    _ => Err(Error::Usage(format!(
                        "the image answered, and its time line does not say when it listened: {line:?}"
                    ))),
                }
            },
        )
    }

    /// Start of the process to the first right answer.
    fn answer(&self) -> Result<Figure, Error> {
        let title = "start to first right answer, 1 GiB";
        interleave(
            title,
            "ms",
            &self.names(),
            NATIVE,
            self.rounds,
            &mut |name| {
                let server = self.start(&self.subject(name)?, AMPLE_BYTES)?;
                let elapsed = server.first_answer;
                server.stop()?;
                Ok(elapsed.as_secs_f64() * 1e3)
            },
        )
    }

    /// Smallest memory in which every one of the verified requests is answered right.
    fn memory(&self) -> Result<Vec<SmallestMemory>, Error> {
        let workload = match self.service {
            Service::Redis => format!("{VERIFIED} keys set and got"),
            Service::Nginx => format!("{VERIFIED} pages"),
        };
        let mut found = Vec::new();
        let mut progress = Progress::new("smallest memory", self.heaps.len() + 1);
        for heap in &self.heaps {
            let subject = self.subject(heap)?;
            // With ample memory it must work, or the search would tell of something else.
            self.verified(&subject, AMPLE_BYTES)?;
            let bytes = smallest(&mut |bytes| Ok(self.verified(&subject, bytes).is_ok()))?;
            found.push(SmallestMemory {
                workload: workload.clone(),
                heap: heap.clone(),
                bytes,
            });
            progress.step();
        }
        let native = self.verified(&self.subject(NATIVE)?, AMPLE_BYTES)?;
        found.push(SmallestMemory {
            workload,
            heap: NATIVE.into(),
            bytes: Some(native.peak_bytes),
        });
        Ok(found)
    }

    fn verified(&self, subject: &Subject, memory_bytes: u64) -> Result<Ended, Error> {
        let mut server = self.start(subject, memory_bytes)?;
        server.verify()?;
        server.stop()
    }

    /// 1,000 connections beside 30, each for a minute.
    fn many(&self) -> Result<Vec<Many>, Error> {
        let mut found = Vec::new();
        let mut progress = Progress::new("many connections", self.heaps.len() + 1);
        for name in self.names() {
            let mut server = self.start(&self.subject(&name)?, AMPLE_BYTES)?;
            let few = self.clients().run(server.address, FEW, MANY_SECONDS)?;
            let many = self.clients().run(server.address, MANY, MANY_SECONDS)?;
            server.verify()?;
            server.stop()?;
            found.extend(few.into_iter().zip(many).map(|(few, many)| Many {
                name: name.clone(),
                request: few.request,
                few_per_second: few.per_second,
                many_per_second: many.per_second,
            }));
            progress.step();
        }
        Ok(found)
    }

    /// The same load, again and again, on one server.
    fn repeats(&self) -> Result<Vec<Repeats>, Error> {
        let mut found = Vec::new();
        let mut progress = Progress::new("loads in a row", (self.heaps.len() + 1) * REPEATS);
        for name in self.names() {
            let server = self.start(&self.subject(&name)?, AMPLE_BYTES)?;
            let mut rows: Vec<Repeats> = Load::requests(self.service)
                .iter()
                .map(|request| Repeats {
                    name: name.clone(),
                    request: (*request).to_string(),
                    per_second: Vec::new(),
                })
                .collect();
            for _ in 0..REPEATS {
                let rates = self.clients().run(server.address, FEW, LOAD_SECONDS)?;
                for (row, rate) in rows.iter_mut().zip(rates) {
                    row.per_second.push(rate.per_second);
                }
                progress.step();
            }
            server.stop()?;
            found.extend(rows);
        }
        Ok(found)
    }
}

/// Lays out what the native server reads, the same files as the image's; returns its arguments.
fn prepare(service: Service, run: &Run, folder: &Folder) -> Result<Vec<OsString>, Error> {
    let recipe = place::checked_home()?.join("apps").join(service.app());
    let copy = |name: &str| {
        let from = recipe.join(name);
        let text = fs::read_to_string(&from).map_err(Error::file("read", &from))?;
        folder.write(name, &text)
    };
    match service {
        Service::Redis => {
            // The image's arguments, with the configuration in another place.
            let mut arguments = run.arguments(AMPLE_BYTES);
            arguments[0] = copy("redis.conf")?.into();
            Ok(arguments)
        }
        Service::Nginx => {
            copy("nginx.conf")?;
            // Of the types, the page needs one.
            folder.write("mime.types", "types { text/html html; }\n")?;
            let site = folder.path("www");
            place::create(&site)?;
            folder.write("www/index.html", PAGE)?;
            // Everything in the configuration is relative to the prefix.
            let mut prefix = folder.path("").into_os_string();
            prefix.push("/");
            Ok(vec!["-p".into(), prefix, "-c".into(), "nginx.conf".into()])
        }
    }
}
