//! From a recipe and its heaps to an image.
//!
//! [`Builder`] is the whole interface: [`Builder::app`] reads a recipe, [`Builder::provide`] returns the app's image with a
//! composition and builds it only when an input has changed. [`cache`] says what was built and removes what is not in use,
//! [`sizes`] what an image consists of.
//!
//! A build takes these steps, each a module:
//!
//! ```text
//! musl           libc.a, crt1.o, headers          keyed by archive, overlay, compiler
//! tree, compile  the app's objects                keyed by tree, flags, headers
//! upstream       or those of its own makefiles    keyed by sources, commands, toolchain
//! files          what the image's file system brings
//! run_note       how the image is run unless the user says otherwise
//! composition    library OS and heaps, by cargo
//! link           image, debug file, map
//! ```
//! Owns in the cache `libc`, `toolchains`, `kernel-headers`, `trees`, `objects`, `compositions`, `guest-target`, `native`,
//! `replay`, `host-target`, `images`, `locks` and `failed`.
//!
//! ```no_run
//! use bespoke_builder::Builder;
//! use bespoke_recipe::composition::Composition;
//!
//! let builder = Builder::new(|step| eprintln!("{step}"))?;
//! let app = builder.app("hello")?;
//! let composition = Composition::choose(&app.run.heaps, &["tlsf".into()])?;
//! println!("{}", builder.provide(&app, &composition)?.display());
//! # Ok::<(), bespoke_builder::Error>(())
//! ```
#![warn(missing_docs)]

pub mod cache;
mod cc;
mod compile;
mod composition;
mod error;
mod files;
mod kernel;
mod key;
mod link;
mod musl;
mod native;
mod record;
mod replay;
mod run_note;
pub mod sizes;
mod stamp;
mod symbols;
mod tool;
mod toolchain;
mod tree;
mod upstream;
mod work;

pub use error::{Error, ToolFailure};

use bespoke_monitor::ImportFile;
use bespoke_recipe::app::{self, App};
use bespoke_recipe::composition::Composition;
use bespoke_recipe::heap_spec::HeapSpec;
use bespoke_recipe::lock;
use bespoke_recipe::paths;
use bespoke_recipe::registry;
use bespoke_sources::Cache;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use symbols::Symbols;
use work::{Held, Work};

/// Builds images and native programs.
pub struct Builder {
    home: PathBuf,
    sources: Cache,
    say: Box<dyn Fn(&str)>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

/// A built image.
pub struct Image {
    /// The stripped file; its debug file is beside it.
    pub path: PathBuf,
    /// Its heaps.
    pub composition: Composition,
    /// Bytes by part.
    pub parts: Vec<sizes::Part>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").finish_non_exhaustive()
    }
}

/// What an image of `app` with these heaps is made from: the text of `bespoke_abi::note::TYPE_ORIGIN`.
fn origin(home: &Path, app: &App, composition: &Composition) -> Result<String, Error> {
    let [musl] = app::libc(home)?.source;
    let mut text = format!(
        "app={}\nmade_for={}\ncomposition={composition}\nlibc={} {}\nbespoke={}\n",
        app.name,
        lock::made_for(app)?,
        musl.name,
        musl.version,
        env!("CARGO_PKG_VERSION"),
    );
    for heap in composition.distinct() {
        text += &format!("heap {heap}={}\n", registry::find(heap)?.info.origin);
    }
    Ok(text)
}

impl Builder {
    /// A builder on this machine's cache, which tells its slow steps to `say`.
    ///
    /// # Errors
    ///
    /// When Bespoke's sources or the cache are not where they should be.
    pub fn new(say: impl Fn(&str) + 'static) -> Result<Self, Error> {
        Ok(Self {
            home: paths::checked_home()?,
            sources: Cache::from_environment()?,
            say: Box::new(say),
        })
    }

    /// The app `name`.
    pub fn app(&self, name: &str) -> Result<App, Error> {
        Ok(app::find(&self.home, name)?)
    }

    /// Where the image of `app` with these heaps stands once built.
    pub fn place(&self, app: &App, composition: &Composition) -> PathBuf {
        self.sources
            .root()
            .join("images")
            .join(&app.name)
            .join(composition.slug())
            .join(&app.name)
    }

