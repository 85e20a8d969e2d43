//! When nobody can run: look at timers and devices, then sleep until one of them has news.
//! Owns nothing. Must never sleep while a thread can run, nor for ever without anything that
//! could wake one, be it a signal of the user's: that is the deadlock report.

use super::{SCHEDULER, deadlock};
use crate::time::monotonic_ns;
use crate::{filesystem, platform, signals};
use bespoke_abi::hypercall::FOREVER;

/// Wakes those whose time has come or whose device has news, without sleeping.
pub fn look() {
    let now = monotonic_ns();
    SCHEDULER.with(|scheduler| scheduler.expire(now));
    filesystem::poll(now);
    signals::take_from_host();
}

/// One round of the idle loop: returns early when somebody can run.
pub fn step() {
    look();
    if SCHEDULER.with(|scheduler| scheduler.has_next()) {
        return;
    }
    let sources = filesystem::sources();
    let threads = SCHEDULER.with(|scheduler| scheduler.first_deadline());
    let deadline = match (threads, sources.deadline_ns) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let duration = match deadline {
        Some(deadline) => deadline.saturating_sub(monotonic_ns()),
        None if sources.events == 0 => {
            filesystem::tell_of_missing_network();
            if !signals::may_wake() {
                deadlock::report();
            }
            FOREVER
        }
        None => FOREVER,
    };
    if duration > 0 {
        filesystem::arrived(platform::wait(duration, sources.events));
    }
}
