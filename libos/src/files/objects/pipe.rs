//! Pipes (pipe(7)): up to 16 pages in a row, filled as Linux fills them, so that what fits and what
//! is written whole is the same to the byte.
//! Owns the state of both ends; the data lies in a `PageQueue`.

use super::pages::PageQueue;
use super::vector::{Gather, Scatter};
use super::waiters::Queue;
use super::{Errno, Host, Objects, Result};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::Pages;
use linux_raw_sys::general::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};

/// Pages a pipe holds at first.
const SLOTS: usize = 16;
/// Bytes that a pipe may be made to hold (`/proc/sys/fs/pipe-max-size`).
const MOST_BYTES: usize = 1 << 20;

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// To read from.
    Read,
    /// To write to.
    Write,
}

/// What is in a pipe, and how much fits.
pub(crate) struct Flow {
    pub(super) data: PageQueue,
    /// Pages that fit.
    slots: usize,
}

/// A pipe.
pub(crate) struct Pipe {
    flow: Flow,
    /// Whether writes are packets (`O_DIRECT`).
    packets: bool,
    /// Whether each end is open.
    open: [bool; 2],
    /// Who waits at each end.
    queues: [Queue; 2],
}

impl Pipe {
    /// Bytes to read (`FIONREAD`).
    pub fn readable_bytes(&self) -> usize {
        self.flow.data.bytes()
    }
}

impl Pipe {
    /// Reads what there is and leaves it there.
    pub fn peek(&self, to: &mut Scatter<'_>) -> Result {
        match self.flow.data.peek(to, usize::MAX) {
            0 if self.open[End::Write as usize] => Err(Errno::AGAIN),
            done => Ok(done),
        }
    }
}

impl Flow {
    /// Nothing, with the usual room.
    pub const fn new() -> Self {
        Self {
            data: PageQueue::new(),
            slots: SLOTS,
        }
    }

    /// Whether no further page fits.
    pub fn is_full(&self) -> bool {
        self.data.slots() >= self.slots
    }

    /// Bytes that fit (`F_GETPIPE_SZ`).
    pub fn capacity(&self) -> usize {
        self.slots * PAGE_BYTES
    }

    /// `F_SETPIPE_SZ`: answers the size it got.
    pub fn set_capacity(&mut self, bytes: usize) -> Result {
        let bytes = bytes as u32 as usize;
        if bytes > 1 << 31 {
            return Err(Errno::INVAL);
        }
        let slots = bytes.div_ceil(PAGE_BYTES).next_power_of_two();
        if slots * PAGE_BYTES > MOST_BYTES {
            return Err(Errno::PERM);
        }
        if slots < self.data.slots() {
            return Err(Errno::BUSY);
        }
        self.slots = slots;
        Ok(self.capacity())
    }

    /// Writes what fits, each page as a packet of its own if `packets`.
    pub fn write(&mut self, pages: &Pages, from: &mut Gather<'_>, packets: bool) -> Result {
        let mut done = 0;
        // What does not fill a page goes behind the last bytes, if all of it fits there.
        let odd = from.remaining() % PAGE_BYTES;
        if !packets && odd > 0 && odd <= self.data.room_in_last() {
            done += self.data.fill_last(from, odd);
        }
        while from.remaining() > 0 && !self.is_full() {
            match self.data.append(pages, from) {
                Ok(count) => {
                    done += count;
                    if packets {
                        self.data.end_packet();
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl Objects {
    /// A new pipe, both ends open.
    pub fn new_pipe(&mut self) -> Result<u32> {
        let queues = [self.waiters.queue()?, self.waiters.queue()?];
        self.pipes.insert(Pipe {
            flow: Flow::new(),
            packets: false,
            open: [true, true],
            queues,
        })
    }

    /// Reads what there is; `EAGAIN`: nothing, and there may be more one day.
    pub fn read_pipe<H: Host>(&mut self, host: &H, pipe: u32, to: &mut Scatter<'_>) -> Result {
        let state = &mut self.pipes[pipe];
        if to.remaining() == 0 {
            return Ok(0);
        }
        let was_full = state.flow.is_full();
        let done = state.flow.data.read(&self.pages, to, usize::MAX);
        if done == 0 && state.open[End::Write as usize] {
            return Err(Errno::AGAIN);
        }
        if was_full && done > 0 {
            let queue = state.queues[End::Write as usize];
            self.notify(host, queue, POLLOUT | POLLWRNORM);
        }
        Ok(done)
    }

    /// Writes what fits; `EAGAIN`: nothing does. Up to a page is written whole or not at all.
    pub fn write_pipe<H: Host>(&mut self, host: &H, pipe: u32, from: &mut Gather<'_>) -> Result {
        let state = &mut self.pipes[pipe];
        if from.remaining() == 0 {
            return Ok(0);
        }
        if !state.open[End::Read as usize] {
            return Err(Errno::PIPE);
        }
        let done = state.flow.write(&self.pages, from, state.packets)?;
        if done == 0 {
            return Err(Errno::AGAIN);
        }
        let queue = state.queues[End::Read as usize];
        self.notify(host, queue, POLLIN | POLLRDNORM);
        Ok(done)
    }

    /// What poll(2) says of an end.
    pub fn pipe_readiness(&self, pipe: u32, end: End) -> u32 {
        let state = &self.pipes[pipe];
        let mut ready = 0;
        match end {
            End::Read => {
                if state.flow.data.bytes() > 0 {
                    ready |= POLLIN | POLLRDNORM;
                }
                if !state.open[End::Write as usize] {
                    ready |= POLLHUP;
                }
            }
            End::Write => {
                if !state.flow.is_full() {
                    ready |= POLLOUT | POLLWRNORM;
                }
                if !state.open[End::Read as usize] {
                    ready |= POLLERR;
                }
            }
        }
        ready
    }

    /// `F_GETPIPE_SZ` and, with `bytes`, `F_SETPIPE_SZ`.
    pub fn pipe_capacity<H: Host>(&mut self, host: &H, pipe: u32, bytes: Option<usize>) -> Result {
        let state = &mut self.pipes[pipe];
        let Some(bytes) = bytes else {
            return Ok(state.flow.capacity());
        };
        let capacity = state.flow.set_capacity(bytes)?;
        if !state.flow.is_full() {
            let queue = state.queues[End::Write as usize];
            self.notify(host, queue, POLLOUT | POLLWRNORM);
        }
        Ok(capacity)
    }

    /// Lets writes be packets, or no longer.
    pub fn set_packets(&mut self, pipe: u32, packets: bool) {
        self.pipes[pipe].packets = packets;
    }

    /// Who waits at an end.
    pub fn pipe_queue(&self, pipe: u32, end: End) -> Queue {
        self.pipes[pipe].queues[end as usize]
    }

    /// The last descriptor of an end is closed.
    pub fn close_pipe<H: Host>(&mut self, host: &H, pipe: u32, end: End) {
        let state = &mut self.pipes[pipe];
        state.open[end as usize] = false;
        let other = if end == End::Read {
            End::Write
        } else {
            End::Read
        };
        if state.open[other as usize] {
            let queue = state.queues[other as usize];
            // Linux tells both ends everything when one is closed.
            let all = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP;
            self.notify(host, queue, all);
            return;
        }
        let Some(mut state) = self.pipes.remove(pipe) else {
            return;
        };
        state.flow.data.release(&self.pages);
        for queue in state.queues {
            self.waiters.remove_queue(queue);
        }
    }
}
