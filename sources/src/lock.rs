//! Lock files. A process that waits for one longer than a moment says so.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait is nobody's business.
const SILENT: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockUse {
    /// By one.
    Alone,
    /// By any number of those who only use what it stands for.
    Shared,
}

/// Takes the lock of the file at `path` alone; see [`lock_file_for`].
///
/// # Errors
///
/// Those of opening and locking a file.
pub fn lock_file(path: &Path, waits: impl FnOnce(Option<u32>)) -> io::Result<File> {
    lock_file_for(path, LockUse::Alone, waits)
}

/// Takes the lock of the file at `path`, made if need be; it ends with the returned file, or with the process. After a
/// second of waiting `waits` is called once, with the number of the process that has it alone, where that is known.
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
    // Who it is need not be known.
    let _ = (&file).take(16).read_to_string(&mut holder);
    waits(holder.trim().parse().ok());
    match how {
        LockUse::Alone => file.lock()?,
        LockUse::Shared => file.lock_shared()?,
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(signed(file, how))
}

/// The locked file, with our number in it for those who wait, if we have it alone. On a full disk they do not learn it.
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
