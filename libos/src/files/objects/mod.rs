//! Objects that calls can wait on: pipes, event counters, timers, epoll instances, sockets.
//!
//! # How waiting works
//!
//! Nothing in here ever blocks. An operation that cannot go on answers `EAGAIN`; the policy in
//! `stream` (read, write, send, receive) or the call itself then either passes that on
//! (`O_NONBLOCK`) or puts the running thread on the object's wait queue and answers
//! [`Errno::RESTART`]. `crate::calls::blocking` sees that answer, lets other threads run, and makes
//! the same call again when the object changed, the deadline passed, or a signal came. What
//! must survive between two attempts (bytes written so far, the deadline) is in [`Attempt`].
//!
//! An object that changes calls [`Objects::notify`] with its queue and the poll(2) bits that may
//! have become true. That wakes threads and marks items of epoll instances as ready. It must do so
//! on **every** change that makes something possible, also when it was possible before: edge
//! triggered epoll lives on it.
//!
//! # How to add a kind of object
//!
//! 1. A file here with the state of one object and its operations as methods of [`Objects`]:
//!    `read_x(host, number, to) -> Result`, `write_x(host, number, from)`, `x_readiness(number) -> u32`
//!    (poll(2) bits that are true now), `x_queue(number)`, `close_x(host, number)`. Operations
//!    never look at `O_NONBLOCK` and never wait; they answer `EAGAIN` when they cannot go on.
//! 2. A [`Slab`] of it in [`Objects`] (numbers are stable, insertion can fail), with a [`Queue`]
//!    made by `self.waiters.queue()?` in each object and ended by `remove_queue` in `close_x`.
//! 3. A kind that few programs make implements [`Other`] instead (see `other`), and is linked only into images
//!    that make one. All others: a variant of [`Waitable`], and what the compiler then asks for: the arms of `readiness`,
//!    `queue`, `try_read`, `try_write`, `release`, `kind`, `FileKind`.
//! 4. The call that makes it: `self.open_waitable(waitable, flags)` answers the descriptor. If it
//!    fails the object is released again.
//! 5. Calls of its own that may wait (accept, connect): do the operation; on `EAGAIN` answer
//!    `Err(self.would_block(descriptor, events, done)?)`, which handles `O_NONBLOCK`, deadlines
//!    and the queue. Call numbers go to a file in `crate::calls`.
//! 6. Things that happen by themselves (frames, timers): `Files::poll` is called by the idle loop,
//!    by busy threads every few switches, and by poll, select and epoll before they look;
//!    `Files::sources` tells the idle loop until when and for which devices it may sleep.
//! 7. Tests: `tests/objects_against_linux.rs` runs the same random calls on both.

mod attempt;
mod console;
#[cfg_attr(
    not(feature = "net"),
    allow(dead_code, reason = "only datagrams bring control messages")
)]
mod control;
mod epoll;
mod eventfd;
mod fifo;
#[cfg_attr(not(feature = "net"), path = "no_inet.rs")]
mod inet;
mod ioctl;
#[cfg_attr(
    not(feature = "net"),
    allow(dead_code, reason = "the table has the Internet's options, too")
)]
mod kept;
mod locks;
mod many;
mod options;
mod other;
mod packets;
mod pages;
mod pipe;
mod poll;
mod rights;
mod slab;
mod socket;
mod stream;
mod timerfd;
mod unix;
mod vector;
mod waiters;

use console::Ahead;

pub(crate) use attempt::Attempt;
pub(crate) use other::{Node, Opening, Other, World, boxed};
pub(crate) use pipe::End;
pub(crate) use poll::Timeout;
pub(crate) use stream::Manner;
pub(crate) use vector::{Gather, Scatter};

