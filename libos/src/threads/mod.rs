//! Threads on the one vCPU: who runs, who waits for what, and what happens when nobody can run.
//!
//! A thread gives the processor away inside a system call, when it waits, yields or ends; and while it runs code of the
//! application or of the C library, when an interrupt finds it there (`crate::interrupt`). The library OS and the heaps
//! are never interrupted, so neither needs locks.
//! The rule that makes this sound: **nobody switches while it holds a borrow of shared state**
//! (`Single::with`, the file system). So waiting is done by the outermost layer alone: system
//! call code answers that it would block, and `calls::blocking` waits and calls again.
//!
//! | file | decides |
//! |---|---|
//! | `context` | what a context switch saves |
//! | `thread`, `reason` | what is known of a thread |
//! | `scheduler`, `deadlines` | who runs next, who waits until when |
//! | `futex` | waits on words |
//! | `idle` | what to do when nobody can run |
//! | `life` | how threads begin and end |
//! | `stacks` | where their stacks come from |
//! | `deadlock` | the report when nobody can ever run again |
//!
//! Owns the one scheduler. Must never run a thread on a processor state it did not save.

mod context;
mod deadlines;
mod deadlock;
mod futex;
mod idle;
mod life;
mod reason;
mod scheduler;
mod stacks;
mod thread;

pub use deadlines::Deadlines;
pub use life::{Request, clone, exit_thread};
pub use reason::Reason;
pub use thread::{Cause, MAIN_TID, NAME_BYTES, NICE_BASE, Rank, Thread, ThreadId};

use crate::single::Single;
use crate::{platform, stats, time};
use bespoke_abi::stats::MISSED_INTERRUPT;
use core::sync::atomic::Ordering::Relaxed;
use scheduler::Scheduler;

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// There is no such thread.
    Nobody,
    /// The thread ignores it.
    Dropped,
    /// It is pending.
    Kept,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static SCHEDULER: Single<Scheduler> = unsafe { Single::new(Scheduler::new()) };

/// Switches between looks at timers and devices while threads keep each other busy.
const SWITCHES_PER_LOOK: u32 = 16;

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static SWITCHES: Single<u32> = unsafe { Single::new(0) };

/// The running thread.
pub fn current() -> ThreadId {
    SCHEDULER.with(|scheduler| scheduler.current)
}

/// Linux's number of the running thread.
pub fn tid() -> u32 {
    SCHEDULER.with(|scheduler| scheduler.running().tid)
}

/// Waits until somebody wakes this thread, `deadline_ns` on the monotonic clock passes, or (if
/// `interruptible`) a signal is to be delivered. Whoever can wake it must already know it.
pub fn park(reason: Reason, deadline_ns: Option<u64>, interruptible: bool) -> Cause {
    if SCHEDULER.with(|scheduler| scheduler.suspend(reason, deadline_ns, interruptible)) {
        run_others();
    }
    SCHEDULER.with(|scheduler| scheduler.running().cause)
}

/// Ends the wait of a thread, if it waits.
#[inline]
pub fn wake(id: ThreadId) {
    SCHEDULER.with(|scheduler| scheduler.wake(id, Cause::Woken));
}

/// Lets all others that can run go first.
pub fn yield_now() {
    look_sometimes();
    if SCHEDULER.with(|scheduler| scheduler.has_next()) {
        SCHEDULER.with(|scheduler| scheduler.requeue_running());
        run_others();
    }
}

/// At an interrupt, or after a call that could not be interrupted: looks at timers and devices, and lets all others
/// that can run go first.
pub fn preempt() {
    idle::look();
    if SCHEDULER.with(|scheduler| scheduler.has_next()) {
        SCHEDULER.with(|scheduler| scheduler.requeue_running());
        run_others();
    }
}

/// Waits on the word at `address` as `FUTEX_WAIT_BITSET` does; the caller compared its value.
pub fn futex_wait(address: usize, bits: u32, deadline_ns: Option<u64>) -> Cause {
    if SCHEDULER.with(|scheduler| scheduler.suspend_on_futex(address, bits, deadline_ns)) {
        run_others();
    }
    SCHEDULER.with(|scheduler| {
        scheduler.futex_remove(scheduler.current);
        scheduler.running().cause
    })
}

