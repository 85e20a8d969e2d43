//! The cache of verified archives and unpacked trees, in `<root>/sources`.
//! An incomplete file or tree never appears under its final name.
//!
//! ```text
//! <root>/sources/NAME-VERSION-HASH16/
//!     lock        held while the slot changes
//!     FILE        the archive, verified
//!     FILE.part   a download in progress, or what a crash left of one
//!     tree/       unpacked, complete
//!     tree.part/  being unpacked, or what a crash left
//! ```

use crate::lock::lock_file;
use crate::{Attempt, Digest, Error, Source, debian, registry, unpack};
use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Returns the folder for downloads and builds: `$BESPOKE_CACHE`, else
/// `$XDG_CACHE_HOME/bespoke`, else `~/.cache/bespoke`.
///
/// # Errors
///
/// [`Error::NoCache`] when none of these variables is set.
pub fn cache_root() -> Result<PathBuf, Error> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            // Absolute, because builds run in other folders. Without a working
            // directory it stays as given.
            .map(|value| std::path::absolute(&value).unwrap_or_else(|_| value.into()))
    };
    folder("BESPOKE_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("bespoke")))
        .or_else(|| Some(folder("HOME")?.join(".cache/bespoke")))
        .ok_or(Error::NoCache)
}

/// The cache of one user.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    local: Option<PathBuf>,
}

impl Cache {
    /// Opens the user's cache: [`cache_root`], with local files from `$BESPOKE_SOURCES`.
    ///
    /// # Errors
    ///
    /// As for [`cache_root`].
    pub fn from_environment() -> Result<Self, Error> {
        let local = env::var_os("BESPOKE_SOURCES").filter(|value| !value.is_empty());
        Ok(Self::at(cache_root()?, local.map(PathBuf::from)))
    }

    /// Makes a cache below `root`. Archives that are found by file name
    /// in `local` are taken from there.
    pub fn at(root: PathBuf, local: Option<PathBuf>) -> Self {
        Self { root, local }
    }

    /// The root folder of all of Bespoke's caches.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of the verified archive and downloads it if
    /// necessary. Progress goes to stderr.
    ///
    /// # Errors
    ///
    /// [`Error::Unobtainable`] with every attempt; [`Error::WrongHash`] for a wrong local file;
    /// [`Error::Write`] when the cache cannot be written.
    pub fn archive(&self, source: &Source) -> Result<PathBuf, Error> {
        let slot = Slot::lock(&self.root, source)?;
        self.archive_locked(source, &slot)
    }

    /// Returns the path of the unpacked tree: the archive's top
    /// folder. Callers must not write there.
    ///
    /// # Errors
    ///
    /// As for [`Cache::archive`], and [`Error::Unpack`].
    pub fn tree(&self, source: &Source) -> Result<PathBuf, Error> {
        let slot = Slot::lock(&self.root, source)?;
        let tree = slot.folder.join("tree");
        if !tree.is_dir() {
            let archive = self.archive_locked(source, &slot)?;
            let part = slot.folder.join("tree.part");
            remove_tree(&part)?;
            unpack::unpack(&archive, &source.file, &part)?;
            rename(&part, &tree)?;
        }
        unpack::top_folder(&tree)
    }

    /// Returns the upstream archives of a Debian source package, as
    /// `[[source]]` tables of a recipe.
    ///
    /// # Errors
    ///
    /// When apt is missing or does not know the package.
    pub fn debian_tables(&self, package: &str) -> Result<String, Error> {
        debian::tables(&self.root, package)
    }

    fn archive_locked(&self, source: &Source, slot: &Slot) -> Result<PathBuf, Error> {
        let archive = slot.folder.join(&source.file);
        if archive.exists() {
            match verify(&archive, source, "run the command again") {
                Ok(()) => return Ok(archive),
                Err(error) => {
                    say(&format!(
                        "the cached copy is damaged and is fetched again: {error}"
                    ));
                    fs::remove_file(&archive).map_err(|error| Error::Write {
                        path: archive.clone(),
                        error,
                    })?;
                }
            }
        }
        let part = slot.folder.join(format!("{}.part", source.file));
        self.obtain(source, &part)?;
        rename(&part, &archive)?;
        Ok(archive)
    }

