//! The calls of [`Stack`] that move data.

use crate::Result;
use crate::device::Device;
use crate::link::Links;
use crate::slab::SocketId;
use crate::stack::{Stack, parts};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// How long it is.
    pub bytes: usize,
    /// Who sent it.
    pub from: IpEndpoint,
    /// The address it was sent to.
    pub to: IpAddress,
    /// It comes from this machine.
    pub by_loopback: bool,
}

impl<D: Device> Stack<D> {
    /// Sends up to `bytes` bytes; of a stream as much as there is room for. `fill` writes them to
    /// the start of the room it is given, possibly more than once, and says how many. `more`: the
    /// rest of a packet follows.
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

    /// Sends a datagram of `bytes` bytes, which `fill` writes: to `to`, else to the peer; from the address `from` of
    /// this machine, else from the one that suits.
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

    /// Receives up to `wanted` bytes of a stream, 0 at its end; `put` takes from the start of what it
    /// is given, possibly more than once, and says how much.
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

    /// Receives a datagram, given to `put` as a whole.
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

    /// Receives from a stream or a datagram into a slice; what of a datagram does not fit is lost.
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

    /// [`Stack::receive_from_with`] into a slice: bytes copied, bytes the datagram had, who sent it.
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

/// Copies as much as fits to the start of `room`, and passes it by.
fn take(rest: &mut &[u8], room: &mut [u8]) -> usize {
    let bytes = rest.len().min(room.len());
    let (now, later) = rest.split_at(bytes);
    room[..bytes].copy_from_slice(now);
    *rest = later;
    bytes
}