use super::descriptors::Object;
use super::error::{Errno, Result};
use super::inode::{InodeId, Kind};
use super::{Files, Guest, Host};
use crate::threads::Deadlines;
use alloc::vec::Vec;
use bespoke_abi::hypercall::WAIT_CONSOLE;
use bespoke_heap::Pages;
use epoll::Epoll;
use eventfd::Counter;
use linux_raw_sys::general::{
    O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM,
    S_IFIFO, S_IFSOCK,
};
use packets::{Passing, Received, Sort};
use pipe::Pipe;
use slab::Slab;
use timerfd::Timer;
use unix::Unix;
use waiters::{Queue, Waiter, Waiters};

/// What is readable and writable without ever waiting, as poll(2) says of files.
const ALWAYS_READY: u32 = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

/// An object that calls can wait on. Exactly one open file description refers to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waitable {
    /// One end of a pipe.
    Pipe(u32, End),
    /// An epoll instance.
    Epoll(u32),
    /// An event counter.
    Counter(u32),
    /// A timer.
    Timer(u32),
    /// A local stream socket.
    Unix(u32),
    /// An Internet socket.
    Inet(inet::Handle),
    /// An object of a rare kind.
    Other(u32),
}

/// All objects.
pub(crate) struct Objects {
    /// Where the data of pipes and sockets lies.
    pages: Pages,
    waiters: Waiters,
    pipes: Slab<Pipe>,
    epolls: Slab<Epoll>,
    counters: Slab<Counter>,
    timers: Slab<Timer>,
    unix: Slab<Unix>,
    /// Since the first of them.
    local: Option<&'static unix::Calls>,
    others: Slab<other::Slot>,
    net: inet::Network,
    /// When timers expire.
    deadlines: Deadlines,
    /// Who waits for the console.
    console: Option<Queue>,
    /// What was read of the console and not asked for yet.
    console_ahead: Ahead,
    /// Who waits for a file lock.
    lock_waiters: Option<Queue>,
    /// The call that is being made, if it may wait.
    attempt: Attempt,
    /// What the `sendmsg` under way sends along with its bytes.
    passing: Option<Passing>,
    /// What the last read from a local socket learnt.
    received: Option<Received>,
    /// Open file descriptions that messages hold, and those among them that are to be closed.
    on_their_way: usize,
    dropped: Vec<u32>,
}

impl Objects {
    /// None; data will come from `pages`.
    pub const fn new(pages: Pages) -> Self {
        Self {
            pages,
            waiters: Waiters::new(),
            pipes: Slab::new(),
            epolls: Slab::new(),
            counters: Slab::new(),
            timers: Slab::new(),
            unix: Slab::new(),
            local: None,
            others: Slab::new(),
            net: inet::Network::new(),
            deadlines: Deadlines::new(),
            console: None,
            console_ahead: Ahead::new(),
            lock_waiters: None,
            attempt: Attempt::new(),
            passing: None,
            received: None,
            on_their_way: 0,
            dropped: Vec::new(),
        }
    }

    /// Whether messages hold open file descriptions.
    pub fn has_rights(&self) -> bool {
        self.on_their_way > 0
    }

