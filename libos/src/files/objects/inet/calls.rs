//! The socket calls of this family, behind `socket` in the folder above: that file reads
//! arguments and waits, this one says what happens. Owns nothing.

use super::super::vector::{Gather, Scatter};
use super::super::{Errno, Files, Guest, Host, Objects, Result, Waitable};
use super::address::{Address, family, parse};
use super::{Handle, errno};
use crate::platform;
use crate::stats;
use crate::time;
use bespoke_abi::hypercall::WAIT_NET;
use bespoke_abi::stats::BootPoint;
use bespoke_net::{Error, IpEndpoint};
use linux_raw_sys::general::{O_NONBLOCK, O_RDWR, POLLOUT};
use linux_raw_sys::net::{AF_UNSPEC, MSG_MORE, SOCK_DGRAM, SOCK_STREAM};

const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
/// How long `connect` and `sendto` wait for an address from DHCP that is not there yet.
const DHCP_LIMIT_NS: u64 = 5_000_000_000;
/// How long one wait of these may be.
const DHCP_STEP_NS: u64 = 10_000_000;

/// What a read from a datagram socket learnt besides the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    endpoint: IpEndpoint,
    v6: bool,
    truncated: bool,
}

impl Source {
    /// Whether the datagram was longer than the room for it.
    pub fn is_truncated(self) -> bool {
        self.truncated
    }

    /// Writes the address as far as there is room, and its whole length.
    pub fn give(self, guest: Guest, at: usize, length_at: usize) -> Result {
        give(guest, self.endpoint, self.v6, at, length_at)
    }
}

fn give(guest: Guest, endpoint: IpEndpoint, v6: bool, at: usize, length_at: usize) -> Result {
    let room = usize::try_from(guest.read::<i32>(length_at)?).map_err(|_| Errno::INVAL)?;
    let address = Address::new(endpoint, v6);
    let address = address.bytes();
    let bytes = address.len().min(room);
    guest
        .bytes_mut(at, bytes)?
        .copy_from_slice(&address[..bytes]);
    guest.write(length_at, address.len() as u32)?;
    Ok(0)
}

impl Objects {
    /// Reads a datagram; see [`Objects::inet_source`].
    pub(super) fn read_datagram<H: Host>(
        &mut self,
        host: &H,
        number: u32,
        to: &mut Scatter<'_>,
        peek: bool,
    ) -> Result {
        let mut copied = 0;
        let (stack, id) = self.net.socket(number)?;
        let mut result = stack.receive_from_with(id, peek, &mut |data| {
            copied = to.put(data);
            copied
        });
        if result == Err(Error::WouldBlock) {
            self.poll_inet(host, host.monotonic_ns());
            let (stack, id) = self.net.socket(number)?;
            result = stack.receive_from_with(id, peek, &mut |data| {
                copied = to.put(data);
                copied
            });
        }
        let (whole, endpoint) = result.map_err(errno)?;
        let socket = &mut self.net.sockets[number];
        socket.source = Some(Source {
            endpoint,
            v6: socket.v6,
            truncated: whole > copied,
        });
        Ok(copied)
    }

    /// Where the datagram came from that was read last; `None` for streams.
    pub fn inet_source(&mut self, handle: Handle) -> Option<Source> {
        self.net.sockets[handle.number].source.take()
    }

    /// Says of the transfer that follows whether the rest of its packet comes later.
    pub fn set_inet_more(&mut self, handle: Handle, flags: u32) {
        self.net.sockets[handle.number].more = flags & MSG_MORE != 0;
    }

    /// `SO_RCVTIMEO` (0) or `SO_SNDTIMEO` (1) in nanoseconds.
    pub fn inet_timeout_ns(&mut self, handle: Handle, side: usize) -> &mut u64 {
        &mut self.net.sockets[handle.number].timeouts_ns[side]
    }
}

impl<H: Host> Files<H> {
    /// `socket` of this family.
    pub(in super::super) fn socket_inet(
        &mut self,
        v6: bool,
        kind: u32,
        protocol: u32,
        flags: u32,
    ) -> Result {
        let stream = match (kind, protocol) {
            (SOCK_STREAM, 0 | IPPROTO_TCP) => true,
            (SOCK_DGRAM, 0 | IPPROTO_UDP) => false,
            (SOCK_STREAM | SOCK_DGRAM, _) => return Err(Errno::PROTONOSUPPORT),
            _ => return Err(Errno::SOCKTNOSUPPORT),
        };
        let handle = self.objects.new_inet(&self.host, v6, stream)?;
        self.open_waitable(Waitable::Inet(handle), flags | O_RDWR)
    }

