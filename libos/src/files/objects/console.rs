//! Waiting for the console's input, so that a thread that reads it lets the others run.
//! Owns the queue of those who wait. Must never ask the monitor without need: that is an exit.

use super::waiters::Queue;
use super::{ALWAYS_READY, Errno, Files, Host, Objects, Result};
use bespoke_abi::hypercall::WAIT_CONSOLE;
use linux_raw_sys::general::{O_NONBLOCK, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};

impl Objects {
    /// Who waits for input; the queue is made when somebody does for the first time.
    pub(super) fn console_queue(&mut self) -> Result<Queue> {
        match self.console {
            Some(queue) => Ok(queue),
            None => Ok(*self.console.insert(self.waiters.queue()?)),
        }
    }

    /// The events an idle image waits for (bits `WAIT_*`).
    pub(super) fn console_events(&self) -> u64 {
        match self.console {
            Some(queue) if self.waiters.is_waited_on(queue) => WAIT_CONSOLE,
            _ => 0,
        }
    }

    /// The monitor says that there may be input.
    pub fn console_arrived<H: Host>(&mut self, host: &H) {
        if let Some(queue) = self.console {
            self.notify(host, queue, POLLIN | POLLRDNORM);
        }
    }
}

impl<H: Host> Files<H> {
    /// Reads the console: at once when nothing else could run meanwhile, else when there is input.
    pub(crate) fn read_console(
        &mut self,
        descriptor: usize,
        input: u32,
        buffer: &mut [u8],
    ) -> Result {
        let may_wait = self.descriptors.get(descriptor)?.flags & O_NONBLOCK == 0;
        let reads_now = may_wait && self.host.is_alone() || self.host.console_is_ready();
        if !reads_now {
            let queue = self.objects.console_queue()?;
            return self.would_block_on(descriptor, queue, POLLIN, 0, false);
        }
        let answer = self.host.read(input, buffer);
        usize::try_from(answer).map_err(|_| Errno::from_answer(answer))
    }

    /// What poll(2) says of the console, for a descriptor that may be read or not.
    pub(super) fn console_readiness(&self, reads: bool) -> u32 {
        if !reads || self.host.console_is_ready() {
            ALWAYS_READY
        } else {
            POLLOUT | POLLWRNORM
        }
    }
}
