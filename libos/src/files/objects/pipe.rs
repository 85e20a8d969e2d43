//! Pipes (pipe(7)): up to 16 pages in a row, filled as Linux fills them, so that what fits and what
//! is written whole is the same to the byte.
//! Owns the pages of the data; holds none while a pipe is empty but one to write into next.

use super::vector::{Gather, Scatter};
use super::waiters::Queue;
use super::{Errno, Host, Objects, Result};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Pages, Run};
use core::ptr::NonNull;
use linux_raw_sys::general::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};

/// Pages a pipe holds at most.
const SLOTS: usize = 16;

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// To read from.
    Read,
    /// To write to.
    Write,
}

/// Bytes `start..end` of a page.
#[derive(Clone, Copy)]
struct Slot {
    page: NonNull<u8>,
    start: usize,
    end: usize,
}

/// A pipe.
pub(crate) struct Pipe {
    slots: [Option<Slot>; SLOTS],
    /// The oldest slot.
    first: usize,
    used: usize,
    spare: Option<NonNull<u8>>,
    /// Whether each end is open.
    open: [bool; 2],
    /// Who waits at each end.
    queues: [Queue; 2],
}

fn free(pages: &Pages, page: NonNull<u8>) {
    let run = Run {
        start: page,
        pages: 1,
    };
    // SAFETY: a page of the pipe that no slot holds any more.
    unsafe { pages.free(run) }
}

impl Pipe {
    fn is_full(&self) -> bool {
        self.used == SLOTS
    }

    /// Bytes to read (`FIONREAD`).
    pub fn readable_bytes(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .map(|slot| slot.end - slot.start)
            .sum()
    }

    fn read(&mut self, pages: &Pages, to: &mut Scatter<'_>) -> usize {
        let mut done = 0;
        while let (Some(slot), true) = (&mut self.slots[self.first], to.remaining() > 0) {
            // SAFETY: these bytes of the page were written.
            let bytes = unsafe {
                core::slice::from_raw_parts(
                    slot.page.as_ptr().add(slot.start),
                    slot.end - slot.start,
                )
            };
            let count = to.put(bytes);
            slot.start += count;
            done += count;
            if slot.start == slot.end {
                let page = slot.page;
                if let Some(more) = self.spare.replace(page) {
                    free(pages, more);
                }
                self.slots[self.first] = None;
                self.first = (self.first + 1) % SLOTS;
                self.used -= 1;
            }
        }
        done
    }

    fn write(&mut self, pages: &Pages, from: &mut Gather<'_>) -> Result {
        let mut done = 0;
        // What does not fill a page goes behind the last bytes, if all of it fits there.
        let odd = from.remaining() % PAGE_BYTES;
        if odd > 0
            && self.used > 0
            && let Some(slot) = &mut self.slots[(self.first + self.used - 1) % SLOTS]
            && slot.end + odd <= PAGE_BYTES
        {
            // SAFETY: the rest of the page is the pipe's.
            let rest =
                unsafe { core::slice::from_raw_parts_mut(slot.page.as_ptr().add(slot.end), odd) };
            let count = from.take(rest);
            slot.end += count;
            done += count;
        }
        while from.remaining() > 0 && !self.is_full() {
            let page = match self.spare.take() {
                Some(page) => page,
                None => match pages.allocate(1, 1, Contents::Any) {
                    Some(run) => run.start,
                    None if done > 0 => return Ok(done),
                    None => return Err(Errno::NOMEM),
                },
            };
            // SAFETY: the page is the pipe's own.
            let bytes = unsafe { core::slice::from_raw_parts_mut(page.as_ptr(), PAGE_BYTES) };
            let end = from.take(bytes);
            self.slots[(self.first + self.used) % SLOTS] = Some(Slot {
                page,
                start: 0,
                end,
            });
            self.used += 1;
            done += end;
        }
        Ok(done)
    }
}

impl Objects {
    /// A new pipe, both ends open.
    pub fn new_pipe(&mut self) -> Result<u32> {
        let queues = [self.waiters.queue()?, self.waiters.queue()?];
        self.pipes.insert(Pipe {
            slots: [None; SLOTS],
            first: 0,
            used: 0,
            spare: None,
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
        let done = state.read(&self.pages, to);
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
                if state.used > 0 {
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
        let slots = state.slots.iter_mut().filter_map(Option::take);
        for page in slots.map(|slot| slot.page).chain(state.spare) {
            free(&self.pages, page);
        }
        for queue in state.queues {
            self.waiters.remove_queue(queue);
        }
    }
}
