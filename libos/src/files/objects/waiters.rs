//! Wait queues: who is to be told when an object changes.
//!
//! ```text
//! queue -> node -> node -> (back to the queue)      a ring, so that a node leaves in O(1)
//!          thread  epoll item
//! ```
//! Owns all nodes of all queues in one table; must never tell anybody itself (`Objects::notify`).

use crate::files::error::{Errno, Result};
use crate::threads::ThreadId;
use alloc::vec::Vec;
use linux_raw_sys::general::{POLLERR, POLLHUP};

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// What is always told, asked for or not.
pub(crate) const ALWAYS: u32 = POLLERR | POLLHUP;

/// A wait queue of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue(u32);

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A thread, for the time of one call.
    Thread(ThreadId),
    /// An item of an epoll instance, for as long as it is registered.
    Item {
        /// The instance.
        epoll: u32,
        /// The item.
        item: u32,
    },
    /// Nobody: the queue itself, or a free node.
    Nobody,
}

#[derive(Clone, Copy)]
struct Node {
    before: u32,
    after: u32,
    waiter: Waiter,
    /// Changes it is told of.
    events: u32,
    /// The next node of the same call.
    sibling: u32,
}

/// All queues.
pub(crate) struct Waiters {
    nodes: Vec<Node>,
    /// First free node; they are linked by `after`.
    free: u32,
}

impl Waiters {
    /// No queues.
    pub const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
        }
    }

    fn allocate(&mut self, waiter: Waiter, events: u32) -> Result<u32> {
        let node = Node {
            before: NONE,
            after: NONE,
            waiter,
            events,
            sibling: NONE,
        };
        if self.free != NONE {
            let index = self.free;
            self.free = self.nodes[index as usize].after;
            self.nodes[index as usize] = node;
            return Ok(index);
        }
        self.nodes.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        self.nodes.push(node);
        Ok(self.nodes.len() as u32 - 1)
    }

    fn release(&mut self, index: u32) {
        self.nodes[index as usize].waiter = Waiter::Nobody;
        self.nodes[index as usize].after = self.free;
        self.free = index;
    }

    /// A new queue.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn queue(&mut self) -> Result<Queue> {
        let index = self.allocate(Waiter::Nobody, 0)?;
        self.nodes[index as usize].before = index;
        self.nodes[index as usize].after = index;
        Ok(Queue(index))
    }

    /// Ends a queue in which nobody waits any more.
    pub fn remove_queue(&mut self, queue: Queue) {
        debug_assert_eq!(self.nodes[queue.0 as usize].after, queue.0);
        self.release(queue.0);
    }

    /// Puts a waiter at the end of a queue, to be told of `events`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn add(&mut self, queue: Queue, waiter: Waiter, events: u32) -> Result<u32> {
        let index = self.allocate(waiter, events | ALWAYS)?;
        let before = self.nodes[queue.0 as usize].before;
        self.nodes[index as usize].before = before;
        self.nodes[index as usize].after = queue.0;
        self.nodes[before as usize].after = index;
        self.nodes[queue.0 as usize].before = index;
        Ok(index)
    }

    /// Takes a waiter out.
    pub fn remove(&mut self, index: u32) {
        let Node { before, after, .. } = self.nodes[index as usize];
        self.nodes[before as usize].after = after;
        self.nodes[after as usize].before = before;
        self.release(index);
    }

    /// Changes what a waiter is told of; 0: nothing at all.
    pub fn set_events(&mut self, index: u32, events: u32) {
        let events = if events == 0 { 0 } else { events | ALWAYS };
        self.nodes[index as usize].events = events;
    }

    /// As [`Waiters::add`] for a thread, chained to the nodes of the same call that start at
    /// `siblings`.
    pub fn add_thread(
        &mut self,
        queue: Queue,
        thread: ThreadId,
        events: u32,
        siblings: &mut u32,
    ) -> Result<()> {
        let index = self.add(queue, Waiter::Thread(thread), events)?;
        self.nodes[index as usize].sibling = core::mem::replace(siblings, index);
        Ok(())
    }

    /// Takes the nodes of a call out of all queues. O(nodes).
    pub fn remove_siblings(&mut self, siblings: &mut u32) {
        while *siblings != NONE {
            let index = *siblings;
            *siblings = self.nodes[index as usize].sibling;
            self.remove(index);
        }
    }

    /// The start of a walk over a queue.
    #[inline(always)]
    pub fn walk(&self, queue: Queue) -> Walk {
        Walk {
            queue: queue.0,
            next: self.nodes.as_slice()[queue.0 as usize].after,
        }
    }

    /// The next waiter of a walk and what it is told of. It may be removed before the next step.
    #[inline(always)]
    pub fn step(&self, walk: &mut Walk) -> Option<(Waiter, u32)> {
        if walk.next == walk.queue {
            return None;
        }
        let node = self.nodes.as_slice()[walk.next as usize];
        walk.next = node.after;
        Some((node.waiter, node.events))
    }

    /// Lets go of everybody in a queue; they may be removed later all the same.
    pub fn detach(&mut self, queue: Queue) {
        let mut index = self.nodes[queue.0 as usize].after;
        while index != queue.0 {
            let node = &mut self.nodes[index as usize];
            let next = core::mem::replace(&mut node.after, index);
            node.before = index;
            index = next;
        }
        self.nodes[queue.0 as usize].before = queue.0;
        self.nodes[queue.0 as usize].after = queue.0;
    }
}

impl Waiters {
    /// Whether anybody waits.
    pub fn is_waited_on(&self, queue: Queue) -> bool {
        self.nodes[queue.0 as usize].after != queue.0
    }
}

/// A walk over the waiters of a queue.
pub(crate) struct Walk {
    queue: u32,
    next: u32,
}
