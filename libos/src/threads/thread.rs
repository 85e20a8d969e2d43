//! What the library OS knows of each thread, and the table of all.
//! Owns the table; thread 0 is the main one and needs no allocation. Must never move a number
//! while its thread lives.

use super::reason::Reason;
use crate::signals::Alternate;
use alloc::vec::Vec;
use linux_raw_sys::general::SCHED_RESET_ON_FORK;

/// Number of a thread's place in the table.
pub type ThreadId = u32;

/// No thread.
pub const NOBODY: ThreadId = u32::MAX;

/// Bytes of a thread's name with its NUL (`TASK_COMM_LEN`).
pub const NAME_BYTES: usize = 16;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The place is free.
    Free,
    /// It runs, or waits its turn.
    Ready,
    /// It waits for something that is not the processor.
    Waiting {
        /// A signal may end the wait.
        interruptible: bool,
    },
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What was waited for may have come.
    Woken,
    /// The deadline passed.
    Expired,
    /// A signal is to be delivered.
    Interrupted,
}

/// Nice values lie from 20 below 0 to 19 above it; `getpriority` answers 20 less the value, so that no answer is negative.
pub const NICE_BASE: i32 = 20;

/// What a thread asked for, of its policy and priorities. Kept and inherited; nothing obeys it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// `SCHED_*`, perhaps with `SCHED_RESET_ON_FORK`.
    pub policy: u32,
    /// The nice value.
    pub nice: i8,
    /// Of its input and output (`ioprio_set`).
    pub disk: u16,
}

impl Rank {
    /// What threads that it starts have: nothing of it, if it said so.
    pub fn inherited(self) -> Self {
        match self.policy & SCHED_RESET_ON_FORK {
            0 => self,
            _ => Self {
                policy: 0,
                nice: self.nice.max(0),
                ..self
            },
        }
    }
}

/// One thread.
pub struct Thread {
    /// What it does.
    pub state: State,
    /// Where its context is while it does not run.
    pub stack_pointer: usize,
    /// Its FS base.
    pub thread_pointer: usize,
    /// Its Linux thread number.
    pub tid: u32,
    /// Next in the run queue.
    pub next: ThreadId,
    /// Why its last wait ended.
    pub cause: Cause,
    /// What it waits for.
    pub reason: Reason,
    /// Cleared and woken when it ends (`CLONE_CHILD_CLEARTID`); 0: nothing.
    pub clear_tid: usize,
    /// What it asked for of the processor and of disks.
    pub rank: Rank,
    /// Its list of locks that outlive their owner (`set_robust_list`); 0: none.
    pub robust_list: usize,
    /// Blocked signals.
    pub blocked: u64,
    /// Signals sent to this thread and not delivered yet.
    pub pending: u64,
    /// Signals that end its wait although blocked (`sigtimedwait`).
    pub awaited: u64,
    /// The stack of its signal handlers, if it has one.
    pub alternate: Alternate,
    /// Its wait counts in [`bespoke_abi::stats::StatsPage::waits`].
    pub is_counted: bool,
    /// Cycles it used before it last began to run.
    pub used_cycles: u64,
    /// How often it waited (`ru_nvcsw`).
    pub waits: u64,
    /// Name, zero padded.
    pub name: [u8; NAME_BYTES],
    /// Neighbours among those that wait on futexes of the same hash.
    pub futex: FutexLinks,
}

/// Place of a waiting thread in the futex table.
#[derive(Clone, Copy)]
pub struct FutexLinks {
    /// The word waited on; 0: not on a futex.
    pub address: usize,
    /// Which wake-ups are for it (`FUTEX_WAIT_BITSET`); 0: it waits to own the word.
    pub bits: u32,
    /// Earlier waiter of the same bucket.
    pub before: ThreadId,
    /// Later waiter of the same bucket.
    pub after: ThreadId,
}

impl Thread {
    /// A thread number `tid` that is about to start.
    pub const fn new(tid: u32) -> Self {
        Self {
            state: State::Ready,
            stack_pointer: 0,
            thread_pointer: 0,
            tid,
            next: NOBODY,
            cause: Cause::Woken,
            reason: Reason::Nothing,
            clear_tid: 0,
            rank: Rank {
                policy: 0,
                nice: 0,
                disk: 0,
            },
            robust_list: 0,
            blocked: 0,
            pending: 0,
            awaited: 0,
            alternate: Alternate::NONE,
            is_counted: false,
            used_cycles: 0,
            waits: 0,
            name: [0; NAME_BYTES],
            futex: FutexLinks {
                address: 0,
                bits: 0,
                before: NOBODY,
                after: NOBODY,
            },
        }
    }
}

/// All threads.
pub struct Table {
    main: Thread,
    others: Vec<Thread>,
    used: usize,
    last_tid: u32,
}

/// The image is process 1 and its first thread is thread 1.
pub const MAIN_TID: u32 = 1;

impl Table {
    /// The main thread alone.
    pub const fn new() -> Self {
        Self {
            main: Thread::new(MAIN_TID),
            others: Vec::new(),
            used: 1,
            last_tid: MAIN_TID,
        }
    }

    /// Threads that have not ended.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Places in the table, free ones included.
    pub fn places(&self) -> usize {
        1 + self.others.len()
    }

    /// A thread by number.
    #[inline]
    pub fn get(&self, id: ThreadId) -> &Thread {
        match id {
            0 => &self.main,
            _ => &self.others[id as usize - 1],
        }
    }

    /// See [`Table::get`].
    #[inline]
    pub fn get_mut(&mut self, id: ThreadId) -> &mut Thread {
        match id {
            0 => &mut self.main,
            _ => &mut self.others[id as usize - 1],
        }
    }

    /// The living thread `tid`. O(n).
    pub fn find(&self, tid: u32) -> Option<ThreadId> {
        self.living().find(|&id| self.get(id).tid == tid)
    }

    /// Numbers of the threads that have not ended.
    pub fn living(&self) -> impl Iterator<Item = ThreadId> + '_ {
        (0..self.places() as ThreadId).filter(|&id| self.get(id).state != State::Free)
    }

    /// A place for a new thread; `None` when memory is exhausted.
    pub fn add(&mut self) -> Option<ThreadId> {
        let tid = self.last_tid.checked_add(1)?;
        let vacant = |thread: &Thread| thread.state == State::Free;
        let id = match self.others.iter().position(vacant) {
            Some(place) => {
                self.others[place] = Thread::new(tid);
                place as ThreadId + 1
            }
            None => {
                self.others.try_reserve(1).ok()?;
                self.others.push(Thread::new(tid));
                self.others.len() as ThreadId
            }
        };
        self.last_tid = tid;
        self.used += 1;
        Some(id)
    }

    /// Frees the place of a thread that ends.
    pub fn remove(&mut self, id: ThreadId) {
        self.get_mut(id).state = State::Free;
        self.used -= 1;
    }
}
