//! Local sockets (unix(7)): pairs, listeners in the file system or under abstract names. What is special about datagrams and
//! sequenced packets is in `packets`, descriptors that are passed in `rights`.
//!
//! Owns both ends and the data each has received. A connection that nobody accepted yet is a
//! socket in its listener's list. Must never keep a peer's number beyond that peer's life.

use super::kept::Kept;
use super::packets::{Record, Sort};
use super::pages::PageQueue;
use super::vector::{Gather, Scatter};
use super::waiters::Queue;
use super::{Errno, Host, Objects, Result};
use crate::files::inode::InodeId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDBAND, POLLRDHUP, POLLRDNORM, POLLWRBAND,
    POLLWRNORM,
};
use linux_raw_sys::net::{SO_PASSCRED, SOL_SOCKET};

/// Bytes a socket holds for its reader (Linux's default send buffer).
pub(crate) const BUFFER_BYTES: usize = 212_992;
/// A socket can be written to while no more than this part of the buffer is used, as on Linux.
pub(super) const WRITABLE_PART: usize = 4;
/// Connections that wait to be accepted, at most (`somaxconn`).
pub(crate) const MAX_BACKLOG: usize = 4096;
pub(super) const READABLE: u32 = POLLIN | POLLRDNORM;
/// A listener has room for another connection: of interest to those who wait in `connect` alone, on a queue of their own in
/// Linux. No bit of poll(2) or epoll(7).
pub(super) const ROOM: u32 = 1 << 27;
pub(super) const WRITABLE: u32 = POLLOUT | POLLWRNORM | POLLWRBAND;
/// All that a change of state may make true.
pub(super) const EVERYTHING: u32 =
    READABLE | WRITABLE | POLLRDBAND | POLLPRI | POLLERR | POLLHUP | POLLRDHUP;

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// New.
    Unconnected,
    /// Waiting for connections, at most so many.
    Listening(usize),
    /// Connected to another socket.
    Connected(u32),
    /// Was connected; the other side is gone.
    Left,
}

