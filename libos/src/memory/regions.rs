//! Which address ranges the application has mapped, and which of them are inaccessible.
//! Owns two sorted lists of disjoint ranges; must never allocate after `reserve` succeeded.

use crate::calls::errno;
use alloc::vec::Vec;

/// A half-open address range.
type Range = (usize, usize);

/// Sorted, disjoint, not touching ranges.
struct Ranges(Vec<Range>);

impl Ranges {
    /// Room for two more ranges: one operation splits at most one.
    fn reserve(&mut self) -> Result<(), isize> {
        self.0.try_reserve(2).map_err(|_| errno::ENOMEM)
    }

    /// Index of the first range that ends behind `address`.
    fn after(&self, address: usize) -> usize {
        self.0.partition_point(|&(_, end)| end <= address)
    }

    fn insert(&mut self, mut start: usize, mut end: usize) {
        let first = self.0.partition_point(|&(_, e)| e < start);
        let mut last = first;
        while let Some(&(s, e)) = self.0.get(last).filter(|&&(s, _)| s <= end) {
            start = start.min(s);
            end = end.max(e);
            last += 1;
        }
        if first == last {
            self.0.insert(first, (start, end));
        } else {
            self.0[first] = (start, end);
            self.0.drain(first + 1..last);
        }
    }

    /// Takes out and returns the first part of `start..end` that is in the list.
    fn remove_first(&mut self, start: usize, end: usize) -> Option<Range> {
        let index = self.after(start);
        let &(s, e) = self.0.get(index).filter(|&&(s, _)| s < end)?;
        let cut = (s.max(start), e.min(end));
        match (s < cut.0, cut.1 < e) {
            (false, false) => {
                self.0.remove(index);
            }
            (true, false) => self.0[index].1 = cut.0,
            (false, true) => self.0[index].0 = cut.1,
            (true, true) => {
                self.0[index].1 = cut.0;
                self.0.insert(index + 1, (cut.1, e));
            }
        }
        Some(cut)
    }

    fn covers(&self, start: usize, end: usize) -> bool {
        self.0
            .get(self.after(start))
            .is_some_and(|&(s, e)| s <= start && end <= e)
    }
}

/// The application's mappings.
pub struct Regions {
    mapped: Ranges,
    protected: Ranges,
}

impl Regions {
    /// No mappings.
    pub const fn new() -> Self {
        Self {
            mapped: Ranges(Vec::new()),
            protected: Ranges(Vec::new()),
        }
    }

    /// Makes room for one operation on both lists.
    pub fn reserve(&mut self) -> Result<(), isize> {
        self.mapped.reserve()?;
        self.protected.reserve()
    }

    /// Adds a mapping; `reserve` came before.
    pub fn insert(&mut self, start: usize, end: usize) {
        self.mapped.insert(start, end);
    }

    /// Takes out the first mapped part of the range. A caller that loops splits at most one.
    pub fn remove_first(&mut self, start: usize, end: usize) -> Option<Range> {
        self.mapped.remove_first(start, end)
    }

    /// Whether the whole range is mapped.
    pub fn covers(&self, start: usize, end: usize) -> bool {
        self.mapped.covers(start, end)
    }

    /// Notes that the range is inaccessible.
    pub fn protect(&mut self, start: usize, end: usize) -> Result<(), isize> {
        self.protected.reserve()?;
        self.protected.insert(start, end);
        Ok(())
    }

    /// Takes out the first inaccessible part of the range.
    pub fn take_protected(&mut self, start: usize, end: usize) -> Option<Range> {
        self.protected.remove_first(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn points(ranges: &Ranges) -> BTreeSet<usize> {
        for pair in ranges.0.windows(2) {
            assert!(pair[0].1 < pair[1].0, "ranges touch or overlap: {pair:?}");
        }
        ranges.0.iter().flat_map(|&(s, e)| s..e).collect()
    }

    /// Against a set of points: 20,000 random operations.
    #[test]
    fn ranges_behave_as_a_set_of_addresses() {
        let mut ranges = Ranges(Vec::new());
        let mut model = BTreeSet::new();
        let mut seed = 12345u64;
        let mut random = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % limit) as usize
        };
        for _ in 0..20_000 {
            let start = random(60);
            let end = start + 1 + random(12);
            match random(3) {
                0 => {
                    if (start..end).all(|p| !model.contains(&p)) {
                        ranges.reserve().unwrap();
                        ranges.insert(start, end);
                        model.extend(start..end);
                    }
                }
                1 => {
                    ranges.reserve().unwrap();
                    while let Some((s, e)) = ranges.remove_first(start, end) {
                        assert!(start <= s && e <= end && s < e);
                        for p in s..e {
                            assert!(model.remove(&p));
                        }
                    }
                    assert!((start..end).all(|p| !model.contains(&p)));
                }
                _ => assert_eq!(
                    ranges.covers(start, end),
                    (start..end).all(|p| model.contains(&p))
                ),
            }
            assert_eq!(points(&ranges), model);
        }
    }
}
