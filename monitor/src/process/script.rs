//! System calls prepared before the fork, for the child to make one after the other: the resident code makes them, so that
//! the child touches little of our text. A page of it that a process touches first costs as much as twenty calls.
//!
//! Owns the calls and what their pointers lead to, which lie in one run of words at a fixed address.

use crate::memory::PAGE_BYTES;
use std::ops::Range;

/// A call: the step of [`super::control::STEPS`] from 1, its number, six arguments.
pub(super) const CALL_WORDS: usize = 8;

/// Calls that must succeed.
pub(super) struct Script {
    /// Address of `words` where the calls are made.
    at: u64,
    words: Vec<u64>,
    calls: Vec<[u64; CALL_WORDS]>,
}

impl Script {
    /// No calls yet; data will lie from address `at` on.
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

    /// Keeps `words` for a pointer, and answers where they will lie.
    pub(super) fn data(&mut self, words: impl IntoIterator<Item = u64>) -> u64 {
        let at = self.at + size_of_val(&self.words[..]) as u64;
        self.words.extend(words);
        at
    }

    /// Unmaps all but `kept` in a process; the last page of its addresses is never mapped.
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

    /// All words: the data, then the calls; also the calls' address and their number.
    pub(super) fn finish(mut self) -> (Vec<u64>, u64, u64) {
        let count = self.calls.len() as u64;
        let calls: Vec<u64> = self.calls.concat();
        let at = self.data(calls);
        (self.words, at, count)
    }
}
