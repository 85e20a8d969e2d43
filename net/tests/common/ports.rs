//! Clients of short connections on Linux's side: from ports that were used a moment ago, and what became of their SYNs.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::FromRawFd;

/// SYNs that Linux has sent again in this thread's network.
pub(crate) fn syns_sent_again() -> usize {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").expect("counters");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let pair = pairs.find(|(name, _)| *name == "TCPSynRetrans");
    pair.expect("a counter").1.parse().expect("a number")
}

/// A connection from `port`, which an earlier one may have used; 0: from any. Asks again while Linux's side has not heard
/// that its own end of that one arrived.
pub(crate) fn connect_from(port: u16, to: SocketAddrV4) -> io::Result<TcpStream> {
    let name = |address: SocketAddrV4| libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    let from = name(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
    let to = name(to);
    let (one, bytes) = (1i32, size_of_val(&to) as u32);
    loop {
        // SAFETY: a descriptor of our own, and pointers to structures of the sizes given.
        let (stream, is_done) = unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            let (reuse, size) = ((&raw const one).cast(), size_of_val(&one) as u32);
            let is_done =
                libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, reuse, size) == 0
                    && libc::bind(socket, (&raw const from).cast(), bytes) == 0
                    && libc::connect(socket, (&raw const to).cast(), bytes) == 0;
            (TcpStream::from_raw_fd(socket), is_done)
        };
        if is_done {
            return Ok(stream);
        }
        let error = io::Error::last_os_error();
        if error.kind() != ErrorKind::AddrNotAvailable {
            return Err(error);
        }
    }
}
