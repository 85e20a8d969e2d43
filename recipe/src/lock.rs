//! The lock file of an app: the heaps that `bespoke tune` chose, and why. What builds or runs the app takes its heaps
//! from there unless its command line names others.
//!
//! It stands beside the recipe, `apps/NAME/heaps.lock`, or in the folder `$BESPOKE_LOCKS` as `NAME.lock`. Written
//! whole or not at all; a file that is not understood is an error and stays as it is.

use crate::Error;
use crate::app::App;
use crate::composition::{Component, Composition, HeapArgument};
use crate::paths;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Version of the files.
pub const VERSION: u32 = 1;

/// What a lock keeps of the search that chose its heaps. Whoever searches defines it; nothing here looks into it.
pub trait Search: Serialize + DeserializeOwned {
    /// Name of the goal, as after `bespoke tune APP --for`.
    fn goal(&self) -> &str;
}

/// A lock file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock<S> {
    /// [`VERSION`].
    pub version: u32,
    /// The app.
    pub app: String,
    /// What the choice was measured with: names and versions of the app's sources, and a hash of all that the
    /// recipe says of how it is built and run.
    pub made_for: String,
    /// Heaps by component, as after `--heap`.
    pub heaps: BTreeMap<String, String>,
    /// How they were found.
    pub why: S,
}

/// The heaps of an app.
#[derive(Debug)]
pub struct Chosen<S> {
    /// For every component.
    pub composition: Composition,
    /// The lock that says so, when it says anything that the command line does not overrule.
    pub lock: Option<(PathBuf, Lock<S>)>,
    /// What is wrong with it, although it is used.
    pub warning: Option<String>,
}

/// Where the lock of `app` is.
pub fn path(app: &App) -> PathBuf {
    match env::var_os("BESPOKE_LOCKS") {
        Some(folder) => Path::new(&folder).join(format!("{}.lock", app.name)),
        None => app.folder.join("heaps.lock"),
    }
}

/// The heaps of `app`: the defaults, changed by its recipe, by its lock, by `arguments`.
///
/// # Errors
///
/// When there is a lock that cannot be read, has another version, or names what there is not; or as
/// [`Composition::choose`].
pub fn choose<S: Search>(app: &App, arguments: &[HeapArgument]) -> Result<Chosen<S>, Error> {
    let path = path(app);
    let Some(lock) = Lock::<S>::read(&path)? else {
        return Ok(Chosen {
            composition: Composition::choose(&app.run.heaps, arguments)?,
            lock: None,
            warning: None,
        });
    };
    let bad = |reason: String| Error::Lock {
        path: path.clone(),
        reason,
    };
    if lock.app != app.name {
        return Err(bad(format!("it is the lock of {}", lock.app)));
    }
    // First alone, so that what is wrong with it is not taken for a fault of the command line.
    let locked = lock.arguments();
    let alone = Composition::choose(&app.run.heaps, &locked);
    let alone = alone.map_err(|error| bad(error.to_string()))?;
    let all = [&locked[..], arguments].concat();
    let composition = Composition::choose(&app.run.heaps, &all)?;
    let says_something = composition.components().any(|(component, heap)| {
        lock.heaps.contains_key(component.name())
            && alone.heap(component) == Some(heap)
            && !HeapArgument::name(arguments, component)
    });
    let made_for = made_for(app)?;
    let warning = (lock.made_for != made_for).then(|| {
        format!(
            "{} was made for {}, and the recipe is now {made_for}; `bespoke tune {} --for {}` chooses anew",
            path.display(),
            lock.made_for,
            app.name,
            lock.why.goal()
        )
    });
    Ok(Chosen {
        composition,
        lock: says_something.then_some((path, lock)),
        warning: warning.filter(|_| says_something),
    })
}

/// See [`Lock::made_for`].
pub fn made_for(app: &App) -> Result<String, Error> {
    let versions: Vec<String> = app
        .sources
        .iter()
        .map(|source| format!("{} {}", source.name, source.version))
        .collect();
    let versions = match versions.is_empty() {
        true => app.name.clone(),
        false => versions.join(", "),
    };
    Ok(format!("{versions} ({})", app.fingerprint()))
}

impl<S: Search> Lock<S> {
    /// Reads the lock at `path`; `None`: there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no lock of this version.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        Self::parse(&text).map(Some).map_err(|reason| Error::Lock {
            path: path.into(),
            reason,
        })
    }

    /// Reads a lock; the error says in words what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = toml::from_str(text).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!(
                "it has version {version}, and this bespoke reads version {VERSION}"
            ));
        }
        let lock: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if lock.heaps.is_empty() {
            return Err("it names no heap".into());
        }
        Ok(lock)
    }

    /// Its text.
    pub fn text(&self) -> String {
        let head = format!(
            "# The heaps of {}, chosen by `bespoke tune {} --for {}`. `build`, `run`, `bench` and `trace` use them;\n\
             # `--heap` overrules them; without this file the recipe's are used. `bespoke tune {} --explain` reads it out.\n",
            self.app,
            self.app,
            self.why.goal(),
            self.app
        );
        head + &toml::to_string(self).expect("plain data becomes TOML")
    }

    /// Writes it to `path`: complete, or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            paths::create(folder)?;
        }
        let temporary = temporary(path);
        File::create(&temporary)
            .and_then(|mut file| {
                file.write_all(self.text().as_bytes())?;
                file.sync_all()
            })
            .map_err(Error::file("write", &temporary))?;
        fs::rename(&temporary, path).map_err(Error::file("create", path))
    }

    fn arguments(&self) -> Vec<HeapArgument> {
        let pairs = self.heaps.iter();
        pairs
            .map(|(component, heap)| HeapArgument(format!("{component}={heap}")))
            .collect()
    }

    /// The heaps of `composition`, as they stand in a lock.
    pub fn heaps(composition: &Composition) -> BTreeMap<String, String> {
        let pairs = composition.components();
        pairs
            .map(|(component, heap): (Component, _)| (component.name().into(), heap.to_string()))
            .collect()
    }
}

/// Refuses, before anything is measured, a place where no lock could be written.
///
/// # Errors
///
/// Says where locks may stand instead.
pub fn check_place(path: &Path) -> Result<(), Error> {
    let temporary = temporary(path);
    if let Some(folder) = path.parent() {
        paths::create(folder)?;
    }
    let tried = File::create(&temporary).and_then(|_| fs::remove_file(&temporary));
    tried.map_err(|source| {
        Error::Usage(format!(
            "cannot write the lock file {} ({source}); set BESPOKE_LOCKS to a folder that you can write to, also for builds",
            path.display()
        ))
    })
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("lock.{}", std::process::id()))
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