    /// The image of `app` with these heaps, built only when an input has changed.
    pub fn provide(&self, app: &App, composition: &Composition) -> Result<PathBuf, Error> {
        let image = self.place(app, composition);
        let (stamp, homes) = (link::beside(&image, "inputs"), [&*self.home, &app.folder]);
        let is_fresh = || stamp::is_fresh(&stamp, &homes) && image.exists();
        if !is_fresh() {
            let work = Work::new(self.sources.root(), &self.say);
            let _lock = self.lock(app, composition, &work)?;
            // Another may have built it meanwhile, and run it: it must not be replaced while it is reported on.
            if !is_fresh() {
                self.build_locked(app, composition, &[], None, &work)?;
            }
        }
        work::keep_image(self.sources.root(), &app.name, &composition.slug())?;
        Ok(image)
    }

    /// Builds the image of `app` with these heaps and, besides its own files, `files`, at `output`, by
    /// default its place in the cache.
    pub fn build(
        &self,
        app: &App,
        composition: &Composition,
        files: &[ImportFile],
        output: Option<&Path>,
    ) -> Result<Image, Error> {
        let work = Work::new(self.sources.root(), &self.say);
        let _lock = self.lock(app, composition, &work)?;
        self.build_locked(app, composition, files, output, &work)
    }

    fn build_locked(
        &self,
        app: &App,
        composition: &Composition,
        files: &[ImportFile],
        output: Option<&Path>,
        work: &Work,
    ) -> Result<Image, Error> {
        let libc = musl::provide(&self.home, &self.sources, work)?;
        let kernel = kernel::headers(self.sources.root(), work)?;
        let (tree, mut objects) = match &app.build.program {
            None => compile::objects(app, &libc, &kernel, &self.sources, work)?,
            Some(program) => {
                let toolchain = toolchain::provide(&self.home, &self.sources, kernel, work)?;
                let built = upstream::objects(app, program, &toolchain, &self.sources, work)?;
                (Some(built.0), built.1)
            }
        };
        objects.extend(files::object(
            app,
            files,
            tree.as_deref(),
            self.sources.root(),
            work,
        )?);
        let cached = self.place(app, composition);
        if let Some(folder) = cached.parent() {
            paths::create(folder)?;
        }
        let symbols = Symbols::of(&objects)?;
        let composition = &self.with_network(app, composition, &symbols, &objects)?;
        let origin = origin(&self.home, app, composition)?;
        objects.push(run_note::object(
            &app.run,
            &origin,
            self.sources.root(),
            work,
        )?);
        let library = composition::build(
            &self.home,
            &self.sources,
            composition,
            app.run.stack.0,
            &libc,
            work,
        )?;
        let (map, inputs) = (
            link::beside(&cached, "map"),
            link::beside(&cached, "inputs"),
        );
        let settled = symbols::settle(
            &app.name,
            &symbols,
            &library,
            &link::beside(&cached, "renamed"),
            work,
        )?;
        objects.extend(settled.more);
        let path = output.unwrap_or(&cached);
        let parts_of_link = link::Inputs {
            script: &self.home.join("libos/image.ld"),
            start: &libc.start(),
            objects: &objects,
            composition: &settled.composition,
            library: &libc.library(),
            unwinder: symbols.wants_unwinder(),
        };
        link::link(&parts_of_link, path, &map, &link::beside(&cached, "whole"))?;
        let origins = sizes::Origins {
            composition: &settled.composition,
            objects: ["objects", "trees"].map(|folder| self.sources.root().join(folder)),
            heaps: composition,
            has_tables: symbols.wants_unwinder(),
        };
        let parts = sizes::parts(path, &map, &origins)?;
        if output.is_none() {
            let homes = [&*self.home, &app.folder];
            stamp::write(&inputs, &homes, &self.inputs(app, composition))?;
        }
        Ok(Image {
            path: path.to_path_buf(),
            composition: *composition,
            parts,
        })
    }

