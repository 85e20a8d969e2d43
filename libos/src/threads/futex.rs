//! Futexes: threads that wait until somebody wakes the word they wait on (futex(2)).
//! Owns the buckets; must never look at a word without having been asked, nor allocate.

use super::reason::Reason;
use super::scheduler::Scheduler;
use super::thread::{Cause, NOBODY, ThreadId};

/// Buckets of the table, a power of two.
const BUCKETS: usize = 32;

/// Waiting threads by hash of their word's address, each bucket in order of arrival.
pub struct Buckets([(ThreadId, ThreadId); BUCKETS]);

impl Buckets {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self([(NOBODY, NOBODY); BUCKETS])
    }
}

fn bucket(address: usize) -> usize {
    // Words are aligned to 4 bytes; neighbours go to different buckets.
    ((address / 4) ^ (address >> 12)) % BUCKETS
}

impl Scheduler {
    /// Notes that the running thread waits on `address`, and starts the wait as
    /// [`Scheduler::suspend`] does.
    pub fn suspend_on_futex(
        &mut self,
        address: usize,
        bits: u32,
        deadline_ns: Option<u64>,
    ) -> bool {
        let suspended = self.suspend(Reason::Futex { address }, deadline_ns, true);
        if suspended {
            self.futex_append(self.current, address, bits);
        }
        suspended
    }

    fn futex_append(&mut self, id: ThreadId, address: usize, bits: u32) {
        let (first, last) = &mut self.futexes.0[bucket(address)];
        let before = core::mem::replace(last, id);
        if before == NOBODY {
            *first = id;
        } else {
            self.table.get_mut(before).futex.after = id;
        }
        let links = &mut self.table.get_mut(id).futex;
        (links.address, links.bits) = (address, bits);
        (links.before, links.after) = (before, NOBODY);
    }

    /// Forgets that `id` waits on a futex, if it does.
    pub fn futex_remove(&mut self, id: ThreadId) {
        let links = self.table.get(id).futex;
        if links.address == 0 {
            return;
        }
        let (first, last) = &mut self.futexes.0[bucket(links.address)];
        if links.before == NOBODY {
            *first = links.after;
        }
        if links.after == NOBODY {
            *last = links.before;
        }
        if links.before != NOBODY {
            self.table.get_mut(links.before).futex.after = links.after;
        }
        if links.after != NOBODY {
            self.table.get_mut(links.after).futex.before = links.before;
        }
        self.table.get_mut(id).futex.address = 0;
    }

    /// Hands up to `limit` waiters on `address` whose bits meet `bits` to `take`, the longest
    /// waiting first; answers how many. O(waiters of the bucket).
    fn futex_take(
        &mut self,
        address: usize,
        bits: u32,
        limit: usize,
        mut take: impl FnMut(&mut Self, ThreadId),
    ) -> usize {
        let mut taken = 0;
        let mut next = self.futexes.0[bucket(address)].0;
        while next != NOBODY && taken < limit {
            let id = next;
            let links = self.table.get(id).futex;
            next = links.after;
            if links.address == address && links.bits & bits != 0 {
                self.futex_remove(id);
                take(self, id);
                taken += 1;
            }
        }
        taken
    }

    /// Wakes up to `limit` waiters on `address`; answers how many.
    pub fn futex_wake(&mut self, address: usize, bits: u32, limit: usize) -> usize {
        self.futex_take(address, bits, limit, |scheduler, id| {
            scheduler.wake(id, Cause::Woken)
        })
    }

    /// Lets up to `limit` waiters on `from` wait on `to` instead; answers how many.
    pub fn futex_requeue(&mut self, from: usize, to: usize, limit: usize) -> usize {
        if from == to {
            return self.futex_count(from, limit);
        }
        self.futex_take(from, u32::MAX, limit, |scheduler, id| {
            let bits = scheduler.table.get(id).futex.bits;
            scheduler.table.get_mut(id).reason = Reason::Futex { address: to };
            scheduler.futex_append(id, to, bits);
        })
    }

    /// How many wait on `address` for a wake-up, `limit` at most. O(waiters of the bucket).
    fn futex_count(&self, address: usize, limit: usize) -> usize {
        let (mut count, mut next) = (0, self.futexes.0[bucket(address)].0);
        while next != NOBODY && count < limit {
            let links = self.table.get(next).futex;
            count += usize::from(links.address == address && links.bits != 0);
            next = links.after;
        }
        count
    }

