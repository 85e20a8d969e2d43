//! Lock files. A process that waits for a lock for more than a second reports it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Waits shorter than this are not reported.
const SILENT: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockUse {
    /// By one process.
    Alone,
    /// By any number of processes that only read the locked object.
    Shared,
}

/// Locks the file at `path` exclusively; see [`lock_file_for`].
///
/// # Errors
///
/// Those of opening and locking a file.
pub fn lock_file(path: &Path, waits: impl FnOnce(Option<u32>)) -> io::Result<File> {
    lock_file_for(path, LockUse::Alone, waits)
}

/// Locks the file at `path`, which is created if necessary, until the returned
/// file is closed or the process ends.
/// After a second of waiting, calls `waits` once with the number of the process that holds the
/// lock exclusively, if it is known.
///
/// # Errors
///
/// Those of opening and locking a file.
pub fn lock_file_for(
    path: &Path,
    how: LockUse,
    waits: impl FnOnce(Option<u32>),
) -> io::Result<File> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    let start = Instant::now();
    while start.elapsed() < SILENT {
        let tried = match how {
            LockUse::Alone => file.try_lock(),
            LockUse::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => return Ok(signed(file, how)),
            Err(std::fs::TryLockError::WouldBlock) => thread::sleep(STEP),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    let mut holder = String::new();
    // The holder's number is optional.
    let _ = (&file).take(16).read_to_string(&mut holder);
    waits(holder.trim().parse().ok());
    match how {
        LockUse::Alone => file.lock()?,
        LockUse::Shared => file.lock_shared()?,
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(signed(file, how))
}

/// Writes our process number into an exclusively locked file, for processes that wait. On
/// a full disk they do not learn it.
fn signed(mut file: File, how: LockUse) -> File {
    let _ = file.set_len(0);
    if how == LockUse::Alone {
        let _ = writeln!(file, "{}", std::process::id());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn who_waits_says_for_whom() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let nobody = |_| panic!("nobody has it");
        let held = lock_file(&path, nobody).expect("a lock");
        let (said, hear) = mpsc::channel();
        let waiter = {
            let path = path.clone();
            thread::spawn(move || lock_file(&path, |holder| said.send(holder).expect("it listens")))
        };
        let limit = Duration::from_secs(20);
        let holder = hear.recv_timeout(limit).expect("it says something");
        assert_eq!(holder, Some(std::process::id()));
        drop(held);
        let taken = waiter.join().expect("it ends").expect("a lock");
        drop(taken);
        lock_file(&path, nobody).expect("a lock");
    }
}
