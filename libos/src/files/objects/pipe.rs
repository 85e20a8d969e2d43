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

/// Pages a pipe holds at most.
const SLOTS: usize = 16;
/// Bytes a pipe holds at most.
pub(crate) const BYTES: usize = SLOTS * PAGE_BYTES;

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// To read from.
    Read,
    /// To write to.
    Write,
}

/// A pipe.
pub(crate) struct Pipe {
    data: PageQueue,
    /// Whether each end is open.
    open: [bool; 2],
    /// Who waits at each end.
    queues: [Queue; 2],
}

impl Pipe {
    fn is_full(&self) -> bool {
        self.data.slots() >= SLOTS
    }

    /// Bytes to read (`FIONREAD`).
    pub fn readable_bytes(&self) -> usize {
        self.data.bytes()
    }

    fn write(&mut self, pages: &Pages, from: &mut Gather<'_>) -> Result {
        let mut done = 0;
        // What does not fill a page goes behind the last bytes, if all of it fits there.
        let odd = from.remaining() % PAGE_BYTES;
        if odd > 0 && odd <= self.data.room_in_last() {
            done += self.data.fill_last(from, odd);
        }
        while from.remaining() > 0 && !self.is_full() {
            match self.data.append(pages, from) {
                Ok(count) => done += count,
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
            data: PageQueue::new(),
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
        let was_full = state.is_full();
        let done = state.data.read(&self.pages, to, usize::MAX);
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
        let done = state.write(&self.pages, from)?;
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
                if state.data.bytes() > 0 {
                    ready |= POLLIN | POLLRDNORM;
                }
                if !state.open[End::Write as usize] {
                    ready |= POLLHUP;
                }
            }
            End::Write => {
                if !state.is_full() {
                    ready |= POLLOUT | POLLWRNORM;
                }
                if !state.open[End::Read as usize] {
                    ready |= POLLERR;
                }
            }
        }
        ready
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
        state.data.release(&self.pages);
        for queue in state.queues {
            self.waiters.remove_queue(queue);
        }
    }
}
