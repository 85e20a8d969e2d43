//! The socket calls, whatever the family: arguments, waiting, addresses. What a family does is in
//! its own file (`unix`), options are in `options`. Owns nothing.
//!
//! Over 400 lines: the calls share how they find a socket, wait for it and name it.
//! A further family adds an arm to each `match` on [`Waitable`] below and to [`Files::socket`].

use super::control::Room;
use super::inet::{OwnAddress, Source};
use super::packets::{Received, Sort};
use super::stream::Manner;
use super::unix::{MAX_BACKLOG, ROOM, State};
use super::vector::{Gather, Scatter};
use super::{Errno, Files, Guest, Host, Result, Waitable};
use crate::files::descriptors::Object;
use crate::files::directory::Name;
use crate::files::inode::Kind;
use crate::files::transfer::MAX_VECTOR;
use bespoke_abi::boot::Span;
use core::mem::offset_of;
use linux_raw_sys::general::*;
use linux_raw_sys::net::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, AF_UNSPEC, MSG_CMSG_CLOEXEC, MSG_DONTWAIT,
    MSG_ERRQUEUE, MSG_MORE, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SOCK_DGRAM,
    SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM, msghdr,
};

/// `SOCK_NONBLOCK`, `SOCK_CLOEXEC`.
const KIND_FLAGS: u32 = O_NONBLOCK | O_CLOEXEC;
/// Types of sockets there may be.
const SOCKET_TYPES: u32 = 11;
/// Bytes of a `sockaddr_storage`, the longest address there is.
const MAX_ADDRESS: usize = 128;
/// Bytes before `sun_path`.
const FAMILY_BYTES: usize = 2;
/// Bytes of a `sockaddr_un`.
const UNIX_ADDRESS: usize = 110;
/// When a receiver need not wait.
const READABLE: u32 = POLLIN | POLLHUP | POLLERR;
/// Sends data with the SYN (<linux/socket.h>).
const MSG_FASTOPEN: u32 = 0x2000_0000;

/// The path of a `sockaddr_un`: without the NUL for one in the file system, whole for an abstract
/// name, empty for none.
fn unix_path(address: &[u8]) -> Result<&[u8]> {
    if address.len() < FAMILY_BYTES || address.len() > UNIX_ADDRESS {
        return Err(Errno::INVAL);
    }
    let (family, path) = address.split_at(FAMILY_BYTES);
    if u32::from(u16::from_ne_bytes([family[0], family[1]])) != AF_UNIX {
        return Err(Errno::INVAL);
    }
    match path.first() {
        None | Some(0) => Ok(path),
        Some(_) => Ok(path.split(|&byte| byte == 0).next().unwrap_or(path)),
    }
}

