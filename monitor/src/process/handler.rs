//! The signals of a guest process: faults report to the parent, the user's signals are left to the parent, and
//! [`KICK`] interrupts it. Owns the dispositions; the handlers' code is resident (`resident.s`), because the monitor's
//! is gone when they run.
//!
//! The handler of faults writes what it saw to the control page, tells the parent, and waits: the parent reads the
//! guest's memory meanwhile and answers whether to go on at the rescue entry.

use super::resident::{Handler, Resident};
use crate::signals::PASSED_ON;
use crate::ticker::KICK;
use std::io;

const FAULTS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Reports every fault from here on that the image does not handle.
pub(super) fn report_faults(resident: &Resident) -> io::Result<()> {
    // An interrupt would end the handler's wait for an answer; a fault inside it ends the process, which the parent sees.
    let held = FAULTS.into_iter().chain([KICK]).fold(0, with);
    for signal in FAULTS {
        resident.handle(signal, Handler::Fault, held)?;
    }
    allow(&FAULTS)
}

/// Lets [`KICK`] interrupt the image, from its first instruction on.
pub(super) fn let_interrupt(resident: &Resident) -> io::Result<()> {
    resident.handle(KICK, Handler::Kick, 0)?;
    allow(&[KICK])
}

fn with(set: u64, signal: i32) -> u64 {
    set | 1 << (signal - 1)
}

/// An inherited mask must not hold `signals` back.
fn allow(signals: &[i32]) -> io::Result<()> {
    // SAFETY: zero is a valid start of a set, which is filled.
    let error = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut())
    };
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
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