    /// What local sockets do, which is linked where a program makes sockets.
    fn local_calls(&self) -> Result<&'static unix::Calls> {
        self.local.ok_or(Errno::NOTSOCK)
    }

    /// What poll(2) says of an object.
    pub fn readiness(&mut self, waitable: Waitable) -> u32 {
        match waitable {
            Waitable::Pipe(pipe, end) => self.pipe_readiness(pipe, end),
            Waitable::Epoll(epoll) => self.epoll_readiness(epoll),
            Waitable::Counter(counter) => self.counter_readiness(counter),
            Waitable::Timer(timer) => self.timer_readiness(timer),
            Waitable::Unix(socket) => match self.local {
                Some(calls) => (calls.readiness)(self, socket),
                None => 0,
            },
            Waitable::Inet(socket) => self.inet_readiness(socket),
            Waitable::Other(object) => self.other_readiness(object),
        }
    }

    /// Who waits for an object.
    fn queue(&self, waitable: Waitable) -> Queue {
        match waitable {
            Waitable::Pipe(pipe, end) => self.pipe_queue(pipe, end),
            Waitable::Epoll(epoll) => self.epoll_queue(epoll),
            Waitable::Counter(counter) => self.counter_queue(counter),
            Waitable::Timer(timer) => self.timer_queue(timer),
            Waitable::Unix(socket) => self.unix[socket].queue,
            Waitable::Inet(socket) => self.inet_queue(socket),
            Waitable::Other(object) => self.other_queue(object),
        }
    }

    /// Reads what there is now; `EAGAIN`: nothing yet.
    pub fn try_read<H: Host>(
        &mut self,
        host: &H,
        waitable: Waitable,
        to: &mut Scatter<'_>,
    ) -> Result {
        match waitable {
            Waitable::Pipe(pipe, _) => self.read_pipe(host, pipe, to),
            Waitable::Counter(counter) => self.read_counter(host, counter, to),
            Waitable::Timer(timer) => self.read_timer(host, timer, to),
            Waitable::Unix(_) | Waitable::Inet(_) if to.remaining() == 0 => Ok(0),
            Waitable::Unix(socket) => (self.local_calls()?.read)(self, host, socket, to),
            Waitable::Inet(socket) => self.read_inet(host, socket, to, false),
            Waitable::Other(object) => self.read_other(host, object, to),
            Waitable::Epoll(_) => Err(Errno::INVAL),
        }
    }

    /// Writes what fits now; `EAGAIN`: nothing does.
    pub fn try_write<H: Host>(
        &mut self,
        host: &H,
        waitable: Waitable,
        from: &mut Gather<'_>,
    ) -> Result {
        match waitable {
            Waitable::Pipe(pipe, _) => self.write_pipe(host, pipe, from),
            Waitable::Counter(counter) => self.write_counter(host, counter, from),
            Waitable::Unix(socket) => (self.local_calls()?.write)(self, host, socket, from),
            Waitable::Inet(socket) => self.write_inet(host, socket, from),
            Waitable::Other(object) => self.write_other(host, object, from),
            Waitable::Epoll(_) | Waitable::Timer(_) => Err(Errno::INVAL),
        }
    }

    /// Bytes there are to read (`FIONREAD`); `ENOTTY` for objects that do not count them.
    pub fn readable_bytes<H: Host>(&mut self, host: &H, waitable: Waitable) -> Result {
        match waitable {
            Waitable::Pipe(pipe, _) => Ok(self.pipes[pipe].readable_bytes()),
            Waitable::Epoll(_) => Err(Errno::INVAL),
            Waitable::Counter(_) | Waitable::Timer(_) => Err(Errno::NOTTY),
            Waitable::Unix(socket) => (self.local_calls()?.bytes)(self, socket),
            Waitable::Inet(socket) => self.inet_bytes(host, socket),
            Waitable::Other(object) => self.other_bytes(object),
        }
    }

    /// The last descriptor of an object is closed: calls that wait on it begin again (and find the
    /// descriptor gone), epoll instances forget it, and its memory is freed.
    pub fn release<H: Host>(&mut self, host: &H, waitable: Waitable) {
        let queue = self.queue(waitable);
        let mut walk = self.waiters.walk(queue);
        while let Some((waiter, _)) = self.waiters.step(&mut walk) {
            match waiter {
                Waiter::Thread(thread) => host.wake(thread),
                Waiter::Item { epoll, item } => self.epoll_forget(epoll, item),
                Waiter::Nobody => {}
            }
        }
        self.waiters.detach(queue);
        match waitable {
            Waitable::Pipe(pipe, end) => self.close_pipe(host, pipe, end),
            Waitable::Epoll(epoll) => self.close_epoll(epoll),
            Waitable::Counter(counter) => self.close_counter(counter),
            Waitable::Timer(timer) => self.close_timer(timer),
            Waitable::Unix(socket) => {
                if let Some(calls) = self.local {
                    (calls.close)(self, host, socket);
                }
            }
            Waitable::Inet(socket) => self.close_inet(socket),
            Waitable::Other(object) => self.close_other(host, object),
        }
    }

    /// Something changed: tells everybody in `queue` who waits for any of `events`.
    fn notify<H: Host + ?Sized>(&mut self, host: &H, queue: Queue, events: u32) {
        let mut walk = self.waiters.walk(queue);
        while let Some((waiter, wanted)) = self.waiters.step(&mut walk) {
            if wanted & events == 0 {
                continue;
            }
            match waiter {
                Waiter::Thread(thread) => host.wake(thread),
                Waiter::Item { epoll, item } => self.epoll_arrived(host, epoll, item),
                Waiter::Nobody => {}
            }
        }
    }
}

