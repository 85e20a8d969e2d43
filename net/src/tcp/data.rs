//! Sending, receiving and half closing.

use super::{Connection, Role, Tcp};
use crate::engine::Engine;
use crate::link::Links;
use crate::options::TcpInfo;
use crate::slab::SocketId;
use crate::{Error, Result};
use smoltcp::socket::tcp::State;

impl Tcp {
    /// Takes as much of `bytes` bytes as there is room for.
    /// `fill` writes to the start of the given room and returns how much. Returns
    /// [`Error::WouldBlock`] when there is no room.
    fn queue(
        &mut self,
        bytes: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        now: smoltcp::time::Instant,
    ) -> Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let connection = match &mut self.role {
            Role::Connection(connection) => connection,
            Role::Idle | Role::Listener(_) | Role::Over => return Err(Error::BrokenPipe),
        };
        if matches!(connection.state, State::SynSent | State::SynReceived) {
            connection.wants_room = true;
            return Err(Error::WouldBlock);
        }
        if connection.write_closed || !connection.peek().may_send() {
            return Err(Error::BrokenPipe);
        }
        if connection.peek().send_queue() == 0 {
            connection.active = now;
        }
        let mut queued = 0;
        // The surplus is sent first.
        while queued < bytes && connection.surplus.is_empty() && connection.peek().can_send() {
            let filled = connection.socket().send(|room| {
                let filled = fill(room).min(room.len());
                (filled, filled)
            });
            match filled {
                Ok(filled) if filled > 0 => queued += filled,
                _ => break,
            }
        }
        // A caller that asked for room before still gets its report, although this write fits.
        connection.wants_room |= queued < bytes;
        // A writer may also have less than it said.
        let is_full = !connection.surplus.is_empty() || !connection.peek().can_send();
        connection.surplus.refused = queued < bytes && is_full;
        if queued == 0 && bytes > 0 {
            return Err(Error::WouldBlock);
        }
        Ok(queued)
    }

    /// Passes available data to `put`, which returns how much it took.
    /// Returns 0 at the end of the stream.
    fn take(
        &mut self,
        wanted: usize,
        put: &mut dyn FnMut(&[u8]) -> usize,
        peek: bool,
    ) -> Result<usize> {
        let connection = match &mut self.role {
            Role::Connection(connection) => connection,
            Role::Idle | Role::Listener(_) => return Err(Error::NotConnected),
            Role::Over => return self.error.take().map_or(Ok(0), Err),
        };
        if matches!(connection.state, State::SynSent | State::SynReceived) {
            return Err(Error::WouldBlock);
        }
        // Data that arrives after `SHUT_RD` can be read, as on Linux.
        if wanted > 0 && connection.peek().can_recv() {
            return Ok(connection.take(put, peek));
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let ended = connection.peer_closed
            || connection.read_closed
            || connection.peek().state() == State::Closed;
        if ended || wanted == 0 {
            return Ok(0);
        }
        Err(Error::WouldBlock)
    }

    /// See [`Connection::takes_surplus`].
    fn takes_surplus(&self) -> bool {
        matches!(&self.role, Role::Connection(connection) if connection.takes_surplus())
    }

    /// The values for `TCP_INFO`, `FIONREAD` and `SIOCOUTQ`.
    pub(crate) fn info(&self) -> TcpInfo {
        let (state, send_queue, receive_queue) = match &self.role {
            Role::Idle | Role::Over => (State::Closed, 0, 0),
            Role::Listener(_) => (State::Listen, 0, 0),
            Role::Connection(connection) => {
                let socket = connection.peek();
                let unsent = socket.send_queue() + connection.surplus.bytes();
                (socket.state(), unsent, socket.recv_queue())
            }
        };
        let state = match state {
            State::Established => 1,
            State::SynSent => 2,
            State::SynReceived => 3,
            State::FinWait1 => 4,
            State::FinWait2 => 5,
            State::TimeWait => 6,
            State::Closed => 7,
            State::CloseWait => 8,
            State::LastAck => 9,
            State::Listen => 10,
            State::Closing => 11,
        };
        let (segment_bytes, room) = match &self.role {
            Role::Connection(connection) => {
                let capacity = connection.peek().send_capacity();
                (connection.segment_bytes, capacity)
            }
            _ => (super::LEAST_SEGMENT_BYTES, 0),
        };
        TcpInfo {
            state,
            send_queue,
            receive_queue,
            segment_bytes,
            window_segments: (room / segment_bytes).max(1),
        }
    }
}

