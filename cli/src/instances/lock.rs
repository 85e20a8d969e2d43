//! The lock that tells whether a run lives: a record lock on a file of its folder, held by the process itself.
//!
//! The kernel lets go of it when that process ends, however it ends, and names the process that has it. So
//! neither a killed monitor nor another process that got its number can be taken for a run. Children
//! do not inherit it. Owns the open file; the process must never open the same file a second time, for
//! closing any descriptor of it gives the lock up.

use bespoke_monitor::open_regular_with;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A lock that this process has, until dropped or until the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// What became of an attempt to lock.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is ours.
    Ours(Lock),
    /// The process with this number has it; 0 when it is in a PID namespace that is not visible here.
    Held(i32),
}

/// Takes the lock on the file at `path`, made if need be, or says who has it.
pub(super) fn take(path: &Path) -> io::Result<Taken> {
    loop {
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = open_regular_with(path, &mut options)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => match ask(&file)? {
                Some(pid) => return Ok(Taken::Held(pid)),
                // Given up meanwhile.
                None => continue,
            },
            Err(error) => return Err(error.into()),
        }
        // Whoever removed the folder had the lock: what we hold may have no name any more.
        let ours = file.metadata()?;
        match path.metadata() {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => {
                return Ok(Taken::Ours(Lock { _file: file }));
            }
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The process that has the lock on the file at `path`.
pub(super) fn holder(path: &Path) -> io::Result<Option<i32>> {
    match open_regular_with(path, File::options().write(true)) {
        Ok(file) => ask(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who has the lock of the whole file.
fn ask(file: &File) -> io::Result<Option<i32>> {
    let held = fcntl_getlk(file, &Flock::from(FlockType::WriteLock))?;
    Ok(held.map(|held| held.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}
