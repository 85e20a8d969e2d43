//! Internet sockets: what the file system's objects and the network stack need of each other.
//!
//! Owns the stack, made at the first socket, so that a program that makes none never pays for
//! it, and an object a socket. Must never wait; the stack does not either.
//!
//! | file | decides |
//! |---|---|
//! | `device` | which device carries the frames |
//! | `memory` | where the stack's memory comes from |
//! | `address` | `sockaddr` in and out |
//! | `files` | `/etc/hosts`, `/etc/resolv.conf` |
//! | `interfaces` | what `ioctl` tells of interfaces |
//! | `netlink` | the same by netlink |
//! | `options` | `setsockopt`, `getsockopt` |
//! | `calls` | the socket calls of this family |

mod address;
mod calls;
mod device;
mod files;
mod interfaces;
mod memory;
mod netlink;
mod options;

use super::kept::Kept;
use super::slab::Slab;
use super::vector::{Gather, Scatter};
use super::waiters::Queue;
use super::{Errno, Host, Objects, Result};
use crate::report;
use alloc::vec::Vec;
use allocator_api2::boxed::Box;
use bespoke_abi::devices::{NET_DHCP, NET_RELAYED, NetInfo};
use bespoke_abi::hypercall::WAIT_NET;
use bespoke_net::{
    Configuration, Error, Ipv4Address, Ipv4Configuration, Ipv6Address, Ipv6Configuration, SocketId,
    Stack, ready,
};
pub(super) use calls::{OwnAddress, Source};
use device::AnyDevice;
use linux_raw_sys::general::{POLLRDNORM, POLLWRBAND, POLLWRNORM};
use memory::{MEMORY, NetMemory};

/// The share of memory that socket buffers may take.
const BUDGET_PART: u64 = 8;
/// The least they may take however small the image is.
const LEAST_BUDGET_BYTES: u64 = 256 << 10;

/// Names a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    number: u32,
    stream: bool,
}

impl Handle {
    /// Whether bytes flow, or datagrams come and go whole.
    pub fn is_stream(self) -> bool {
        self.stream
    }
}