    /// Makes `part` the verified archive by the first method that succeeds.
    fn obtain(&self, source: &Source, part: &Path) -> Result<(), Error> {
        if let Some(local) = &self.local {
            let file = local.join(&source.file);
            if file.exists() {
                copy(&file, part)?;
                let next = "put the right file there, or remove it so that it is downloaded";
                return verify_from(part, &file.display().to_string(), source, next);
            }
        }
        let mut tried = Vec::new();
        for (way, fetch) in self.ways(source) {
            let fetched = fetch(part).and_then(|from| {
                verify_from(
                    part,
                    &from,
                    source,
                    "the file was discarded; if this happens again, the publisher's file has changed: please report it",
                )
            });
            match fetched {
                Ok(()) => return Ok(()),
                Err(why) if why.is_full() => return Err(why),
                Err(why) => {
                    let attempt = Attempt {
                        way,
                        why: Box::new(why),
                    };
                    say(&format!("{} {}: {attempt}", source.name, source.version));
                    tried.push(attempt);
                }
            }
        }
        Err(Error::Unobtainable {
            what: format!(
                "{} {} ({}, sha256 {})",
                source.name, source.version, source.file, source.sha256
            ),
            tried,
        })
    }

    /// The methods of this build, in order. Each fills a file and returns its origin.
    fn ways<'a>(&'a self, source: &'a Source) -> Vec<Way<'a>> {
        let mut ways: Vec<Way<'a>> = Vec::new();
        if let Some(spec) = &source.crate_ {
            ways.push((
                "crate",
                Box::new(move |part| {
                    say(&format!(
                        "getting {} {} from crate {spec}",
                        source.name, source.version
                    ));
                    registry::fetch(&self.root, source, spec, part)
                }),
            ));
        }
        #[cfg(feature = "http")]
        if let Some(url) = &source.upstream {
            ways.push((
                "upstream",
                Box::new(move |part| {
                    say(&format!(
                        "getting {} {} from {url}",
                        source.name, source.version
                    ));
                    crate::http::fetch(url, source.bytes, part)
                }),
            ));
        }
        if let Some(package) = &source.debian {
            ways.push((
                "debian",
                Box::new(move |part| {
                    say(&format!(
                        "getting {} {} from Debian source package {package}",
                        source.name, source.version
                    ));
                    debian::fetch(&self.root, source, package, part)
                }),
            ));
            #[cfg(feature = "http")]
            ways.push((
                "pool",
                Box::new(move |part| {
                    say(&format!(
                        "getting {} {} from Debian's pool of packages",
                        source.name, source.version
                    ));
                    debian::fetch_from_pool(source, package, part)
                }),
            ));
        }
        ways
    }
}

type Way<'a> = (
    &'static str,
    Box<dyn Fn(&Path) -> Result<String, Error> + 'a>,
);

/// A slot of the cache, locked until dropped.
struct Slot {
    folder: PathBuf,
    _lock: File,
}

impl Slot {
    fn lock(root: &Path, source: &Source) -> Result<Self, Error> {
        source.check()?;
        let folder = root.join("sources").join(source.slot());
        let lock = lock_folder(&folder)?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }
}

/// Creates `folder` and locks the lock file in it, until the returned
/// file is closed or the process ends.
pub(crate) fn lock_folder(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let waits = |holder: Option<u32>| {
        let holder = holder.map_or_else(String::new, |pid| format!(", process {pid},"));
        let what = folder.display();
        say(&format!(
            "waiting for another command{holder} that fills {what}"
        ));
    };
    let open = || {
        fs::create_dir_all(folder)?;
        lock_file(&path, waits)
    };
    open().map_err(|error| Error::Write {
        path: path.clone(),
        error,
    })
}

/// Prints a line of progress; ignores errors.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "bespoke: {text}");
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut input = File::open(from).map_err(|error| Error::Read {
        path: from.into(),
        error,
    })?;
    let write = |error| Error::Write {
        path: to.into(),
        error,
    };
    let mut output = File::create(to).map_err(write)?;
    io::copy(&mut input, &mut output).map_err(write)?;
    Ok(())
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Write {
            path: path.into(),
            error,
        }),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|error| Error::Write {
        path: to.into(),
        error,
    })
}

fn verify(path: &Path, source: &Source, next: &'static str) -> Result<(), Error> {
    verify_from(path, &path.display().to_string(), source, next)
}

fn verify_from(path: &Path, from: &str, source: &Source, next: &'static str) -> Result<(), Error> {
    let (found, found_bytes) = Digest::of_file(path).map_err(|error| Error::Read {
        path: path.into(),
        error,
    })?;
    if found == source.sha256 {
        return Ok(());
    }
    Err(Error::WrongHash {
        from: from.to_owned(),
        expected: source.sha256,
        expected_bytes: source.bytes,
        found,
        found_bytes,
        next,
    })
}