    /// `bind`
    pub(in super::super) fn bind_inet(&mut self, handle: Handle, address: &[u8]) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let name = parse(address, v6)?;
        let (stack, id) = self.objects.net.socket(handle.number)?;
        stack.bind(id, name).map_err(errno)?;
        Ok(0)
    }

    /// `listen`
    pub(in super::super) fn listen_inet(&mut self, handle: Handle, backlog: usize) -> Result {
        let (stack, id) = self.objects.net.socket(handle.number)?;
        stack.listen(id, backlog).map_err(errno)?;
        let page = stats();
        if page.boot[BootPoint::Ready as usize].get() == 0 {
            page.stamp(BootPoint::Ready, time::tsc());
        }
        Ok(0)
    }

    /// `connect`
    pub(in super::super) fn connect_inet(
        &mut self,
        descriptor: usize,
        handle: Handle,
        address: &[u8],
    ) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        if !handle.stream && family(address)? == AF_UNSPEC {
            let (stack, id) = self.objects.net.socket(handle.number)?;
            return stack.disconnect(id).map(|()| 0).map_err(errno);
        }
        let remote = parse(address, v6)?;
        self.await_address();
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let result = stack.connect(id, remote);
        let timeout = self.objects.net.sockets[handle.number].timeouts_ns[1];
        let socket = &mut self.objects.net.sockets[handle.number];
        let began = socket.connecting;
        match result {
            Err(Error::InProgress) => {
                if self.descriptors.get(descriptor)?.flags & O_NONBLOCK != 0 {
                    return Err(errno(Error::InProgress));
                }
                socket.connecting = true;
                self.set_timeout(timeout);
                self.would_block(descriptor, POLLOUT, 0, false)
            }
            // The call of before, made again: not there yet, or there.
            Err(Error::Already) if began => match self.would_block(descriptor, POLLOUT, 0, false) {
                Err(Errno::AGAIN) => Err(errno(Error::InProgress)),
                other => other,
            },
            Err(Error::IsConnected) if began => {
                socket.connecting = false;
                Ok(0)
            }
            result => {
                socket.connecting = false;
                result.map(|()| 0).map_err(errno)
            }
        }
    }

    /// Waits until DHCP has told this machine's address, for a while, if it has not yet. The whole
    /// image waits: this happens once, right after the start.
    pub(super) fn await_address(&mut self) {
        let begin = self.host.monotonic_ns();
        loop {
            let Some(stack) = self.objects.net.stack.as_deref_mut() else {
                return;
            };
            let now = self.host.monotonic_ns();
            if !stack.is_configuring() || now - begin > DHCP_LIMIT_NS {
                return;
            }
            stack.poll(now);
            if stack.is_configuring() && !stack.prepare_to_sleep() {
                platform::wait(DHCP_STEP_NS, WAIT_NET);
            }
        }
    }

    /// `accept`: the new socket.
    pub(in super::super) fn accept_inet(&mut self, handle: Handle) -> Result<Waitable> {
        let accepted = self.objects.accept_inet(&self.host, handle)?;
        Ok(Waitable::Inet(accepted))
    }

    /// `shutdown`
    pub(in super::super) fn shutdown_inet(
        &mut self,
        handle: Handle,
        input: bool,
        output: bool,
    ) -> Result {
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let result = stack.shutdown(id, input, output);
        // Waiters on this very socket learn of it at once.
        self.objects.poll_inet(&self.host, self.host.monotonic_ns());
        result.map(|()| 0).map_err(errno)
    }

    /// `getsockname` and `getpeername`
    pub(in super::super) fn name_inet(
        &mut self,
        guest: Guest,
        handle: Handle,
        peer: bool,
        at: usize,
        length_at: usize,
    ) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let (stack, id) = self.objects.net.socket(handle.number)?;
        let name = if peer {
            stack.peer_name(id)
        } else {
            stack.local_name(id)
        };
        give(guest, name.map_err(errno)?, v6, at, length_at)
    }

    /// `sendto` and `sendmsg` of a datagram with an address.
    pub(in super::super) fn send_inet_to(
        &mut self,
        descriptor: usize,
        handle: Handle,
        from: &mut Gather<'_>,
        no_wait: bool,
        target: &[u8],
    ) -> Result {
        let v6 = self.objects.net.sockets[handle.number].v6;
        let to = parse(target, v6)?;
        self.await_address();
        let bytes = from.remaining();
        let (stack, id) = self.objects.net.socket(handle.number)?;
        match stack.send_to_with(id, bytes, to, &mut |room| from.take(room)) {
            Err(Error::WouldBlock) => self.would_block(descriptor, POLLOUT, 0, no_wait),
            result => result.map_err(errno),
        }
    }
}