    /// The thread that has waited longest to own `address`: it waits no more. Answers its Linux number.
    pub fn futex_heir(&mut self, address: usize) -> Option<u32> {
        let mut next = self.futexes.0[bucket(address)].0;
        while next != NOBODY {
            let (id, thread) = (next, self.table.get(next));
            if thread.futex.address == address && thread.futex.bits == 0 {
                let tid = thread.tid;
                self.futex_remove(id);
                self.wake(id, Cause::Woken);
                return Some(tid);
            }
            next = thread.futex.after;
        }
        None
    }

    /// A word that some thread waits to own, and that `is_wanted`.
    pub fn futex_to_own(&self, is_wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let threads = self.table.living().map(|id| self.table.get(id));
        let waits = threads.filter(|thread| thread.futex.address != 0 && thread.futex.bits == 0);
        waits
            .map(|thread| thread.futex.address)
            .find(|&address| is_wanted(address))
    }
}

#[cfg(test)]
mod tests {
    use super::super::thread::State;
    use super::{BUCKETS, Scheduler};
    use std::vec::Vec;

    /// `count` threads that wait on the given words, in order.
    fn waiting(words: &[(usize, u32)]) -> Scheduler {
        let mut scheduler = Scheduler::new();
        for &(address, bits) in words {
            let id = scheduler.start(|_| {}).unwrap();
            assert_eq!(scheduler.next(), Some(id));
            scheduler.current = id;
            assert!(scheduler.suspend_on_futex(address, bits, None));
        }
        scheduler.current = 0;
        scheduler
    }

    fn woken(scheduler: &mut Scheduler) -> Vec<u32> {
        core::iter::from_fn(|| scheduler.next()).collect()
    }

    #[test]
    fn wakes_the_longest_waiting_of_the_word_and_nobody_else() {
        // The second word falls into the same bucket as the first.
        let other = 4096 * 64 * BUCKETS + 64;
        let mut scheduler = waiting(&[(64, 1), (other, 1), (64, 2), (64, 3)]);
        assert_eq!(scheduler.futex_wake(64, 1, 1), 1);
        assert_eq!(woken(&mut scheduler), [1]);
        assert_eq!(scheduler.futex_wake(64, 2, 9), 2);
        assert_eq!(woken(&mut scheduler), [3, 4]);
        assert_eq!(scheduler.futex_wake(64, u32::MAX, 9), 0);
        assert_eq!(scheduler.futex_wake(other, u32::MAX, 9), 1);
    }

    #[test]
    fn moves_waiters_to_another_word() {
        let mut scheduler = waiting(&[(64, 1), (64, 1), (64, 1)]);
        assert_eq!(scheduler.futex_wake(64, u32::MAX, 1), 1);
        assert_eq!(scheduler.futex_requeue(64, 128, 9), 2);
        assert_eq!(scheduler.futex_wake(64, u32::MAX, 9), 0);
        assert_eq!(scheduler.futex_wake(128, u32::MAX, 1), 1);
        assert_eq!(woken(&mut scheduler), [1, 2]);
        assert_eq!(scheduler.futex_requeue(128, 128, 9), 1);
        scheduler.futex_remove(3);
        assert_eq!(scheduler.futex_wake(128, u32::MAX, 9), 0);
        assert!(matches!(
            scheduler.table.get(3).state,
            State::Waiting { .. }
        ));
    }

    #[test]
    fn who_waits_to_own_a_word_is_not_woken_but_inherits() {
        let mut scheduler = waiting(&[(64, 0), (64, 1), (64, 0)]);
        assert_eq!(scheduler.futex_wake(64, u32::MAX, 9), 1);
        assert_eq!(scheduler.futex_requeue(64, 128, 9), 0);
        assert_eq!(scheduler.futex_to_own(|address| address == 64), Some(64));
        assert_eq!(scheduler.futex_to_own(|_| false), None);
        let first = scheduler.table.get(1).tid;
        assert_eq!(scheduler.futex_heir(64), Some(first));
        assert_eq!(scheduler.futex_heir(64), Some(first + 2));
        assert_eq!(scheduler.futex_heir(64), None);
        assert_eq!(woken(&mut scheduler), [2, 1, 3]);
    }
}
