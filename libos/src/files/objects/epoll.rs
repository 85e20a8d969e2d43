//! epoll (epoll(7)): instances that remember what to watch and collect what became ready, so that
//! waiting costs by what happens and not by what is watched.
//!
//! ```text
//! object's queue -> node -> item --(ready list)--> epoll_wait looks at it, and drops it,
//!                                                  keeps it (level triggered) or mutes it (one shot)
//! ```
//! Owns instances and items; an item lives until it is deleted, its instance is closed, or the
//! last descriptor of what it watches is closed. Must never report an event without having asked
//! the object whether it still holds.

use super::slab::Slab;
use super::waiters::{ALWAYS, NONE, Queue, Waiter};
use super::{Errno, Files, Guest, Host, Object, Objects, Result, Timeout, Waitable};
use crate::memory::Rights;
use crate::threads::Reason;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLEXCLUSIVE, EPOLLIN, EPOLLONESHOT,
    EPOLLOUT, EPOLLWAKEUP, O_CLOEXEC, O_RDWR, POLLIN, POLLRDNORM,
};

/// Instances watching instances, at most this deep (`EP_MAX_NESTS`).
const MAX_NESTING: usize = 4;
/// Flags of an item that are not events.
const FLAGS: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
/// What an item may ask for whose events wake only one of all who wait.
const EXCLUSIVE: u32 = EPOLLIN | EPOLLOUT | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/// Most events one call may ask for (`EP_MAX_EVENTS`).
const MAX_EVENTS: usize = i32::MAX as usize / EVENT_BYTES;
/// What a server may allocate for an event before it looks at its limits again: this, or this part of all memory.
/// (Redis allocates the room for a value as soon as it knows the length, and drops clients that have too much of it
/// only after all events of a wait.)
const REQUEST_BYTES: u64 = 2 << 20;
const REQUEST_PART: u64 = 100;
/// `struct epoll_event`, which is packed on x86-64.
type Event = [u32; 3];
const EVENT_BYTES: usize = size_of::<Event>();

/// What an instance watches.
struct Item {
    descriptor: u32,
    /// Of the description; another one may come to stand behind the same descriptor.
    serial: u64,
    target: Waitable,
    events: u32,
    data: u64,
    node: u32,
    /// Neighbours in the ready list.
    before: u32,
    after: u32,
    is_ready: bool,
    /// Next item of the same descriptor.
    same: u32,
}

/// An instance.
pub(crate) struct Epoll {
    queue: Queue,
    items: Slab<Item>,
    /// First item of each descriptor.
    by_descriptor: Vec<u32>,
    first: u32,
    last: u32,
    ready: usize,
}

impl Epoll {
    fn find(&self, descriptor: u32, serial: u64) -> Option<u32> {
        let mut index = *self.by_descriptor.get(descriptor as usize)?;
        while index != NONE && self.items[index].serial != serial {
            index = self.items[index].same;
        }
        (index != NONE).then_some(index)
    }

    fn push(&mut self, index: u32) {
        let before = self.last;
        let item = &mut self.items[index];
        if item.is_ready {
            return;
        }
        (item.is_ready, item.before, item.after) = (true, before, NONE);
        match before {
            NONE => self.first = index,
            _ => self.items[before].after = index,
        }
        self.last = index;
        self.ready += 1;
    }

    fn unlink(&mut self, index: u32) {
        let item = &mut self.items[index];
        if !core::mem::take(&mut item.is_ready) {
            return;
        }
        let (before, after) = (item.before, item.after);
        match before {
            NONE => self.first = after,
            _ => self.items[before].after = after,
        }
        match after {
            NONE => self.last = before,
            _ => self.items[after].before = before,
        }
        self.ready -= 1;
    }

    /// Takes an item out; answers its node.
    fn remove(&mut self, index: u32) -> Option<u32> {
        self.unlink(index);
        let item = self.items.remove(index)?;
        let first = &mut self.by_descriptor[item.descriptor as usize];
        if *first == index {
            *first = item.same;
        } else {
            let mut before = *first;
            while self.items[before].same != index {
                before = self.items[before].same;
            }
            self.items[before].same = item.same;
        }
        Some(item.node)
    }
}

impl Objects {
    /// A new instance.
    pub fn new_epoll(&mut self) -> Result<u32> {
        let queue = self.waiters.queue()?;
        self.epolls.insert(Epoll {
            queue,
            items: Slab::new(),
            by_descriptor: Vec::new(),
            first: NONE,
            last: NONE,
            ready: 0,
        })
    }

    /// Who waits for an instance.
    pub fn epoll_queue(&self, epoll: u32) -> Queue {
        self.epolls[epoll].queue
    }

    /// An item's object changed: the item is to be looked at.
    pub fn epoll_arrived<H: Host + ?Sized>(&mut self, host: &H, epoll: u32, item: u32) {
        let instance = &mut self.epolls[epoll];
        instance.push(item);
        let queue = instance.queue;
        self.notify(host, queue, POLLIN | POLLRDNORM);
    }

