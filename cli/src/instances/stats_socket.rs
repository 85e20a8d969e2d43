//! The statistics page of a run, shown to other processes while the guest runs.
//!
//! The page lies in the memory of the process that runs the image. A thread of that process hands a copy to
//! everyone who connects to a socket in the run's folder; the guest notices nothing. The thread blocks all
//! signals, so that they reach the one that serves the guest.

use super::detach::{MAIN, READY};
use bespoke_abi::stats::{BootPoint, StatsPage};
use bespoke_monitor::StatsView;
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{self, File};
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use thiserror::Error;

const SOCKET: &str = "stats";
/// How often the boot time line is looked at while somebody waits for it.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};
/// Longest that one reader may keep the others waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why there is no page, in words that follow `"NAME" is running, but`.
#[derive(Debug, Error)]
pub(crate) enum NoPage {
    /// Nobody shows one.
    #[error("its statistics cannot be read ({0}); `bespoke run --stats` prints them at the end")]
    Silent(io::Error),
    /// The image has overwritten it.
    #[error("it destroyed its statistics page")]
    Destroyed,
    /// It is of another version of the interface.
    #[error("it was started by a bespoke with interface version {0}, and this one has version {own}; use that bespoke", own = bespoke_abi::VERSION)]
    Version(u32),
}

/// Shows the page in `folder` until the process ends; `launcher` is told how far the guest got.
pub(crate) fn serve(folder: &Path, stats: StatsView, launcher: Option<PipeWriter>) {
    let start = || {
        close(folder);
        let (_folder, path) = short(folder)?;
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        without_signals(|| {
            thread::Builder::new().spawn(move || attend(&listener, &stats, launcher))
        })
    };
    if let Err(error) = start() {
        // The image runs without.
        eprintln!(
            "bespoke: cannot serve the statistics page in {}: {error}",
            folder.display()
        );
    }
}

/// Removes the socket.
pub(crate) fn close(folder: &Path) {
    // It need not be there; a folder that cannot be written to has worse to tell.
    let _ = fs::remove_file(folder.join(SOCKET));
}

/// The page of the run in `folder`, as it is now.
pub(crate) fn ask(folder: &Path) -> Result<Box<StatsPage>, NoPage> {
    let connect = || {
        let (_folder, path) = short(folder)?;
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let mut stream = connect().map_err(NoPage::Silent)?;
    let mut page = Box::new(StatsPage::new());
    match stream.read_exact(bytes_mut(&mut page)) {
        Ok(()) if *page.version.get_mut() != bespoke_abi::VERSION => {
            Err(NoPage::Version(*page.version.get_mut()))
        }
        Ok(()) => Ok(page),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(NoPage::Destroyed),
        Err(error) => Err(NoPage::Silent(error)),
    }
}

/// Serves readers and the launcher.
fn attend(listener: &UnixListener, stats: &StatsView, mut launcher: Option<PipeWriter>) {
    let mut said = None;
    loop {
        if let Some(pipe) = &mut launcher {
            let reached = |point| stats.page().boot[point as usize].get() != 0;
            let now = match (reached(BootPoint::Ready), reached(BootPoint::Main)) {
                (true, _) => Some(READY),
                (_, true) => Some(MAIN),
                _ => None,
            };
            if now != said {
                said = now;
                let heard = pipe.write_all(now.unwrap_or_default().as_bytes()).is_ok();
                if !heard || now == Some(READY) {
                    launcher = None;
                }
            }
        }
        let mut polled = vec![PollFd::new(listener, PollFlags::IN)];
        polled.extend(
            launcher
                .as_ref()
                .map(|pipe| PollFd::new(pipe, PollFlags::empty())),
        );
        let limit = launcher.is_some().then_some(LOOK);
        // A signal comes to another thread.
        let _ = poll(&mut polled, limit.as_ref());
        let came = |at: usize| {
            polled
                .get(at)
                .is_some_and(|polled| !polled.revents().is_empty())
        };
        let (is_asked, has_gone) = (came(0), came(1));
        if has_gone {
            launcher = None;
        }
        if is_asked && let Ok((stream, _)) = listener.accept() {
            // A reader that goes away is its own affair.
            let _ = show(stream, stats);
        }
    }
}

/// Hands the page over; nothing when it is destroyed.
fn show(mut stream: UnixStream, stats: &StatsView) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match stats.snapshot() {
        Some(mut page) => stream.write_all(bytes_mut(&mut page)),
        None => Ok(()),
    }
}

fn bytes_mut(page: &mut StatsPage) -> &mut [u8] {
    // SAFETY: all of the page, which has no padding (its size is asserted where it is defined) and holds plain
    // integers, of which every bit pattern is valid.
    unsafe { std::slice::from_raw_parts_mut((&raw mut *page).cast(), size_of::<StatsPage>()) }
}

/// A path of the socket that is short enough for an address, and the folder it leads through.
fn short(folder: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    Ok((folder, path.into()))
}

/// Runs `work` with all signals blocked: a thread started there keeps them so.
fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let result = work();
    if let Ok(before) = before {
        // It was there before, so it can be there again.
        let _ = before.thread_set_mask();
    }
    result
}
