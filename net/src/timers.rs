//! The due times of sockets: a binary heap. It grows with the number of sockets, not of packets.
//!
//! Timers of TCP move later with nearly every packet.
//! So an entry stays in place when its time moves later, and is inserted again when it expires
//! early. Only an earlier time needs a new entry.
//! Each socket stores its time in the heap (`scheduled`).

use crate::Result;
use crate::memory::{Memory, Vec, push};
use smoltcp::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    due: i64,
    slot: u32,
}

/// The heap.
pub(crate) struct Timers {
    heap: Vec<Entry>,
}

impl Timers {
    /// Makes an empty heap.
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            heap: Vec::new_in(memory),
        }
    }

    /// Returns the first due time.
    pub(crate) fn next(&self) -> Option<Instant> {
        Some(Instant::from_micros(self.heap.first()?.due))
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, due: Instant, slot: u32) -> Result<()> {
        let due = due.total_micros();
        push(&mut self.heap, Entry { due, slot })?;
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.heap.swap(parent, at);
            at = parent;
        }
        Ok(())
    }

    /// Takes the first entry if it is due: its time and slot.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, u32)> {
        let first = *self.heap.first()?;
        if first.due > now.total_micros() {
            return None;
        }
        let last = self.heap.pop()?;
        if !self.heap.is_empty() {
            self.heap[0] = last;
            self.sift_down();
        }
        Some((Instant::from_micros(first.due), first.slot))
    }

    fn sift_down(&mut self) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = (left + 1).min(self.heap.len() - 1);
            let child = if self.heap[right] < self.heap[left] {
                right
            } else {
                left
            };
            if self.heap[at] <= self.heap[child] {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    #[test]
    fn entries_come_in_the_order_of_their_times() {
        let mut timers = Timers::new(&Global);
        let mut state = 1_u32;
        for slot in 0..1000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let due = Instant::from_micros(i64::from(state >> 12));
            timers.add(due, slot).unwrap();
        }
        let never = Instant::from_micros(i64::MAX);
        let mut last = Instant::from_micros(0);
        let mut seen = 0;
        assert!(timers.take_due(Instant::from_micros(-1)).is_none());
        while let Some((due, _)) = timers.take_due(never) {
            assert!(due >= last);
            last = due;
            seen += 1;
        }
        assert_eq!(seen, 1000);
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let mut timers = Timers::new(&Global);
        let at = Instant::from_micros::<i64>;
        assert_eq!((timers.next(), timers.take_due(at(1))), (None, None));
        for (due, slot) in [(50, 5), (30, 3), (40, 4), (30, 2), (20, 9)] {
            timers.add(at(due), slot).unwrap();
        }
        for (due, slot) in [(20, 9), (30, 2), (30, 3), (40, 4), (50, 5)] {
            assert_eq!(timers.next(), Some(at(due)));
            assert_eq!(timers.take_due(at(due - 1)), None);
            assert_eq!(timers.take_due(at(due)), Some((at(due), slot)));
        }
        assert_eq!(timers.next(), None);
    }

    /// All permutations of up to six entries come out sorted.
    #[test]
    fn any_order_is_sorted() {
        for code in 0..6u32.pow(6) {
            let mut timers = Timers::new(&Global);
            let dues: std::vec::Vec<i64> = (0..6)
                .map(|at| i64::from(code / 6u32.pow(at) % 6))
                .collect();
            for (slot, due) in dues.iter().enumerate() {
                timers.add(Instant::from_micros(*due), slot as u32).unwrap();
            }
            let mut sorted = dues;
            sorted.sort();
            for due in sorted {
                let taken = timers.take_due(Instant::from_micros(9)).unwrap();
                assert_eq!(taken.0, Instant::from_micros(due), "{code}");
            }
        }
    }
}