    /// What holds now of the events that an item asks for.
    fn epoll_events(&mut self, epoll: u32, item: u32) -> u32 {
        let Item { target, events, .. } = self.epolls[epoll].items[item];
        if events & !FLAGS == 0 {
            return 0;
        }
        self.readiness(target) & (events & !FLAGS | ALWAYS)
    }

    /// What poll(2) says of an instance. Items that turn out not to be ready are dropped.
    pub fn epoll_readiness(&mut self, epoll: u32) -> u32 {
        while self.epolls[epoll].first != NONE {
            let item = self.epolls[epoll].first;
            if self.epoll_events(epoll, item) != 0 {
                return POLLIN | POLLRDNORM;
            }
            self.epolls[epoll].unlink(item);
        }
        0
    }

    /// Hands up to `most` events to `report`; answers how many. O(ready items).
    fn epoll_collect(
        &mut self,
        epoll: u32,
        most: usize,
        mut report: impl FnMut(usize, Event) -> Result<()>,
    ) -> Result {
        let mut count = 0;
        // Level triggered items go back to the end: each is looked at once.
        for _ in 0..self.epolls[epoll].ready {
            if count == most {
                break;
            }
            let item = self.epolls[epoll].first;
            let events = self.epoll_events(epoll, item);
            if events == 0 {
                self.epolls[epoll].unlink(item);
                continue;
            }
            let data = self.epolls[epoll].items[item].data;
            let written = report(count, [events, data as u32, (data >> 32) as u32]);
            if let Err(error) = written {
                return if count > 0 { Ok(count) } else { Err(error) };
            }
            count += 1;
            let instance = &mut self.epolls[epoll];
            instance.unlink(item);
            let entry = &mut instance.items[item];
            if entry.events & EPOLLONESHOT != 0 {
                entry.events &= FLAGS;
                let node = entry.node;
                self.waiters.set_events(node, 0);
            } else if entry.events & EPOLLET == 0 {
                instance.push(item);
            }
        }
        Ok(count)
    }

    /// How deep the instances are that `from` watches, itself or through others; `None`: `to` is among them, or it
    /// is too deep to tell.
    fn epoll_depth_below(&self, from: u32, to: u32, most: usize) -> Option<usize> {
        if from == to {
            return None;
        }
        let mut depth = 0;
        for item in self.epolls[from].items.indices() {
            if let Waitable::Epoll(next) = self.epolls[from].items[item].target {
                let below = self.epoll_depth_below(next, to, most.checked_sub(1)?)?;
                depth = depth.max(below + 1);
            }
        }
        Some(depth)
    }

    /// How deep `epoll` is below those that watch it.
    fn epoll_depth_above(&self, epoll: u32, most: usize) -> usize {
        let watches = |&other: &u32| {
            let items = &self.epolls[other].items;
            let mut all = items.indices();
            all.any(|item| items[item].target == Waitable::Epoll(epoll))
        };
        let watching = self.epolls.indices().filter(watches);
        let depths = watching.map(|other| match most.checked_sub(1) {
            Some(most) => self.epoll_depth_above(other, most) + 1,
            None => 0,
        });
        depths.max().unwrap_or(0)
    }

    /// Whether `epoll` may watch `other`.
    fn epoll_may_nest(&self, epoll: u32, other: u32) -> bool {
        let below = self.epoll_depth_below(other, epoll, MAX_NESTING);
        below.is_some_and(|below| {
            below + 1 + self.epoll_depth_above(epoll, MAX_NESTING) <= MAX_NESTING
        })
    }

    /// An item's object is closed.
    pub fn epoll_forget(&mut self, epoll: u32, item: u32) {
        if let Some(node) = self.epolls[epoll].remove(item) {
            self.waiters.remove(node);
        }
    }

    /// The last descriptor of an instance is closed.
    pub fn close_epoll(&mut self, epoll: u32) {
        let Some(instance) = self.epolls.remove(epoll) else {
            return;
        };
        for item in instance.items.indices() {
            self.waiters.remove(instance.items[item].node);
        }
        self.waiters.remove_queue(instance.queue);
    }

    fn epoll_add(&mut self, epoll: u32, mut item: Item) -> Result<u32> {
        let places = item.descriptor as usize + 1;
        let instance = &mut self.epolls[epoll];
        let more = places.saturating_sub(instance.by_descriptor.len());
        instance
            .by_descriptor
            .try_reserve(more)
            .map_err(|_| Errno::NOMEM)?;
        let all = instance.by_descriptor.len() + more;
        instance.by_descriptor.resize(all, NONE);
        let (descriptor, target, events) = (item.descriptor as usize, item.target, item.events);
        item.same = instance.by_descriptor[descriptor];
        let index = instance.items.insert(item)?;
        let waiter = Waiter::Item { epoll, item: index };
        let queue = self.queue(target);
        let node = self.waiters.add(queue, waiter, events & !FLAGS);
        let instance = &mut self.epolls[epoll];
        match node {
            Ok(node) => {
                instance.items[index].node = node;
                instance.by_descriptor[descriptor] = index;
                Ok(index)
            }
            Err(error) => {
                instance.items.remove(index);
                Err(error)
            }
        }
    }
}

