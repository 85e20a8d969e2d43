//! Enters the image again at its rescue entry, so that files asked for are still written.
//! Owns a timer for that long; must always come back, whatever the broken guest does.

use super::{MonitorError, Stop, Vm};
use crate::report::{RESCUE_LIMIT, Rescue};
use std::time::Instant;

pub(super) fn run(vm: &mut Vm) -> Result<Rescue, MonitorError> {
    let note = vm.prepared.image.note;
    if note.rescue_entry == 0 {
        return Ok(Rescue::NoEntry);
    }
    let fs_base = vm.vcpu.get_sregs().map_or(0, |sregs| sregs.fs.base);
    vm.restart(note.rescue_entry, note.rescue_stack, fs_base)?;
    vm.deadline = Some(Instant::now() + RESCUE_LIMIT);
    let _timer = Timer::start()?;
    Ok(match vm.serve()? {
        Stop::Exit(_) => Rescue::Done,
        Stop::Timeout => Rescue::TimedOut,
        Stop::Fatal(_) | Stop::Malformed(_) | Stop::Fault(_) => Rescue::Failed,
    })
}

extern "C" fn interrupt_only(_signal: i32) {}

/// Interrupts this thread again and again once the limit is over: one signal alone could come just
/// before a call that blocks.
struct Timer(libc::timer_t);

impl Timer {
    fn start() -> Result<Self, MonitorError> {
        const AGAIN_NS: i64 = 50_000_000;
        let refused = || MonitorError::host("set a timer for the rescue");
        let mut id = std::ptr::null_mut();
        // SAFETY: the handler touches nothing; both structures are valid where zero; the timer is told to
        // signal this thread.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = interrupt_only as *const () as usize;
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGALRM;
            event.sigev_notify_thread_id = libc::gettid();
            if libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) != 0
                || libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut id) != 0
            {
                return Err(refused());
            }
            let limit = libc::timespec {
                tv_sec: RESCUE_LIMIT.as_secs() as i64,
                tv_nsec: 0,
            };
            let again = libc::timespec {
                tv_sec: 0,
                tv_nsec: AGAIN_NS,
            };
            let times = libc::itimerspec {
                it_interval: again,
                it_value: limit,
            };
            if libc::timer_settime(id, 0, &times, std::ptr::null_mut()) != 0 {
                return Err(refused());
            }
        }
        Ok(Self(id))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: created in `start`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}
