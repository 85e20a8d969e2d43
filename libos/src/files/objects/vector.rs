//! The bytes of a transfer that may be scattered over several spans of the caller's memory:
//! what an object reads from and writes to. Owns no memory; must never reach beyond the spans.

use crate::files::Guest;
use crate::files::error::Result;
use crate::memory::Rights;
use bespoke_abi::boot::Span;

/// A position in checked spans.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    /// What is left of the span that is being worked on.
    start: usize,
    left: usize,
    /// The spans after it.
    rest: &'a [Span],
    /// In all: less than the spans hold where one of them is not there to its end.
    remaining: usize,
    /// Whether that is so.
    is_cut: bool,
}

impl<'a> Cursor<'a> {
    fn new(guest: Guest, spans: &'a [Span], rights: Rights) -> Result<Self> {
        let (mut remaining, mut is_cut) = (0, false);
        for span in spans {
            let bytes = span.bytes as usize;
            let reached = match guest.reach(span.start as usize, bytes, rights) {
                Err(error) if remaining == 0 => return Err(error),
                reached => reached.unwrap_or(0),
            };
            remaining += reached;
            if reached < bytes {
                is_cut = true;
                break;
            }
        }
        Ok(Self {
            is_cut,
            start: 0,
            left: 0,
            rest: spans,
            remaining,
        })
    }

    /// The next run of at most `limit` bytes, passed by.
    fn next(&mut self, limit: usize) -> Option<(usize, usize)> {
        while self.left == 0 && self.remaining > 0 {
            let (span, rest) = self.rest.split_first()?;
            (self.start, self.left) = (span.start as usize, span.bytes as usize);
            self.left = self.left.min(self.remaining);
            self.rest = rest;
        }
        let (start, taken) = (self.start, self.left.min(limit));
        self.start += taken;
        self.left -= taken;
        self.remaining -= taken;
        (taken > 0).then_some((start, taken))
    }
}

/// Where the bytes of a write come from.
#[derive(Clone)]
pub(crate) struct Gather<'a>(Cursor<'a>);

impl<'a> Gather<'a> {
    /// The bytes of `spans`, in order, up to the first that is not there. `EFAULT` when that is the very first.
    pub fn new(guest: Guest, spans: &'a [Span]) -> Result<Self> {
        Ok(Self(Cursor::new(guest, spans, Rights::Read)?))
    }

    /// Whether there are fewer bytes than the spans say.
    pub fn is_cut(&self) -> bool {
        self.0.is_cut
    }

    /// Leaves out all bytes but the first `bytes`.
    pub fn shorten(&mut self, bytes: usize) {
        self.0.remaining = self.0.remaining.min(bytes);
    }

    /// The bytes of one buffer.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(Cursor {
            start: bytes.as_ptr() as usize,
            left: bytes.len(),
            rest: &[],
            remaining: bytes.len(),
            is_cut: false,
        })
    }

    /// Bytes not taken yet.
    pub fn remaining(&self) -> usize {
        self.0.remaining
    }

    /// Passes by `bytes` bytes.
    pub fn skip(&mut self, mut bytes: usize) {
        while let Some((_, passed)) = self.0.next(bytes) {
            bytes -= passed;
        }
    }

    /// Takes bytes into `target` until it is full or none remain; answers how many.
    pub fn take(&mut self, target: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some((start, bytes)) = self.0.next(target.len() - done) {
            // SAFETY: checked spans or a buffer, borrowed for this call. It may
            // overlap nothing of the library OS.
            unsafe {
                let source = start as *const u8;
                target[done..done + bytes]
                    .as_mut_ptr()
                    .copy_from(source, bytes);
            }
            done += bytes;
        }
        done
    }
}

/// Where the bytes of a read go.
pub(crate) struct Scatter<'a>(Cursor<'a>);

impl<'a> Scatter<'a> {
    /// The memory of `spans`, in order, up to the first byte that is not there. `EFAULT` when that is the very first.
    pub fn new(guest: Guest, spans: &'a [Span]) -> Result<Self> {
        Ok(Self(Cursor::new(guest, spans, Rights::Write)?))
    }

    /// One buffer.
    pub fn of(buffer: &'a mut [u8]) -> Self {
        Self(Cursor {
            start: buffer.as_mut_ptr() as usize,
            left: buffer.len(),
            rest: &[],
            remaining: buffer.len(),
            is_cut: false,
        })
    }

    /// Room that is not there: `bytes` bytes that only [`Scatter::remaining`] tells of.
    pub fn nowhere(bytes: usize) -> Self {
        Self(Cursor {
            start: 0,
            left: 0,
            rest: &[],
            remaining: bytes,
            is_cut: false,
        })
    }

    /// Bytes not filled yet.
    pub fn remaining(&self) -> usize {
        self.0.remaining
    }

    /// Passes by `bytes` bytes.
    pub fn skip(&mut self, mut bytes: usize) {
        while let Some((_, passed)) = self.0.next(bytes) {
            bytes -= passed;
        }
    }

    /// Fills from `source` until all is filled or all of it is used; answers how many.
    pub fn put(&mut self, source: &[u8]) -> usize {
        let mut done = 0;
        while let Some((start, bytes)) = self.0.next(source.len() - done) {
            // SAFETY: as in `Gather::take`.
            unsafe { (start as *mut u8).copy_from(source[done..].as_ptr(), bytes) };
            done += bytes;
        }
        done
    }
}
