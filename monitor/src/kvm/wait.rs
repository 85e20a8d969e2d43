//! Serves [`bespoke_abi::hypercall::WAIT`]: the one place where the CPU's thread sleeps while the guest runs.
//! Owns nothing; must never sleep on news that came before.

use super::memory::GuestMemory;
use super::virtio::Devices;
use bespoke_abi::hypercall::{FOREVER, WAIT_CONSOLE, WAIT_NET};

const SECOND_NS: u64 = 1_000_000_000;

/// Serves all queues, then sleeps unless one of `events` came; returns those that did.
pub(super) fn wait(
    devices: &mut Option<Devices>,
    memory: &GuestMemory,
    nanoseconds: u64,
    events: u64,
) -> i64 {
    if has_news(devices, memory, events) {
        return WAIT_NET as i64;
    }
    let (link, wanted) = match devices {
        Some(devices) if events & WAIT_NET != 0 => devices.awaited(),
        _ => (-1, 0),
    };
    let console = if events & WAIT_CONSOLE != 0 { 0 } else { -1 };
    let entry = |fd, events| libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let mut polled = [entry(link, wanted), entry(console, libc::POLLIN)];
    let limit = libc::timespec {
        tv_sec: (nanoseconds / SECOND_NS) as i64,
        tv_nsec: (nanoseconds % SECOND_NS) as i64,
    };
    let limit = if nanoseconds == FOREVER {
        std::ptr::null()
    } else {
        &raw const limit
    };
    // SAFETY: two structures, as the count says, and a time or none; no signal mask.
    let ready = unsafe { libc::ppoll(polled.as_mut_ptr(), 2, limit, std::ptr::null()) };
    if ready <= 0 {
        // The time is over, or a signal came: the image looks at its clock.
        return 0;
    }
    let net = polled[0].revents != 0 && has_news(devices, memory, events);
    let bit = |is_set, bit| if is_set { bit as i64 } else { 0 };
    bit(net, WAIT_NET) | bit(polled[1].revents != 0, WAIT_CONSOLE)
}

fn has_news(devices: &mut Option<Devices>, memory: &GuestMemory, events: u64) -> bool {
    devices.as_mut().is_some_and(|devices| {
        devices.serve(memory);
        events & WAIT_NET != 0 && devices.has_news(memory)
    })
}
