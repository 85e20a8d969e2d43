//! A kernel timer that sends a signal to the thread that made it, until dropped.

use std::io;
use std::time::Duration;

/// See the module.
pub(crate) struct Timer(libc::timer_t);

impl Timer {
    /// Makes a timer on `clock`, not yet set, that will send `signal` to this thread.
    pub(crate) fn new(clock: libc::clockid_t, signal: libc::c_int) -> io::Result<Self> {
        let mut id = std::ptr::null_mut();
        // SAFETY: zero is a valid start; the structure asks for a signal to this thread.
        let result = unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = libc::gettid();
            libc::timer_create(clock, &mut event, &mut id)
        };
        if result == 0 {
            Ok(Self(id))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Sends the signal after `first`, and then after each `period`.
    pub(crate) fn set(&self, first: Duration, period: Duration) -> io::Result<()> {
        let time = |duration: Duration| libc::timespec {
            tv_sec: duration.as_secs() as i64,
            tv_nsec: duration.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_interval: time(period),
            it_value: time(first),
        };
        // SAFETY: our timer and a valid structure.
        if unsafe { libc::timer_settime(self.0, 0, &times, std::ptr::null_mut()) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: created in `new`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}