impl Connection {
    fn take(&mut self, put: &mut dyn FnMut(&[u8]) -> usize, peek: bool) -> usize {
        let queued = self.peek().recv_queue();
        let socket = self.socket();
        if peek {
            // The first contiguous part is enough to peek at.
            return socket.peek(queued).map_or(0, put);
        }
        let mut taken = 0;
        // Two contiguous parts at most: the buffer is a ring.
        while socket.can_recv() {
            let mut whole = false;
            let run = socket.recv(|data| {
                let run = put(data).min(data.len());
                whole = run == data.len();
                (run, run)
            });
            taken += run.unwrap_or(0);
            if !whole {
                break;
            }
        }
        self.seen = self.peek().recv_queue();
        taken
    }
}

impl Engine {
    /// `send`: queued data leaves at once, as far as the peer and the device
    /// have room, unless `more` follows.
    pub(crate) fn send(
        &mut self,
        id: SocketId,
        bytes: usize,
        more: bool,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        links: &mut Links<'_>,
    ) -> Result<usize> {
        let now = self.now;
        let slot = self.sockets.slot(id)?;
        let mut sent = match self.tcp(id)?.queue(bytes, fill, now) {
            Err(Error::WouldBlock) if self.tcp(id)?.takes_surplus() => 0,
            sent => sent?,
        };
        if sent < bytes && self.tcp(id)?.takes_surplus() {
            sent += self.take_surplus(id, bytes - sent, fill)?;
            let connection = self.tcp(id)?.connection()?;
            connection.surplus.refused = sent < bytes && !connection.takes_surplus();
            if sent == 0 {
                return Err(Error::WouldBlock);
            }
        }
        if more && sent == bytes {
            self.touch(slot);
        } else {
            self.serve(slot, links);
        }
        Ok(sent)
    }

    /// `recv`.
    pub(crate) fn receive(
        &mut self,
        id: SocketId,
        wanted: usize,
        peek: bool,
        put: &mut dyn FnMut(&[u8]) -> usize,
        links: &mut Links<'_>,
    ) -> Result<usize> {
        let slot = self.sockets.slot(id)?;
        let tcp = self.tcp(id)?;
        let taken = tcp.take(wanted, put, peek)?;
        // A nearly closed window is reopened at once.
        if !peek
            && taken > 0
            && let Ok(connection) = tcp.connection()
        {
            let socket = connection.peek();
            let before = socket.recv_capacity() - socket.recv_queue() - taken;
            if before * 2 <= socket.recv_capacity() {
                self.serve(slot, links);
            }
        }
        Ok(taken)
    }

    /// `shutdown`.
    pub(crate) fn shutdown(
        &mut self,
        id: SocketId,
        read: bool,
        write: bool,
        links: &mut Links<'_>,
    ) -> Result<()> {
        let slot = self.sockets.slot(id)?;
        let tcp = self.tcp(id)?;
        tcp.options.cork = false;
        let connection = match &mut tcp.role {
            Role::Connection(connection)
                if !matches!(
                    connection.state,
                    State::SynSent | State::Closed | State::TimeWait
                ) =>
            {
                connection
            }
            Role::Listener(_) if read => {
                // Wakes threads that wait in `accept`.
                self.stop_listening(id, links)?;
                return Ok(());
            }
            Role::Listener(_) => return Ok(()),
            _ => return Err(Error::NotConnected),
        };
        connection.read_closed |= read;
        if write && !connection.write_closed {
            connection.write_closed = true;
            connection.end();
            connection.since = connection.active;
        }
        self.report(slot);
        self.serve(slot, links);
        Ok(())
    }
}
