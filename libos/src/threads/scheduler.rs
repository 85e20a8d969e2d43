//! Who runs next: the run queue, waits and their deadlines.
//! Owns the table of threads and both queues; must never switch contexts itself, so that all of
//! it can be tested on a host. One vCPU: the running thread gives the processor away or keeps it.

use super::deadlines::Deadlines;
use super::futex::Buckets;
use super::reason::Reason;
use super::thread::{Cause, NOBODY, State, Table, Thread, ThreadId};
use crate::stats;

/// Threads and queues.
pub struct Scheduler {
    /// All threads.
    pub table: Table,
    /// Those that wait on futexes.
    pub futexes: Buckets,
    /// The one that runs.
    pub current: ThreadId,
    /// Cycles that the process had used when it began to run.
    pub since_cycles: u64,
    /// How often threads waited.
    pub waits: u64,
    deadlines: Deadlines,
    first: ThreadId,
    last: ThreadId,
}

impl Scheduler {
    /// The main thread, running.
    pub const fn new() -> Self {
        Self {
            table: Table::new(),
            futexes: Buckets::new(),
            current: 0,
            since_cycles: 0,
            waits: 0,
            deadlines: Deadlines::new(),
            first: NOBODY,
            last: NOBODY,
        }
    }

    /// The running thread.
    #[inline]
    pub fn running(&mut self) -> &mut Thread {
        self.table.get_mut(self.current)
    }

    /// A new thread that may run; `None` when memory is exhausted. `prepare` fills it in.
    pub fn start(&mut self, prepare: impl FnOnce(&mut Thread)) -> Option<ThreadId> {
        // With room for every deadline at once, a wait can never fail for want of memory.
        self.deadlines.reserve(self.table.places() + 1).ok()?;
        let id = self.table.add()?;
        prepare(self.table.get_mut(id));
        self.enqueue(id);
        Some(id)
    }

    /// The running thread starts to wait. `false`: a signal is there already, and it goes on.
    pub fn suspend(
        &mut self,
        reason: Reason,
        deadline_ns: Option<u64>,
        interruptible: bool,
    ) -> bool {
        let id = self.current;
        let thread = self.table.get_mut(id);
        if interruptible && thread.pending & !thread.blocked != 0 {
            thread.cause = Cause::Interrupted;
            return false;
        }
        thread.state = State::Waiting { interruptible };
        thread.reason = reason;
        // Whoever waits for a time, or for a device, may be woken by a look at them.
        let is_counted = deadline_ns.is_some() || reason.is_of_device();
        thread.is_counted = is_counted;
        if is_counted {
            stats().waits.add(1);
        }
        if let Some(deadline) = deadline_ns {
            // Only the main thread can be here without room, which `start` makes for all others.
            if self.deadlines.reserve(1).is_err() {
                thread.state = State::Ready;
                thread.cause = Cause::Expired;
                thread.is_counted = false;
                stats().waits.sub(1);
                return false;
            }
            self.deadlines.set(id, deadline);
        }
        thread.waits += 1;
        self.waits += 1;
        true
    }

    /// Ends the wait of `id`, if it waits.
    #[inline]
    pub fn wake(&mut self, id: ThreadId, cause: Cause) {
        let thread = self.table.get_mut(id);
        if !matches!(thread.state, State::Waiting { .. }) {
            return;
        }
        thread.state = State::Ready;
        thread.reason = Reason::Nothing;
        thread.cause = cause;
        if core::mem::take(&mut thread.is_counted) {
            stats().waits.sub(1);
        }
        self.deadlines.remove(id);
        self.enqueue(id);
    }

    /// Ends the wait of `id` for a signal, if signals may end it.
    pub fn interrupt(&mut self, id: ThreadId) {
        if (self.table.get(id).state
            == State::Waiting {
                interruptible: true,
            })
        {
            self.wake(id, Cause::Interrupted);
        }
    }

    /// Puts the running thread behind all that may run.
    pub fn requeue_running(&mut self) {
        self.enqueue(self.current);
    }

