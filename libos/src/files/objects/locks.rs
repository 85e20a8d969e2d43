//! Waiting for file locks: of records and, by `flock`, of whole files. All that wait for any lock are told when any is
//! released, and ask again. Owns the queue, made when somebody waits for the first time; must never cost those much
//! who lock and unlock without ever waiting.

use super::{Errno, Files, Host, Objects, Result};
use crate::threads::Reason;
use linux_raw_sys::general::POLLIN;

impl Objects {
    /// Locks may have been released or weakened.
    #[inline]
    pub(in crate::files) fn locks_released<H: Host>(&mut self, host: &H) {
        if let Some(queue) = self.lock_waiters {
            self.notify(host, queue, POLLIN);
        }
    }
}

impl<H: Host> Files<H> {
    /// The lock that is asked for through `descriptor` is held by somebody else: answers [`Errno::RESTART`].
    ///
    /// # Errors
    ///
    /// `ENOLCK` without memory.
    pub(in crate::files) fn wait_for_lock(&mut self, descriptor: usize) -> Result {
        let serial = self.descriptors.get(descriptor)?.serial;
        let queue = match self.objects.lock_waiters {
            Some(queue) => queue,
            None => {
                let queue = self.objects.waiters.queue().map_err(|_| Errno::NOLCK)?;
                *self.objects.lock_waiters.insert(queue)
            }
        };
        let reason = Reason::Descriptor {
            descriptor: descriptor as u32,
            kind: "a lock",
        };
        self.wait_on(queue, POLLIN, (descriptor, serial), reason)
            .map_err(|error| match error {
                Errno::NOMEM => Errno::NOLCK,
                other => other,
            })
    }
}
