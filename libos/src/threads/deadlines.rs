//! Deadlines of numbered things, earliest first: a binary heap that knows where each number is.
//! Owns the heap; must never allocate but in `reserve`, so that setting a deadline cannot fail.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// No place in the heap.
const ABSENT: u32 = u32::MAX;

/// Nanoseconds on the monotonic clock, by key. Keys are small: a table is indexed by them.
pub struct Deadlines {
    heap: Vec<(u64, u32)>,
    /// Where each key is in `heap`, or [`ABSENT`].
    places: Vec<u32>,
}

impl Deadlines {
    /// No deadlines.
    pub const fn new() -> Self {
        Self {
            heap: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Makes room for keys below `keys`.
    ///
    /// # Errors
    ///
    /// When memory is exhausted.
    pub fn reserve(&mut self, keys: usize) -> Result<(), TryReserveError> {
        let more = keys.saturating_sub(self.places.len());
        self.places.try_reserve(more)?;
        self.heap
            .try_reserve(keys.saturating_sub(self.heap.len()))?;
        self.places.resize(self.places.len() + more, ABSENT);
        Ok(())
    }

    /// The earliest deadline. O(1).
    #[inline]
    pub fn first(&self) -> Option<u64> {
        self.heap.first().map(|&(deadline, _)| deadline)
    }

    /// Sets or moves the deadline of `key`, for which there is room. O(log n).
    pub fn set(&mut self, key: u32, deadline_ns: u64) {
        let place = match self.places[key as usize] {
            ABSENT => {
                self.heap.push((deadline_ns, key));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize].0 = deadline_ns;
                place as usize
            }
        };
        let place = self.rise(place);
        self.sink(place);
    }

    /// Forgets the deadline of `key`, if it has one. O(log n).
    #[inline]
    pub fn remove(&mut self, key: u32) {
        let Some(&place) = self.places.get(key as usize) else {
            return;
        };
        if place != ABSENT {
            self.remove_at(place as usize);
        }
    }

    /// Takes out a key whose deadline is `now` or earlier. O(log n).
    pub fn expired(&mut self, now_ns: u64) -> Option<u32> {
        let &(deadline, key) = self.heap.first()?;
        if deadline > now_ns {
            return None;
        }
        self.remove_at(0);
        Some(key)
    }

    fn remove_at(&mut self, place: usize) {
        let (_, key) = self.heap.swap_remove(place);
        self.places[key as usize] = ABSENT;
        if place < self.heap.len() {
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.exchange(place, parent);
            place = parent;
        }
        self.note(place);
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = 2 * place + 1..(2 * place + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child].0) else {
                break;
            };
            if self.heap[place].0 <= self.heap[least].0 {
                break;
            }
            self.exchange(place, least);
            place = least;
        }
        self.note(place);
    }

    fn exchange(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&mut self, place: usize) {
        self.places[self.heap[place].1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::Deadlines;
    use std::collections::BTreeMap;

    /// Against a map: 20,000 random operations.
    #[test]
    fn deadlines_expire_in_order() {
        let mut deadlines = Deadlines::new();
        deadlines.reserve(40).unwrap();
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut seed = 7u64;
        let mut random = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % limit
        };
        for _ in 0..20_000 {
            let key = random(40) as u32;
            match random(4) {
                0 | 1 => {
                    let deadline = random(1000);
                    deadlines.set(key, deadline);
                    model.insert(key, deadline);
                }
                2 => {
                    deadlines.remove(key);
                    model.remove(&key);
                }
                _ => {
                    let now = random(1000);
                    let due = model.values().filter(|&&deadline| deadline <= now).count();
                    let mut taken = 0;
                    let mut before = 0;
                    while let Some(key) = deadlines.expired(now) {
                        let deadline = model.remove(&key).expect("a key that was set");
                        assert!(before <= deadline && deadline <= now);
                        before = deadline;
                        taken += 1;
                    }
                    assert_eq!(taken, due);
                }
            }
            assert_eq!(deadlines.first(), model.values().min().copied());
        }
    }
}
