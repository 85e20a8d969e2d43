//! `passt`: the host's connectivity for an image, without any right (<https://passt.top>).
//!
//! Owns the helper process. It speaks over a socket pair, so that there is no file, ends when the image's side
//! of the pair closes, and is killed with us. What it prints is kept for the error message.

use super::forward::{PortForward, Protocol};
use crate::MonitorError;
use bespoke_abi::devices::{NET_RELAYED, NET_STREAM, NetInfo};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What `passt` gives the image: its own small network, so that the image needs no DHCP. `passt` answers
/// for every other address of it.
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const NAME_SERVER: [u8; 4] = [10, 0, 2, 3];
const PREFIX_BITS: u8 = 24;
/// The same of IPv6, for runs that have a port of it led in.
const ADDRESS6: Ipv6Addr = Ipv6Addr::new(0xfd62, 0x6573, 0x706b, 0, 0, 0, 0, 0x15);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const PREFIX6_BITS: u8 = 64;
/// `passt` could do 65,520; but a window of 32 or 64 KiB should hold several packets, or every one of them closes
/// it: SET -P 16 of Redis went from 307,000 a second to 467,000.
const MTU_BYTES: u16 = 16_384;
/// Room for the windows of some hundred connections.
static SEND_BUFFER_BYTES: libc::c_int = 8 << 20;
/// Locally administered; the link has two ends only, so every image may have the same.
const MAC: [u8; 6] = [0x02, 0x62, 0x65, 0x73, 0x70, 0x6b];
/// `nobody` and its group, as `passt` takes them where there is no such name.
const NOBODY: u32 = 65_534;
/// It takes some milliseconds; a loaded machine may take its time.
const START_LIMIT: Duration = Duration::from_secs(10);
/// More than any of its error messages.
const OUTPUT_BYTES: u64 = 4096;

/// A running `passt`, killed and reaped when dropped.
pub(super) struct Passt {
    child: Child,
    /// What it prints; kept open, or it would die of printing.
    output: OwnedFd,
    forwards: Vec<PortForward>,
}

/// Where `passt` is, along `PATH`.
pub fn program() -> Option<PathBuf> {
    crate::program::find("passt")
}