/// What may end the sleep of an idle image besides its threads' deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The first time at which something happens by itself, on the monotonic clock.
    pub deadline_ns: Option<u64>,
    /// Devices that may have news (bits `WAIT_*`).
    pub events: u64,
}

impl Waitable {
    /// Its name in reports.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Pipe(..) => "pipe",
            Self::Epoll(_) => "epoll",
            Self::Counter(_) => "eventfd",
            Self::Timer(_) => "timerfd",
            Self::Unix(_) => "local socket",
            Self::Inet(_) => "socket",
            Self::Other(_) => "object",
        }
    }

    /// File type bits of its inode.
    fn file_type(self) -> u32 {
        match self {
            Self::Pipe(..) => S_IFIFO,
            Self::Epoll(_) | Self::Counter(_) | Self::Timer(_) | Self::Other(_) => 0,
            Self::Unix(_) | Self::Inet(_) => S_IFSOCK,
        }
    }

    /// Whether socket calls are for it.
    fn is_socket(self) -> bool {
        matches!(self, Self::Unix(_) | Self::Inet(_))
    }

    /// Whether it can be read or written at all.
    pub fn transfers(self) -> bool {
        !matches!(self, Self::Epoll(_) | Self::Other(_))
    }
}

impl Objects {
    /// Whether bytes flow: a transfer may go on where another one stopped.
    fn is_stream(&self, waitable: Waitable) -> bool {
        match waitable {
            Waitable::Pipe(..) => true,
            Waitable::Unix(socket) => self.unix[socket].sort == Sort::Stream,
            Waitable::Inet(socket) => socket.is_stream(),
            Waitable::Epoll(_) | Waitable::Counter(_) | Waitable::Timer(_) => false,
            Waitable::Other(object) => self.is_other_stream(object),
        }
    }
}

impl<H: Host> Files<H> {
    /// The object behind a descriptor that calls can wait on, if it is one.
    pub(crate) fn waitable(&self, descriptor: usize) -> Result<Option<Waitable>> {
        match self.descriptors.get(descriptor)?.object {
            Object::Waitable(waitable) => Ok(Some(waitable)),
            _ => Ok(None),
        }
    }

    /// Opens the lowest closed descriptor on a new object, with an inode of its own. Releases the
    /// object when that fails.
    pub(crate) fn open_waitable(&mut self, waitable: Waitable, flags: u32) -> Result {
        let opened = self.new_inode(waitable).and_then(|inode| {
            let opened = self.open_on(waitable, inode, flags);
            if opened.is_err() {
                self.inodes.collect(inode);
            }
            opened
        });
        if opened.is_err() {
            self.objects.release(&self.host, waitable);
        }
        opened
    }

    fn new_inode(&mut self, waitable: Waitable) -> Result<InodeId> {
        let mode = if waitable.is_socket() { 0o777 } else { 0o600 };
        let file_type = match waitable {
            Waitable::Other(object) => self.objects.other_file_type(object),
            _ => waitable.file_type(),
        };
        let now = self.now();
        self.inodes
            .create(Kind::Anonymous(file_type), mode, now)
            .map_err(|_| Errno::NOMEM)
    }

