//! Event counters (eventfd(2)). Owns the counters; must never wait.

use super::vector::{Gather, Scatter};
use super::waiters::Queue;
use super::{Errno, Files, Host, Objects, Result, Waitable};
use linux_raw_sys::general::{EFD_SEMAPHORE, O_CLOEXEC, O_NONBLOCK, O_RDWR, POLLIN, POLLOUT};

/// The largest value of a counter.
const MOST: u64 = u64::MAX - 1;

/// A counter.
pub(crate) struct Counter {
    queue: Queue,
    count: u64,
    semaphore: bool,
}

impl Objects {
    /// What poll(2) says of a counter.
    pub fn counter_readiness(&self, counter: u32) -> u32 {
        let count = self.counters[counter].count;
        (if count > 0 { POLLIN } else { 0 }) | (if count < MOST { POLLOUT } else { 0 })
    }

    /// Who waits for a counter.
    pub fn counter_queue(&self, counter: u32) -> Queue {
        self.counters[counter].queue
    }

    /// Takes the count, or one of it (`EFD_SEMAPHORE`).
    pub fn read_counter<H: Host>(
        &mut self,
        host: &H,
        counter: u32,
        to: &mut Scatter<'_>,
    ) -> Result {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::INVAL);
        }
        let state = &mut self.counters[counter];
        let taken = if state.semaphore {
            state.count.min(1)
        } else {
            state.count
        };
        if taken == 0 {
            return Err(Errno::AGAIN);
        }
        state.count -= taken;
        let queue = state.queue;
        to.put(&taken.to_ne_bytes());
        self.notify(host, queue, POLLOUT);
        Ok(size_of::<u64>())
    }

    /// Adds to the count.
    pub fn write_counter<H: Host>(
        &mut self,
        host: &H,
        counter: u32,
        from: &mut Gather<'_>,
    ) -> Result {
        let mut bytes = [0; size_of::<u64>()];
        if from.remaining() < bytes.len() {
            return Err(Errno::INVAL);
        }
        let mut copy = from.clone();
        copy.take(&mut bytes);
        let more = u64::from_ne_bytes(bytes);
        if more == u64::MAX {
            return Err(Errno::INVAL);
        }
        let state = &mut self.counters[counter];
        if more > MOST - state.count {
            return Err(Errno::AGAIN);
        }
        *from = copy;
        state.count += more;
        let queue = state.queue;
        self.notify(host, queue, POLLIN);
        Ok(bytes.len())
    }

    /// The last descriptor of a counter is closed.
    pub fn close_counter(&mut self, counter: u32) {
        if let Some(state) = self.counters.remove(counter) {
            self.waiters.remove_queue(state.queue);
        }
    }
}

impl<H: Host> Files<H> {
    /// `eventfd`, `eventfd2`
    pub(crate) fn event_counter(&mut self, count: u32, flags: u32) -> Result {
        if flags & !(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::INVAL);
        }
        let queue = self.objects.waiters.queue()?;
        let counter = self.objects.counters.insert(Counter {
            queue,
            count: count.into(),
            semaphore: flags & EFD_SEMAPHORE != 0,
        })?;
        let flags = flags & (O_CLOEXEC | O_NONBLOCK) | O_RDWR;
        self.open_waitable(Waitable::Counter(counter), flags)
    }
}