    /// The heaps of an image of `app`, with one for the network if the application asks for sockets.
    fn with_network(
        &self,
        app: &App,
        composition: &Composition,
        symbols: &Symbols,
        objects: &[PathBuf],
    ) -> Result<Composition, Error> {
        let would = composition.settled(symbols.network().is_some())?;
        let is_new = would.has_network() && !composition.has_network();
        let calls = match is_new {
            // A library may call it where the program never gets.
            true => {
                let scratch = link::beside(&self.place(app, composition), "reached");
                let reached = symbols::reached(objects, &scratch);
                reached.as_ref().unwrap_or(symbols).network()
            }
            false => None,
        };
        let settled = composition.settled(calls.is_some())?;
        if let Some(calls) = calls {
            self.say(&format!(
                "{} calls {calls}, so its image gets a network (net=tlsf); `heaps = {{ net = \"none\" }}` in [run] of its recipe leaves it out",
                app.name
            ));
        }
        Ok(settled)
    }

    /// Builds `app` for the machine itself; returns the program.
    pub fn build_native(&self, app: &App) -> Result<PathBuf, Error> {
        let work = Work::new(self.sources.root(), &self.say);
        match &app.build.program {
            None => native::build_native(app, &self.sources, &work),
            Some(program) => upstream::native(app, program, &self.sources, &work),
        }
    }

    /// Copies the files that the recipe of `app` names to below `root`, at the paths they have in the image.
    pub fn lay_out(&self, app: &App, root: &Path) -> Result<(), Error> {
        let work = Work::new(self.sources.root(), &self.say);
        let tree = app.sources.first();
        let tree = tree.map(|source| self.sources.tree(source)).transpose()?;
        files::lay_out(app, tree.as_deref(), root, self.sources.root(), &work)
    }

    /// A program of this machine that replays traces against `heap`.
    pub fn provide_replay(&self, heap: HeapSpec) -> Result<PathBuf, Error> {
        let work = Work::new(self.sources.root(), &self.say);
        replay::provide(&self.home, &self.sources, heap, &work)
    }

    /// Downloads, verifies and unpacks the sources of everything; returns their number.
    pub fn fetch(&self) -> Result<usize, Error> {
        let mut all = Vec::from(app::libc(&self.home)?.source);
        let mut broken = None;
        for name in app::names(&self.home)? {
            match self.app(&name) {
                Ok(app) => all.extend(app.sources),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        for entry in fs::read_dir(self.home.join("heaps"))
            .map_err(Error::file("read", self.home.join("heaps")))?
            .flatten()
        {
            let path = entry.path().join("source.toml");
            if path.exists() {
                all.extend(bespoke_sources::read_sources(&path)?);
            }
        }
        all.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        all.dedup();
        for source in &all {
            self.sources.tree(source)?;
        }
        // The sources of all others are there.
        broken.map_or(Ok(all.len()), Err)
    }

    /// See [`Cache::debian_tables`].
    pub fn debian_tables(&self, package: &str) -> Result<String, Error> {
        Ok(self.sources.debian_tables(package)?)
    }

    fn inputs(&self, app: &App, composition: &Composition) -> Vec<PathBuf> {
        let mut inputs: Vec<PathBuf> = [
            "Cargo.toml",
            "Cargo.lock",
            "abi",
            "heap/Cargo.toml",
            "heap/build",
            "heap/src",
            "libos",
            "libc",
            "stub",
            "virtio",
        ]
        .map(|name| self.home.join(name))
        .into();
        inputs.extend(app.folders().map(Path::to_path_buf));
        inputs.extend(app.tree_folder());
        if composition.has_network() {
            inputs.extend(["net/Cargo.toml", "net/src"].map(|name| self.home.join(name)));
        }
        inputs.extend(
            composition
                .distinct()
                .iter()
                .map(|heap| self.home.join("heaps").join(heap)),
        );
        inputs.extend(env::current_exe().ok());
        inputs
    }

    /// The lock of the image of `app` with these heaps.
    fn lock(&self, app: &App, composition: &Composition, work: &Work) -> Result<Held, Error> {
        let name = format!("image-{}-{}", app.name, composition.slug());
        work.alone(&name, &format!("this image of {}", app.name))
    }

    fn say(&self, text: &str) {
        (self.say)(text);
    }
}
