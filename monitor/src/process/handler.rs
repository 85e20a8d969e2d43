//! The signals of a guest process: faults report to the parent, the user's signals are left to the parent, and
//! [`WAKE`] ends a sleep. Owns the dispositions; the handlers' code is resident (`resident.s`), because the monitor's
//! is gone when they run.
//!
//! The handler of faults writes what it saw to the control page, tells the parent, and waits: the parent reads the
//! guest's memory meanwhile and answers whether to go on at the rescue entry.

use super::WAKE;
use super::resident::{Handler, Resident};
use crate::signals::PASSED_ON;
use std::io;

const FAULTS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Reports every fault from here on.
pub(super) fn report_faults(resident: &Resident) -> io::Result<()> {
    let mask = FAULTS
        .iter()
        .fold(0, |mask, signal| mask | 1 << (signal - 1));
    for signal in FAULTS {
        // A fault inside the handler ends the process: the parent sees the signal.
        resident.handle(signal, Handler::Fault, mask)?;
    }
    // An inherited mask must not hold faults back.
    // SAFETY: zero is a valid start of a set.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in FAULTS {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
    Ok(())
}

/// Leaves the signals that the parent passes on to the parent, whose handlers this process has inherited.
pub(super) fn leave_signals() -> io::Result<()> {
    for signal in PASSED_ON {
        // SAFETY: sets a disposition; no handler is involved.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Lets [`WAKE`] end a sleep.
pub(super) fn end_sleeps(resident: &Resident) -> io::Result<()> {
    resident.handle(WAKE, Handler::Wake, 0)
}