    /// Takes the next thread that may run.
    #[inline]
    pub fn next(&mut self) -> Option<ThreadId> {
        let id = self.first;
        if id == NOBODY {
            return None;
        }
        self.first = self.table.get(id).next;
        if self.first == NOBODY {
            self.last = NOBODY;
            stats().ready.set(0);
        }
        Some(id)
    }

    /// Whether anybody may run besides the running thread.
    #[inline]
    pub fn has_next(&self) -> bool {
        self.first != NOBODY
    }

    /// Wakes everybody whose deadline is `now` or earlier.
    pub fn expire(&mut self, now_ns: u64) {
        while let Some(id) = self.deadlines.expired(now_ns) {
            self.wake(id, Cause::Expired);
        }
    }

    /// The earliest deadline of a waiting thread.
    #[inline]
    pub fn first_deadline(&self) -> Option<u64> {
        self.deadlines.first()
    }

    fn enqueue(&mut self, id: ThreadId) {
        self.table.get_mut(id).next = NOBODY;
        match self.last {
            NOBODY => self.first = id,
            last => self.table.get_mut(last).next = id,
        }
        self.last = id;
        stats().ready.set(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Reason, Scheduler};

    #[test]
    fn threads_run_in_the_order_they_became_ready() {
        let mut scheduler = Scheduler::new();
        let a = scheduler.start(|_| {}).unwrap();
        let b = scheduler.start(|_| {}).unwrap();
        assert!(scheduler.suspend(Reason::Sleep, Some(50), true));
        assert_eq!(scheduler.next(), Some(a));
        scheduler.current = a;
        scheduler.requeue_running();
        assert_eq!(
            (scheduler.next(), scheduler.next(), scheduler.next()),
            (Some(b), Some(a), None)
        );
        scheduler.expire(49);
        assert_eq!(scheduler.next(), None);
        assert_eq!(scheduler.first_deadline(), Some(50));
        scheduler.expire(50);
        assert_eq!(scheduler.next(), Some(0));
        assert_eq!(scheduler.table.get(0).cause, Cause::Expired);
        assert_eq!(scheduler.first_deadline(), None);
    }

    #[test]
    fn a_wait_that_ends_takes_its_deadline_along() {
        let mut scheduler = Scheduler::new();
        assert!(scheduler.suspend(Reason::Sleep, Some(50), true));
        scheduler.wake(0, Cause::Woken);
        scheduler.wake(0, Cause::Woken);
        assert_eq!((scheduler.next(), scheduler.next()), (Some(0), None));
        assert_eq!(scheduler.first_deadline(), None);
    }

    #[test]
    fn signals_end_only_waits_they_may_end() {
        let mut scheduler = Scheduler::new();
        assert!(scheduler.suspend(Reason::Sleep, None, false));
        scheduler.interrupt(0);
        assert_eq!(scheduler.next(), None);
        scheduler.wake(0, Cause::Woken);
        assert_eq!(scheduler.next(), Some(0));
        scheduler.running().pending = 1;
        assert!(!scheduler.suspend(Reason::Sleep, None, true));
        scheduler.running().blocked = 1;
        assert!(scheduler.suspend(Reason::Sleep, None, true));
        scheduler.interrupt(0);
        assert_eq!(scheduler.next(), Some(0));
        assert_eq!(scheduler.running().cause, Cause::Interrupted);
    }

    #[test]
    fn places_of_ended_threads_are_used_again_with_new_numbers() {
        let mut scheduler = Scheduler::new();
        let a = scheduler.start(|_| {}).unwrap();
        let tid = scheduler.table.get(a).tid;
        scheduler.table.remove(a);
        assert_eq!(
            (scheduler.table.used(), scheduler.table.find(tid)),
            (1, None)
        );
        let b = scheduler.start(|_| {}).unwrap();
        assert_eq!(b, a);
        assert_ne!(scheduler.table.get(b).tid, tid);
    }
}
