//! System calls of the relay that the standard library does not provide:
//! epoll, eventfd, nonblocking sockets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Most events returned by one wait.
const MOST_EVENTS: usize = 64;

/// An epoll instance. Each descriptor has a token.
pub(super) struct Poll(OwnedFd);

/// Events of a wait: token and event bits.
pub(super) type Events = Vec<(u64, u32)>;

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new descriptor, owned from here on.
        unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }.map(Self)
    }

    pub(super) fn add(&self, descriptor: RawFd, token: u64, events: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, token, events)
    }

    pub(super) fn change(&self, descriptor: RawFd, token: u64, events: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, token, events)
    }

    /// Stops watching `descriptor`.
    pub(super) fn remove(&self, descriptor: RawFd) {
        // It fails for a descriptor that is not watched.
        let _ = self.control(libc::EPOLL_CTL_DEL, descriptor, 0, 0);
    }

    fn control(&self, what: i32, descriptor: RawFd, token: u64, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: one structure of this frame, which the kernel copies.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, descriptor, &mut event) };
        check(done as isize).map(drop)
    }

    /// Waits until an event or until `limit` is over; replaces `events` by the result.
    pub(super) fn wait(&self, limit: Option<Duration>, events: &mut Events) -> io::Result<()> {
        events.clear();
        // Rounded up: a timer that is checked too early would be checked again and again.
        let milliseconds = limit.map_or(-1, |limit| {
            limit.as_nanos().div_ceil(1_000_000).min(1_000_000) as i32
        });
        let mut found = [libc::epoll_event { events: 0, u64: 0 }; MOST_EVENTS];
        // SAFETY: as many structures as the count says.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                found.as_mut_ptr(),
                MOST_EVENTS as i32,
                milliseconds,
            )
        };
        match check(count as isize) {
            Ok(count) => {
                events.extend(found[..count].iter().map(|event| (event.u64, event.events)))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Makes a descriptor that is readable after [`ring`].
pub(super) fn bell() -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor, owned from here on.
    unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)) }
}

/// Rings a [`bell`].
pub(super) fn ring(bell: &OwnedFd) {
    let one = 1u64;
    // SAFETY: eight bytes of this frame. It fails only when it was rung 2^64 times.
    unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Makes both ends of a nonblocking stream.
pub(super) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: fills two descriptors, owned from here on.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) as isize)?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Starts to connect a TCP socket, which becomes writable when the attempt has ended.
pub(super) fn connect(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: a new descriptor, owned from here on.
    let socket = unsafe { owned(libc::socket(family, kind, 0)) }?;
    let (name, bytes) = socket_name(to);
    // SAFETY: the structure is at least as long as `bytes` says.
    let done = unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), bytes) };
    match check(done as isize) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => {
            set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32)?;
            Ok(socket)
        }
    }
}

/// Makes a listener; one of IPv6 excludes IPv4.
pub(super) fn listen(at: SocketAddr) -> io::Result<OwnedFd> {
    /// The kernel limits it to `net.core.somaxconn`.
    const BACKLOG: i32 = 4096;
    let socket = bound(at, libc::SOCK_STREAM)?;
    // SAFETY: a system call on a descriptor of ours.
    check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) } as isize)?;
    Ok(socket)
}

/// Makes a nonblocking socket with this name.
pub(super) fn bound(at: SocketAddr, kind: i32) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: a new descriptor, owned from here on.
    let socket = unsafe { owned(libc::socket(family, kind | flags, 0)) }?;
    if at.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1i32)?;
    }
    if kind == libc::SOCK_STREAM {
        // Connections of an earlier run may linger.
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1i32)?;
    }
    let (name, bytes) = socket_name(at);
    // SAFETY: the structure is at least as long as `bytes` says.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), bytes) } as isize)?;
    Ok(socket)
}

/// Accepts a waiting client, with Nagle's algorithm off: the image's TCP, or the client's, has
/// applied it already, and a second time would wait for the other side's delayed acknowledgements.
pub(super) fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, SocketAddr)> {
    // SAFETY: a structure of integers, for which zeros are values.
    let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut bytes = size_of::<libc::sockaddr_storage>() as u32;
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: fills at most as many bytes as the length says; a new descriptor, owned from here on.
    let socket = unsafe {
        let name = (&raw mut name).cast();
        owned(libc::accept4(
            listener.as_raw_fd(),
            name,
            &raw mut bytes,
            flags,
        ))
    }?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32)?;
    let address = address_of(&name).ok_or(ErrorKind::InvalidData)?;
    Ok((socket, address))
}

/// Decodes a socket address structure, if it is IPv4 or IPv6.
fn address_of(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let start = (&raw const *name).cast::<u8>();
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and the storage is aligned for all.
            let name = unsafe { start.cast::<libc::sockaddr_in>().read() };
            let address = name.sin_addr.s_addr.to_ne_bytes();
            Some((address, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name = unsafe { start.cast::<libc::sockaddr_in6>().read() };
            Some((name.sin6_addr.s6_addr, u16::from_be(name.sin6_port)).into())
        }
        _ => None,
    }
}

/// Sets an option whose value is a `T`.
pub(super) fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: T) -> io::Result<()> {
    // SAFETY: the value lives through the call and is as long as the length says.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as u32,
        )
    };
    check(done as isize).map(drop)
}

/// Returns and clears the pending error of a socket; 0 when there is none.
pub(super) fn take_error(socket: &OwnedFd) -> i32 {
    let (mut error, mut bytes) = (0i32, 4u32);
    // SAFETY: the option is an integer of this size.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut bytes,
        )
    };
    if done == 0 { error } else { libc::EBADF }
}

/// Makes closing the connection send a reset.
pub(super) fn reset_at_close(socket: &OwnedFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // A socket that does not accept this option has no connection.
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, linger);
}

/// Raises this process's limit of descriptors to its maximum: every connection is one.
pub(super) fn allow_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: one structure, read and written. What is refused leaves the limit as it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Returns a secret random number.
pub(super) fn random() -> u64 {
    let mut number = 0u64;
    // SAFETY: fills eight bytes of this frame. Without entropy it stays 0, which is guessed no worse than nothing.
    unsafe { libc::getrandom((&raw mut number).cast(), 8, 0) };
    number
}

/// Returns nanoseconds of the monotonic clock.
pub(super) fn now_nanoseconds() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills one structure; the clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// `send`, restarted after a signal.
pub(super) fn send(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    again(|| {
        // SAFETY: sends bytes of the caller's.
        unsafe {
            libc::send(
                socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        }
    })
}

/// `recv`, restarted after a signal.
pub(super) fn receive(socket: &impl AsRawFd, room: &mut [u8]) -> io::Result<usize> {
    again(|| {
        // SAFETY: fills bytes of the caller's.
        unsafe {
            libc::recv(
                socket.as_raw_fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                libc::MSG_DONTWAIT,
            )
        }
    })
}

/// Shuts the socket down for writing.
pub(super) fn end_writing(socket: &OwnedFd) {
    // SAFETY: a system call on a descriptor of ours. It fails when the connection is gone already.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

fn again(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match check(call()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn check(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// # Safety
///
/// `descriptor` is -1, or new and not owned by other code.
unsafe fn owned(descriptor: i32) -> io::Result<OwnedFd> {
    check(descriptor as isize)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Returns the structure of an address, and its length.
fn socket_name(address: SocketAddr) -> (libc::sockaddr_storage, u32) {
    // SAFETY: a structure of integers, for which zeros are values.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let bytes = match address {
        SocketAddr::V4(address) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is larger than any address and aligned for all.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(name) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(name) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, bytes as u32)
}
