//! A queue in memory from a given allocator. Exhausted memory is an error, not a panic.

use crate::memory::{Memory, Vec};
use crate::{Error, Result};

/// First in, first out; a ring that doubles.
pub(crate) struct Fifo<T> {
    ring: Vec<T>,
    head: usize,
    len: usize,
}

impl<T: Copy> Fifo<T> {
    /// Makes an empty queue; allocates nothing.
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            ring: Vec::new_in(memory),
            head: 0,
            len: 0,
        }
    }

    /// Returns the number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the queue is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reserves room for at least `capacity` elements in total.
    pub(crate) fn reserve(&mut self, capacity: usize, fill: T) -> Result<()> {
        let old = self.ring.len();
        if capacity <= old {
            return Ok(());
        }
        let new = capacity.next_power_of_two().max(8);
        self.ring
            .try_reserve_exact(new - old)
            .map_err(|_| Error::NoMemory)?;
        self.ring.resize(new, fill);
        // The wrapped part moves behind the old end.
        let wrapped = (self.head + self.len).saturating_sub(old);
        self.ring.copy_within(0..wrapped, old);
        Ok(())
    }

    /// Appends.
    pub(crate) fn push(&mut self, value: T) -> Result<()> {
        self.reserve(self.len + 1, value)?;
        let at = (self.head + self.len) & (self.ring.len() - 1);
        self.ring[at] = value;
        self.len += 1;
        Ok(())
    }

    /// Returns the oldest element.
    pub(crate) fn front(&self) -> Option<T> {
        (self.len > 0).then(|| self.ring[self.head])
    }

    /// Takes the oldest element.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let value = self.front()?;
        self.head = (self.head + 1) & (self.ring.len() - 1);
        self.len -= 1;
        Some(value)
    }

    /// Removes every element equal to `value`, keeping the order.
    pub(crate) fn remove(&mut self, value: T)
    where
        T: PartialEq,
    {
        for _ in 0..self.len {
            if let Some(kept) = self.pop()
                && kept != value
            {
                let at = (self.head + self.len) & (self.ring.len() - 1);
                self.ring[at] = kept;
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use std::collections::VecDeque;

    #[test]
    fn behaves_as_the_standard_queue() {
        let mut fifo = Fifo::new(&Global);
        let mut model = VecDeque::new();
        let mut state = 1_u32;
        for step in 0..10_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 29 {
                0..=3 => {
                    fifo.push(step % 50).unwrap();
                    model.push_back(step % 50);
                }
                4..=6 => assert_eq!(fifo.pop(), model.pop_front()),
                _ => {
                    let value = step % 50;
                    fifo.remove(value);
                    model.retain(|kept| *kept != value);
                }
            }
            assert_eq!(fifo.len(), model.len());
            assert_eq!(fifo.front(), model.front().copied());
        }
    }

    #[test]
    fn the_ring_doubles_and_keeps_what_had_wrapped() {
        for (reserved, room) in [(0, 0), (1, 8), (8, 8), (9, 16), (16, 16), (17, 32)] {
            let mut fifo = Fifo::<u32>::new(&Global);
            assert!(fifo.is_empty() && fifo.front().is_none() && fifo.pop().is_none());
            fifo.reserve(reserved, 0).unwrap();
            assert_eq!((fifo.ring.len(), fifo.len()), (room, 0), "{reserved}");
        }
        for head in 0..8 {
            let mut fifo = Fifo::<u32>::new(&Global);
            for value in 0..head {
                fifo.push(value).unwrap();
                assert_eq!(fifo.pop(), Some(value));
            }
            for value in 0..8 {
                fifo.push(value).unwrap();
            }
            assert!(!fifo.is_empty());
            fifo.reserve(9, 99).unwrap();
            assert_eq!(fifo.ring.len(), 16);
            for value in 8..16 {
                fifo.push(value).unwrap();
            }
            assert_eq!(fifo.ring.len(), 16);
            for value in 0..16 {
                assert_eq!(fifo.pop(), Some(value), "{head}");
            }
        }
    }
}
