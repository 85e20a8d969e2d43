//! The calls of [`Stack`] that move data.

use crate::Result;
use crate::device::Device;
use crate::link::Links;
use crate::slab::SocketId;
use crate::stack::{Stack, parts};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// A received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its length.
    pub bytes: usize,
    /// Its sender.
    pub from: IpEndpoint,
    /// Its destination address.
    pub to: IpAddress,
    /// It was sent over loopback.
    pub by_loopback: bool,
}

impl<D: Device> Stack<D> {
    /// Sends up to `bytes` bytes; for a stream, as many as there is room for.
    /// `fill` writes them to the start of the given room, possibly in several calls, and returns
    /// how many. `more`: the rest of a packet follows.
    pub fn send_with(
        &mut self,
        id: SocketId,
        bytes: usize,
        more: bool,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize> {
        let stream = self.is_stream(id)?;
        let (engine, mut links) = parts!(self);
        if stream {
            engine.send(id, bytes, more, fill, &mut links)
        } else {
            engine.send_to(id, bytes, None, None, fill, &mut links)
        }
    }

    /// Sends a datagram of `bytes` bytes, which `fill` writes. It goes to
    /// `to`, or to the peer by default.
    /// It comes from the local address `from`, or from a suitable one by default.
    pub fn send_to_with(
        &mut self,
        id: SocketId,
        bytes: usize,
        to: Option<IpEndpoint>,
        from: Option<IpAddress>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize> {
        let (engine, mut links) = parts!(self);
        engine.send_to(id, bytes, to, from, fill, &mut links)
    }

    /// Receives up to `wanted` bytes of a stream; returns 0 at its end.
    /// `put` takes bytes from the start of the given slice, possibly in
    /// several calls, and returns how many.
    pub fn receive_with(
        &mut self,
        id: SocketId,
        wanted: usize,
        peek: bool,
        put: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize> {
        let (engine, mut links) = parts!(self);
        engine.receive(id, wanted, peek, put, &mut links)
    }

    /// Receives a datagram and passes it to `put` as a whole.
    pub fn receive_from_with(
        &mut self,
        id: SocketId,
        peek: bool,
        put: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<Datagram> {
        let (engine, links) = parts!(self);
        let (bytes, from, to) = engine.receive_from(id, peek, put)?;
        Ok(Datagram {
            bytes,
            from,
            to: to.unwrap_or(from.addr),
            by_loopback: links.is_own(from.addr),
        })
    }

    /// [`Stack::send_with`] from a slice.
    pub fn send(&mut self, id: SocketId, data: &[u8], more: bool) -> Result<usize> {
        let mut rest = data;
        self.send_with(id, data.len(), more, &mut |room| take(&mut rest, room))
    }

    /// [`Stack::send_to_with`] from a slice.
    pub fn send_to(&mut self, id: SocketId, data: &[u8], to: IpEndpoint) -> Result<usize> {
        let mut rest = data;
        self.send_to_with(id, data.len(), Some(to), None, &mut |room| {
            take(&mut rest, room)
        })
    }

    /// Receives from a stream or a datagram into a slice. The part of a
    /// datagram that does not fit is lost.
    pub fn receive(&mut self, id: SocketId, buffer: &mut [u8], peek: bool) -> Result<usize> {
        if !self.is_stream(id)? {
            return Ok(self.receive_from(id, buffer, peek)?.0);
        }
        let mut used = 0;
        self.receive_with(id, buffer.len(), peek, &mut |mut data| {
            let taken = take(&mut data, &mut buffer[used..]);
            used += taken;
            taken
        })
    }

    /// [`Stack::receive_from_with`] into a slice: returns bytes copied,
    /// length of the datagram, and sender.
    pub fn receive_from(
        &mut self,
        id: SocketId,
        buffer: &mut [u8],
        peek: bool,
    ) -> Result<(usize, usize, IpEndpoint)> {
        let mut copied = 0;
        let datagram = self.receive_from_with(id, peek, &mut |mut data| {
            copied = take(&mut data, buffer);
            copied
        })?;
        Ok((copied, datagram.bytes, datagram.from))
    }
}

/// Copies as much as fits to the start of `room`, and advances `rest`.
fn take(rest: &mut &[u8], room: &mut [u8]) -> usize {
    let bytes = rest.len().min(room.len());
    let (now, later) = rest.split_at(bytes);
    room[..bytes].copy_from_slice(now);
    *rest = later;
    bytes
}
