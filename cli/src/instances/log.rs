//! The log of a detached run: two files of at most half its limit each, so that the newest output is kept.
//!
//! `log` is written. When it is full it becomes `log.1`, in the place of the one before, which is dropped. A new `log` then
//! begins with [`DROPPED`], for readers of it as the older file; whoever reads both leaves it out of the newer one. A
//! process of its own writes (see [`Logger`]): the image, which may write what it likes, has a pipe.

use super::wait::{self, Ready};
use bespoke_abi::stats::USER_SIGNALS;
use bespoke_monitor::{open_regular, open_regular_with};
use nix::sys::signal::{self, SigHandler};
use nix::unistd::{ForkResult, fork};
use rustix::process::WaitOptions;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file that is written.
pub(crate) const LOG: &str = "log";
/// The file before it.
const OLDER: &str = "log.1";
/// Bytes of both files together, where nothing else is said.
pub(crate) const DEFAULT_BYTES: u64 = 16 << 20;
/// What a file begins with when output before it was dropped.
const DROPPED: &str = "bespoke: older output was dropped to keep the log within its limit (--log-limit of `bespoke run`)\n";
/// How long the writer may take for the rest, once the image has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process that writes the log.
pub(crate) struct Logger {
    pid: i32,
    folder: PathBuf,
}

impl Logger {
    /// Starts it, and lets standard output and standard error of this process lead there.
    pub(crate) fn start(folder: &Path, limit_bytes: u64) -> io::Result<Self> {
        let mut log = Log::open(folder, limit_bytes)?;
        let (reader, writer) = io::pipe()?;
        // SAFETY: the process has one thread (see `detach`), so the child may go on as the parent would.
        let pid = match unsafe { fork() }? {
            ForkResult::Child => {
                drop(writer);
                let end =
                    settle(&log.file, reader).and_then(|mut reader| log.write_all(&mut reader));
                // SAFETY: ends the child without running the exit code of the run.
                unsafe { libc::_exit(i32::from(end.is_err())) }
            }
            ForkResult::Parent { child } => child.as_raw(),
        };
        redirect(&writer)?;
        Ok(Self {
            pid,
            folder: folder.into(),
        })
    }

    /// Lets it write the rest. What this process says from then on goes to the log directly.
    pub(crate) fn finish(self) -> io::Result<()> {
        // Between two files for a moment there is none of this name.
        let log = append(&self.folder.join(LOG))?;
        redirect(&log)?;
        let process = wait::process(self.pid)?;
        // A helper that lives on has the pipe as well; what it says is still written.
        if wait::readable(&process, PATIENCE) == Ready::Yes {
            wait::reap(self.pid, WaitOptions::empty())?;
        }
        Ok(())
    }
}

