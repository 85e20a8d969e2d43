//! Where measurements are made: one app's images and native program, its workloads, and what they need
//! while they run (a folder in memory; for servers the lab). See [`Session::measure`].
//! Owns what was built for the time of the session; must never let an image change under a run.

use super::candidate::{Candidate, CandidateRecord, Kind};
use super::figure::{Figure, Pass};
use super::folder::Folder;
use super::lab::Lab;
use super::process::Subject;
use super::record::{Outcome, Reading};
use super::service::Service;
use super::{run_to_end, serving, shell};
use crate::error::Error;
use bespoke_builder::Builder;
use bespoke_monitor::ImportFile;
use bespoke_recipe::app::App;
use bespoke_recipe::composition::Composition;
use bespoke_recipe::workload::{self, Workload};
use bespoke_sources::hex;
use sha2::{Digest, Sha256};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What one measurement came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Seconds over which rates and latencies were taken.
    pub measured_s: f64,
    /// Values, or why the workload failed.
    pub outcome: Outcome,
}

/// See the module.
pub struct Session {
    builder: Builder,
    /// The app.
    pub app: App,
    /// The app as a server, if its recipe says that it is one.
    pub service: Option<Service>,
    /// `kvm` or `process`.
    pub monitor: &'static str,
    /// Inputs, native databases, native servers' files.
    pub folder: Folder,
    /// Where traces stay, as `APP-WORKLOAD-CANDIDATE.trace`; else each takes the place of the one before.
    pub traces: Option<PathBuf>,
    lab: OnceCell<Lab>,
    built: RefCell<BTreeMap<(String, String), Result<PathBuf, String>>>,
}

impl Session {
    /// A session for `app` on `monitor` (`kvm` or `process`).
    pub fn new(app: &str, monitor: &'static str) -> Result<Self, Error> {
        let builder = Builder::new(|step| eprintln!("bespoke: {step}"))?;
        let app = builder.app(app)?;
        let serve = app.serve.as_ref();
        Ok(Self {
            service: serve
                .map(|serve| Service::new(serve, app.workload_folder()))
                .transpose()?,
            builder,
            app,
            monitor,
            folder: Folder::new()?,
            traces: None,
            lab: OnceCell::new(),
            built: RefCell::default(),
        })
    }

    /// The kinds of run that `workload` has.
    pub fn passes(&self, workload: &Workload) -> Vec<Pass> {
        let plain = [
            Pass::Plain,
            Pass::HeapLatency,
            Pass::MinimumMemory,
            Pass::Image,
            Pass::Traced,
        ];
        match &workload.kind {
            workload::Kind::Run(run) => {
                let creep = (!run.again.is_empty()).then_some(Pass::Creep);
                let counted = Some(Pass::Instructions);
                plain.into_iter().chain(counted).chain(creep).collect()
            }
            workload::Kind::Server(_) => plain
                .into_iter()
                .chain([Pass::Creep, Pass::Repeat])
                .collect(),
            workload::Kind::Command(_) => vec![Pass::Plain, Pass::Image],
        }
    }

    /// Runs `workload` once with `candidate`, in the way of `pass`, and returns those of `figures` that it yields.
    ///
    /// Figures that `workload` does not have are left out. A pass is measured as a whole: ask for all figures of
    /// one pass in one call. Nothing else should run on the machine meanwhile, and who compares candidates takes
    /// them in turns, in shuffled order, and pairs what was taken in one turn.
    ///
    /// # Errors
    ///
    /// When it cannot be measured at all, for example because a tool is missing. That the workload fails with the
    /// candidate is no error but [`Outcome::Failed`], also when its image cannot be built.
    pub fn measure(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        pass: Pass,
        figures: &[Figure],
    ) -> Result<Taken, Error> {
        if pass == Pass::HeapLatency {
            return self.heap_latency(candidate, workload, figures);
        }
        self.take(candidate, workload, pass, figures)
    }

