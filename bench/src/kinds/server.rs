//! Workloads that load a server. Every measurement starts a fresh one, and one in which a request failed is
//! none. Owns nothing that outlives a measurement.

use crate::Error;
use crate::candidate::Candidate;
use crate::kinds::minimum_memory::smallest_to_pass;
use crate::metric::Pass;
use crate::record::Reading;
use crate::session::Session;
use crate::testbed::client::Service;
use crate::testbed::load::{Amount, Loader, Rate};
use crate::testbed::namespaces::{self, Over, Side};
use crate::testbed::process::Subject;
use crate::testbed::server::{Ended, Plan, Server};
use bespoke_recipe::workload::{Load, Workload};
use std::ffi::OsString;
use std::path::PathBuf;

/// Loads in a row for the metric creep.
const REPEATS: usize = 10;
/// Loads in a row for the metric repeat.
const MANY_REPEATS: usize = 20;
/// Seconds of load in the search for the smallest memory.
const PROBE_SECONDS: u32 = 1;
/// Figures that need no load, only a start.
const START: [&str; 10] = [
    "boot",
    "boot.machine",
    "boot.enter",
    "boot.pages",
    "boot.heaps",
    "boot.files",
    "boot.libc",
    "boot.app",
    "heap_start",
    "answer",
];

/// One measurement: seconds, readings.
pub(crate) fn measure(
    session: &Session,
    candidate: &Candidate,
    workload: &Workload,
    load: &Load,
    pass: Pass,
    wants: &dyn Fn(&str) -> bool,
) -> Result<(f64, Vec<Reading>), Error> {
    let native = session.native()?;
    let task = Task {
        server: Serving::new(session, candidate, workload, &load.files)?,
        loader: Loader {
            lab: session.lab()?,
            load,
            native: &native,
            folder: &session.folder,
        },
    };
    let ample = workload.memory_bytes;
    match pass {
        Pass::MinimumMemory => {
            let bytes = task.minimum(ample)?;
            Ok((0.0, vec![Reading::whole("minimum_memory", bytes)]))
        }
        Pass::Creep => task.creep(ample),
        Pass::Repeat => task.repeat(ample),
        Pass::Traced => {
            // As it would be outside of a bench: the server has its core for itself, and the writer one with others.
            let writer_core = Some(namespaces::core(Side::Client));
            match session.traced(candidate, workload, writer_core)? {
                Some(subject) => task.trace_cost(ample, subject),
                None => Ok((0.0, Vec::new())),
            }
        }
        _ => {
            let loads = crate::metric::Metric::all()
                .iter()
                .any(|metric| wants(&metric.id) && !START.contains(&&metric.id[..]));
            task.plain(ample, loads)
        }
    }
}

/// The app's server with a candidate.
pub(crate) struct Serving<'a> {
    session: &'a Session,
    service: &'a Service,
    subject: Subject,
    files: Vec<OsString>,
}

impl<'a> Serving<'a> {
    /// `files`: what it gets besides its own, as guest paths and commands that print them.
    pub(crate) fn new(
        session: &'a Session,
        candidate: &Candidate,
        workload: &Workload,
        files: &std::collections::BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Error> {
        let service = session.service.as_ref().ok_or_else(|| {
            let reason = format!(
                "workload {:?} loads a server, but the recipe has no [serve]",
                workload.name
            );
            bespoke_recipe::Error::invalid(&session.app.folder, reason)
        })?;
        let subject = session.subject(candidate, workload)?;
        let mut given = Vec::new();
        for (guest, command) in files {
            let name = format!("file-{}", guest.replace('/', "-"));
            let host = session
                .folder
                .generated(&name, command, session.app.workload_folder())?;
            if subject.is_native() {
                copy(&host, &session.native_root()?, guest)?;
            } else {
                let mut file = host.into_os_string();
                file.push("=");
                file.push(guest);
                given.push(file);
            }
        }
        Ok(Self {
            session,
            service,
            subject,
            files: given,
        })
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(&self, memory_bytes: u64) -> Result<Server<'a>, Error> {
        self.start_over(Over::usual(self.subject.monitor()), memory_bytes)
    }

    /// The same over a link of the caller's choice.
    pub(crate) fn start_over(&self, over: Over, memory_bytes: u64) -> Result<Server<'a>, Error> {
        let app = &self.session.app;
        let arguments = match &app.serve {
            Some(serve) if self.subject.is_native() => {
                let root = self.session.native_root()?.display().to_string();
                let given = serve.native.iter();
                given
                    .map(|text| text.replace("{root}", &root).into())
                    .collect()
            }
            _ => app.run.arguments(memory_bytes),
        };
        let plan = Plan {
            lab: self.session.lab()?,
            service: self.service,
            subject: &self.subject,
            arguments: &arguments,
            memory_bytes,
            files: &self.files,
            over,
        };
        plan.start()
    }
}

fn copy(host: &PathBuf, root: &std::path::Path, guest: &str) -> Result<(), Error> {
    let path = root.join(guest.trim_start_matches('/'));
    if let Some(folder) = path.parent() {
        bespoke_recipe::paths::create(folder)?;
    }
    std::fs::copy(host, &path)
        .map(|_| ())
        .map_err(Error::file("create", &path))
}