/// A socket.
pub(crate) struct Unix {
    pub sort: Sort,
    pub queue: Queue,
    pub state: State,
    pub(super) incoming: PageQueue,
    /// How the bytes that came are divided: of packets all, of streams what comes with descriptors.
    pub(super) records: VecDeque<Record>,
    /// What this socket's packets take of its send buffer until they are received.
    pub(super) charged: usize,
    /// It was made by `socketpair`.
    pub is_pair: bool,
    /// It is the listener's side of a connection, whose name it tells.
    pub is_accepted: bool,
    /// Connections to accept.
    pub(super) pending: VecDeque<u32>,
    /// Reading, and writing, have been shut down by either side.
    pub(super) no_more_in: bool,
    pub(super) no_more_out: bool,
    pub(super) error: Option<Errno>,
    /// `sun_path` as it was bound, with its NUL; empty: none.
    pub name: Vec<u8>,
    /// The name of the other side after that is gone.
    pub(super) left_name: Vec<u8>,
    /// The file it is bound to.
    pub file: Option<InodeId>,
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` in nanoseconds; 0: none.
    pub timeouts_ns: [u64; 2],
    /// Options that change nothing.
    pub kept: Kept,
    /// Half of what `SO_SNDBUF` and `SO_RCVBUF` tell, where they were set. The first is how much a peer holds for its
    /// reader.
    pub buffer_bytes: [Option<usize>; 2],
}

/// What common code does with local sockets. It reaches them through here alone, so that images without sockets have nothing
/// of this file.
pub(super) struct Calls {
    pub read: fn(&mut Objects, &dyn Host, u32, &mut Scatter<'_>) -> Result,
    pub write: fn(&mut Objects, &dyn Host, u32, &mut Gather<'_>) -> Result,
    pub readiness: fn(&Objects, u32) -> u32,
    pub bytes: fn(&Objects, u32) -> Result,
    pub close: fn(&mut Objects, &dyn Host, u32),
    /// Whether nothing will come any more and that is no end of a stream.
    pub is_shut: fn(&Objects, u32) -> bool,
    /// Who is told, with [`ROOM`], that a message to the peer may find room.
    pub room: fn(&Objects, u32) -> Queue,
}

static CALLS: Calls = Calls {
    read: |objects, host, socket, to| {
        let read = objects.read_unix(host, socket, to, false);
        objects.forget_received();
        read
    },
    write: Objects::write_unix,
    readiness: Objects::unix_readiness,
    bytes: Objects::unix_bytes,
    close: Objects::close_unix,
    is_shut: |objects, socket| {
        let state = &objects.unix[socket];
        state.sort == Sort::Datagram && state.no_more_in
    },
    room: |objects, socket| objects.packet_queue(socket, None),
};

pub(super) fn copied(name: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(name.len())
        .map_err(|_| Errno::NOMEM)?;
    copy.extend_from_slice(name);
    Ok(copy)
}

impl Objects {
    /// A new socket.
    pub fn new_unix(&mut self, sort: Sort) -> Result<u32> {
        let queue = self.waiters.queue()?;
        self.local = Some(&CALLS);
        self.unix.insert(Unix {
            sort,
            queue,
            state: State::Unconnected,
            incoming: PageQueue::new(),
            records: VecDeque::new(),
            charged: 0,
            is_pair: false,
            is_accepted: false,
            pending: VecDeque::new(),
            no_more_in: false,
            no_more_out: false,
            error: None,
            name: Vec::new(),
            left_name: Vec::new(),
            file: None,
            timeouts_ns: [0; 2],
            kept: Kept::new(),
            buffer_bytes: [None; 2],
        })
    }

    /// Two sockets connected to each other.
    pub fn new_unix_pair(&mut self, host: &dyn Host, sort: Sort) -> Result<[u32; 2]> {
        let first = self.new_unix(sort)?;
        match self.new_unix(sort) {
            Ok(second) => {
                for (own, peer) in [(first, second), (second, first)] {
                    self.unix[own].state = State::Connected(peer);
                    self.unix[own].is_pair = true;
                }
                Ok([first, second])
            }
            Err(error) => {
                self.close_unix(host, first);
                Err(error)
            }
        }
    }

    pub(super) fn unix_peer(&self, socket: u32) -> Option<u32> {
        match self.unix[socket].state {
            State::Connected(peer) => Some(peer),
            _ => None,
        }
    }

    /// Gives the socket the abstract or path name `name`; `file` is what the path leads to.
    pub fn bind_unix(&mut self, socket: u32, name: &[u8], file: Option<InodeId>) -> Result<()> {
        let name = copied(name)?;
        let state = &mut self.unix[socket];
        (state.name, state.file) = (name, file);
        Ok(())
    }

    /// The socket bound to an abstract name, which each sort has names of its own of. O(sockets).
    pub fn find_abstract(&self, name: &[u8], sort: Sort) -> Option<u32> {
        self.unix.indices().find(|&index| {
            let socket = &self.unix[index];
            // A connection has its listener's name, and does not own it.
            socket.file.is_none()
                && socket.sort == sort
                && !socket.is_accepted
                && socket.name == name
        })
    }

    /// Lets a bound socket take up to `backlog` connections that nobody accepted yet.
    pub fn listen_unix(&mut self, host: &dyn Host, socket: u32, backlog: usize) -> Result {
        let state = &mut self.unix[socket];
        match state.state {
            _ if matches!(state.sort, Sort::Datagram | Sort::Netlink) => Err(Errno::OPNOTSUPP),
            State::Unconnected | State::Listening(_) if !state.name.is_empty() => {
                state.state = State::Listening(backlog);
                let queue = state.queue;
                self.notify(host, queue, ROOM);
                Ok(0)
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// Connects to a listener; `EAGAIN` while it has no room, and its queue then tells when.
    pub fn connect_unix(&mut self, host: &dyn Host, socket: u32, listener: u32) -> Result {
        let State::Listening(backlog) = self.unix[listener].state else {
            return Err(Errno::CONNREFUSED);
        };
        let target = &self.unix[listener];
        if target.no_more_in {
            return Err(Errno::CONNREFUSED);
        }
        if target.pending.len() > backlog {
            return Err(Errno::AGAIN);
        }
        match self.unix[socket].state {
            State::Connected(_) | State::Left => return Err(Errno::ISCONN),
            State::Listening(_) => return Err(Errno::INVAL),
            State::Unconnected => {}
        }
        let target = &mut self.unix[listener];
        target.pending.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        let name = copied(&target.name)?;
        let other = self.new_unix(self.unix[listener].sort)?;
        let passes = self.unix[listener].passes_credentials();
        if passes {
            self.unix[other].kept.keep(SOL_SOCKET, SO_PASSCRED, 1)?;
        }
        self.unix[other].name = name;
        self.unix[other].is_accepted = true;
        self.unix[other].state = State::Connected(socket);
        self.unix[socket].state = State::Connected(other);
        let target = &mut self.unix[listener];
        target.pending.push_back(other);
        let (listening, own) = (target.queue, self.unix[socket].queue);
        self.notify(host, listening, READABLE);
        self.notify(host, own, WRITABLE);
        Ok(0)
    }

    /// Takes the oldest connection; `EAGAIN`: there is none.
    pub fn accept_unix(&mut self, host: &dyn Host, socket: u32, waits: bool) -> Result<u32> {
        let state = &mut self.unix[socket];
        if matches!(state.sort, Sort::Datagram | Sort::Netlink) {
            return Err(Errno::OPNOTSUPP);
        }
        if !matches!(state.state, State::Listening(_)) {
            return Err(Errno::INVAL);
        }
        let Some(accepted) = state.pending.pop_front() else {
            // Nobody can connect any more. Linux tells so only those that would wait.
            let ended = state.no_more_in && waits;
            return Err(if ended { Errno::INVAL } else { Errno::AGAIN });
        };
        let queue = state.queue;
        self.notify(host, queue, ROOM);
        Ok(accepted)
    }

    /// Reads what there is; 0: no more will come; `EAGAIN`: nothing yet.
    pub fn read_unix(
        &mut self,
        host: &dyn Host,
        socket: u32,
        to: &mut Scatter<'_>,
        peek: bool,
    ) -> Result {
        let state = &mut self.unix[socket];
        if state.sort != Sort::Stream {
            return self.read_packet(host, socket, to, peek);
        }
        match state.state {
            State::Connected(_) | State::Left => {}
            _ => return Err(Errno::INVAL),
        }
        if state.incoming.bytes() == 0 {
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            return if state.no_more_in {
                Ok(0)
            } else {
                Err(Errno::AGAIN)
            };
        }
        let limit = state
            .records
            .front()
            .map_or(usize::MAX, Record::stream_limit);
        let done = if peek {
            state.incoming.peek(to, limit)
        } else {
            state.incoming.read(&self.pages, to, limit)
        };
        if limit != usize::MAX {
            self.pass_record(socket, done, peek)?;
        }
        if peek {
            return Ok(done);
        }
        let state = &self.unix[socket];
        let left = state.incoming.bytes();
        if let Some(peer) = self.unix_peer(socket)
            && left * WRITABLE_PART <= self.unix[peer].send_limit()
        {
            let queue = self.unix[peer].queue;
            self.notify(host, queue, WRITABLE);
        }
        Ok(done)
    }

    /// Writes what fits; `EAGAIN`: nothing does.
    pub fn write_unix(&mut self, host: &dyn Host, socket: u32, from: &mut Gather<'_>) -> Result {
        let state = &self.unix[socket];
        if state.sort != Sort::Stream {
            return self.send_packet(host, socket, None, from);
        }
        let peer = match state.state {
            State::Connected(peer) if !state.no_more_out => peer,
            State::Connected(_) | State::Left => return Err(Errno::PIPE),
            State::Unconnected | State::Listening(_) => return Err(Errno::NOTCONN),
        };
        let limit = state.send_limit();
        let target = &mut self.unix[peer];
        if target.no_more_in {
            return Err(Errno::PIPE);
        }
        let (mut done, before) = (0, target.incoming.bytes());
        if self.passing.is_some() {
            target.records.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        }
        while from.remaining() > 0 && target.incoming.bytes() < limit {
            done += target.incoming.fill_last(from, usize::MAX);
            if from.remaining() == 0 {
                break;
            }
            match target.incoming.append(&self.pages, from) {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if done == 0 && from.remaining() > 0 {
            return Err(Errno::AGAIN);
        }
        if done > 0 {
            let queue = target.queue;
            if let Some(passing) = self.passing.take() {
                target.append_record(passing, before, done);
            }
            self.notify(host, queue, READABLE | POLLPRI | POLLRDBAND);
        }
        Ok(done)
    }

    /// `shutdown`: `input` and `output` of this side.
    pub fn shutdown_unix(&mut self, host: &dyn Host, socket: u32, input: bool, output: bool) {
        let state = &mut self.unix[socket];
        state.no_more_in |= input;
        state.no_more_out |= output;
        let queue = state.queue;
        if self.unix[socket].sort != Sort::Datagram
            && let Some(peer) = self.unix_peer(socket)
        {
            let other = &mut self.unix[peer];
            other.no_more_in |= output;
            other.no_more_out |= input;
            let queue = other.queue;
            self.notify(host, queue, EVERYTHING);
        }
        self.notify(host, queue, EVERYTHING);
    }

    /// What poll(2) says.
    pub fn unix_readiness(&self, socket: u32) -> u32 {
        let state = &self.unix[socket];
        if matches!(state.sort, Sort::Datagram | Sort::Netlink) {
            return self.datagram_readiness(socket);
        }
        let mut ready = 0;
        if state.error.is_some() {
            ready |= POLLERR;
        }
        if state.no_more_in && state.no_more_out || state.state == State::Unconnected {
            ready |= POLLHUP;
        }
        if state.no_more_in {
            ready |= POLLRDHUP | READABLE;
        }
        if state.incoming.bytes() > 0 || !state.pending.is_empty() || !state.records.is_empty() {
            ready |= READABLE;
        }
        let room = match state.state {
            State::Listening(_) => false,
            _ if state.sort == Sort::Packets => state.charged * WRITABLE_PART <= state.send_limit(),
            State::Connected(peer) => {
                self.unix[peer].incoming.bytes() * WRITABLE_PART <= state.send_limit()
            }
            State::Unconnected | State::Left => true,
        };
        if room {
            ready |= WRITABLE;
        }
        ready
    }

    /// Bytes to read (`FIONREAD`).
    pub fn unix_bytes(&self, socket: u32) -> Result {
        match self.unix[socket].state {
            State::Listening(_) => Err(Errno::INVAL),
            _ if self.unix[socket].sort == Sort::Datagram => Ok(self.unix[socket]
                .records
                .front()
                .map_or(0, |first| first.bytes)),
            _ => Ok(self.unix[socket].incoming.bytes()),
        }
    }

    /// The name of the other side, empty if it has none.
    pub fn unix_peer_name(&self, socket: u32) -> Result<&[u8]> {
        match self.unix[socket].state {
            State::Connected(peer) => Ok(&self.unix[peer].name),
            State::Left => Ok(&self.unix[socket].left_name),
            State::Unconnected | State::Listening(_) => Err(Errno::NOTCONN),
        }
    }

    /// Takes the pending error (`SO_ERROR`).
    pub fn take_unix_error(&mut self, socket: u32) -> Option<Errno> {
        self.unix[socket].error.take()
    }

    /// The last descriptor is closed, or a connection is dropped that nobody accepted.
    pub fn close_unix(&mut self, host: &dyn Host, socket: u32) {
        let Some(mut state) = self.unix.remove(socket) else {
            return;
        };
        self.forget_sender(host, socket, &mut state);
        if let State::Connected(peer) = state.state
            && state.sort != Sort::Datagram
        {
            let other = &mut self.unix[peer];
            other.state = State::Left;
            other.left_name = core::mem::take(&mut state.name);
            (other.no_more_in, other.no_more_out) = (true, true);
            if state.incoming.bytes() > 0 || !state.records.is_empty() {
                other.error = Some(Errno::CONNRESET);
            }
            let queue = other.queue;
            self.notify(host, queue, EVERYTHING);
        }
        for embryo in state.pending.drain(..) {
            if let Some(client) = self.unix_peer(embryo) {
                self.unix[client].error = Some(Errno::CONNRESET);
            }
            self.close_unix(host, embryo);
        }
        state.incoming.release(&self.pages);
        self.waiters.remove_queue(state.queue);
    }
}

impl Unix {
    /// Bytes of this socket's that its peer may hold for its reader.
    pub(super) fn send_limit(&self) -> usize {
        self.buffer_bytes[0].map_or(BUFFER_BYTES, |half| 2 * half)
    }

    /// Whether it is to be told who sends (`SO_PASSCRED`).
    pub(super) fn passes_credentials(&self) -> bool {
        self.kept.is_on(SOL_SOCKET, SO_PASSCRED)
    }
}
