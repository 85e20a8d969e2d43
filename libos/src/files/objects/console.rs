//! Reading the console, so that a thread that waits for input lets the others run, and that many small reads are few
//! of the monitor's. Owns the queue of those who wait and what was read ahead. Must never ask the monitor without need:
//! that may be an exit.

use super::waiters::Queue;
use super::{ALWAYS_READY, Errno, Files, Host, Objects, Result};
use alloc::vec::Vec;
use bespoke_abi::hypercall::WAIT_CONSOLE;
use linux_raw_sys::general::{O_NONBLOCK, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};

/// Input that the monitor gave and nobody has asked for yet.
pub(super) struct Ahead {
    bytes: Vec<u8>,
    start: usize,
}

impl Ahead {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Gives what fits; how much.
    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let left = &self.bytes[self.start..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.start += count;
        count
    }

    /// Makes room for `bytes` bytes where nothing is left; whether there is memory.
    fn reserve(&mut self, bytes: usize) -> bool {
        self.bytes.clear();
        self.start = 0;
        self.bytes.try_reserve_exact(bytes).is_ok()
    }

    /// Reads up to `bytes` bytes, for which there is room, once all of the last were given; the host's answer.
    fn fill<H: Host>(&mut self, host: &H, input: u32, bytes: usize) -> isize {
        self.bytes.resize(bytes, 0);
        let answer = host.read(input, &mut self.bytes);
        self.bytes.truncate(usize::try_from(answer).unwrap_or(0));
        answer
    }
}

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
        if !self.objects.console_ahead.is_empty() {
            return Ok(self.objects.console_ahead.give(buffer));
        }
        let may_wait = self.descriptors.get(descriptor)?.flags & O_NONBLOCK == 0;
        let reads_now = may_wait && self.host.is_alone() || self.host.console_is_ready();
        if !reads_now {
            let queue = self.objects.console_queue()?;
            return self.would_block_on(descriptor, queue, POLLIN, 0, false);
        }
        let bytes = self.host.read_ahead_bytes();
        let ahead = &mut self.objects.console_ahead;
        // Without memory for it, byte by byte as the program asks.
        if buffer.is_empty() || buffer.len() >= bytes || !ahead.reserve(bytes) {
            let answer = self.host.read(input, buffer);
            return usize::try_from(answer).map_err(|_| Errno::from_answer(answer));
        }
        let answer = ahead.fill(&self.host, input, bytes);
        if answer < 0 {
            return Err(Errno::from_answer(answer));
        }
        let given = ahead.give(buffer);
        if !ahead.is_empty() {
            // The monitor will not tell of this again.
            self.objects.console_arrived(&self.host);
        }
        Ok(given)
    }

    /// What poll(2) says of the console, for a descriptor that may be read or not.
    pub(super) fn console_readiness(&self, reads: bool) -> u32 {
        if !reads || !self.objects.console_ahead.is_empty() || self.host.console_is_ready() {
            ALWAYS_READY
        } else {
            POLLOUT | POLLWRNORM
        }
    }
}