/// A socket.
struct Inet {
    id: SocketId,
    queue: Queue,
    v6: bool,
    /// A `connect` that waits has begun.
    connecting: bool,
    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` in nanoseconds; 0: none.
    timeouts_ns: [u64; 2],
    /// The rest of the packet being written comes later (`MSG_MORE`).
    more: bool,
    /// Options that change nothing.
    kept: Kept,
    /// Where the last datagram came from.
    source: Option<Source>,
}

/// All Internet sockets.
pub(crate) struct Network {
    stack: Option<Box<Stack<AnyDevice>, NetMemory>>,
    sockets: Slab<Inet>,
    /// Objects by the stack's numbers.
    objects: Vec<u32>,
    /// Frames were left in the device.
    more: bool,
    has_device: bool,
    /// See [`Network::unheard_port`].
    told_unheard: bool,
    /// That connections are refused was told.
    told_full: bool,
    /// The resolver's file waits for DHCP.
    fills_resolver: bool,
    /// The name server that is in the resolver's file.
    told: Option<Ipv4Address>,
}

/// What the stack says, as the file system says it.
fn errno(error: Error) -> Errno {
    Errno::from_answer(-(error.number() as isize))
}

/// Readiness in poll(2)'s terms.
fn poll_bits(mask: u32) -> u32 {
    let read = if mask & ready::IN != 0 { POLLRDNORM } else { 0 };
    let write = if mask & ready::OUT != 0 {
        POLLWRNORM
    } else {
        0
    };
    mask | read | write
}

impl Network {
    /// No sockets, and no stack yet.
    pub const fn new() -> Self {
        Self {
            stack: None,
            sockets: Slab::new(),
            objects: Vec::new(),
            more: false,
            has_device: false,
            told_unheard: false,
            told_full: false,
            fills_resolver: false,
            told: None,
        }
    }

    /// The stack, made when there is none yet.
    fn stack<H: Host>(&mut self, host: &H) -> Result<&mut Stack<AnyDevice>> {
        if self.stack.is_none() {
            let mut seed = [0; 8];
            host.random(&mut seed);
            let info = host.network();
            let budget = host.memory().total_pages * bespoke_abi::PAGE_BYTES as u64 / BUDGET_PART;
            let configuration = Configuration {
                ipv4: ipv4(&info),
                ipv6: ipv6(&info),
                relayed: info.flags & NET_RELAYED != 0,
                serves_all: false,
                budget_bytes: budget.max(LEAST_BUDGET_BYTES) as usize,
                seed: u64::from_ne_bytes(seed),
            };
            let device = AnyDevice::open(&info).map_err(errno)?;
            self.has_device = device.is_some();
            let stack = Stack::new(device, &configuration, MEMORY).map_err(errno)?;
            let mut stack = Box::try_new_in(stack, NetMemory).map_err(|_| Errno::NOMEM)?;
            // The first poll starts the device, and DHCP: at the first wait, for `listen` needs neither.
            stack.set_clock(host.monotonic_ns());
            self.more = true;
            self.stack = Some(stack);
        }
        self.stack.as_deref_mut().ok_or(Errno::NOMEM)
    }

    /// The stack and one of its sockets, which proves that there is a stack.
    fn socket(&mut self, number: u32) -> Result<(&mut Stack<AnyDevice>, SocketId)> {
        let id = self.sockets[number].id;
        let stack = self.stack.as_deref_mut().ok_or(Errno::NOMEM)?;
        Ok((stack, id))
    }

    /// Remembers which object a socket of the stack is.
    fn remember(&mut self, id: SocketId, number: u32) -> Result<()> {
        let index = id.index();
        if index >= self.objects.len() {
            let more = index + 1 - self.objects.len();
            self.objects.try_reserve(more).map_err(|_| Errno::NOMEM)?;
            self.objects.resize(index + 1, u32::MAX);
        }
        self.objects[index] = number;
        Ok(())
    }

    /// Closes every socket, as the kernel does for a process that ends. Afterwards the sockets serve
    /// [`Network::unacknowledged`] and nothing else.
    pub fn close_all(&mut self) {
        let Some(stack) = self.stack.as_deref_mut() else {
            return;
        };
        for number in self.sockets.indices() {
            // The handle is good: it is given up only here.
            let _ = stack.close(self.sockets[number].id);
        }
    }

    /// What peers have yet to acknowledge, in bytes.
    pub fn unacknowledged(&self) -> usize {
        let stack = self.stack.as_deref();
        stack.map_or(0, |stack| stack.unacknowledged())
    }

    /// A TCP port that the program listens on though there is no device by which clients could come; answered once.
    pub fn unheard_port(&mut self) -> Option<u16> {
        if self.has_device || core::mem::replace(&mut self.told_unheard, true) {
            return None;
        }
        self.stack.as_deref()?.listening_port()
    }

    /// When the stack wants to be polled, and whether frames may end a sleep.
    pub fn sources(&mut self) -> (Option<u64>, u64) {
        let Some(stack) = self.stack.as_deref_mut() else {
            return (None, 0);
        };
        let events = if self.has_device { WAIT_NET } else { 0 };
        if self.more || stack.prepare_to_sleep() {
            return (Some(0), events);
        }
        (stack.next_deadline(), events)
    }
}

/// Says once that clients are refused, and what would help.
#[cold]
fn tell_of_full_buffers(sockets: usize) {
    report::console(format_args!(
        "bespoke: a connection was refused: with {sockets} sockets their buffers have the eighth of the image's memory \
         that they may take; -m with more memory holds more"
    ));
}

fn ipv4(info: &NetInfo) -> Ipv4Configuration {
    let some = |octets: [u8; 4]| (octets != [0; 4]).then(|| Ipv4Address::from(octets));
    if info.flags & NET_DHCP != 0 {
        return Ipv4Configuration::Dhcp;
    }
    match some(info.address4) {
        None => Ipv4Configuration::None,
        Some(address) => Ipv4Configuration::Static {
            address,
            prefix_bits: info.prefix4,
            gateway: some(info.gateway4),
            name_server: some(info.name_server4),
        },
    }
}

fn ipv6(info: &NetInfo) -> Option<Ipv6Configuration> {
    let some = |octets: [u8; 16]| (octets != [0; 16]).then(|| Ipv6Address::from(octets));
    Some(Ipv6Configuration {
        address: some(info.address6)?,
        prefix_bits: info.prefix6,
        gateway: some(info.gateway6),
    })
}

impl Objects {
    /// A new socket.
    pub fn new_inet<H: Host>(&mut self, host: &H, v6: bool, stream: bool) -> Result<Handle> {
        let stack = self.net.stack(host)?;
        let id = if stream {
            stack.stream(v6)
        } else {
            stack.datagram(v6)
        };
        self.adopt_inet(id.map_err(errno)?, v6, stream, Kept::new())
    }

    /// An object for a socket of the stack, which is closed when there is no memory for one.
    fn adopt_inet(&mut self, id: SocketId, v6: bool, stream: bool, kept: Kept) -> Result<Handle> {
        let adopted = self.waiters.queue().and_then(|queue| {
            let socket = Inet {
                id,
                queue,
                v6,
                connecting: false,
                timeouts_ns: [0; 2],
                more: false,
                kept,
                source: None,
            };
            let number = self.net.sockets.insert(socket).inspect_err(|_| {
                self.waiters.remove_queue(queue);
            })?;
            let remembered = self.net.remember(id, number);
            if let Err(error) = remembered {
                self.net.sockets.remove(number);
                self.waiters.remove_queue(queue);
                return Err(error);
            }
            Ok(Handle { number, stream })
        });
        if adopted.is_err()
            && let Some(stack) = self.net.stack.as_deref_mut()
        {
            // The error to tell is the first one.
            let _ = stack.close(id);
        }
        adopted
    }

    /// Takes the oldest connection of a listener; `EAGAIN`: there is none.
    pub fn accept_inet<H: Host>(&mut self, host: &H, listener: Handle) -> Result<Handle> {
        let number = listener.number;
        let (stack, id) = self.net.socket(number)?;
        let mut accepted = stack.accept(id);
        if accepted == Err(Error::WouldBlock) {
            // Frames that have come since the last look may complete a handshake.
            self.poll_inet(host, host.monotonic_ns());
            let (stack, id) = self.net.socket(number)?;
            accepted = stack.accept(id);
        }
        let accepted = accepted.map_err(errno)?;
        let listener = &self.net.sockets[number];
        let (v6, kept) = (listener.v6, listener.kept.inherited());
        match kept {
            Ok(kept) => self.adopt_inet(accepted, v6, true, kept),
            Err(error) => {
                let (stack, _) = self.net.socket(number)?;
                stack.close(accepted).map_err(errno)?;
                Err(error)
            }
        }
    }

    /// Reads what there is; 0: no more will come; `EAGAIN`: nothing yet.
    pub fn read_inet<H: Host>(
        &mut self,
        host: &H,
        Handle { number, stream }: Handle,
        to: &mut Scatter<'_>,
        peek: bool,
    ) -> Result {
        if !stream {
            return self.read_datagram(host, number, to, peek);
        }
        let wanted = to.remaining();
        let (stack, id) = self.net.socket(number)?;
        let mut result = stack.receive_with(id, wanted, peek, &mut |data| to.put(data));
        if result == Err(Error::WouldBlock) {
            self.poll_inet(host, host.monotonic_ns());
            let (stack, id) = self.net.socket(number)?;
            result = stack.receive_with(id, wanted, peek, &mut |data| to.put(data));
        }
        result.map_err(errno)
    }

    /// Writes what fits; `EAGAIN`: nothing does.
    pub fn write_inet<H: Host>(
        &mut self,
        host: &H,
        Handle { number, .. }: Handle,
        from: &mut Gather<'_>,
    ) -> Result {
        let more = core::mem::take(&mut self.net.sockets[number].more);
        let bytes = from.remaining();
        let (stack, id) = self.net.socket(number)?;
        let result = stack.send_with(id, bytes, more, &mut |room| from.take(room));
        if result == Err(Error::WouldBlock) {
            self.poll_inet(host, host.monotonic_ns());
            let (stack, id) = self.net.socket(number)?;
            let bytes = from.remaining();
            let again = stack.send_with(id, bytes, more, &mut |room| from.take(room));
            return again.map_err(errno);
        }
        result.map_err(errno)
    }

    /// What poll(2) says of a socket.
    pub fn inet_readiness(&mut self, handle: Handle) -> u32 {
        let id = self.net.sockets[handle.number].id;
        let stack = self.net.stack.as_deref_mut();
        let ready = stack.map(|stack| stack.readiness(id));
        let bits = poll_bits(ready.and_then(core::result::Result::ok).unwrap_or(0));
        // Linux says this of datagrams alone.
        if bits & POLLWRNORM != 0 && !handle.stream {
            bits | POLLWRBAND
        } else {
            bits
        }
    }

    /// Whether a socket of datagrams was shut down for reading.
    pub fn inet_is_shut(&mut self, handle: Handle) -> bool {
        let id = self.net.sockets[handle.number].id;
        let stack = self.net.stack.as_deref_mut();
        !handle.stream && stack.is_some_and(|stack| stack.is_shut(id))
    }

    /// Who waits for a socket.
    pub fn inet_queue(&self, handle: Handle) -> Queue {
        self.net.sockets[handle.number].queue
    }

    /// Bytes to read (`FIONREAD`).
    pub fn inet_bytes<H: Host>(&mut self, host: &H, handle: Handle) -> Result {
        // What has come since the last look counts, too.
        self.poll_inet(host, host.monotonic_ns());
        let (stack, id) = self.net.socket(handle.number)?;
        if stack.is_listening(id).map_err(errno)? {
            return Err(Errno::INVAL);
        }
        stack.readable_bytes(id).map_err(errno)
    }

    /// Bytes that peers have not acknowledged (`SIOCOUTQ`).
    pub fn inet_unsent(&mut self, handle: Handle) -> Result {
        let (stack, id) = self.net.socket(handle.number)?;
        if stack.is_listening(id).map_err(errno)? {
            return Err(Errno::INVAL);
        }
        stack.unsent_bytes(id).map_err(errno)
    }

    /// The last descriptor is closed; a connection ends by itself.
    pub fn close_inet(&mut self, handle: Handle) {
        let Some(socket) = self.net.sockets.remove(handle.number) else {
            return;
        };
        self.net.objects[socket.id.index()] = u32::MAX;
        if let Some(stack) = self.net.stack.as_deref_mut() {
            // The handle is good: it is given up only here.
            let _ = stack.close(socket.id);
        }
        self.waiters.remove_queue(socket.queue);
    }

    /// Lets the network go on, and tells its changes.
    #[inline]
    pub fn poll_network<H: Host>(&mut self, host: &H, now_ns: u64) {
        if self.net.stack.is_some() {
            self.poll_inet(host, now_ns);
        }
    }

    fn poll_inet<H: Host>(&mut self, host: &H, now_ns: u64) {
        if let Some(stack) = self.net.stack.as_deref_mut() {
            self.net.more = stack.poll(now_ns);
            if let Some(sockets) = stack.take_lack_of_memory()
                && !core::mem::replace(&mut self.net.told_full, true)
            {
                tell_of_full_buffers(sockets);
            }
        }
        while let Some(change) = self
            .net
            .stack
            .as_deref_mut()
            .and_then(|stack| stack.take_change())
        {
            let number = self.net.objects.get(change.socket.index()).copied();
            if let Some(number) = number.filter(|number| *number != u32::MAX) {
                let queue = self.net.sockets[number].queue;
                self.notify(host, queue, poll_bits(change.ready));
            }
        }
    }
}