    /// The plain pass of an image whose heaps are timed, of which only that is taken.
    fn heap_latency(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        figures: &[Figure],
    ) -> Result<Taken, Error> {
        let Some(timed) = timed(candidate) else {
            return Ok(Taken {
                measured_s: 0.0,
                outcome: Outcome::Values(Vec::new()),
            });
        };
        self.take(&timed, workload, Pass::HeapLatency, figures)
    }

    fn take(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        pass: Pass,
        figures: &[Figure],
    ) -> Result<Taken, Error> {
        let wants = |id: &str| {
            let of_pass = |figure: &&Figure| figure.pass == pass;
            figures.iter().filter(of_pass).any(|figure| figure.id == id)
        };
        let taken = match (&workload.kind, pass) {
            (_, Pass::Image) => self.image_size(candidate, workload),
            (workload::Kind::Run(run), _) => {
                run_to_end::measure(self, candidate, workload, run, pass, &wants)
            }
            (workload::Kind::Server(load), _) => {
                serving::measure(self, candidate, workload, load, pass, &wants)
            }
            (workload::Kind::Command(command), _) => {
                shell::measure(self, candidate, workload, command)
            }
        };
        match taken {
            Ok((measured_s, mut readings)) => {
                readings.retain(|reading| wants(&reading.figure));
                Ok(Taken {
                    measured_s,
                    outcome: Outcome::Values(readings),
                })
            }
            Err(Error::Workload(reason)) => Ok(Taken {
                measured_s: 0.0,
                outcome: Outcome::Failed(reason),
            }),
            Err(other) => Err(other),
        }
    }

    fn image_size(
        &self,
        candidate: &Candidate,
        workload: &Workload,
    ) -> Result<(f64, Vec<Reading>), Error> {
        let path = self.file(candidate, app_of(workload))?;
        let bytes = fs::metadata(&path)
            .map_err(Error::file("look at", &path))?
            .len();
        Ok((0.0, vec![Reading::whole("image_size", bytes as f64)]))
    }

    /// The program that `workload` runs with `candidate`, built if it need be.
    pub fn subject(&self, candidate: &Candidate, workload: &Workload) -> Result<Subject, Error> {
        let path = self.file(candidate, app_of(workload))?;
        Ok(match candidate.kind {
            Kind::Native => Subject::Native(path),
            Kind::Image(_) => Subject::Image {
                path,
                monitor: self.monitor,
            },
        })
    }

    /// The same with its allocations traced, into a file (see [`Session::traces`]) that a thread on `writer_core`
    /// writes; `None` for the native program.
    pub fn traced(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        writer_core: Option<usize>,
    ) -> Result<Option<Subject>, Error> {
        let Kind::Image(composition) = &candidate.kind else {
            return Ok(None);
        };
        let app = app_of(workload).unwrap_or(&self.app.name).to_string();
        let heaps = composition.components();
        Ok(Some(Subject::Traced {
            heaps: heaps
                .map(|(component, heap)| format!("{}={heap}", component.name()))
                .collect(),
            monitor: self.monitor,
            trace: match &self.traces {
                Some(folder) => folder.join(format!(
                    "{}-{}-{}.trace",
                    self.app.name, workload.name, candidate.label
                )),
                None => self.folder.path("trace"),
            },
            writer_core,
            app,
        }))
    }

    /// The native program of the app.
    pub fn native(&self) -> Result<PathBuf, Error> {
        self.file(&Candidate::native(), None)
    }

    /// Builds what `workload` needs of `candidate` for `figures`; says as [`Error::Workload`] when that fails.
    pub fn build(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        figures: &[Figure],
    ) -> Result<(), Error> {
        self.file(candidate, app_of(workload))?;
        let variants = [
            (Pass::HeapLatency, timed(candidate)),
            (Pass::Traced, recording(candidate)),
        ];
        for (pass, variant) in variants {
            if let (true, Some(variant)) =
                (figures.iter().any(|figure| figure.pass == pass), variant)
            {
                self.file(&variant, app_of(workload))?;
            }
        }
        Ok(())
    }

