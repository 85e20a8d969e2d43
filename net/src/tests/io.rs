//! A descriptor of the host that the test holds the other end of.

use crate::device::descriptor::Io;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;

/// Both ends of the descriptor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(pub Rc<RefCell<State>>);

/// What happens to the descriptor.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What each read gives; then there is nothing.
    pub reads: VecDeque<Vec<u8>>,
    /// What was written, a write each.
    pub written: Vec<Vec<u8>>,
    /// How many bytes the next writes take; then all.
    pub takes: VecDeque<Option<usize>>,
    /// How much room the last read was given.
    pub room: usize,
}

impl Io for Script {
    fn read(&mut self, to: &mut [u8]) -> Option<usize> {
        let mut state = self.0.borrow_mut();
        state.room = to.len();
        let bytes = state.reads.pop_front()?;
        // A descriptor says what it has, as `MSG_TRUNC` does, and gives what fits.
        let fits = bytes.len().min(to.len());
        to[..fits].copy_from_slice(&bytes[..fits]);
        Some(bytes.len())
    }

    fn write(&mut self, from: &[u8]) -> Option<usize> {
        let mut state = self.0.borrow_mut();
        let taken = state.takes.pop_front().unwrap_or(Some(from.len()))?;
        state.written.push(from[..taken.min(from.len())].to_vec());
        Some(taken)
    }
}

impl Script {
    /// The next read gives these bytes.
    pub(crate) fn give(&self, bytes: &[u8]) {
        self.0.borrow_mut().reads.push_back(bytes.to_vec());
    }

    /// What was written since the last time, a write each.
    pub(crate) fn written(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.0.borrow_mut().written)
    }
}