/// Wakes up to `limit` waiters on `address`; answers how many.
pub fn futex_wake(address: usize, bits: u32, limit: usize) -> usize {
    SCHEDULER.with(|scheduler| scheduler.futex_wake(address, bits, limit))
}

/// Lets up to `limit` waiters on `from` wait on `to`; answers how many.
pub fn futex_requeue(from: usize, to: usize, limit: usize) -> usize {
    SCHEDULER.with(|scheduler| scheduler.futex_requeue(from, to, limit))
}

/// Ends the wait of the thread that has waited longest to own the word at `address`; answers Linux's number of it.
pub fn futex_heir(address: usize) -> Option<u32> {
    SCHEDULER.with(|scheduler| scheduler.futex_heir(address))
}

/// A word that some thread waits to own, and that `is_wanted`.
pub fn futex_to_own(is_wanted: impl Fn(usize) -> bool) -> Option<usize> {
    SCHEDULER.with(|scheduler| scheduler.futex_to_own(is_wanted))
}

/// What is known of the thread of Linux's number `tid`, if there is one. `work` must not come back here.
pub fn with_thread<R>(tid: u32, work: impl FnOnce(&mut Thread) -> R) -> Option<R> {
    SCHEDULER.with(|scheduler| {
        let id = scheduler.table.find(tid)?;
        Some(work(scheduler.table.get_mut(id)))
    })
}

/// Sets the running thread's FS base; 0 or `-errno`.
pub fn set_thread_pointer(address: usize) -> i64 {
    SCHEDULER.with(|scheduler| scheduler.running().thread_pointer = address);
    platform::set_thread_pointer(address)
}

/// Sets what is cleared and woken when the running thread ends; answers its number.
pub fn set_clear_tid(address: usize) -> u32 {
    SCHEDULER.with(|scheduler| {
        let thread = scheduler.running();
        thread.clear_tid = address;
        thread.tid
    })
}

/// Reads or changes what is known of the running thread. `work` must not come back here.
#[inline]
pub fn with_running<R>(work: impl FnOnce(&mut Thread) -> R) -> R {
    SCHEDULER.with(|scheduler| work(scheduler.running()))
}

/// The name of a thread, zero padded.
pub fn name_of(tid: u32) -> [u8; 16] {
    SCHEDULER.with(|scheduler| match scheduler.table.find(tid) {
        Some(id) => scheduler.table.get(id).name,
        None => [0; 16],
    })
}

/// Whether there is a thread of Linux's number `tid`.
pub fn exists(tid: u32) -> bool {
    SCHEDULER.with(|scheduler| scheduler.table.find(tid).is_some())
}

/// A thread that does not block any signal of `set`: the main one if possible, then the running one, as on Linux.
pub fn receiver(set: u64) -> Option<u32> {
    SCHEDULER.with(|scheduler| {
        let open = |&id: &ThreadId| {
            let thread = scheduler.table.get(id);
            thread.state != thread::State::Free && thread.blocked & set == 0
        };
        let first = [0, scheduler.current].into_iter().find(open);
        let id = first.or_else(|| scheduler.table.living().find(open))?;
        Some(scheduler.table.get(id).tid)
    })
}

/// Takes the signals of `set` from all threads for which they are pending.
pub fn discard(set: u64) {
    SCHEDULER.with(|scheduler| {
        for id in 0..scheduler.table.places() as ThreadId {
            scheduler.table.get_mut(id).pending &= !set;
        }
    });
}

/// Whether a signal of the user's out of `handled`, those with handlers, or of `all`, would end some thread's wait: one
/// that it does not block, or one that it waits for.
pub fn wakes_on(handled: u64, all: u64) -> bool {
    SCHEDULER.with(|scheduler| {
        let mut waiting = scheduler.table.living().map(|id| scheduler.table.get(id));
        let interruptible = thread::State::Waiting {
            interruptible: true,
        };
        waiting.any(|thread| {
            thread.state == interruptible && (handled & !thread.blocked | all & thread.awaited) != 0
        })
    })
}

