//! Bytes in flight, in pages: what pipes and local sockets keep between writer and reader.
//! Owns its pages; holds none while it is empty but one to write into next.

use super::vector::{Gather, Scatter};
use super::{Errno, Result};
use alloc::collections::VecDeque;
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Contents, Pages, Run};
use core::ptr::NonNull;

/// Bytes `start..end` of a page.
#[derive(Clone, Copy)]
struct Slot {
    page: NonNull<u8>,
    start: usize,
    end: usize,
    /// One packet: what a read leaves of it is lost.
    is_packet: bool,
}

/// See the module.
pub(crate) struct PageQueue {
    slots: VecDeque<Slot>,
    spare: Option<NonNull<u8>>,
    bytes: usize,
}

impl PageQueue {
    /// No bytes.
    pub const fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            spare: None,
            bytes: 0,
        }
    }

    /// Bytes to read.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Pages with bytes to read.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Reads what there is, up to `limit` bytes and what `to` takes.
    pub fn read(&mut self, pages: &Pages, to: &mut Scatter<'_>, limit: usize) -> usize {
        self.take(pages, limit, |bytes| to.put(bytes))
    }

    /// Drops the first `bytes` bytes.
    pub fn discard(&mut self, pages: &Pages, bytes: usize) {
        self.take(pages, bytes, |bytes| bytes.len());
    }

    fn take(&mut self, pages: &Pages, limit: usize, mut each: impl FnMut(&[u8]) -> usize) -> usize {
        let mut done = 0;
        while let (Some(slot), true) = (self.slots.front_mut(), done < limit) {
            let bytes = slot.bytes();
            let count = each(&bytes[..bytes.len().min(limit - done)]);
            slot.start += count;
            done += count;
            let is_packet = slot.is_packet;
            if slot.start == slot.end || is_packet {
                self.bytes -= slot.end - slot.start;
                let page = slot.page;
                self.slots.pop_front();
                if let Some(more) = self.spare.replace(page) {
                    free(pages, more);
                }
            } else if done < limit {
                break;
            }
            if is_packet {
                break;
            }
        }
        self.bytes -= done;
        done
    }

    /// As [`PageQueue::read`], and leaves all as it is.
    pub fn peek(&self, to: &mut Scatter<'_>, limit: usize) -> usize {
        let mut done = 0;
        for slot in &self.slots {
            let bytes = slot.bytes();
            done += to.put(&bytes[..bytes.len().min(limit - done)]);
        }
        done
    }

    /// Appends up to `limit` bytes to the last page.
    pub fn fill_last(&mut self, from: &mut Gather<'_>, limit: usize) -> usize {
        let Some(slot) = self.slots.back_mut() else {
            return 0;
        };
        let room = limit.min(PAGE_BYTES - slot.end);
        // SAFETY: the rest of the page is the queue's own.
        let rest =
            unsafe { core::slice::from_raw_parts_mut(slot.page.as_ptr().add(slot.end), room) };
        let count = from.take(rest);
        slot.end += count;
        self.bytes += count;
        count
    }

    /// Room in the last page.
    pub fn room_in_last(&self) -> usize {
        match self.slots.back() {
            Some(slot) if !slot.is_packet => PAGE_BYTES - slot.end,
            _ => 0,
        }
    }

    /// Appends bytes in a page of their own.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn append(&mut self, pages: &Pages, from: &mut Gather<'_>) -> Result {
        self.slots.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        let page = match self.spare.take() {
            Some(page) => page,
            None => {
                pages
                    .allocate(1, 1, Contents::Any)
                    .ok_or(Errno::NOMEM)?
                    .start
            }
        };
        // SAFETY: the page is the queue's own.
        let end = from.take(unsafe { core::slice::from_raw_parts_mut(page.as_ptr(), PAGE_BYTES) });
        self.slots.push_back(Slot {
            page,
            start: 0,
            end,
            is_packet: false,
        });
        self.bytes += end;
        Ok(end)
    }

    /// Drops the last `bytes` bytes.
    pub fn drop_last(&mut self, pages: &Pages, mut bytes: usize) {
        self.bytes -= bytes;
        while let (Some(slot), true) = (self.slots.back_mut(), bytes > 0) {
            let count = bytes.min(slot.end - slot.start);
            slot.end -= count;
            bytes -= count;
            if slot.start == slot.end {
                let page = slot.page;
                self.slots.pop_back();
                free(pages, page);
            }
        }
    }

    /// Makes the last page a packet of its own.
    pub fn end_packet(&mut self) {
        if let Some(slot) = self.slots.back_mut() {
            slot.is_packet = true;
        }
    }

    /// Frees all pages; the bytes are lost.
    pub fn release(&mut self, pages: &Pages) {
        for slot in self.slots.drain(..) {
            free(pages, slot.page);
        }
        if let Some(page) = self.spare.take() {
            free(pages, page);
        }
        self.bytes = 0;
    }
}

impl Slot {
    fn bytes(&self) -> &[u8] {
        // SAFETY: these bytes of the page were written.
        unsafe {
            core::slice::from_raw_parts(self.page.as_ptr().add(self.start), self.end - self.start)
        }
    }
}

fn free(pages: &Pages, page: NonNull<u8>) {
    let run = Run {
        start: page,
        pages: 1,
    };
    // SAFETY: a page of a queue that no slot holds any more.
    unsafe { pages.free(run) }
}