    fn open_on(&mut self, waitable: Waitable, inode: InodeId, flags: u32) -> Result {
        let descriptor = self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        self.inodes[inode].references += 1;
        self.descriptors.open(
            descriptor,
            Object::Waitable(waitable),
            inode,
            flags & !O_CLOEXEC,
            flags & O_CLOEXEC != 0,
        );
        Ok(descriptor)
    }

    /// `pipe`, `pipe2`
    pub(crate) fn pipe(&mut self, guest: Guest, address: usize, flags: u32) -> Result {
        if flags & !(O_NONBLOCK | O_CLOEXEC | O_DIRECT) != 0 {
            return Err(Errno::INVAL);
        }
        let pipe = self.objects.new_pipe()?;
        self.objects.set_packets(pipe, flags & O_DIRECT != 0);
        let (reader, writer) = (
            Waitable::Pipe(pipe, End::Read),
            Waitable::Pipe(pipe, End::Write),
        );
        let opened = self.new_inode(reader).and_then(|inode| {
            // Packets are the writer's.
            let first = self.open_on(reader, inode, flags & !O_DIRECT | O_RDONLY);
            if first.is_err() {
                self.inodes.collect(inode);
            }
            Ok((first?, inode))
        });
        let (first, inode) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.objects.release(&self.host, reader);
                self.objects.release(&self.host, writer);
                return Err(error);
            }
        };
        match self.open_on(writer, inode, flags | O_WRONLY) {
            Ok(second) => self.hand_over(guest, address, [first, second]),
            Err(error) => {
                self.objects.release(&self.host, writer);
                self.close(first)?;
                Err(error)
            }
        }
    }

    /// Writes two new descriptors to the caller, or closes them again.
    fn hand_over(&mut self, guest: Guest, address: usize, pair: [usize; 2]) -> Result {
        let written = guest.write(address, pair.map(|descriptor| descriptor as u32));
        if let Err(error) = written {
            self.close(pair[0])?;
            self.close(pair[1])?;
            return Err(error);
        }
        Ok(0)
    }

    /// What poll(2) says of a descriptor.
    pub(crate) fn readiness(&mut self, descriptor: usize) -> Result<u32> {
        match self.descriptors.get(descriptor)?.object {
            Object::Waitable(waitable) => Ok(self.objects.readiness(waitable)),
            Object::Console { .. } => {
                let reads = self.descriptors.get(descriptor)?.readable().is_ok();
                Ok(self.console_readiness(reads))
            }
            Object::Path => Err(Errno::BADF),
            _ => Ok(ALWAYS_READY),
        }
    }

    /// Lets happen what is due by itself at `now_ns`: timers, devices.
    #[inline]
    pub(crate) fn poll(&mut self, now_ns: u64) {
        self.objects.expire_timers(&self.host, now_ns);
        self.objects.poll_network(&self.host, now_ns);
    }

    /// Until when, and for which devices (bits `WAIT_*`), an idle image may sleep.
    pub(crate) fn sources(&mut self) -> Sources {
        let timers = self.objects.timer_deadline();
        let (network, events) = self.objects.net.sources();
        let both = timers
            .zip(network)
            .map(|(timer, network)| timer.min(network));
        Sources {
            deadline_ns: both.or(timers).or(network),
            events: events | self.objects.console_events(),
        }
    }

    /// A port that the program listens on though no client can come.
    pub(crate) fn unheard_port(&mut self) -> Option<u16> {
        self.objects.net.unheard_port()
    }

    /// Closes all connections; what their peers have yet to acknowledge, in bytes. For the image's end.
    pub(crate) fn close_connections(&mut self) -> usize {
        self.objects.net.close_all();
        self.objects.net.unacknowledged()
    }

    /// What peers have yet to acknowledge, in bytes.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.objects.net.unacknowledged()
    }

    /// The monitor says that these events (bits `WAIT_*`) may have come.
    pub(crate) fn arrived(&mut self, events: u64) {
        if events & WAIT_CONSOLE != 0 {
            self.objects.console_arrived(&self.host);
        }
    }
}