struct Task<'a> {
    server: Serving<'a>,
    loader: Loader<'a>,
}

impl Task<'_> {
    fn plain(&self, ample: u64, loads: bool) -> Result<(f64, Vec<Reading>), Error> {
        let mut server = self.server.start(ample)?;
        let answer_ms = server.first_answer.as_secs_f64() * 1e3;
        let mut readings = vec![Reading::whole("answer", answer_ms)];
        let mut seconds = server.first_answer.as_secs_f64();
        if loads {
            let amount = Amount::Seconds(self.loader.load.seconds);
            let rate = server.load(&self.loader, amount)?;
            seconds = rate.seconds;
            readings.extend(of_rate(&rate));
            let after = server.resident_bytes();
            readings.extend(after.map(|bytes| Reading::whole("resident.after", bytes as f64)));
        }
        let ended = server.stop()?;
        if loads {
            readings.push(Reading::whole(
                "resident.peak",
                ended.peak_resident_bytes as f64,
            ));
        }
        match &ended.report {
            Some(report) => readings.extend(report.readings()),
            None => readings.push(Reading::whole("memory", memory(&ended))),
        }
        Ok((seconds, readings))
    }

    /// Whether everything is right with so much memory: every key or page, before and after a load.
    fn passes(&self, memory_bytes: u64) -> Result<Ended, Error> {
        let mut server = self.server.start(memory_bytes)?;
        server.verify()?;
        server.load(&self.loader, Amount::Seconds(PROBE_SECONDS))?;
        server.verify()?;
        server.stop()
    }

    fn minimum(&self, ample: u64) -> Result<f64, Error> {
        // With ample memory it must work, or the search would tell of something else.
        let ended = self.passes(ample)?;
        if self.server.subject.is_native() {
            return Ok(memory(&ended));
        }
        smallest_to_pass(&mut |bytes| self.passes(bytes))
    }

    fn creep(&self, ample: u64) -> Result<(f64, Vec<Reading>), Error> {
        let seconds = self.loader.load.seconds;
        let mut server = self.server.start(ample)?;
        let first = server.load(&self.loader, Amount::Seconds(seconds))?;
        let once = memory(&server.stop()?);
        let mut server = self.server.start(ample)?;
        for _ in 0..REPEATS {
            server.load(&self.loader, Amount::Again(first.requests, seconds))?;
        }
        let often = memory(&server.stop()?);
        let readings = vec![
            Reading::whole("creep", often / once),
            Reading::whole("creep.memory", often),
        ];
        Ok((first.seconds, readings))
    }
}

impl Task<'_> {
    /// The same load again and again on one start: does the last find what the first found?
    fn repeat(&self, ample: u64) -> Result<(f64, Vec<Reading>), Error> {
        let seconds = self.loader.load.seconds;
        let mut server = self.server.start(ample)?;
        let first = server.load(&self.loader, Amount::Seconds(seconds))?;
        let again = Amount::Again(first.requests, seconds);
        let mut last = server.load(&self.loader, again)?;
        for _ in 2..MANY_REPEATS {
            last = server.load(&self.loader, again)?;
        }
        server.stop()?;
        let ratio = per_second(&first) / per_second(&last);
        Ok((first.seconds, vec![Reading::whole("repeat", ratio)]))
    }

    /// One load as it is and one with allocations traced by `subject`; which comes first is drawn by lot.
    fn trace_cost(&self, ample: u64, subject: Subject) -> Result<(f64, Vec<Reading>), Error> {
        let traced = Serving {
            subject,
            files: self.server.files.clone(),
            ..self.server
        };
        let rate = |serving: &Serving| {
            let mut server = serving.start(ample)?;
            let amount = Amount::Seconds(self.loader.load.seconds);
            let rate = server.load(&self.loader, amount)?;
            server.stop()?;
            Ok::<_, Error>(rate)
        };
        let (plain, traced) = if fastrand::bool() {
            (rate(&self.server)?, rate(&traced)?)
        } else {
            let traced = rate(&traced)?;
            (rate(&self.server)?, traced)
        };
        let cost = per_second(&plain) / per_second(&traced);
        Ok((plain.seconds, vec![Reading::whole("trace_cost", cost)]))
    }
}

fn per_second(rate: &Rate) -> f64 {
    rate.requests as f64 / rate.seconds
}

fn of_rate(rate: &Rate) -> Vec<Reading> {
    let metrics = ["latency.p50", "latency.p99", "latency.p999", "latency.max"];
    let latencies = metrics.iter().zip(rate.latency_ms);
    let mut readings = vec![Reading::whole("throughput", per_second(rate))];
    readings.extend(latencies.map(|(metric, ms)| Reading::whole(metric, ms)));
    readings
}

fn memory(ended: &Ended) -> f64 {
    match &ended.report {
        Some(report) => report.memory_bytes(),
        None => ended.peak_resident_bytes as f64,
    }
}
