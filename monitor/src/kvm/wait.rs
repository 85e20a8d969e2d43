//! Serves [`bespoke_abi::hypercall::WAIT`], the only place where the CPU's
//! thread sleeps while the guest runs.
//! It does not sleep if an event came before.

use super::memory::GuestMemory;
use super::virtio::Devices;
use crate::signals::HostSignals;
use bespoke_abi::hypercall::{FOREVER, WAIT_CONSOLE, WAIT_NET};
use std::time::{Duration, Instant};

/// How long to busy-poll for frames before sleeping.
/// Where the host is itself a virtual machine, waking a thread costs tens of microseconds.
const SPIN: Duration = Duration::from_micros(60);
/// After a wait shorter than this, the next one is probably short, too.
const SHORT: Duration = Duration::from_micros(250);

/// Serves all queues, then sleeps unless one of `events` occurred; returns those that did.
pub(super) fn wait(
    devices: &mut Option<Devices>,
    signals: Option<&HostSignals>,
    memory: &GuestMemory,
    nanoseconds: u64,
    events: u64,
) -> i64 {
    let news = serve(devices, memory, events);
    if news != 0 {
        return news as i64;
    }
    let start = Instant::now();
    let limit = Duration::from_nanos(nanoseconds);
    let is_quick = devices.as_ref().is_some_and(|devices| devices.is_quick);
    if is_quick && events & WAIT_NET != 0 {
        while start.elapsed() < SPIN.min(limit) {
            let news = serve(devices, memory, events);
            if news != 0 {
                return news as i64;
            }
        }
    }
    let limit = (nanoseconds != FOREVER).then(|| limit.saturating_sub(start.elapsed()));
    let mut came = sleep(devices, signals, limit, events);
    if let Some(devices) = devices {
        let theirs = came & devices.events();
        if theirs != 0 {
            came = came & !theirs | devices.serve(memory, events);
        }
        devices.is_quick = came & WAIT_NET != 0 && start.elapsed() < SHORT;
    }
    came as i64
}

/// Sleeps until an event; returns which of `events` it may be.
fn sleep(
    devices: &Option<Devices>,
    signals: Option<&HostSignals>,
    limit: Option<Duration>,
    events: u64,
) -> u64 {
    let (link, wanted) = match devices {
        Some(devices) if events & WAIT_NET != 0 => devices.awaited(),
        _ => (-1, 0),
    };
    let reads = devices.as_ref().is_none_or(Devices::awaits_input);
    let console = if reads && events & WAIT_CONSOLE != 0 {
        0
    } else {
        -1
    };
    let entry = |fd, events| libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let signal = signals.map_or(-1, HostSignals::descriptor);
    let mut polled = [
        entry(link, wanted),
        entry(console, libc::POLLIN),
        entry(signal, libc::POLLIN),
    ];
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs() as i64,
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: three structures, as the count says, and a time or none; no signal mask.
    if unsafe { libc::ppoll(polled.as_mut_ptr(), 3, limit, std::ptr::null()) } <= 0 {
        // The time is over, or a signal came: the image checks its clock.
        return 0;
    }
    if let Some(signals) = signals.filter(|_| polled[2].revents != 0) {
        signals.was_woken();
    }
    let bit = |entry: &libc::pollfd, bit| if entry.revents == 0 { 0 } else { bit };
    bit(&polled[0], WAIT_NET) | bit(&polled[1], WAIT_CONSOLE)
}

fn serve(devices: &mut Option<Devices>, memory: &GuestMemory, events: u64) -> u64 {
    devices
        .as_mut()
        .map_or(0, |devices| devices.serve(memory, events))
}