    fn file(&self, candidate: &Candidate, app: Option<&str>) -> Result<PathBuf, Error> {
        let app = app.unwrap_or(&self.app.name);
        let key = (app.to_string(), candidate.label.clone());
        if let Some(built) = self.built.borrow().get(&key) {
            return built.clone().map_err(Error::Workload);
        }
        let recipe = self.builder.app(app)?;
        let built = match &candidate.kind {
            Kind::Native => self.builder.build_native(&recipe),
            Kind::Image(composition) => self.builder.provide(&recipe, composition),
        };
        let built = match built {
            // Only a compiler or linker that refuses is the candidate's own fault.
            Err(error @ bespoke_builder::Error::Tool(_)) => {
                Err(format!("it cannot be built: {error}"))
            }
            other => Ok(other?),
        };
        self.built.borrow_mut().insert(key, built.clone());
        built.map_err(Error::Workload)
    }

    /// An image of its own for `workload`, with `files` in it; it lies in the session's folder.
    pub fn image_with(
        &self,
        composition: &Composition,
        workload: &Workload,
        files: &[ImportFile],
    ) -> Result<PathBuf, Error> {
        let app = app_of(workload).unwrap_or(&self.app.name);
        let path = self.folder.empty("image")?.join(app);
        let recipe = self.builder.app(app)?;
        match self.builder.build(&recipe, composition, files, Some(&path)) {
            Ok(image) => Ok(image.path),
            Err(error @ bespoke_builder::Error::Tool(_)) => {
                Err(Error::Workload(format!("it cannot be built: {error}")))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// `candidate` as it is written to files, with the hash of its image, which is built if it need be.
    pub fn record(&self, candidate: &Candidate) -> Result<CandidateRecord, Error> {
        if candidate.kind == Kind::Native {
            return Ok(candidate.record(None));
        }
        let path = match self.file(candidate, None) {
            Ok(path) => path,
            Err(Error::Workload(_)) => return Ok(candidate.record(None)),
            Err(other) => return Err(other),
        };
        let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
        let hash = Sha256::digest(&bytes);
        let digits = hex(&hash);
        Ok(candidate.record(Some((digits, bytes.len() as u64))))
    }

    /// Where servers and clients run; made when it is first asked for.
    pub fn lab(&self) -> Result<&Lab, Error> {
        if let Some(lab) = self.lab.get() {
            return Ok(lab);
        }
        let lab = Lab::new()?;
        Ok(self.lab.get_or_init(|| lab))
    }

    /// Lays the files of the recipe out below a folder, for the native server.
    pub fn native_root(&self) -> Result<PathBuf, Error> {
        let root = self.folder.path("root");
        if !root.exists() {
            self.builder.lay_out(&self.app, &root)?;
        }
        Ok(root)
    }
}

/// The candidate with an image whose heaps are timed.
fn timed(candidate: &Candidate) -> Option<Candidate> {
    match &candidate.kind {
        Kind::Native => None,
        Kind::Image(composition) => Some(Candidate::image(
            format!("{} (timed)", candidate.label),
            composition.timing(),
        )),
    }
}

/// The candidate with an image that can record what its heaps do.
fn recording(candidate: &Candidate) -> Option<Candidate> {
    match &candidate.kind {
        Kind::Native => None,
        Kind::Image(composition) => Some(Candidate::image(
            format!("{} (recording)", candidate.label),
            composition.clone().recording(),
        )),
    }
}

/// The app whose image a workload runs; `None`: the session's own.
fn app_of(workload: &Workload) -> Option<&str> {
    match &workload.kind {
        workload::Kind::Run(run) => run.app.as_deref(),
        workload::Kind::Server(_) | workload::Kind::Command(_) => None,
    }
}
