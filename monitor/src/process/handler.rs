//! The signals of a guest process: faults report to the parent, the user's signals are left to the parent, and
//! [`KICK`] interrupts it. Owns the dispositions; the handlers' code is resident (`resident.s`), because the monitor's
//! is gone when they run.
//!
//! The handler of faults writes what it saw to the control page, tells the parent, and waits: the parent reads the
//! guest's memory meanwhile and answers whether to go on at the rescue entry.

use super::resident::{self, Handler};
use super::script::Script;
use crate::signals::passed_on;
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
/// Bytes of the kernel's signal set.
const SET_BYTES: u64 = size_of::<u64>() as u64;

/// Installs the handlers: those of faults, and that of [`KICK`], which may interrupt the image from its first
/// instruction on.
pub(super) fn install(script: &mut Script, step: u32) {
    let stack = script.data(resident::handler_stack());
    script.call(step, libc::SYS_sigaltstack, [stack]);
    // An interrupt would end the handler's wait for an answer. A fault inside it ends the process: the parent sees
    // the signal.
    let all = FAULTS.into_iter().chain([KICK]);
    let all = all.fold(0, |set, signal| set | 1 << (signal - 1));
    let report = script.data(Handler::Fault.action(all));
    let interrupt = script.data(Handler::Kick.action(0));
    let handled = FAULTS.map(|fault| (fault, report));
    for (signal, action) in handled.into_iter().chain([(KICK, interrupt)]) {
        let arguments = [signal as u64, action, 0, SET_BYTES];
        script.call(step, libc::SYS_rt_sigaction, arguments);
    }
    // An inherited mask must not hold them back.
    let set = script.data([all]);
    let arguments = [libc::SIG_UNBLOCK as u64, set, 0, SET_BYTES];
    script.call(step, libc::SYS_rt_sigprocmask, arguments);
}

/// Leaves the signals that the parent passes on to the parent, whose handlers this process has inherited.
pub(super) fn leave_signals() -> io::Result<()> {
    for signal in passed_on() {
        // SAFETY: sets a disposition; no handler is involved.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
