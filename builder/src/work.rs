//! One build's share of the cache: what it makes it locks, what it uses it keeps from being removed.
//!
//! There is a lock for each thing that is made (a tree, a C library, an application's objects, a composition, cargo's target
//! folder, an image), so builds wait for each other only where they make the same thing. Rules:
//!
//! 1. A lock is `locks/NAME.lock` in the cache, never removed. Whoever makes the thing has it alone; whoever uses the thing
//!    shares it until its own build ends, so that `bespoke prune` and other builds leave the thing as it is.
//! 2. Locks are taken in one order: image, C library, toolchain, tree, objects, packed files, composition, target folder;
//!    those of `bespoke_sources` come last. Nobody who waits has a later one, so there is no circle.
//! 3. Tools inherit the locks of the build that started them: when it is killed, nobody else makes the thing until they
//!    have ended. They get SIGTERM when it dies.
//! 4. A thing appears under its name when it is complete; what a killed build left is cleared away by the next one.

use crate::Error;
use bespoke_recipe::paths;
use bespoke_sources::{LockUse, lock_file_for};
use std::cell::RefCell;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

/// Descriptors of all locks that this process has.
static HELD: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<RawFd>> {
    HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A lock; dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    fn new(file: File) -> Self {
        held().push(file.as_raw_fd());
        Self(file)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        held().retain(|fd| *fd != self.0.as_raw_fd());
    }
}

/// See the module.
pub(crate) struct Work<'a> {
    root: &'a Path,
    say: &'a dyn Fn(&str),
    used: RefCell<Vec<Held>>,
}

impl<'a> Work<'a> {
    /// A build in the cache at `root` that tells its slow steps to `say`.
    pub(crate) fn new(root: &'a Path, say: &'a dyn Fn(&str)) -> Self {
        Self {
            root,
            say,
            used: RefCell::default(),
        }
    }

    /// Tells the user what begins.
    pub(crate) fn say(&self, text: &str) {
        (self.say)(text);
    }

    /// Waits until nobody else makes or uses `name`; `what` is what the user is told to be waiting for.
    pub(crate) fn alone(&self, name: &str, what: &str) -> Result<Held, Error> {
        self.lock(name, what, LockUse::Alone)
    }

    /// Makes `name` unless it is `ready`, and keeps it as it is until this build ends.
    pub(crate) fn provide(
        &self,
        name: &str,
        what: &str,
        ready: impl Fn() -> bool,
        mut make: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let shared = self.lock(name, what, LockUse::Shared)?;
            if ready() {
                self.used.borrow_mut().push(shared);
                return Ok(());
            }
            drop(shared);
            let alone = self.alone(name, what)?;
            if !ready() {
                make()?;
            }
            drop(alone);
        }
    }

    /// Shares a lock that this build had alone, until it ends. Another build may have it alone in between.
    pub(crate) fn keep(&self, alone: Held, name: &str, what: &str) -> Result<(), Error> {
        drop(alone);
        let shared = self.lock(name, what, LockUse::Shared)?;
        self.used.borrow_mut().push(shared);
        Ok(())
    }

    fn lock(&self, name: &str, what: &str, how: LockUse) -> Result<Held, Error> {
        let path = path(self.root, name)?;
        let waits = |holder: Option<u32>| {
            let who = match holder {
                Some(pid) if Path::new(&format!("/proc/{pid}")).exists() => {
                    format!("another build (process {pid})")
                }
                Some(_) => "what a killed build left running".into(),
                None => "another build".into(),
            };
            self.say(&format!("waiting for {who}, which holds {what}"));
        };
        let file = lock_file_for(&path, how, waits);
        file.map(Held::new).map_err(Error::file("lock", &path))
    }
}

/// The lock file of `name`.
fn path(root: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = root.join("locks");
    paths::create(&folder)?;
    Ok(folder.join(format!("{name}.lock")))
}

/// The lock `name` alone, or `None` when somebody makes or uses it.
pub(crate) fn try_alone(root: &Path, name: &str) -> Result<Option<Held>, Error> {
    let path = path(root, name)?;
    let open = || {
        let is_new = !path.exists();
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        if is_new {
            // Its time tells when the thing was used, and this is no use.
            file.set_modified(SystemTime::UNIX_EPOCH)?;
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(Held::new(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    };
    open().map_err(Error::file("lock", &path))
}

/// The lock that whoever runs the image of `app` with the heaps `slug` shares. Builds do not look at it: an image that runs
/// may be built anew.
pub(crate) fn use_name(app: &str, slug: &str) -> String {
    format!("use-{app}-{slug}")
}

/// Keeps the image of `app` with the heaps `slug` from being removed until this process, and those that it forks, end.
pub(crate) fn keep_image(root: &Path, app: &str, slug: &str) -> Result<(), Error> {
    static KEPT: Mutex<Vec<(PathBuf, File)>> = Mutex::new(Vec::new());
    let path = path(root, &use_name(app, slug))?;
    let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if kept.iter().any(|(other, _)| *other == path) {
        return Ok(());
    }
    let open = || {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        file.lock_shared()?;
        // When it was last used.
        let _ = file.set_modified(SystemTime::now());
        Ok(file)
    };
    let file = open().map_err(Error::file("lock", &path))?;
    kept.push((path, file));
    Ok(())
}

/// The locks of all names that begin with one of `beginnings`, or `None` when somebody has one of them.
pub(crate) fn try_all(root: &Path, beginnings: &[&str]) -> Result<Option<Vec<Held>>, Error> {
    let folder = root.join("locks");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = name.trim_end_matches(".lock");
        if beginnings
            .iter()
            .any(|beginning| name.starts_with(beginning))
        {
            match try_alone(root, name)? {
                Some(held) => all.push(held),
                None => return Ok(None),
            }
        }
    }
    Ok(Some(all))
}

/// Makes the child of `command` inherit the locks of this process, and end when this process does.
pub(crate) fn bind(command: &mut Command) {
    let descriptors: Vec<RawFd> = held().clone();
    let inherit = move || {
        // SAFETY: both calls take numbers only, and are allowed between `fork` and `exec`.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            for &descriptor in &descriptors {
                // One that another thread has given up meanwhile needs no heir.
                libc::fcntl(descriptor, libc::F_SETFD, 0);
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls and reads a list; it allocates nothing.
    unsafe { command.pre_exec(inherit) };
}
