//! Waiting for descriptors and for children, with a limit. Owns nothing.

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, waitpid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What a wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// There is something to read, or the other end is gone.
    Yes,
    /// The limit has passed.
    TooLate,
    /// A signal came first.
    Interrupted,
}

/// Waits until `fd` has something to read, no longer than `limit`.
pub(crate) fn readable(fd: impl AsFd, limit: Duration) -> Ready {
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    // More seconds than fit are as good as for ever.
    let limit = Timespec::try_from(limit).ok();
    match poll(&mut polled, limit.as_ref()) {
        Ok(0) => Ready::TooLate,
        Ok(_) => Ready::Yes,
        Err(_) => Ready::Interrupted,
    }
}

/// A descriptor that stands for the process `pid`, readable when it ends.
pub(crate) fn process(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Reaps `child`, which is our own: waits for its end, or with [`WaitOptions::NOHANG`] only looks. Its exit status, as a
/// shell counts it; `None`: it lives.
pub(crate) fn reap(child: i32, options: WaitOptions) -> io::Result<Option<u8>> {
    loop {
        match waitpid(Pid::from_raw(child), options) {
            Ok(reaped) => return Ok(reaped.map(|(_, status)| exit_status(status))),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn exit_status(status: WaitStatus) -> u8 {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(signal), _) => 128 + signal as u8,
        (None, code) => code.unwrap_or_default() as u8,
    }
}

/// The signal with this number, as Linux counts them; real-time signals are none.
pub(crate) fn signal(number: impl Into<i32>) -> Option<Signal> {
    Signal::try_from(number.into()).ok()
}
