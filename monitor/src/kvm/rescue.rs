//! Enters the image again at its rescue entry, so that requested files are still written.
//! A timer limits the time, so this always returns, whatever the broken guest does.

use super::{MonitorError, Stop, Vm};
use crate::report::{RESCUE_LIMIT, Rescue};
use crate::timer::Timer;
use std::io;
use std::time::{Duration, Instant};

pub(super) fn run(vm: &mut Vm) -> Result<Rescue, MonitorError> {
    let note = vm.prepared.image.note;
    if note.rescue_entry == 0 {
        return Ok(Rescue::NoEntry);
    }
    let fs_base = vm.vcpu.get_sregs().map_or(0, |sregs| sregs.fs.base);
    vm.restart(note.rescue_entry, note.rescue_stack, fs_base)?;
    vm.deadline = Some(Instant::now() + RESCUE_LIMIT);
    let _timer = start_timer()?;
    Ok(match vm.serve()? {
        Stop::Exit(_) => Rescue::Done,
        Stop::Timeout => Rescue::TimedOut,
        Stop::Fatal(_) | Stop::Malformed(_) | Stop::Fault(_) => Rescue::Failed,
    })
}

extern "C" fn interrupt_only(_signal: i32) {}

/// Interrupts this thread repeatedly once the limit is over: a single signal could
/// come just before a call that blocks.
fn start_timer() -> Result<Timer, MonitorError> {
    const AGAIN: Duration = Duration::from_millis(50);
    let refused = |source| MonitorError::Host {
        step: "set a timer for the rescue",
        source,
    };
    // SAFETY: the handler touches nothing; zero is a valid start.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupt_only as *const () as usize;
        if libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) != 0 {
            return Err(refused(io::Error::last_os_error()));
        }
    }
    let timer = Timer::new(libc::CLOCK_MONOTONIC, libc::SIGALRM).map_err(refused)?;
    timer.set(RESCUE_LIMIT, AGAIN).map_err(refused)?;
    Ok(timer)
}