impl<H: Host> Files<H> {
    pub(super) fn socket_behind(&self, descriptor: usize) -> Result<Waitable> {
        match self.descriptors.get(descriptor)?.object {
            Object::Waitable(waitable) if waitable.is_socket() => Ok(waitable),
            Object::Path => Err(Errno::BADF),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `socket`
    pub(crate) fn socket(&mut self, family: u32, kind: u32, protocol: u32) -> Result {
        if kind & !(0xf | KIND_FLAGS) != 0 || kind & 0xf >= SOCKET_TYPES {
            return Err(Errno::INVAL);
        }
        let flags = kind & KIND_FLAGS | O_RDWR;
        self.socket_control = Some(Self::control_socket);
        match family {
            AF_UNIX => {
                let socket = self.objects.new_unix(unix_sort(kind, protocol)?)?;
                self.open_waitable(Waitable::Unix(socket), flags)
            }
            AF_NETLINK => self.socket_netlink(kind & 0xf, protocol, flags),
            AF_INET | AF_INET6 => self.socket_inet(family == AF_INET6, kind & 0xf, protocol, flags),
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    /// `socketpair`
    pub(crate) fn socket_pair(
        &mut self,
        guest: Guest,
        family: u32,
        kind: u32,
        protocol: u32,
        address: usize,
    ) -> Result {
        if kind & !(0xf | KIND_FLAGS) != 0 || kind & 0xf >= SOCKET_TYPES {
            return Err(Errno::INVAL);
        }
        if family != AF_UNIX {
            return Err(Errno::AFNOSUPPORT);
        }
        let sort = unix_sort(kind, protocol)?;
        let flags = kind & KIND_FLAGS | O_RDWR;
        self.socket_control = Some(Self::control_socket);
        let [first, second] = self.objects.new_unix_pair(&self.host, sort)?;
        let opened = self.open_waitable(Waitable::Unix(first), flags);
        let Ok(first) = opened else {
            self.objects.release(&self.host, Waitable::Unix(second));
            return opened;
        };
        match self.open_waitable(Waitable::Unix(second), flags) {
            Ok(second) => self.hand_over(guest, address, [first, second]),
            Err(error) => {
                self.close(first)?;
                Err(error)
            }
        }
    }

    /// `bind`
    pub(crate) fn bind(
        &mut self,
        guest: Guest,
        descriptor: usize,
        at: usize,
        bytes: usize,
    ) -> Result {
        let waitable = self.socket_behind(descriptor)?;
        let address = address(guest, at, bytes)?;
        match waitable {
            Waitable::Unix(socket) if self.is_netlink(socket) => netlink_name(address).map(|()| 0),
            Waitable::Unix(socket) => self.bind_unix(socket, unix_path(address)?),
            Waitable::Inet(socket) => self.bind_inet(socket, address),
            _ => Err(Errno::NOTSOCK),
        }
    }

    fn bind_unix(&mut self, socket: u32, path: &[u8]) -> Result {
        let is_bound = !self.objects.unix[socket].name.is_empty();
        match path.first() {
            // Linux looks whether there is room for a file before anything else, and for a name of the socket's own choice
            // not at all.
            None if is_bound => Ok(0),
            Some(0) if is_bound => Err(Errno::INVAL),
            None => self.bind_by_itself(socket),
            Some(0) => self.bind_abstract(socket, path),
            Some(_) => {
                let here = AT_FDCWD as isize as usize;
                let (parent, name) =
                    self.vacant(here, path, false)
                        .map_err(|error| match error {
                            Errno::EXIST => Errno::ADDRINUSE,
                            other => other,
                        })?;
                self.place_socket(socket, parent, name, path)
            }
        }
    }

    /// Binds to a name that nobody has: five digits, from the socket's own number on.
    fn bind_by_itself(&mut self, socket: u32) -> Result {
        for number in socket.. {
            let mut name = *b"\0     ";
            for (place, digit) in name[1..].iter_mut().rev().enumerate() {
                *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
            }
            match self.bind_abstract(socket, &name) {
                Err(Errno::ADDRINUSE) => {}
                bound => return bound,
            }
        }
        Err(Errno::NOSPC)
    }

    /// A socket that tells who it is has a name (`SO_PASSCRED`).
    fn name_itself(&mut self, socket: u32) -> Result<()> {
        let state = &self.objects.unix[socket];
        if state.passes_credentials() && state.name.is_empty() {
            self.bind_by_itself(socket)?;
        }
        Ok(())
    }

    /// The socket of `sort` that an address leads to.
    fn find_unix(&mut self, address: &[u8], sort: Sort) -> Result<u32> {
        let path = unix_path(address)?;
        match path.first() {
            None => Err(Errno::INVAL),
            Some(0) => {
                let found = self.objects.find_abstract(path, sort);
                found.ok_or(Errno::CONNREFUSED)
            }
            Some(_) => {
                let here = AT_FDCWD as isize as usize;
                let inode = self.inodes.lookup(self.base(here, path)?, path, true)?;
                match self.inodes[inode].kind {
                    Kind::Socket(Some(found)) if self.objects.unix[found].sort == sort => Ok(found),
                    Kind::Socket(Some(_)) => Err(Errno::PROTOTYPE),
                    _ => Err(Errno::CONNREFUSED),
                }
            }
        }
    }

    fn bind_abstract(&mut self, socket: u32, name: &[u8]) -> Result {
        let sort = self.objects.unix[socket].sort;
        if self.objects.find_abstract(name, sort).is_some() {
            return Err(Errno::ADDRINUSE);
        }
        self.objects.bind_unix(socket, name, None)?;
        Ok(0)
    }

    fn place_socket(
        &mut self,
        socket: u32,
        parent: crate::files::InodeId,
        name: Name,
        path: &[u8],
    ) -> Result {
        let mut with_nul = [0; UNIX_ADDRESS];
        with_nul[..path.len()].copy_from_slice(path);
        self.objects
            .bind_unix(socket, &with_nul[..path.len() + 1], None)?;
        let mode = 0o777 & !self.umask;
        match self.place(parent, name, Kind::Socket(Some(socket)), mode) {
            Ok(file) => {
                self.inodes[file].references += 1;
                self.objects.unix[socket].file = Some(file);
                Ok(0)
            }
            Err(error) => {
                self.objects.unix[socket].name.clear();
                Err(error)
            }
        }
    }

    /// A socket is about to be closed: its file leads nowhere from now on.
    pub(crate) fn leave_socket_file(&mut self, waitable: Waitable) {
        if let Waitable::Unix(socket) = waitable
            && let Some(file) = self.objects.unix[socket].file.take()
        {
            self.inodes[file].kind = Kind::Socket(None);
            self.inodes.unreference(file);
        }
    }

    /// `listen`
    pub(crate) fn listen(&mut self, descriptor: usize, backlog: usize) -> Result {
        // Negative ones count as very large, as on Linux.
        let backlog = (backlog as u32 as usize).min(MAX_BACKLOG);
        match self.socket_behind(descriptor)? {
            Waitable::Unix(socket) => self.objects.listen_unix(&self.host, socket, backlog),
            Waitable::Inet(socket) => self.listen_inet(socket, backlog),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `connect`
    pub(crate) fn connect(
        &mut self,
        guest: Guest,
        descriptor: usize,
        at: usize,
        bytes: usize,
    ) -> Result {
        let waitable = self.socket_behind(descriptor)?;
        let address = address(guest, at, bytes)?;
        match waitable {
            Waitable::Unix(socket) => {
                let sort = self.objects.unix[socket].sort;
                if sort == Sort::Netlink {
                    return netlink_name(address).map(|()| 0);
                }
                if sort == Sort::Datagram {
                    return self.connect_datagrams(socket, address);
                }
                let listener = self.find_unix(address, sort)?;
                self.name_itself(socket)?;
                match self.objects.connect_unix(&self.host, socket, listener) {
                    Err(Errno::AGAIN) => {
                        self.limit_wait(waitable, 1)?;
                        let queue = self.objects.unix[listener].queue;
                        self.would_block_on(descriptor, queue, ROOM, 0, false)
                    }
                    other => other,
                }
            }
            Waitable::Inet(socket) => self.connect_inet(descriptor, socket, address),
            _ => Err(Errno::NOTSOCK),
        }
    }

    fn is_netlink(&self, socket: u32) -> bool {
        self.objects.unix[socket].sort == Sort::Netlink
    }

    fn connect_datagrams(&mut self, socket: u32, address: &[u8]) -> Result {
        let target = match address {
            [low, high, ..] if u16::from_ne_bytes([*low, *high]) == AF_UNSPEC as u16 => None,
            [_, _, ..] => {
                let target = self.find_unix(address, Sort::Datagram)?;
                self.name_itself(socket)?;
                Some(target)
            }
            _ => return Err(Errno::INVAL),
        };
        self.objects.connect_packets(&self.host, socket, target)
    }

    /// `accept`, `accept4`
    pub(crate) fn accept(
        &mut self,
        guest: Guest,
        descriptor: usize,
        at: usize,
        length_at: usize,
        flags: u32,
    ) -> Result {
        if flags & !KIND_FLAGS != 0 {
            return Err(Errno::INVAL);
        }
        let waitable = self.socket_behind(descriptor)?;
        let waits = self.descriptors.get(descriptor)?.flags & O_NONBLOCK == 0;
        // Whatever may fail comes before the connection is taken.
        self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        let accepted = match waitable {
            Waitable::Unix(socket) => self
                .objects
                .accept_unix(&self.host, socket, waits)
                .map(Waitable::Unix),
            Waitable::Inet(socket) => self.accept_inet(socket),
            _ => return Err(Errno::NOTSOCK),
        };
        match accepted {
            Ok(accepted) => {
                let opened = self.open_waitable(accepted, flags | O_RDWR)?;
                if at != 0 {
                    let named = self.peer_name(guest, opened, at, length_at);
                    if let Err(error) = named {
                        self.close(opened)?;
                        return Err(error);
                    }
                }
                Ok(opened)
            }
            Err(Errno::AGAIN) => {
                self.limit_wait(waitable, 0)?;
                self.would_block(descriptor, POLLIN, 0, false)
            }
            Err(error) => Err(error),
        }
    }

    /// `getsockname`
    pub(crate) fn socket_name(
        &mut self,
        guest: Guest,
        descriptor: usize,
        at: usize,
        length_at: usize,
    ) -> Result {
        match self.socket_behind(descriptor)? {
            Waitable::Unix(socket) if self.is_netlink(socket) => {
                let own = crate::files::PROCESS_ID as u32;
                give(guest, &[AF_NETLINK, own, 0], at, length_at)
            }
            Waitable::Unix(socket) => {
                give_unix(guest, &self.objects.unix[socket].name, at, length_at)
            }
            Waitable::Inet(socket) => self.name_inet(guest, socket, false, at, length_at),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `getpeername`
    pub(crate) fn peer_name(
        &mut self,
        guest: Guest,
        descriptor: usize,
        at: usize,
        length_at: usize,
    ) -> Result {
        match self.socket_behind(descriptor)? {
            // That of the system.
            Waitable::Unix(socket) if self.is_netlink(socket) => {
                give(guest, &[AF_NETLINK, 0, 0], at, length_at)
            }
            Waitable::Unix(socket) => {
                give_unix(guest, self.objects.unix_peer_name(socket)?, at, length_at)
            }
            Waitable::Inet(socket) => self.name_inet(guest, socket, true, at, length_at),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `shutdown`
    pub(crate) fn shutdown(&mut self, descriptor: usize, how: usize) -> Result {
        let waitable = self.socket_behind(descriptor)?;
        let (input, output) = match how as u32 {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => return Err(Errno::INVAL),
        };
        match waitable {
            Waitable::Unix(socket) => {
                self.objects
                    .shutdown_unix(&self.host, socket, input, output);
                Ok(0)
            }
            Waitable::Inet(socket) => self.shutdown_inet(socket, input, output),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// `sendto`, and `sendmsg` behind it: `target` is the address given, empty for none; `own` the one to send from.
    pub(crate) fn send_bytes(
        &mut self,
        descriptor: usize,
        from: &mut Gather<'_>,
        flags: u32,
        target: &[u8],
        own: Option<OwnAddress>,
    ) -> Result {
        let waitable = self.socket_behind(descriptor)?;
        // Urgent data, datagrams in pieces, and data in a SYN do not exist here.
        let is_stream = self.objects.is_stream(waitable);
        let pieces = flags & MSG_MORE != 0 && !is_stream && matches!(waitable, Waitable::Inet(_));
        if flags & (MSG_OOB | MSG_FASTOPEN) != 0 || pieces {
            return Err(Errno::OPNOTSUPP);
        }
        let manner = Manner {
            no_wait: flags & MSG_DONTWAIT != 0,
            no_signal: flags & MSG_NOSIGNAL != 0,
        };
        match waitable {
            Waitable::Unix(socket) if !is_stream => {
                self.send_message_to(descriptor, socket, target, from, manner)
            }
            Waitable::Unix(socket) => {
                if !target.is_empty() {
                    let connected = matches!(self.objects.unix[socket].state, State::Connected(_));
                    return Err(if connected {
                        Errno::ISCONN
                    } else {
                        Errno::OPNOTSUPP
                    });
                }
                self.write_stream(descriptor, waitable, from, manner)
            }
            Waitable::Inet(socket) => {
                if (!target.is_empty() || own.is_some()) && !socket.is_stream() {
                    return self.send_inet_to(
                        descriptor,
                        socket,
                        from,
                        manner.no_wait,
                        (target, own),
                    );
                }
                self.objects.set_inet_more(socket, flags);
                self.write_stream(descriptor, waitable, from, manner)
            }
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// Sends a local datagram or packet.
    fn send_message_to(
        &mut self,
        descriptor: usize,
        socket: u32,
        target: &[u8],
        from: &mut Gather<'_>,
        manner: Manner,
    ) -> Result {
        if self.is_netlink(socket) {
            if !target.is_empty() {
                netlink_name(target)?;
            }
            return self.ask_netlink(socket, from);
        }
        let target = match self.objects.unix[socket].sort {
            Sort::Datagram if !target.is_empty() => Some(self.find_unix(target, Sort::Datagram)?),
            _ => None,
        };
        self.name_itself(socket)?;
        match self.objects.send_packet(&self.host, socket, target, from) {
            Err(Errno::AGAIN) => {
                self.limit_wait(Waitable::Unix(socket), 1)?;
                self.wait_to_send(descriptor, socket, target, manner)
            }
            sent => sent,
        }
    }

    /// `recvfrom`, and `recvmsg` behind it.
    pub(crate) fn receive_bytes(
        &mut self,
        descriptor: usize,
        to: &mut Scatter<'_>,
        flags: u32,
    ) -> Result {
        let waitable = self.socket_behind(descriptor)?;
        let is_stream = self.objects.is_stream(waitable);
        let no_wait = flags & MSG_DONTWAIT != 0;
        match waitable {
            // No errors are kept in a queue of their own, and no urgent data.
            Waitable::Inet(_) if flags & MSG_ERRQUEUE != 0 => return Err(Errno::AGAIN),
            _ if flags & MSG_OOB != 0 && is_stream => return Err(Errno::INVAL),
            Waitable::Unix(_) if flags & MSG_OOB != 0 => return Err(Errno::OPNOTSUPP),
            _ => {}
        }
        if flags & MSG_TRUNC != 0 && matches!(waitable, Waitable::Inet(_)) && is_stream {
            return self.discard(descriptor, waitable, to.remaining(), flags);
        }
        // Even for no bytes TCP waits until there are some.
        if to.remaining() == 0
            && is_stream
            && matches!(waitable, Waitable::Inet(_))
            && self.readiness(descriptor)? & READABLE == 0
        {
            self.limit_wait(waitable, 0)?;
            return self.would_block(descriptor, POLLIN, 0, no_wait);
        }
        let whole = flags & MSG_WAITALL != 0 && is_stream;
        let peek = flags & MSG_PEEK != 0;
        let mut done = core::mem::take(&mut self.objects.attempt.done);
        to.skip(done);
        loop {
            let read = match waitable {
                Waitable::Unix(socket) => self.objects.read_unix(&self.host, socket, to, peek),
                Waitable::Inet(socket) => self.objects.read_inet(&self.host, socket, to, peek),
                _ => Err(Errno::NOTSOCK),
            };
            match read {
                Ok(0) => return Ok(done),
                Ok(count) => done += count,
                Err(Errno::AGAIN) if done == 0 && !is_stream => {
                    return self.wait_to_read(descriptor, waitable, no_wait);
                }
                Err(Errno::AGAIN) if done == 0 || whole => {
                    self.limit_wait(waitable, 0)?;
                    return self.would_block(descriptor, POLLIN, done, no_wait);
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            // What came with bytes ends a read.
            if self.objects.received.is_some() {
                return Ok(done);
            }
            if !whole || peek || to.remaining() == 0 {
                return Ok(done);
            }
        }
    }

    /// `MSG_TRUNC` of a stream of TCP: what would be received is thrown away.
    fn discard(
        &mut self,
        descriptor: usize,
        waitable: Waitable,
        mut wanted: usize,
        flags: u32,
    ) -> Result {
        let peek = flags & MSG_PEEK != 0;
        let mut done = 0;
        let mut nowhere = [0; 512];
        while wanted > 0 {
            let bytes = wanted.min(nowhere.len());
            let mut to = Scatter::of(&mut nowhere[..bytes]);
            let Waitable::Inet(socket) = waitable else {
                return Err(Errno::NOTSOCK);
            };
            match self.objects.read_inet(&self.host, socket, &mut to, peek) {
                Ok(0) => break,
                Ok(count) => {
                    done += count;
                    wanted -= count;
                }
                Err(Errno::AGAIN) if done == 0 => {
                    self.limit_wait(waitable, 0)?;
                    return self.would_block(descriptor, POLLIN, 0, flags & MSG_DONTWAIT != 0);
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            // Peeking again would find the same bytes.
            if peek {
                break;
            }
        }
        Ok(done)
    }

    /// `SO_RCVTIMEO` (0) or `SO_SNDTIMEO` (1) of a socket in nanoseconds.
    pub(super) fn socket_timeout_ns(
        &mut self,
        waitable: Waitable,
        side: usize,
    ) -> Result<&mut u64> {
        match waitable {
            Waitable::Unix(socket) => Ok(&mut self.objects.unix[socket].timeouts_ns[side]),
            Waitable::Inet(socket) => Ok(self.objects.inet_timeout_ns(socket, side)),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// Lets a call that waits for a socket give up after `SO_RCVTIMEO` (0) or `SO_SNDTIMEO` (1); others wait on.
    pub(super) fn limit_wait(&mut self, waitable: Waitable, side: usize) -> Result<()> {
        if waitable.is_socket() {
            let timeout_ns = *self.socket_timeout_ns(waitable, side)?;
            self.set_timeout(timeout_ns);
        }
        Ok(())
    }

    /// Lets this call, which is about to wait, give up after `timeout_ns`, if that is not 0. Only then: a deadline that is set and
    /// not waited for would be the next call's.
    pub(super) fn set_timeout(&mut self, timeout_ns: u64) {
        if timeout_ns > 0 && self.objects.attempt.deadline_ns.is_none() {
            let deadline = self.host.monotonic_ns().saturating_add(timeout_ns);
            self.objects.attempt.deadline_ns = Some(deadline);
            // With a time limit, a handler ends the call whatever its flags say (signal(7)).
            self.objects.attempt.restarts = false;
        }
    }

    /// `sendto`
    pub(crate) fn send_to(&mut self, guest: Guest, arguments: [usize; 6]) -> Result {
        let [descriptor, at, bytes, flags, target, target_bytes] = arguments;
        let target = if target == 0 {
            &[]
        } else {
            address(guest, target, target_bytes)?
        };
        let mut from = Gather::of(guest.bytes(at, bytes)?);
        self.send_bytes(descriptor, &mut from, flags as u32, target, None)
    }

    /// `recvfrom`
    pub(crate) fn receive_from(&mut self, guest: Guest, arguments: [usize; 6]) -> Result {
        let [descriptor, at, bytes, flags, source, source_bytes] = arguments;
        let flags = flags as u32;
        // Nothing is written to where bytes of TCP are thrown away.
        let discards = flags & MSG_TRUNC != 0
            && matches!(self.socket_behind(descriptor)?, Waitable::Inet(socket) if socket.is_stream());
        let mut to = if discards && at == 0 {
            Scatter::nowhere(bytes)
        } else {
            Scatter::of(guest.target(at, bytes)?)
        };
        let received = self.receive_bytes(descriptor, &mut to, flags)?;
        if let Waitable::Unix(socket) = self.socket_behind(descriptor)? {
            let told = self.take_received(false);
            let bytes = told_of_unix(received, told.as_ref(), flags);
            if source != 0 {
                self.give_unix_sender(
                    guest,
                    socket,
                    received,
                    told.as_ref(),
                    [source, source_bytes],
                )?;
            }
            if let Some(told) = told {
                self.objects.give_up_rights(told.rights);
                self.let_rights_go();
            }
            return Ok(bytes);
        }
        let sender = self.datagram_source(descriptor);
        let received = told_bytes(received, sender, flags);
        match sender {
            _ if source == 0 => {}
            Some(sender) => drop(sender.give(guest, source, source_bytes)?),
            // Streams name nobody.
            None => guest.write(source_bytes, 0u32)?,
        }
        Ok(received)
    }

    /// Writes the name of who sent what a local socket has received, if it has one.
    fn give_unix_sender(
        &mut self,
        guest: Guest,
        socket: u32,
        received: usize,
        told: Option<&Received>,
        [at, length_at]: [usize; 2],
    ) -> Result<()> {
        if self.is_netlink(socket) {
            return give(guest, &[AF_NETLINK, 0, 0], at, length_at).map(drop);
        }
        let is_stream = self.objects.unix[socket].sort == Sort::Stream;
        let name = match told {
            Some(told) if !is_stream => &told.name[..],
            _ if is_stream && received > 0 => self.objects.unix_peer_name(socket).unwrap_or(&[]),
            _ => &[],
        };
        if name.is_empty() {
            return guest.write(length_at, 0u32);
        }
        give_unix(guest, name, at, length_at).map(drop)
    }

    /// `sendmsg`
    pub(crate) fn send_message(
        &mut self,
        guest: Guest,
        descriptor: usize,
        message: usize,
        flags: u32,
    ) -> Result {
        self.socket_behind(descriptor)?;
        let message: msghdr = guest.read(message)?;
        let sent = self.send_with_control(guest, descriptor, &message, flags);
        if self.objects.passing.is_some() {
            self.drop_passing();
        }
        sent
    }

    fn send_with_control(
        &mut self,
        guest: Guest,
        descriptor: usize,
        message: &msghdr,
        flags: u32,
    ) -> Result {
        let name = message.msg_name as usize;
        let target = if name == 0 || message.msg_namelen == 0 {
            &[]
        } else {
            address(guest, name, message.msg_namelen as usize)?
        };
        let spans = message_spans::<H>(guest, message)?;
        let mut from = Gather::new(guest, spans)?;
        let own = self.sent_control(guest, descriptor, message)?;
        self.send_bytes(descriptor, &mut from, flags, target, own)
    }

    /// What the control messages of `sendmsg` ask for.
    fn sent_control(
        &mut self,
        guest: Guest,
        descriptor: usize,
        message: &msghdr,
    ) -> Result<Option<OwnAddress>> {
        match self.socket_behind(descriptor)? {
            _ if message.msg_controllen == 0 => Ok(None),
            Waitable::Inet(socket) => self.inet_control(guest, socket, message),
            // What was sent along already has gone with the first bytes.
            _ if self.objects.attempt.done > 0 => Ok(None),
            _ => self.passed(guest, message).map(|()| None),
        }
    }

    /// `recvmsg`
    pub(crate) fn receive_message(
        &mut self,
        guest: Guest,
        descriptor: usize,
        at: usize,
        flags: u32,
    ) -> Result {
        self.socket_behind(descriptor)?;
        let mut message: msghdr = guest.read(at)?;
        let spans = message_spans::<H>(guest, &message)?;
        let mut to = Scatter::new(guest, spans)?;
        let received = self.receive_bytes(descriptor, &mut to, flags)?;
        if let Waitable::Unix(socket) = self.socket_behind(descriptor)? {
            return self.receive_unix(guest, socket, (at, message), received, flags);
        }
        let sender = self.datagram_source(descriptor);
        let received = told_bytes(received, sender, flags);
        let name_room = message.msg_namelen;
        let mut room = Room::new(&message);
        message.msg_flags = 0;
        if !message.msg_name.is_null() {
            message.msg_namelen = 0;
        }
        if let Some(sender) = sender {
            self.put_inet_control(guest, descriptor, sender, &mut room)?;
            message.msg_flags = if sender.is_truncated() { MSG_TRUNC } else { 0 };
        }
        message.msg_flags |= room.flags;
        message.msg_controllen = room.used();
        guest.write(at, message)?;
        if let Some(sender) = sender
            && !message.msg_name.is_null()
        {
            let length_at = at + offset_of!(msghdr, msg_namelen);
            guest.write(length_at, name_room)?;
            sender.give(guest, message.msg_name as usize, length_at)?;
        }
        Ok(received)
    }

    /// What `recvmsg` of a local socket tells besides the bytes.
    fn receive_unix(
        &mut self,
        guest: Guest,
        socket: u32,
        (at, mut message): (usize, msghdr),
        received: usize,
        flags: u32,
    ) -> Result {
        let told = self.take_received(flags & MSG_PEEK != 0);
        let bytes = told_of_unix(received, told.as_ref(), flags);
        let name_room = message.msg_namelen;
        let mut room = Room::new(&message);
        message.msg_flags = flags & MSG_CMSG_CLOEXEC;
        if told.as_ref().is_some_and(|told| told.is_truncated) {
            message.msg_flags |= MSG_TRUNC;
        }
        let length_at = at + offset_of!(msghdr, msg_namelen);
        if message.msg_name.is_null() {
            // Its length stays what it was.
        } else {
            guest.write(length_at, name_room)?;
            let place = [message.msg_name as usize, length_at];
            self.give_unix_sender(guest, socket, received, told.as_ref(), place)?;
            message.msg_namelen = guest.read(length_at)?;
        }
        self.put_received(guest, socket, told, &mut room, flags)?;
        message.msg_flags |= room.flags;
        message.msg_controllen = room.used();
        guest.write(at, message)?;
        Ok(bytes)
    }

    /// The control messages that a datagram's receiver asked for.
    fn put_inet_control(
        &mut self,
        guest: Guest,
        descriptor: usize,
        sender: Source,
        room: &mut Room,
    ) -> Result<()> {
        match self.socket_behind(descriptor)? {
            Waitable::Inet(socket) => {
                sender.put_control(guest, self.objects.inet_kept(socket), room)
            }
            _ => Ok(()),
        }
    }

    /// Who sent the datagram that was received last; nobody for streams.
    fn datagram_source(&mut self, descriptor: usize) -> Option<Source> {
        match self.socket_behind(descriptor) {
            Ok(Waitable::Inet(socket)) => self.objects.inet_source(socket),
            _ => None,
        }
    }
}

/// The memory of a message. Linux has a number of its own for more pieces than a call can have, and refuses names of negative
/// length.
fn message_spans<'a, H: Host>(guest: Guest, message: &msghdr) -> Result<&'a [Span]> {
    if !message.msg_name.is_null() && message.msg_namelen < 0 {
        return Err(Errno::INVAL);
    }
    if message.msg_iovlen > MAX_VECTOR {
        return Err(Errno::MSGSIZE);
    }
    Files::<H>::vector(guest, message.msg_iov as usize, message.msg_iovlen)
}

/// What a receiver is told: with `MSG_TRUNC` the length of the datagram, however little of it fits.
fn told_bytes(received: usize, sender: Option<Source>, flags: u32) -> usize {
    match sender {
        Some(sender) if flags & MSG_TRUNC != 0 => sender.whole_bytes(),
        _ => received,
    }
}

/// What a receiver of a local socket is told, as [`told_bytes`].
fn told_of_unix(received: usize, told: Option<&Received>, flags: u32) -> usize {
    match told {
        Some(told) if flags & MSG_TRUNC != 0 => told.whole_bytes,
        _ => received,
    }
}

/// A `struct sockaddr_nl` that names the system, or nobody in particular.
fn netlink_name(address: &[u8]) -> Result<()> {
    const BYTES: usize = 12;
    let family = u16::from_ne_bytes([
        *address.first().ok_or(Errno::INVAL)?,
        *address.get(1).ok_or(Errno::INVAL)?,
    ]);
    if address.len() < BYTES || u32::from(family) != AF_NETLINK {
        return Err(Errno::INVAL);
    }
    // Groups would be told of changes, which never come.
    let own = crate::files::PROCESS_ID as u32;
    match u32::from_ne_bytes([address[4], address[5], address[6], address[7]]) {
        0 => Ok(()),
        port if port == own => Ok(()),
        _ => Err(Errno::ADDRINUSE),
    }
}

fn unix_sort(kind: u32, protocol: u32) -> Result<Sort> {
    if protocol > 1 {
        return Err(Errno::PROTONOSUPPORT);
    }
    match kind & 0xf {
        SOCK_STREAM => Ok(Sort::Stream),
        // Linux makes no difference.
        SOCK_DGRAM | SOCK_RAW => Ok(Sort::Datagram),
        SOCK_SEQPACKET => Ok(Sort::Packets),
        _ => Err(Errno::SOCKTNOSUPPORT),
    }
}

fn address<'a>(guest: Guest, at: usize, bytes: usize) -> Result<&'a [u8]> {
    if bytes > MAX_ADDRESS {
        return Err(Errno::INVAL);
    }
    guest.bytes(at, bytes)
}

/// Writes as much of `value` as the caller has room for, and how much that is.
pub(super) fn give<T: Copy>(guest: Guest, value: &[T], at: usize, length_at: usize) -> Result {
    let room = usize::try_from(guest.read::<i32>(length_at)?).map_err(|_| Errno::INVAL)?;
    let bytes = size_of_val(value).min(room);
    // SAFETY: plain integers, seen as bytes.
    let source = unsafe { core::slice::from_raw_parts(value.as_ptr().cast::<u8>(), bytes) };
    guest.bytes_mut(at, bytes)?.copy_from_slice(source);
    guest.write(length_at, bytes as u32)?;
    Ok(0)
}

/// Writes an address as far as there is room, and its whole length.
fn give_unix(guest: Guest, name: &[u8], at: usize, length_at: usize) -> Result {
    let room = usize::try_from(guest.read::<i32>(length_at)?).map_err(|_| Errno::INVAL)?;
    let mut address = [0; UNIX_ADDRESS];
    address[..FAMILY_BYTES].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
    address[FAMILY_BYTES..FAMILY_BYTES + name.len()].copy_from_slice(name);
    let length = FAMILY_BYTES + name.len();
    let bytes = length.min(room);
    guest
        .bytes_mut(at, bytes)?
        .copy_from_slice(&address[..bytes]);
    guest.write(length_at, length as u32)?;
    Ok(0)
}
