//! Data that a program writes to a peer that has closed its side, beyond the send buffer.
//!
//! Some servers treat a peer that has sent FIN as gone (nginx does when it waits
//! for room), and cut the reply short.
//! Linux's send buffers grow to megabytes, so few replies wait there. Here they are small.
//! So data that does not fit is stored while the peer can send nothing more, until the send buffer
//! has room. No other connection needs that memory for long.

use super::{Connection, Role};
use crate::engine::Engine;
use crate::memory::{Bytes, Memory, Vec};
use crate::slab::SocketId;
use crate::{Error, Result};
use smoltcp::socket::tcp::State;

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// Most pieces of a connection: as many as fit into Linux's largest send buffer.
const MOST_PIECES: usize = 64;

struct Piece {
    bytes: Bytes,
    start: usize,
    end: usize,
}

/// See the module.
pub(crate) struct Surplus {
    pieces: Vec<Piece>,
    /// The stream ends after these bytes.
    pub ends: bool,
    /// The last write did not fit: the writer must come back.
    pub refused: bool,
}

impl Surplus {
    /// Makes an empty surplus.
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            pieces: Vec::new_in(memory),
            ends: false,
            refused: false,
        }
    }

    /// Whether it is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns its length in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let pieces = self.pieces.iter();
        pieces.map(|piece| piece.end - piece.start).sum()
    }

    /// Whether it accepts more.
    fn has_room(&self) -> bool {
        self.pieces.len() < MOST_PIECES
    }
}

impl Connection {
    /// Whether data that does not fit into the send buffer is stored here.
    pub(crate) fn takes_surplus(&self) -> bool {
        self.state == State::CloseWait && !self.write_closed && self.surplus.has_room()
    }

    /// Moves as much as fits into the send buffer.
    #[cold]
    pub(crate) fn refill(&mut self) {
        while let Some(piece) = self.surplus.pieces.first_mut() {
            let socket = self
                .set
                .get_mut::<smoltcp::socket::tcp::Socket<'static>>(self.handle);
            if !socket.may_send() {
                // No peer will receive it.
                self.surplus.pieces.clear();
                break;
            }
            let sent = socket.send_slice(&piece.bytes[piece.start..piece.end]);
            piece.start += sent.unwrap_or(0);
            if piece.start < piece.end {
                return;
            }
            self.surplus.pieces.remove(0);
        }
        if core::mem::take(&mut self.surplus.ends) {
            self.socket().close();
        }
    }

    /// Ends this side's stream, after everything that was written.
    pub(crate) fn end(&mut self) {
        if self.surplus.is_empty() {
            self.socket().close();
        } else {
            self.surplus.ends = true;
        }
    }
}

impl Engine {
    /// Takes along as much of `bytes` bytes as there is memory for, from `fill`; 0 when the connection does not take any.
    #[cold]
    pub(crate) fn take_surplus(
        &mut self,
        id: SocketId,
        bytes: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize> {
        let mut taken = 0;
        while taken < bytes {
            let memory = self.memory;
            let tcp = self.tcp(id)?;
            let Role::Connection(connection) = &mut tcp.role else {
                return Ok(taken);
            };
            if let Some(last) = connection.surplus.pieces.last_mut()
                && last.end < PIECE_BYTES
            {
                let filled = fill(&mut last.bytes[last.end..]);
                last.end += filled;
                taken += filled;
                if filled == 0 {
                    break;
                }
                continue;
            }
            if !connection.takes_surplus() || !self.budget.take_spare(PIECE_BYTES) {
                break;
            }
            let add = |connection: &mut Connection| -> Result<()> {
                let pieces = &mut connection.surplus.pieces;
                pieces.try_reserve(1).map_err(|_| Error::NoMemory)?;
                let bytes = Bytes::new(PIECE_BYTES, memory)?;
                let (start, end) = (0, 0);
                pieces.push(Piece { bytes, start, end });
                // Given back when the connection ends, which is soon.
                connection.buffer_bytes += PIECE_BYTES;
                Ok(())
            };
            let connection = self.tcp(id)?.connection()?;
            if add(connection).is_err() {
                self.budget.give(PIECE_BYTES);
                break;
            }
        }
        Ok(taken)
    }
}
