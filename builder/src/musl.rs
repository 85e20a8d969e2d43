//! The C library: musl's unmodified archive, our overlay of whole files, musl's own makefile.
//!
//! `libc/overlay/config.mak` stands where musl's configure script would write its answers. The
//! allocator's files are left out (`omit` in `libc/recipe.toml`): an image's composition defines
//! the malloc family.

use super::key::{Key, files_below};
use super::work::Work;
use super::{cc, tool, tree};
use crate::Error;
use bespoke_recipe::{app, paths};
use bespoke_sources::Cache;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of the overlay whose files are installed as headers, and where.
pub(super) const HEADERS: [(&str, &str); 2] = [("include", ""), ("arch/x86_64/bits", "bits")];

/// A built C library.
pub(crate) struct Libc {
    /// Stands for what C code compiled against it depends on: its headers, not its insides.
    pub interface: String,
    /// Its folder in the cache.
    folder: PathBuf,
}

impl Libc {
    /// The archive.
    pub(crate) fn library(&self) -> PathBuf {
        self.folder.join("lib/libc.a")
    }

    /// The start-up object.
    pub(crate) fn start(&self) -> PathBuf {
        self.folder.join("lib/crt1.o")
    }

    /// Its headers.
    pub(crate) fn include(&self) -> PathBuf {
        self.folder.join("include")
    }
}

/// Provides the C library, built if need be.
pub(crate) fn provide(home: &Path, sources: &Cache, work: &Work) -> Result<Libc, Error> {
    let overlay = home.join("libc/overlay");
    let recipe = app::libc(home)?;
    let [source] = &recipe.source;
    let base = Key::new("libc")
        .text(&source.sha256.to_string())
        .texts(&recipe.omit)
        .text(&cc::version()?);
    let key = base.clone().folder(&overlay)?.finish();
    let interface = HEADERS
        .iter()
        .map(|(folder, _)| overlay.join(folder))
        .filter(|folder| folder.exists())
        .try_fold(base, |key, folder| key.folder(&folder))?
        .finish();
    let folder = sources.root().join("libc").join(&key);
    let make = || {
        work.say(&format!("building the C library (musl {})", source.version));
        let part = folder.with_extension("part");
        tree::remove(&part)?;
        build(&sources.tree(source)?, &overlay, &recipe.omit, &part)?;
        fs::rename(&part, &folder).map_err(Error::file("create", &folder))
    };
    let lock = format!("libc-{key}");
    work.provide(&lock, "the C library", || folder.exists(), make)?;
    Ok(Libc { interface, folder })
}

fn build(source: &Path, overlay: &Path, omit: &[String], part: &Path) -> Result<(), Error> {
    let work = part.join("work");
    tree::copy(source, &work)?;
    for file in omit {
        let path = work.join(file);
        fs::remove_file(&path).map_err(Error::file("leave out", &path))?;
    }
    for file in files_below(overlay)? {
        let to = work.join(file.strip_prefix(overlay).unwrap_or(&file));
        fs::copy(&file, &to).map_err(Error::file("replace", &to))?;
    }
    let mut make = Command::new("make");
    make.current_dir(&work)
        .arg(format!("-j{}", cc::jobs()))
        .arg(format!("CFLAGS=-ffile-prefix-map={}=musl", work.display()))
        .arg(format!("prefix={}", part.display()))
        .args(["lib/libc.a", "lib/crt1.o", "install-headers"]);
    tool::run("compile the C library", &mut make)?;
    let lib = part.join("lib");
    paths::create(&lib)?;
    for file in ["libc.a", "crt1.o"] {
        let (from, to) = (work.join("lib").join(file), lib.join(file));
        fs::rename(&from, &to).map_err(Error::file("create", &to))?;
    }
    tree::remove(&work)
}