impl<H: Host> Files<H> {
    /// `epoll_create`, `epoll_create1`
    pub(crate) fn epoll_create(&mut self, flags: u32) -> Result {
        if flags & !O_CLOEXEC != 0 {
            return Err(Errno::INVAL);
        }
        let epoll = self.objects.new_epoll()?;
        self.open_waitable(Waitable::Epoll(epoll), flags | O_RDWR)
    }

    /// `epoll_ctl`
    pub(crate) fn epoll_control(
        &mut self,
        guest: Guest,
        instance: usize,
        operation: u32,
        descriptor: usize,
        address: usize,
    ) -> Result {
        let event: Event = match operation {
            EPOLL_CTL_DEL => [0; 3],
            _ => guest.read(address)?,
        };
        let own = self.waitable(instance)?;
        let description = self.descriptors.get(descriptor)?;
        let serial = description.serial;
        let target = match description.object {
            Object::Waitable(target) => target,
            Object::Path => return Err(Errno::BADF),
            _ => return Err(Errno::PERM),
        };
        let Some(Waitable::Epoll(epoll)) = own.filter(|&own| own != target) else {
            return Err(Errno::INVAL);
        };
        let descriptor = descriptor as u32;
        let found = self.objects.epolls[epoll].find(descriptor, serial);
        // Errors and hang-ups are always reported.
        let (events, data) = (
            event[0] | ALWAYS,
            u64::from(event[1]) | u64::from(event[2]) << 32,
        );
        let exclusive = operation == EPOLL_CTL_ADD && events & EPOLLEXCLUSIVE != 0;
        if exclusive && (events & !EXCLUSIVE != 0 || matches!(target, Waitable::Epoll(_))) {
            return Err(Errno::INVAL);
        }
        let index = match (operation, found) {
            (EPOLL_CTL_ADD, _)
                if matches!(target, Waitable::Epoll(other)
                    if !self.objects.epoll_may_nest(epoll, other)) =>
            {
                return Err(Errno::LOOP);
            }
            (EPOLL_CTL_ADD, Some(_)) => return Err(Errno::EXIST),
            (EPOLL_CTL_ADD, None) => {
                let item = Item {
                    descriptor,
                    serial,
                    target,
                    events,
                    data,
                    node: NONE,
                    before: NONE,
                    after: NONE,
                    is_ready: false,
                    same: NONE,
                };
                self.objects.epoll_add(epoll, item)?
            }
            (EPOLL_CTL_MOD | EPOLL_CTL_DEL, None) => return Err(Errno::NOENT),
            (EPOLL_CTL_MOD, Some(_)) if events & EPOLLEXCLUSIVE != 0 => return Err(Errno::INVAL),
            (EPOLL_CTL_MOD, Some(index))
                if self.objects.epolls[epoll].items[index].events & EPOLLEXCLUSIVE != 0 =>
            {
                return Err(Errno::INVAL);
            }
            (EPOLL_CTL_MOD, Some(index)) => {
                let item = &mut self.objects.epolls[epoll].items[index];
                (item.events, item.data) = (events, data);
                let node = item.node;
                self.objects.waiters.set_events(node, events & !FLAGS);
                index
            }
            (EPOLL_CTL_DEL, Some(index)) => {
                self.objects.epoll_forget(epoll, index);
                return Ok(0);
            }
            _ => return Err(Errno::INVAL),
        };
        if self.objects.epoll_events(epoll, index) != 0 {
            self.objects.epoll_arrived(&self.host, epoll, index);
        }
        Ok(0)
    }

    /// Events that a server hears of at once: what it allocates for them takes half of the memory there is to spare.
    fn events_that_fit(&self) -> usize {
        let (spare, total) = self.host.spare_bytes();
        let request = REQUEST_BYTES.max(total / REQUEST_PART);
        usize::try_from(spare / (2 * request)).map_or(usize::MAX, |events| events.max(1))
    }

    /// `epoll_wait` and its like
    pub(crate) fn epoll_wait(
        &mut self,
        guest: Guest,
        instance: usize,
        address: usize,
        most: usize,
        timeout: Timeout,
    ) -> Result {
        let waitable = self.waitable(instance)?;
        let most = usize::try_from(most as i32).map_err(|_| Errno::INVAL)?;
        if most == 0 || most > MAX_EVENTS {
            return Err(Errno::INVAL);
        }
        let room = guest.reach(address, most * EVENT_BYTES, Rights::Write)? / EVENT_BYTES;
        if room == 0 {
            return Err(Errno::FAULT);
        }
        let Some(Waitable::Epoll(epoll)) = waitable else {
            return Err(Errno::INVAL);
        };
        self.poll(self.host.monotonic_ns());
        let most = most.min(room).min(self.events_that_fit());
        let count = self.objects.epoll_collect(epoll, most, |index, event| {
            guest.write(address + index * EVENT_BYTES, event)
        })?;
        if count > 0 {
            return Ok(count);
        }
        let reason = Reason::Descriptor {
            descriptor: instance as u32,
            kind: "epoll",
        };
        self.wait_for_any(timeout, reason, |files| files.watch(instance, POLLIN))
    }
}
