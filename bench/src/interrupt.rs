//! Ctrl-C while something is measured: the measurement under way is thrown away, everything before it is
//! kept, and nothing is left behind. A second one ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    if ASKED.swap(true, SeqCst) {
        // SAFETY: ends the process, as a signal handler may.
        unsafe { libc::_exit(130) };
    }
}

/// From here on SIGINT and SIGTERM are noted.
pub fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler makes atomic accesses and one async-signal-safe call.
        unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) };
    }
}

/// Whether the user has asked to end.
pub fn asked() -> bool {
    ASKED.load(SeqCst)
}