impl Passt {
    /// Starts it; [`Passt::ready`] tells what became of that. The descriptor does not block.
    pub(super) fn start(
        forwards: &[PortForward],
    ) -> Result<(OwnedFd, NetInfo, Self), MonitorError> {
        let program = program().ok_or(MonitorError::PasstMissing)?;
        let failed = |step| MonitorError::host(step);
        let mut ends = [0; 2];
        // SAFETY: fills two descriptors, owned from here on.
        let (ours, theirs) = unsafe {
            let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
            if libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) != 0 {
                return Err(failed("make a socket pair for passt"));
            }
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        send_buffer(&theirs);
        // A full pipe must not block it.
        // SAFETY: as above; the flags are this descriptor's own.
        let (output, print) = unsafe {
            if libc::fcntl(ours.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) != 0
                || libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0
            {
                return Err(failed("make a pipe for passt"));
            }
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        let socket = theirs.as_raw_fd();
        let mut command = Command::new(&program);
        command
            .args(arguments(forwards))
            .arg("--fd")
            .arg(socket.to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(print);
        // A group of its own: an interrupt from the terminal is for the image first.
        command.process_group(0);
        // SAFETY: system calls, allowed between fork and exec.
        unsafe {
            command.pre_exec(move || {
                if libc::geteuid() == 0 {
                    become_nobody()?;
                }
                if libc::fcntl(socket, libc::F_SETFD, 0) != 0
                    || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
                {
                    return Err(io::Error::last_os_error());
                }
                // Without it uploads may be slow, no more.
                let _ = super::clamp::forbid();
                Ok(())
            });
        }
        let child = command.spawn().map_err(|source| MonitorError::File {
            purpose: "run",
            path: program,
            source,
        })?;
        let info = NetInfo {
            kind: NET_STREAM,
            flags: NET_RELAYED,
            mtu: MTU_BYTES,
            mac: MAC,
            address4: ADDRESS,
            gateway4: GATEWAY,
            name_server4: NAME_SERVER,
            prefix4: PREFIX_BITS,
            ..Default::default()
        };
        let info = if has_ipv6(forwards) {
            NetInfo {
                address6: ADDRESS6.octets(),
                gateway6: GATEWAY6.octets(),
                prefix6: PREFIX6_BITS,
                ..info
            }
        } else {
            info
        };
        let passt = Self {
            child,
            output,
            forwards: forwards.to_vec(),
        };
        Ok((ours, info, passt))
    }

    /// Waits until it serves: it has bound all ports by the time it answers for the gateway. The answer
    /// is left to the image, which takes it for any other neighbour's.
    pub(super) fn ready(&mut self, link: &OwnedFd, info: &NetInfo) -> Result<(), MonitorError> {
        let mut question = who_has_gateway(info);
        if info.address6 != [0; 16] {
            question.extend(who_has_gateway6(info));
        }
        // SAFETY: sends bytes of this frame; the fresh socket has room for them.
        unsafe {
            libc::send(
                link.as_raw_fd(),
                question.as_ptr().cast(),
                question.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        let start = Instant::now();
        loop {
            let left = START_LIMIT.saturating_sub(start.elapsed());
            let mut poll = libc::pollfd {
                fd: link.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            let mut byte = 0u8;
            // SAFETY: one structure, as the count says.
            let ready = unsafe { libc::poll(&mut poll, 1, left.as_millis() as i32) };
            // SAFETY: at most one byte into this frame.
            let peeked = unsafe {
                libc::recv(
                    link.as_raw_fd(),
                    (&raw mut byte).cast(),
                    1,
                    libc::MSG_PEEK | libc::MSG_DONTWAIT,
                )
            };
            match (ready, peeked) {
                (_, 1) => return Ok(()),
                (0, _) => return Err(self.failure("it did not answer within 10 s")),
                (1, _) => return Err(self.failure("it ended")),
                _ if io::Error::last_os_error().kind() == ErrorKind::Interrupted => {}
                _ => return Err(MonitorError::host("wait for passt")),
            }
        }
    }

    /// Why it does not serve: a port that cannot be had, or its own words.
    fn failure(&mut self, what: &str) -> MonitorError {
        self.end();
        for &forward in &self.forwards {
            if let Err(source) = bind(forward) {
                return MonitorError::Port { forward, source };
            }
        }
        let mut said = Vec::new();
        // SAFETY: a copy of the descriptor, owned by the file.
        let copy = unsafe { libc::fcntl(self.output.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
        if copy >= 0 {
            // SAFETY: as above.
            let file = unsafe { std::fs::File::from_raw_fd(copy) };
            // What it could not say is missing from the message, no more.
            let _ = file.take(OUTPUT_BYTES).read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        let own_words = said
            .lines()
            .filter(|line| !line.is_empty() && !line.contains("to syslog"));
        let reason = own_words.collect::<Vec<_>>().join("; ");
        MonitorError::Passt {
            reason: if reason.is_empty() {
                what.into()
            } else {
                reason
            },
        }
    }

    fn end(&mut self) {
        // It holds nothing that needs its care. Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Passt {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes root the user that `passt` would make of it, for who changes later is no longer killed with its parent. The
/// right to ports below 1024 stays.
fn become_nobody() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    const NET_BIND_SERVICE: u32 = 10;
    let header = [VERSION_3, 0];
    // Effective, permitted and inheritable, of the first and of the last 32.
    let sets = [[1_u32 << NET_BIND_SERVICE; 3], [0; 3]];
    // SAFETY: system calls that read these arrays, as large as version 3 has them.
    unsafe {
        if libc::prctl(libc::PR_SET_KEEPCAPS, 1) != 0
            || libc::setgroups(0, std::ptr::null()) != 0
            || libc::setresgid(NOBODY, NOBODY, NOBODY) != 0
            || libc::setresuid(NOBODY, NOBODY, NOBODY) != 0
        {
            return Err(io::Error::last_os_error());
        }
        // A root without that right has none to keep.
        if libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) == 0 {
            let (raise, none) = (libc::PR_CAP_AMBIENT_RAISE, 0);
            libc::prctl(libc::PR_CAP_AMBIENT, raise, NET_BIND_SERVICE, none, none);
        }
    }
    Ok(())
}

/// Lets more bytes wait for the image than the kernel's default of 208 KiB: `passt` drops frames for which there is no
/// room, and then waits for 2 s before it sends the data again. As far as we may: with `CAP_NET_ADMIN` past `wmem_max`.
fn send_buffer(socket: &OwnedFd) {
    for option in [libc::SO_SNDBUF, libc::SO_SNDBUFFORCE] {
        // SAFETY: the option is an integer of this size. What is refused leaves the size as it was.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const SEND_BUFFER_BYTES).cast(),
                size_of::<libc::c_int>() as u32,
            )
        };
    }
}

/// Whether a port of an IPv6 address is led in: only then does `passt` do IPv6, which the host must have.
fn has_ipv6(forwards: &[PortForward]) -> bool {
    let is_ipv6 = |forward: &PortForward| forward.address.is_some_and(|address| address.is_ipv6());
    forwards.iter().any(is_ipv6)
}

fn arguments(forwards: &[PortForward]) -> Vec<OsString> {
    let dotted = |address: [u8; 4]| Ipv4Addr::from(address).to_string();
    let mut arguments: Vec<OsString> = ["--foreground", "--quiet", "--stderr"]
        .map(OsString::from)
        .into();
    let is_dual = has_ipv6(forwards);
    if !is_dual {
        arguments.push("--ipv4-only".into());
    }
    let mut option =
        |name: &str, value: String| arguments.extend([OsString::from(name), value.into()]);
    option("--address", dotted(ADDRESS));
    option("--netmask", PREFIX_BITS.to_string());
    option("--gateway", dotted(GATEWAY));
    option("--dns-forward", dotted(NAME_SERVER));
    if is_dual {
        option("--address", ADDRESS6.to_string());
        option("--gateway", GATEWAY6.to_string());
    }
    option("--mtu", MTU_BYTES.to_string());
    for (protocol, name) in [
        (Protocol::Tcp, "--tcp-ports"),
        (Protocol::Udp, "--udp-ports"),
    ] {
        let mut wanted = forwards
            .iter()
            .filter(|forward| forward.protocol == protocol)
            .peekable();
        // Without a word about UDP it would forward the numbers given for TCP.
        if wanted.peek().is_none() {
            option(name, "none".into());
        }
        for forward in wanted {
            let all = |unspecified| {
                forwards.contains(&PortForward {
                    address: Some(unspecified),
                    ..*forward
                })
            };
            let all4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let all6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            // All IPv4 addresses where none is given: an application that serves IPv4 alone would refuse others.
            let address = forward.address.unwrap_or(all4);
            // `passt` takes a port once: all addresses of both families are what it means by none.
            let is_both = address == all4 && all(all6);
            let has_all4 = all(all4)
                || forwards.contains(&PortForward {
                    address: None,
                    ..*forward
                });
            if address == all6 && has_all4 {
                continue;
            }
            let address = if is_both || !is_dual && address == all4 {
                String::new()
            } else {
                format!("{address}/")
            };
            option(name, format!("{address}{}:{}", forward.host, forward.guest));
        }
    }
    arguments
}

/// An ARP request of the image's for its gateway, with the stream's length in front.
fn who_has_gateway(info: &NetInfo) -> Vec<u8> {
    const FRAME_BYTES: u32 = 42;
    const ETHERTYPE_ARP: [u8; 2] = [8, 6];
    // Ethernet, IPv4, address lengths, request.
    const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    [
        &FRAME_BYTES.to_be_bytes()[..],
        &[0xff; 6],
        &info.mac,
        &ETHERTYPE_ARP,
        &REQUEST,
        &info.mac,
        &info.address4,
        &[0; 6],
        &info.gateway4,
    ]
    .concat()
}

/// The same of IPv6: a neighbour solicitation (RFC 4861, 4.3) from the image's link-local address, to which `passt` leads
/// whoever comes from this machine, once it has seen it.
fn who_has_gateway6(info: &NetInfo) -> Vec<u8> {
    const FRAME_BYTES: u32 = 14 + 40 + MESSAGE_BYTES as u32;
    const MESSAGE_BYTES: u8 = 32;
    const ICMPV6: u8 = 58;
    let [a, b, c, d, e, f] = info.mac;
    // RFC 4291, appendix A and 2.7.1.
    let own = [
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ];
    let [.., x, y, z] = info.gateway6;
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z];
    let mut message = [
        &[135, 0, 0, 0, 0, 0, 0, 0][..],
        &info.gateway6,
        // Our link-layer address, in units of eight bytes.
        &[1, 1],
        &info.mac,
    ]
    .concat();
    let pseudo = [
        &own[..],
        &group,
        &[0, 0, 0, MESSAGE_BYTES, 0, 0, 0, ICMPV6],
        &message,
    ]
    .concat();
    message[2..4].copy_from_slice(&internet_checksum(&pseudo).to_be_bytes());
    [
        &FRAME_BYTES.to_be_bytes()[..],
        &[0x33, 0x33, 0xff, x, y, z],
        &info.mac,
        &[0x86, 0xdd],
        &[0x60, 0, 0, 0, 0, MESSAGE_BYTES, ICMPV6, 255],
        &own,
        &group,
        &message,
    ]
    .concat()
}

/// RFC 1071, of an even number of bytes.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks_exact(2);
    let mut sum: u32 = pairs
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Binds the host's side of a forward and lets go of it again.
fn bind(forward: PortForward) -> io::Result<()> {
    let address = forward.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    match forward.protocol {
        Protocol::Tcp => TcpListener::bind((address, forward.host)).map(drop),
        Protocol::Udp => UdpSocket::bind((address, forward.host)).map(drop),
    }
}