/// Leaves everything of the run but the pipe and the log, and signals to it: the last output comes after those.
fn settle(log: &File, reader: PipeReader) -> io::Result<File> {
    for signal in USER_SIGNALS.into_iter().filter_map(wait::signal) {
        // SAFETY: no handler is set or taken away that anything here relies on.
        unsafe { signal::signal(signal, SigHandler::SigIgn) }?;
    }
    dup2_stdin(&reader)?;
    let kept = log.as_raw_fd();
    for (from, to) in [(1, kept - 1), (kept + 1, libc::c_int::MAX)] {
        if from <= to {
            // SAFETY: closes descriptors that nothing here uses any more.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
    // Closed already.
    std::mem::forget(reader);
    // SAFETY: the pipe, which nobody else here owns.
    Ok(unsafe { File::from_raw_fd(0) })
}

/// Lets standard output and standard error lead to `fd`.
fn redirect(fd: impl AsFd) -> io::Result<()> {
    dup2_stdout(&fd)?;
    dup2_stderr(&fd)?;
    Ok(())
}

/// The files, as they are written.
struct Log {
    folder: PathBuf,
    file: File,
    bytes: u64,
    most_bytes: u64,
}

impl Log {
    fn open(folder: &Path, limit_bytes: u64) -> io::Result<Self> {
        let file = append(&folder.join(LOG))?;
        Ok(Self {
            bytes: file.metadata()?.len(),
            file,
            folder: folder.into(),
            most_bytes: limit_bytes / 2,
        })
    }

    /// Writes all that comes. What a full disk does not take is lost; the image is not held up.
    fn write_all(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        loop {
            let bytes = match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => &chunk[..count],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let rest = if self.bytes + bytes.len() as u64 > self.most_bytes {
                // The line that is under way stays whole.
                let line = bytes.iter().position(|&byte| byte == b'\n');
                let (line, rest) = bytes.split_at(line.map_or(0, |end| end + 1));
                self.put(line);
                // Where there is no room for a new file the old one may go on, or end.
                let _ = self.turn_over();
                rest
            } else {
                bytes
            };
            self.put(rest);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.file.write_all(bytes).is_ok() {
            self.bytes += bytes.len() as u64;
        }
    }

    /// Begins a new file.
    fn turn_over(&mut self) -> io::Result<()> {
        let path = self.folder.join(LOG);
        fs::rename(&path, self.folder.join(OLDER))?;
        self.file = append(&path)?;
        self.bytes = 0;
        self.put(DROPPED.as_bytes());
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    open_regular_with(path, File::options().create(true).append(true))
}

/// The files, as they are read: what is kept, in its order, and then what is added.
pub(crate) struct Reader {
    folder: PathBuf,
    file: File,
    /// Read before `file`.
    older: Option<File>,
}

impl Reader {
    /// Opens the log in `folder`.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        loop {
            let older = open(&folder.join(OLDER))?;
            let Some(mut file) = open(&folder.join(LOG))? else {
                // Between two files for a moment, or never there.
                match older {
                    Some(_) => continue,
                    None => return Err(io::ErrorKind::NotFound.into()),
                }
            };
            // Another may have become the older one meanwhile.
            let now = open(&folder.join(OLDER))?;
            if identity(older.as_ref())? == identity(now.as_ref())? {
                if older.is_some() {
                    skip_marker(&mut file)?;
                }
                return Ok(Self {
                    folder: folder.into(),
                    file,
                    older,
                });
            }
        }
    }

    /// Copies what was added since the last time.
    pub(crate) fn copy(&mut self, to: &mut impl Write) -> io::Result<()> {
        if let Some(mut older) = self.older.take() {
            io::copy(&mut older, to)?;
        }
        loop {
            io::copy(&mut self.file, to)?;
            let Some(mut next) = open(&self.folder.join(LOG))? else {
                return Ok(());
            };
            if identity(Some(&next))? == identity(Some(&self.file))? {
                return Ok(());
            }
            // What was added to ours before it was full.
            io::copy(&mut self.file, to)?;
            let older = open(&self.folder.join(OLDER))?;
            if identity(older.as_ref())? == identity(Some(&self.file))? {
                skip_marker(&mut next)?;
            } else if let Some(mut older) = older {
                // At least one file went by unread; the next begins with the marker that says so.
                io::copy(&mut older, to)?;
                skip_marker(&mut next)?;
            }
            self.file = next;
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match open_regular(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn identity(file: Option<&File>) -> io::Result<Option<(u64, u64)>> {
    let metadata = file.map(File::metadata).transpose()?;
    Ok(metadata.map(|file| (file.dev(), file.ino())))
}

/// Leaves out the marker, if the file begins with it.
fn skip_marker(file: &mut File) -> io::Result<()> {
    let mut start = [0; DROPPED.len()];
    if file.read_exact(&mut start).is_err() || start != *DROPPED.as_bytes() {
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(range: std::ops::Range<usize>) -> String {
        range.map(|n| format!("line {n:06}\n")).collect()
    }

    #[test]
    fn the_newest_is_kept_in_its_order_and_readers_lose_nothing_that_is_there() {
        let folder = std::env::temp_dir().join(format!("bespoke-log-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let limit = 64 << 10;
        let read = || {
            let mut text = Vec::new();
            Reader::open(&folder)
                .and_then(|mut r| r.copy(&mut text))
                .expect("a log");
            String::from_utf8(text).expect("UTF-8")
        };
        let write = |range| {
            let mut log = Log::open(&folder, limit).expect("a log");
            log.write_all(&mut lines(range).as_bytes())
                .expect("written");
        };
        assert!(Reader::open(&folder).is_err());
        write(0..2000);
        assert_eq!(read(), lines(0..2000));
        let mut follower = Reader::open(&folder).expect("a log");
        let mut followed = Vec::new();
        follower.copy(&mut followed).expect("copied");
        // A second file, and nothing lost yet.
        write(2000..4000);
        assert_eq!(read(), lines(0..4000));
        follower.copy(&mut followed).expect("copied");
        assert!(followed == lines(0..4000).as_bytes());
        // A third, which drops the first: the follower has seen all of it.
        write(4000..6000);
        follower.copy(&mut followed).expect("copied");
        assert!(followed == lines(0..6000).as_bytes());
        let kept = read();
        let text = kept.strip_prefix(DROPPED).expect("it says so");
        assert!(lines(0..6000).ends_with(text) && text.len() as u64 > limit / 3);
        // More than both files while nobody looks.
        write(6000..30_000);
        follower.copy(&mut followed).expect("copied");
        let followed = String::from_utf8(followed).expect("UTF-8");
        let (seen, rest) = followed.split_once(DROPPED).expect("it says so");
        assert!(lines(0..30_000).starts_with(seen) && lines(0..30_000).ends_with(rest));
        let bytes: u64 = fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").metadata().expect("a file").len())
            .sum();
        assert!(bytes <= limit + 1000, "{bytes}");
        fs::remove_dir_all(folder).expect("clean");
    }
}