/// Ends the wait of a thread that waits for one of `set`, which it may block.
pub fn wake_awaiting(set: u64) {
    SCHEDULER.with(|scheduler| {
        let awaiting = |&id: &ThreadId| scheduler.table.get(id).awaited & set != 0;
        let found = scheduler.table.living().find(awaiting);
        if let Some(id) = found {
            scheduler.interrupt(id);
        }
    });
}

/// Makes the signals of `set` pending for thread `tid` and ends its wait if it may get them;
/// ignored ones only stay if blocked.
pub fn post(tid: u32, set: u64, ignored: bool) -> Posted {
    SCHEDULER.with(|scheduler| {
        let Some(id) = scheduler.table.find(tid) else {
            return Posted::Nobody;
        };
        let thread = scheduler.table.get_mut(id);
        let open = thread.blocked & set == 0;
        let is_awaited = thread.awaited & set != 0;
        let is_kept = !(ignored && open) || is_awaited;
        if is_kept {
            thread.pending |= set;
        }
        if open && !ignored || is_awaited {
            scheduler.interrupt(id);
        }
        if is_kept {
            Posted::Kept
        } else {
            Posted::Dropped
        }
    })
}

/// Works on every thread.
pub fn each(mut work: impl FnMut(&mut Thread)) {
    SCHEDULER.with(|scheduler| {
        for id in 0..scheduler.table.places() as ThreadId {
            let thread = scheduler.table.get_mut(id);
            if thread.state != thread::State::Free {
                work(thread);
            }
        }
    });
}

/// Threads that have not ended.
pub fn count() -> usize {
    SCHEDULER.with(|scheduler| scheduler.table.used())
}

/// Time of the processor that the process has used.
pub fn process_time_ns() -> u64 {
    time::cycles_ns(time::used_cycles())
}

/// Time of the processor that the thread `tid` has used, the running one without a number; `None`: there is no such thread.
pub fn thread_time_ns(tid: Option<u32>) -> Option<u64> {
    let now = time::used_cycles();
    let cycles = SCHEDULER.with(|scheduler| {
        let id = match tid {
            Some(tid) => scheduler.table.find(tid)?,
            None => scheduler.current,
        };
        let before = scheduler.table.get(id).used_cycles;
        let running = if id == scheduler.current {
            now.wrapping_sub(scheduler.since_cycles)
        } else {
            0
        };
        Some(before + running)
    })?;
    Some(time::cycles_ns(cycles))
}

/// How often the process has waited, and the running thread (`ru_nvcsw`).
pub fn waits() -> (u64, u64) {
    SCHEDULER.with(|scheduler| (scheduler.waits, scheduler.running().waits))
}

/// Continues the next thread that can run, which may be this one; idles while there is none.
fn run_others() {
    look_sometimes();
    loop {
        let Some(next) = SCHEDULER.with(|scheduler| scheduler.next()) else {
            idle::step();
            continue;
        };
        if next != current() {
            switch_to(next);
        }
        return;
    }
}

fn look_sometimes() {
    let due = SWITCHES.with(|switches| {
        *switches += 1;
        *switches % SWITCHES_PER_LOOK == 0
    });
    if due {
        idle::look();
    }
}

fn switch_to(next: ThreadId) {
    let now = time::used_cycles();
    let (save, load, pointer) = SCHEDULER.with(|scheduler| {
        let used = now.wrapping_sub(scheduler.since_cycles);
        scheduler.since_cycles = now;
        let running = scheduler.running();
        running.used_cycles += used;
        let (save, before) = (&raw mut running.stack_pointer, running.thread_pointer);
        scheduler.current = next;
        let thread = scheduler.running();
        let pointer = (thread.thread_pointer != before).then_some(thread.thread_pointer);
        (save, thread.stack_pointer, pointer)
    });
    if let Some(pointer) = pointer {
        // The monitor accepted this value when the thread set it.
        let _ = platform::set_thread_pointer(pointer);
    }
    // SAFETY: `next` came out of the run queue, so it does not run and its context is whole; the
    // table does not move between the borrow above and the save inside.
    unsafe { context::switch(save, load) };
    if with_running(|thread| thread.pending & !thread.blocked != 0) {
        // It may come back from a call that delivers nothing: then the next call does, or an interrupt.
        stats().host_signals.fetch_or(MISSED_INTERRUPT, Relaxed);
    }
}
