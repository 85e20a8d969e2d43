//! Closing: orderly, or with a reset when data is lost; and the acknowledgements for connections
//! that are only a TIME_WAIT record.

use super::{Role, Tcp};
use crate::device::Transmit;
use crate::engine::Engine;
use crate::link::{Link, Links, Path};
use crate::packet::{ETHERNET_BYTES, Flow};
use crate::slab::SocketId;
use crate::waiting::Numbers;
use crate::{Error, Result};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

impl Engine {
    /// `close` of a TCP socket: the handle becomes invalid. A connection continues by itself until
    /// both sides agree that it has ended.
    pub(crate) fn close_tcp(&mut self, id: SocketId, links: &mut Links<'_>) -> Result<()> {
        let slot = self.sockets.slot(id)?;
        let now = self.now;
        if let Some(socket) = self.sockets.get_mut(slot) {
            socket.held = false;
        }
        // An explicitly bound port is free again; the flow remains.
        self.ports.remove(slot);
        let tcp = self.tcp(id)?;
        let abort = tcp.options.linger == Some(0);
        tcp.options.cork = false;
        match &mut tcp.role {
            Role::Idle | Role::Over => self.remove(slot),
            Role::Listener(_) => {
                self.stop_listening(id, links)?;
                self.remove(slot);
            }
            Role::Connection(connection) => {
                connection.since = now;
                connection.write_closed = true;
                if abort {
                    connection.socket().abort();
                } else if !connection.peek().can_recv() {
                    connection.end();
                }
                // Unread data causes a reset (RFC 2525, 2.17), which `follow` sends when
                // the last reply has arrived.
                self.serve(slot, links);
            }
        }
        Ok(())
    }

    /// Resets every connection that was not accepted. The socket no longer listens.
    pub(crate) fn stop_listening(&mut self, id: SocketId, links: &mut Links<'_>) -> Result<()> {
        self.ports.remove(self.sockets.slot(id)?);
        let role = core::mem::replace(&mut self.tcp(id)?.role, Role::Over);
        let Role::Listener(mut listener) = role else {
            return Err(Error::Invalid);
        };
        for queue in [&mut listener.established, &mut listener.half_open] {
            while let Some(waiting) = queue.pop() {
                let Ok(slot) = self.sockets.slot(waiting) else {
                    continue;
                };
                if let Ok(connection) = self.tcp(waiting).and_then(|tcp| tcp.connection())
                    && connection.listener == Some(id)
                {
                    connection.listener = None;
                    connection.socket().abort();
                    self.serve(slot, links);
                }
            }
        }
        self.report(id.slot);
        Ok(())
    }
}

impl Tcp {
    /// See [`crate::Stack::unacknowledged`].
    pub(crate) fn unacknowledged(&self) -> usize {
        let Role::Connection(connection) = &self.role else {
            return 0;
        };
        let socket = connection.peek();
        match (connection.path, socket.state()) {
            (Path::Local, _) => 0,
            (
                Path::Wire,
                State::Established
                | State::CloseWait
                | State::FinWait1
                | State::Closing
                | State::LastAck,
            ) => socket.send_queue() + connection.surplus.bytes() + 1,
            (Path::Wire, _) => 0,
        }
    }
}

/// Answers `frame`, a segment of a connection that is only a TIME_WAIT
/// record, with an acknowledgement.
pub(crate) fn acknowledge(
    link: &Link,
    out: &mut dyn Transmit,
    frame: &[u8],
    flow: &Flow,
    numbers: Numbers,
) {
    if !out.ready() {
        return;
    }
    let tcp = TcpRepr {
        src_port: flow.local.port,
        dst_port: flow.remote.port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(numbers.send_next as i32),
        ack_number: Some(TcpSeqNumber(numbers.receive_next as i32)),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (source, destination) = (flow.local.addr, flow.remote.addr);
    let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let header_bytes = link.header_bytes;
    let bytes = header_bytes + ip.buffer_len();
    out.send(bytes, None, &mut |reply| {
        if header_bytes == ETHERNET_BYTES {
            // Swap the addresses; the classification has checked the length of `frame`.
            reply[..6].copy_from_slice(&frame[6..12]);
            reply[6..12].copy_from_slice(&frame[..6]);
            reply[12..14].copy_from_slice(&frame[12..14]);
        }
        let checksums = ChecksumCapabilities::default();
        let packet = &mut reply[header_bytes..];
        ip.emit(&mut *packet, &checksums);
        let mut segment = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        tcp.emit(&mut segment, &source, &destination, &checksums);
    });
}
