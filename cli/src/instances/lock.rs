//! The lock that tells whether a run lives: a record lock on a file of its folder, held by the process itself.
//!
//! The kernel lets go of it when that process ends, however it ends, and names the process that has it. So
//! neither a killed monitor nor another process that got its number can be taken for a run. Children
//! do not inherit it. Owns the open file; the process must never open the same file a second time, for
//! closing any descriptor of it gives the lock up.

use bespoke_monitor::open_regular_with;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A lock that this process has, until dropped or until the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What became of an attempt to lock.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Ours(Lock),
    /// The process with this number has it; 0 when it is in a PID namespace that is not visible here.
    Held(i32),
}

/// Takes the lock on the file at `path`, made if need be, or says who has it.
pub fn take(path: &Path) -> io::Result<Taken> {
    loop {
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = open_regular_with(path, &mut options)?;
        let mut lock = whole_file();
        // SAFETY: reads one structure of this frame.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) } != 0 {
            let error = io::Error::last_os_error();
            if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) {
                return Err(error);
            }
            match ask(&file, &mut lock)? {
                Some(pid) => return Ok(Taken::Held(pid)),
                // Given up meanwhile.
                None => continue,
            }
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
pub fn holder(path: &Path) -> io::Result<Option<i32>> {
    match open_regular_with(path, File::options().write(true)) {
        Ok(file) => ask(&file, &mut whole_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn ask(file: &File, lock: &mut libc::flock) -> io::Result<Option<i32>> {
    // SAFETY: reads and fills one structure.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut *lock) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let is_free = i32::from(lock.l_type) == libc::F_UNLCK;
    Ok((!is_free).then_some(lock.l_pid))
}
