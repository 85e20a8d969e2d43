//! Where measurements are made: one app's images and native program, its workloads, and what they need
//! while they run (a folder in memory; for servers the testbed). See [`Session::measure`].
//! Owns what was built for the time of the session; must never let an image change under a run.

use crate::Error;
use crate::candidate::{Candidate, CandidateRecord, Kind};
use crate::metric::{Metric, Pass};
use crate::testbed::client::Service;
use crate::testbed::namespaces::Testbed;
use crate::testbed::process::Subject;
use crate::testbed::scratch::Scratch;
use bespoke_builder::Builder;
use bespoke_monitor::{ImportFile, Monitor};
use bespoke_recipe::app::App;
use bespoke_recipe::composition::Composition;
use bespoke_recipe::workload::{self, Workload};
use bespoke_sources::hex;
use sha2::{Digest, Sha256};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// See the module.
pub struct Session {
    builder: Builder,
    /// The app.
    pub app: App,
    /// The app as a server, if its recipe says that it is one.
    pub service: Option<Service>,
    /// What images run under.
    pub monitor: Monitor,
    /// The `bespoke` command.
    pub command: PathBuf,
    /// Inputs, native databases, native servers' files.
    pub folder: Scratch,
    /// Where traces stay, as `APP-WORKLOAD-CANDIDATE.trace`; else each takes the place of the one before.
    pub traces: Option<PathBuf>,
    lab: OnceCell<Testbed>,
    built: RefCell<BTreeMap<(String, String), Result<PathBuf, String>>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// A session for `app` on `monitor`; images are built by `builder` and run by the program `command`, which is the
    /// `bespoke` command.
    ///
    /// # Errors
    ///
    /// When there is no such app, or its recipe is not what it must be.
    pub fn new(
        builder: Builder,
        command: PathBuf,
        app: &str,
        monitor: Monitor,
    ) -> Result<Self, Error> {
        let app = builder.app(app)?;
        let serve = app.serve.as_ref();
        Ok(Self {
            service: serve
                .map(|serve| Service::new(serve, app.workload_folder()))
                .transpose()?,
            builder,
            command,
            app,
            monitor,
            folder: Scratch::new()?,
            traces: None,
            lab: OnceCell::new(),
            built: RefCell::default(),
        })
    }

    /// The program that `workload` runs with `candidate`, built if it need be.
    pub fn subject(&self, candidate: &Candidate, workload: &Workload) -> Result<Subject, Error> {
        let path = self.file(candidate, app_of(workload))?;
        Ok(match candidate.kind {
            Kind::Native => Subject::Native(path),
            Kind::Image(_) => Subject::Image {
                command: self.command.clone(),
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
            command: self.command.clone(),
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

    /// Builds what `workload` needs of `candidate` for `metrics`; says as [`Error::Workload`] when that fails.
    pub fn build(
        &self,
        candidate: &Candidate,
        workload: &Workload,
        metrics: &[Metric],
    ) -> Result<(), Error> {
        self.file(candidate, app_of(workload))?;
        let variants = [
            (Pass::HeapLatency, timed(candidate)),
            (Pass::Traced, recording(candidate)),
        ];
        for (pass, variant) in variants {
            if let (true, Some(variant)) =
                (metrics.iter().any(|metric| metric.pass == pass), variant)
            {
                self.file(&variant, app_of(workload))?;
            }
        }
        Ok(())
    }

    pub(crate) fn file(&self, candidate: &Candidate, app: Option<&str>) -> Result<PathBuf, Error> {
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
    pub fn lab(&self) -> Result<&Testbed, Error> {
        if let Some(lab) = self.lab.get() {
            return Ok(lab);
        }
        let lab = Testbed::new()?;
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
pub(crate) fn timed(candidate: &Candidate) -> Option<Candidate> {
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
pub(crate) fn app_of(workload: &Workload) -> Option<&str> {
    match &workload.kind {
        workload::Kind::Run(run) => run.app.as_deref(),
        workload::Kind::Server(_) | workload::Kind::Command(_) => None,
    }
}
