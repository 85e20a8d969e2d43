//! Detects that a host file has changed since the start of the run, or
//! that another program is using it.

use super::temporary::with_suffix;
use bespoke_abi::export::COMPANIONS;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer than a tick of the clock for file times: two changes within one tick have the same time.
const TICK: Duration = Duration::from_millis(15);

/// Identity, size and times of a file. The second time changes with every
/// write, and programs cannot set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    identity: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file and its companions at one point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks([Option<Mark>; 1 + COMPANIONS.len()]);

impl Marks {
    /// Examines the file at `target`, which need not exist.
    pub(super) fn look(target: &Path) -> io::Result<Self> {
        let mut marks = [None; 1 + COMPANIONS.len()];
        marks[0] = look(target)?;
        for (mark, suffix) in marks[1..].iter_mut().zip(COMPANIONS) {
            *mark = look(&with_suffix(target, suffix))?;
        }
        Ok(Self(marks))
    }

    /// Like [`Marks::look`], after waiting until the last change is so old
    /// that the next one will be visible.
    pub(super) fn settle(target: &Path) -> io::Result<Self> {
        let marks = Self::look(target)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let is_fresh = marks.0.iter().flatten().any(|mark| {
            let (s, ns) = mark.changed;
            let changed = Duration::new(s.max(0) as u64, ns as u32);
            now < changed + TICK
        });
        if !is_fresh {
            return Ok(marks);
        }
        thread::sleep(TICK);
        Self::look(target)
    }
}

fn look(path: &Path) -> io::Result<Option<Mark>> {
    match fs::symlink_metadata(path) {
        Ok(file) => Ok(Some(Mark {
            identity: (file.dev(), file.ino()),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether some process holds a lock on the file at `path`: SQLite does during a transaction, and
/// as long as the file is open in WAL mode.
pub(super) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: reads and fills one structure.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Opens a file for reading. A FIFO is opened, too, without waiting for its writer.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK).open(path)
}
