//! System calls that are prepared before the fork. The resident code makes them
//! in the child, one after the other.
//! So the child touches little of our text: the first touch of a page costs a
//! process as much as twenty calls.
//!
//! The calls and the data of their pointers lie in one run of words at a fixed address.

use crate::memory::PAGE_BYTES;
use std::ops::Range;

/// Words of a call: the step of [`super::control::STEPS`] from 1, its number, six arguments.
pub(super) const CALL_WORDS: usize = 8;

/// Calls that must succeed.
pub(super) struct Script {
    /// Address of `words` at the time of the calls.
    at: u64,
    words: Vec<u64>,
    calls: Vec<[u64; CALL_WORDS]>,
}

impl Script {
    /// Makes an empty script whose data will lie from address `at` on.
    pub(super) fn new(at: u64) -> Self {
        Self {
            at,
            words: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Adds a call; `step` is an index of [`super::control::STEPS`].
    pub(super) fn call<const N: usize>(&mut self, step: u32, number: i64, arguments: [u64; N]) {
        let mut call = [0; CALL_WORDS];
        call[0] = u64::from(step) + 1;
        call[1] = number as u64;
        for (place, argument) in call[2..].iter_mut().zip(arguments) {
            *place = argument;
        }
        self.calls.push(call);
    }

    /// Stores `words` for a pointer and returns their final address.
    pub(super) fn data(&mut self, words: impl IntoIterator<Item = u64>) -> u64 {
        let at = self.at + size_of_val(&self.words[..]) as u64;
        self.words.extend(words);
        at
    }

    /// Unmaps all but `kept` in a process. The last page of the address space is never mapped.
    pub(super) fn unmap_all_but(&mut self, step: u32, mut kept: Vec<Range<u64>>) {
        const END: u64 = (1 << 47) - PAGE_BYTES;
        kept.sort_by_key(|range| range.start);
        let mut at = 0;
        for range in kept.into_iter().chain(std::iter::once(END..END)) {
            if at < range.start {
                self.call(step, libc::SYS_munmap, [at, range.start - at]);
            }
            at = at.max(range.end);
        }
    }

    /// Returns all words (the data, then the calls), the calls' address and their number.
    pub(super) fn finish(mut self) -> (Vec<u64>, u64, u64) {
        let count = self.calls.len() as u64;
        let calls: Vec<u64> = self.calls.concat();
        let at = self.data(calls);
        (self.words, at, count)
    }
}
