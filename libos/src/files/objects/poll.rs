//! `poll` and `select`: waiting on several descriptors at once, in one call.
//! Owns nothing; O(descriptors) by nature, which is why there is epoll.

use super::{Errno, Files, Guest, Host, Result};
use crate::threads::Reason;
use linux_raw_sys::general::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND,
    POLLWRNORM, pollfd,
};

/// How long a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// Until something happens.
    Never,
    /// Nanoseconds; 0: not at all.
    After(u64),
}

/// What `select` calls readable, writable, exceptional.
const CLASSES: [u32; 3] = [
    POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    POLLPRI,
];
/// Bits of a word of an `fd_set`.
const WORD_BITS: usize = 64;

impl<H: Host> Files<H> {
    /// Nothing was ready: waits, or answers 0 when it may not wait (any longer). The nodes must
    /// have been registered by `watch`.
    pub(super) fn wait_for_any(
        &mut self,
        timeout: Timeout,
        reason: Reason,
        watch: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result {
        if timeout == Timeout::After(0) || self.objects.attempt.expired {
            return Ok(0);
        }
        if let Err(error) = watch(self) {
            self.unwatch();
            return Err(error);
        }
        let now = self.host.monotonic_ns();
        let attempt = &mut self.objects.attempt;
        if let Timeout::After(duration) = timeout {
            attempt
                .deadline_ns
                .get_or_insert(now.saturating_add(duration));
        }
        attempt.reason = reason;
        attempt.restarts = false;
        Err(Errno::RESTART)
    }

    /// `poll`, `ppoll`
    pub(crate) fn poll_descriptors(
        &mut self,
        guest: Guest,
        address: usize,
        count: usize,
        timeout: Timeout,
    ) -> Result {
        if count > self.descriptors.limit() {
            return Err(Errno::INVAL);
        }
        guest.bytes(address, count * size_of::<pollfd>())?;
        self.poll(self.host.monotonic_ns());
        let at = |index: usize| address + index * size_of::<pollfd>();
        let mut ready = 0;
        for index in 0..count {
            let mut entry: pollfd = guest.read(at(index))?;
            entry.revents = 0;
            if let Ok(descriptor) = usize::try_from(entry.fd) {
                let wanted = entry.events as u32 | POLLERR | POLLHUP;
                let found = self.readiness(descriptor).map(|events| events & wanted);
                entry.revents = found.unwrap_or(POLLNVAL) as i16;
            }
            ready += usize::from(entry.revents != 0);
            guest.write(at(index), entry)?;
        }
        if ready > 0 {
            return Ok(ready);
        }
        let reason = Reason::Poll {
            descriptors: count as u32,
        };
        self.wait_for_any(timeout, reason, |files| {
            for index in 0..count {
                let entry: pollfd = guest.read(at(index))?;
                if let Ok(descriptor) = usize::try_from(entry.fd) {
                    files.watch(descriptor, entry.events as u32)?;
                }
            }
            Ok(())
        })
    }

    /// `select`, `pselect6`
    pub(crate) fn select(
        &mut self,
        guest: Guest,
        count: usize,
        sets: [usize; 3],
        timeout: Timeout,
    ) -> Result {
        let count = usize::try_from(count as i32).map_err(|_| Errno::INVAL)?;
        let count = count.min(linux_table(self.descriptors.len()));
        let words = count.div_ceil(WORD_BITS);
        let word = |set: usize, index: usize| match sets[set] {
            0 => Ok(0),
            address => guest.read::<u64>(address + index * size_of::<u64>()),
        };
        self.poll(self.host.monotonic_ns());
        let mut ready = 0;
        // Two rounds: what is ready goes to the sets only when all descriptors were found open.
        for store in [false, true] {
            ready = 0;
            for index in 0..words {
                let asked = [word(0, index)?, word(1, index)?, word(2, index)?];
                let mut found = [0u64; 3];
                let last = (count - index * WORD_BITS).min(WORD_BITS);
                for bit in (0..last).filter(|bit| (asked[0] | asked[1] | asked[2]) >> bit & 1 == 1)
                {
                    let events = self.readiness(index * WORD_BITS + bit)?;
                    for class in 0..3 {
                        if asked[class] >> bit & 1 == 1 && events & CLASSES[class] != 0 {
                            found[class] |= 1 << bit;
                            ready += 1;
                        }
                    }
                }
                for class in (0..3).filter(|&class| store && sets[class] != 0) {
                    guest.write(sets[class] + index * size_of::<u64>(), found[class])?;
                }
            }
            if !store && ready == 0 && timeout != Timeout::After(0) && !self.objects.attempt.expired
            {
                break;
            }
        }
        if ready > 0 {
            return Ok(ready);
        }
        let reason = Reason::Poll {
            descriptors: count as u32,
        };
        self.wait_for_any(timeout, reason, |files| {
            for index in 0..words {
                let asked = [word(0, index)?, word(1, index)?, word(2, index)?];
                let last = (count - index * WORD_BITS).min(WORD_BITS);
                for bit in 0..last {
                    let classes = (0..3).filter(|&class| asked[class] >> bit & 1 == 1);
                    let events = classes.fold(0, |events, class| events | CLASSES[class]);
                    if events != 0 {
                        files.watch(index * WORD_BITS + bit, events)?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// How many descriptors Linux's table has room for when this many places of it are used: `select` looks no further.
/// A shell keeps a descriptor of its own near 255, and the table that a program inherits from it stays that large.
fn linux_table(used: usize) -> usize {
    const INHERITED: usize = 256;
    used.next_power_of_two().max(INHERITED)
}
