//! Signal handlers of a guest process. Faults are reported to the parent, host signals are left to
//! the parent, and [`KICK`] interrupts the guest.
//! The handlers' code is resident (`resident.s`), because the
//! monitor's code is unmapped when they run.
//!
//! The fault handler writes its data to the control page, notifies the parent, and waits.
//! The parent reads the guest's memory meanwhile and answers whether
//! to continue at the rescue entry.

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

/// Installs the handlers for faults and for [`KICK`], which may interrupt the
/// image from its first instruction on.
pub(super) fn install(script: &mut Script, step: u32) {
    let stack = script.data(resident::handler_stack());
    script.call(step, libc::SYS_sigaltstack, [stack]);
    // An interrupt would end the handler's wait for an answer. A fault inside the handler ends the
    // process, and the parent sees the signal.
    let all = FAULTS.into_iter().chain([KICK]);
    let all = all.fold(0, |set, signal| set | 1 << (signal - 1));
    let report = script.data(Handler::Fault.action(all));
    let interrupt = script.data(Handler::Kick.action(0));
    let handled = FAULTS.map(|fault| (fault, report));
    for (signal, action) in handled.into_iter().chain([(KICK, interrupt)]) {
        let arguments = [signal as u64, action, 0, SET_BYTES];
        script.call(step, libc::SYS_rt_sigaction, arguments);
    }
    // An inherited mask must not block them.
    let set = script.data([all]);
    let arguments = [libc::SIG_UNBLOCK as u64, set, 0, SET_BYTES];
    script.call(step, libc::SYS_rt_sigprocmask, arguments);
}

/// Ignores the signals that the parent forwards, whose handlers this process has inherited.
pub(super) fn leave_signals() -> io::Result<()> {
    for signal in passed_on() {
        // SAFETY: sets a disposition; no handler is involved.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
