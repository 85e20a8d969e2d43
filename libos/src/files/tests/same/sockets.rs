//! Sockets of this machine: streams, datagrams and packets, their names, options and messages.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use linux_raw_sys::net::*;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

const UNIX: usize = AF_UNIX as usize;
const NONBLOCK: usize = O_NONBLOCK as usize;
const WAITS_NOT: usize = MSG_DONTWAIT as usize;

/// A `sockaddr_un` with its whole path, NULs and all.
fn address(path: &str) -> Vec<u8> {
    let mut address = (AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend_from_slice(path.as_bytes());
    address
}

impl Side {
    fn socket(&mut self, kind: u32) -> usize {
        self.call(__NR_socket, &[UNIX, kind as usize | NONBLOCK, 0]) as usize
    }

    fn socket_pair(&mut self, kind: u32) -> [usize; 2] {
        let mut pair = [0u32; 2];
        assert_eq!(
            self.call(
                __NR_socketpair,
                &[UNIX, kind as usize | NONBLOCK, 0, to(&mut pair)]
            ),
            0
        );
        pair.map(|end| end as usize)
    }

    fn named(&mut self, what: &str, number: u32, socket: usize, path: &str) {
        let address = address(path);
        self.tell(
            &format!("{what} {path:?}"),
            number,
            &[socket, at(&address[..]), address.len()],
        );
    }

    /// Notes the name of a socket, and of its peer.
    fn names(&mut self, what: &str, socket: usize) {
        for number in [__NR_getsockname, __NR_getpeername] {
            for room in [110u32, 4, 0] {
                let (mut buffer, mut length) = ([0xee_u8; 110], room);
                let answer = self.call(number, &[socket, to(&mut buffer), to(&mut length)]);
                let text = String::from_utf8_lossy(&buffer[..(room as usize).min(20)]).into_owned();
                self.note(what, (answer, length, text));
            }
        }
        let mut length = -1i32;
        self.tell(
            "negative",
            __NR_getsockname,
            &[socket, to(&mut [0u8; 110]), to(&mut length)],
        );
        self.tell("bad", __NR_getsockname, &[socket, to(&mut [0u8; 110]), 8]);
    }

    /// Reads an option into less room than it takes, and into more.
    pub(super) fn option(&mut self, socket: usize, level: u32, option: u32) {
        for room in [4u32, 1, 0, 8, 16] {
            let (mut value, mut length) = ([0xee_u8; 16], room);
            let answer = self.call(
                __NR_getsockopt,
                &[
                    socket,
                    level as usize,
                    option as usize,
                    to(&mut value),
                    to(&mut length),
                ],
            );
            self.note(&format!("option {level} {option}"), (answer, length, value));
        }
    }

    fn set(&mut self, socket: usize, level: u32, option: u32, value: i32, bytes: usize) {
        let value = [value, 0, 0, 0];
        self.tell(
            &format!("set {level} {option} {value:?} {bytes}"),
            __NR_setsockopt,
            &[socket, level as usize, option as usize, at(&value), bytes],
        );
    }

    /// Receives with flags and notes what came, and from whom.
    fn receive(&mut self, what: &str, socket: usize, bytes: usize, flags: u32) {
        let (mut buffer, mut name, mut length) = (vec![0xee_u8; bytes], [0xee_u8; 110], 110u32);
        let answer = self.call(
            __NR_recvfrom,
            &[
                socket,
                to(&mut buffer[..]),
                bytes,
                flags as usize | WAITS_NOT,
                to(&mut name),
                to(&mut length),
            ],
        );
        self.note_bytes(&format!("{what} {flags:#x}"), answer, &buffer);
        let known = (length as usize).min(30);
        self.note(
            "from",
            (length, String::from_utf8_lossy(&name[..known]).into_owned()),
        );
    }

    fn send(&mut self, what: &str, socket: usize, bytes: &[u8], flags: u32, path: Option<&str>) {
        let address = path.map(address).unwrap_or_default();
        let place = if path.is_some() { at(&address[..]) } else { 0 };
        self.tell(
            &format!("{what} {flags:#x} {path:?}"),
            __NR_sendto,
            &[
                socket,
                at(bytes),
                bytes.len(),
                flags as usize | WAITS_NOT,
                place,
                address.len(),
            ],
        );
    }

    /// `sendmsg` of these pieces with control messages.
    fn send_message(
        &mut self,
        what: &str,
        socket: usize,
        pieces: &[&[u8]],
        control: &[u8],
        flags: u32,
    ) {
        let spans: Vec<[usize; 2]> = pieces
            .iter()
            .map(|piece| [at(*piece), piece.len()])
            .collect();
        let message = [
            0,
            0,
            at(&spans[..]),
            spans.len(),
            if control.is_empty() { 0 } else { at(control) },
            control.len(),
            0,
        ];
        self.tell(
            what,
            __NR_sendmsg,
            &[socket, at(&message), flags as usize | WAITS_NOT],
        );
    }

    /// `recvmsg`: bytes, flags and control messages; the descriptors that came.
    fn receive_message(
        &mut self,
        what: &str,
        socket: usize,
        bytes: usize,
        room: usize,
        flags: u32,
    ) -> Vec<usize> {
        let (mut buffer, mut control, mut name) =
            (vec![0xee_u8; bytes], [0u8; 256], [0xee_u8; 110]);
        let half = bytes / 2;
        let spans = [
            to(&mut buffer[..]),
            half,
            to(&mut buffer[half..]),
            bytes - half,
        ];
        let mut message = [to(&mut name), 110, at(&spans), 2, to(&mut control), room, 0];
        let answer = self.call(
            __NR_recvmsg,
            &[socket, to(&mut message), flags as usize | WAITS_NOT],
        );
        self.note_bytes(what, answer, &buffer);
        self.note(
            "message",
            (message[1] as u32, message[5], message[6] as u32),
        );
        let mut found = Vec::new();
        let mut rest = &control[..message[5].min(room)];
        while answer >= 0 && rest.len() >= 16 {
            let length = usize::from_ne_bytes(rest[..8].try_into().unwrap());
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
            let (level, kind) = (word(8), word(12));
            if length < 16 || length > rest.len() {
                break;
            }
            match kind {
                // Descriptors; others as they are, without numbers of processes.
                1 => {
                    found.extend((16..length).step_by(4).map(|at| word(at) as usize));
                    self.note("descriptors", (level, length));
                }
                _ => self.note("control", (level, kind, length)),
            }
            rest = &rest[length.next_multiple_of(8).min(rest.len())..];
        }
        found
    }
}

/// A control message that passes descriptors.
fn passing(descriptors: &[usize]) -> Vec<u8> {
    let mut control = (16 + 4 * descriptors.len()).to_ne_bytes().to_vec();
    control.extend([1u32, 1].map(u32::to_ne_bytes).concat());
    for descriptor in descriptors {
        control.extend((*descriptor as u32).to_ne_bytes());
    }
    control.resize(control.len().next_multiple_of(8), 0);
    control
}

#[test]
fn kinds_of_sockets() {
    same(|side| {
        for family in [0, 1, 99] {
            for kind in [
                0,
                1,
                2,
                3,
                5,
                6,
                10,
                11,
                15,
                16,
                1 | O_NONBLOCK as usize,
                2 | O_CLOEXEC as usize,
                1 | 0x100,
            ] {
                // An unknown family is told before an unknown kind.
                for protocol in [0, 1, 2].into_iter().filter(|_| family != 99 || kind < 11) {
                    let answer = side.call(__NR_socket, &[family, kind, protocol]);
                    side.note(
                        &format!("socket {family} {kind:#o} {protocol}"),
                        answer.min(0),
                    );
                    let mut pair = [0u32; 2];
                    let both = side.call(__NR_socketpair, &[family, kind, protocol, to(&mut pair)]);
                    side.note("pair", both);
                    if let Ok(socket) = usize::try_from(answer) {
                        for command in [F_GETFL, F_GETFD] {
                            side.tell("flags", __NR_fcntl, &[socket, command as usize]);
                        }
                        side.option(socket, SOL_SOCKET, SO_TYPE);
                        side.option(socket, SOL_SOCKET, SO_DOMAIN);
                        side.option(socket, SOL_SOCKET, SO_PROTOCOL);
                        side.polled("new", &[socket]);
                        side.close(socket);
                    }
                    if both == 0 {
                        for end in pair {
                            side.close(end as usize);
                        }
                    }
                }
            }
        }
        side.tell("bad pair", __NR_socketpair, &[UNIX, 1, 0, 8]);
        let file = side.file("file", b"x");
        let path = side.open("file", O_PATH);
        for descriptor in [file, path, 99] {
            for (number, arguments) in [
                (__NR_bind, vec![descriptor, at(&[1u16]), 2]),
                (__NR_listen, vec![descriptor, 1]),
                (__NR_accept, vec![descriptor, 0, 0]),
                (__NR_connect, vec![descriptor, at(&[1u16]), 2]),
                (__NR_getsockname, vec![descriptor, 8, 8]),
                (__NR_getpeername, vec![descriptor, 8, 8]),
                (__NR_shutdown, vec![descriptor, 2]),
                (__NR_sendto, vec![descriptor, at("x"), 1, 0, 0, 0]),
                (__NR_recvfrom, vec![descriptor, at("x"), 1, 0, 0, 0]),
                (__NR_sendmsg, vec![descriptor, 8, 0]),
                (__NR_recvmsg, vec![descriptor, 8, 0]),
                (__NR_getsockopt, vec![descriptor, 1, 3, 8, 8]),
                (__NR_setsockopt, vec![descriptor, 1, 3, 8, 4]),
            ] {
                side.tell(&format!("no socket {number}"), number, &arguments);
            }
        }
    });
}

#[test]
fn streams() {
    same(|side| {
        let listener = side.socket(SOCK_STREAM);
        side.names("new", listener);
        side.tell("accept", __NR_accept, &[listener, 0, 0]);
        for path in ["a/b", "s", "s", "", "\0", "\0name"] {
            side.named("bind", __NR_bind, listener, path);
        }
        side.status("s");
        side.names("bound", listener);
        side.tell("short", __NR_bind, &[listener, at(&address("x")[..]), 1]);
        side.tell("long", __NR_bind, &[listener, at(&[1u8; 200]), 111]);
        side.tell("longest", __NR_bind, &[listener, at(&[1u8; 200]), 129]);
        let client = side.socket(SOCK_STREAM);
        side.named("not listening", __NR_connect, client, "s");
        for path in ["", "\0none", "none", "."] {
            side.named("connect", __NR_connect, client, path);
        }
        side.tell("family", __NR_connect, &[client, at(&[9u8, 0, b'x', 0]), 4]);
        side.tell("unnamed", __NR_listen, &[client, 1]);
        side.tell("listen", __NR_listen, &[listener, 1]);
        side.polled("listener", &[listener, client]);
        side.tell("none waits", __NR_accept, &[listener, 0, 0]);
        side.named("connect", __NR_connect, client, "s");
        side.named("again", __NR_connect, client, "s");
        side.polled("waits", &[listener, client]);
        let second = side.socket(SOCK_STREAM);
        side.named("second", __NR_connect, second, "s");
        let third = side.socket(SOCK_STREAM);
        side.named("third", __NR_connect, third, "s");
        side.tell("more", __NR_listen, &[listener, 5]);
        side.named("third", __NR_connect, third, "s");
        side.write("before it is accepted", client, b"early");
        side.names("client", client);
        for flags in [1, O_APPEND as usize] {
            side.tell("flags", __NR_accept4, &[listener, 0, 0, flags]);
        }
        let (mut name, mut length) = ([0xee_u8; 110], 110u32);
        let accepted = side.call(
            __NR_accept4,
            &[
                listener,
                to(&mut name),
                to(&mut length),
                (O_CLOEXEC | O_NONBLOCK) as usize,
            ],
        ) as usize;
        side.note("accepted", (length, name[0], name[1]));
        for command in [F_GETFL, F_GETFD] {
            side.tell("flags", __NR_fcntl, &[accepted, command as usize]);
        }
        side.names("accepted", accepted);
        side.read("early", accepted, 10);
        side.tell(
            "connect accepted",
            __NR_connect,
            &[accepted, at(&address("s")[..]), 3],
        );
        side.tell("listen accepted", __NR_listen, &[accepted, 1]);
        for (what, bytes, flags) in [
            ("a", 5, 0),
            ("b", 5, MSG_PEEK),
            ("c", 2, 0),
            ("d", 2, MSG_WAITALL),
            ("e", 9, MSG_TRUNC),
            ("f", 9, MSG_OOB),
            ("g", 9, MSG_ERRQUEUE),
            ("h", 0, 0),
        ] {
            side.write("word", client, b"word");
            side.receive(what, accepted, bytes, flags);
        }
        side.receive("rest", accepted, 100, 0);
        side.receive("empty", accepted, 100, 0);
        for flags in [0, MSG_NOSIGNAL, MSG_MORE, MSG_DONTROUTE, MSG_EOR] {
            side.send("send", accepted, b"flags", flags, None);
            side.receive("flags", client, 100, 0);
        }
        side.send("to a name", accepted, b"x", 0, Some("s"));
        side.send("to a name", accepted, b"x", 0, Some("none"));
        side.send("nothing", accepted, b"", 0, None);
        side.receive("nothing", client, 10, 0);
        // Each direction ends by itself.
        for (how, one, other) in [
            (1, accepted, client),
            (3, client, accepted),
            (0, client, accepted),
            (2, client, accepted),
        ] {
            side.tell("shutdown", __NR_shutdown, &[one, how]);
            side.polled("shut", &[one, other]);
            side.write("shut", one, b"x");
            side.write("shut", other, b"y");
            side.receive("shut", one, 10, 0);
            side.receive("shut", other, 10, 0);
        }
        side.close(accepted);
        side.polled("closed", &[client]);
        side.write("closed", client, b"x");
        side.receive("closed", client, 10, 0);
        // Closed with bytes unread, the other is reset.
        let [one, other] = side.socket_pair(SOCK_STREAM);
        side.write("unread", one, b"unread");
        side.close(other);
        side.polled("reset", &[one]);
        side.option(one, SOL_SOCKET, SO_ERROR);
        side.receive("reset", one, 10, 0);
        side.receive("reset", one, 10, 0);
        side.write("reset", one, b"x");
        // A listener that closes resets who waits.
        side.close(listener);
        side.polled("no listener", &[second, third]);
        side.receive("no listener", second, 10, 0);
        side.write("no listener", second, b"x");
        side.status("s");
        let again = side.socket(SOCK_STREAM);
        side.named("left", __NR_connect, again, "s");
        side.named("bind", __NR_bind, again, "s");
        let answer = side.path(__NR_unlink, "s", &[]);
        side.note("unlink", answer);
        side.named("bind", __NR_bind, again, "s");
        side.tell("shutdown", __NR_shutdown, &[again, 2]);
        side.tell("shutdown", __NR_shutdown, &[one, 2]);
    });
}

#[test]
fn datagrams_and_packets() {
    same(|side| {
        for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
            let [one, other] = side.socket_pair(kind);
            side.names("pair", one);
            side.polled("new", &[one, other]);
            for (content, bytes, flags) in [
                (&b"word"[..], 10, 0),
                (b"word", 2, 0),
                (b"word", 2, MSG_TRUNC),
                (b"word", 0, 0),
                (b"word", 10, MSG_PEEK),
                (b"", 10, 0),
                (b"more", 10, MSG_WAITALL),
                (b"x", 10, MSG_OOB),
            ] {
                side.send("send", one, content, 0, None);
                side.receive("one", other, bytes, flags);
                side.polled("after", &[one, other]);
            }
            side.receive("left", other, 10, 0);
            side.receive("left", other, 10, 0);
            side.receive("left", other, 10, 0);
            for flags in [MSG_EOR, MSG_OOB, MSG_MORE] {
                side.send("flags", one, b"flags", flags, None);
                side.receive_message("flags", other, 10, 0, 0);
            }
            let spans: [&[u8]; 3] = [b"one", b"", b"three"];
            side.send_message("pieces", one, &spans, &[], 0);
            side.receive_message("pieces", other, 6, 0, MSG_TRUNC);
            side.write("write", one, b"write");
            side.read("read", other, 3);
            side.read("read", other, 3);
            let mut bytes = -1i32;
            side.write("write", one, b"write");
            side.write("write", one, b"again");
            side.tell(
                "waiting",
                __NR_ioctl,
                &[
                    other,
                    linux_raw_sys::ioctl::FIONREAD as usize,
                    to(&mut bytes),
                ],
            );
            side.note("waiting", bytes);
            for (how, ends) in [(0, [one, other]), (1, [one, other])] {
                side.tell("shutdown", __NR_shutdown, &[ends[0], how]);
                side.polled("shut", &ends);
                side.send("shut", one, b"x", 0, None);
                side.send("shut", other, b"x", 0, None);
                side.receive("shut", one, 10, 0);
                side.receive("shut", other, 10, 0);
            }
            side.close(one);
            side.polled("closed", &[other]);
            side.receive("closed", other, 10, 0);
            side.send("closed", other, b"x", 0, None);
            side.close(other);
        }
        // Names.
        let (one, other, third) = (
            side.socket(SOCK_DGRAM),
            side.socket(SOCK_DGRAM),
            side.socket(SOCK_DGRAM),
        );
        side.named("bind", __NR_bind, one, "one");
        side.named("bind", __NR_bind, other, "\0bespoke-other");
        side.send("nowhere", third, b"x", 0, None);
        side.send("by name", third, b"unnamed", 0, Some("one"));
        side.send("by name", other, b"abstract", 0, Some("one"));
        side.send("by name", one, b"path", 0, Some("\0bespoke-other"));
        side.send("none", one, b"path", 0, Some("none"));
        side.send("none", one, b"path", 0, Some("\0none"));
        side.receive("one", one, 20, 0);
        side.receive("one", one, 20, 0);
        side.receive("other", other, 20, 0);
        side.tell("listen", __NR_listen, &[one, 1]);
        side.tell("accept", __NR_accept, &[one, 0, 0]);
        side.named("connect", __NR_connect, third, "one");
        side.names("connected", third);
        side.send("connected", third, b"connected", 0, None);
        side.receive("one", one, 20, 0);
        side.named("connect", __NR_connect, one, "\0bespoke-other");
        side.send("not its peer", third, b"x", 0, None);
        side.send("not its peer", third, b"x", 0, Some("one"));
        side.polled("not its peer", &[third, one]);
        side.tell("dissolve", __NR_connect, &[one, at(&[0u8, 0]), 2]);
        side.send("free", third, b"x", 0, None);
        let stream = side.socket(SOCK_STREAM);
        side.named("kind", __NR_connect, stream, "one");
        side.send("kind", stream, b"x", 0, Some("one"));
        side.close(one);
        side.send("gone", third, b"x", 0, None);
        side.send("gone", third, b"x", 0, None);
        side.polled("gone", &[third]);
        // As many as a queue holds.
        let [one, other] = side.socket_pair(SOCK_DGRAM);
        for _ in 0..12 {
            side.send("full", one, b"x", 0, None);
        }
        side.polled("full", &[one, other]);
        side.receive("one", other, 5, 0);
        side.polled("room", &[one, other]);
        side.send("room", one, b"x", 0, None);
        side.send("large", one, &vec![1; 300_000], 0, None);
        // Connections of packets.
        let listener = side.socket(SOCK_SEQPACKET);
        side.named("bind", __NR_bind, listener, "packets");
        side.tell("listen", __NR_listen, &[listener, 2]);
        let client = side.socket(SOCK_SEQPACKET);
        side.send("not connected", client, b"x", 0, None);
        side.receive("not connected", client, 5, 0);
        side.named("connect", __NR_connect, client, "packets");
        let accepted = side.call(__NR_accept4, &[listener, 0, 0, NONBLOCK]) as usize;
        side.send("packet", client, b"first", 0, None);
        side.send("packet", client, b"second", 0, None);
        side.receive("packet", accepted, 3, 0);
        side.receive("packet", accepted, 30, 0);
        side.close(client);
        side.receive("end", accepted, 30, 0);
    });
}

#[test]
fn options_of_sockets() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            let [one, other] = side.socket_pair(kind);
            for option in (1..=12).chain([
                13, 14, 15, 16, 17, 18, 19, 28, 29, 30, 36, 38, 39, 40, 42, 43, 46, 49, 76, 99,
            ]) {
                // Of these the sizes are each system's own, and 17 and 59 tell of processes.
                if !matches!(option, 7 | 8 | 14 | 17 | 28 | 36 | 40 | 42 | 46 | 76) {
                    side.option(one, SOL_SOCKET, option);
                }
            }
            for option in [
                SO_REUSEADDR,
                SO_KEEPALIVE,
                SO_BROADCAST,
                SO_PASSCRED,
                SO_DEBUG,
                SO_DONTROUTE,
                SO_OOBINLINE,
                SO_TYPE,
                SO_ERROR,
                SO_ACCEPTCONN,
                SO_REUSEPORT,
                99,
            ] {
                for (value, bytes) in [(1, 4), (0, 4), (7, 4), (1, 3), (1, 0), (-1, 8)] {
                    side.set(one, SOL_SOCKET, option, value, bytes);
                    if option != SO_DEBUG {
                        side.option(one, SOL_SOCKET, option);
                    }
                }
            }
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                for time in [
                    [0i64, 0],
                    [3, 500_000],
                    [0, 1],
                    [1, 999_999],
                    [1, 1_000_000],
                    [1, -1],
                ] {
                    for bytes in [16, 8, 24] {
                        let value = [time[0], time[1], 0];
                        side.tell(
                            &format!("set {option} {time:?} {bytes}"),
                            __NR_setsockopt,
                            &[one, SOL_SOCKET as usize, option as usize, at(&value), bytes],
                        );
                    }
                    let (mut found, mut length) = ([9i64; 2], 16u32);
                    let answer = side.call(
                        __NR_getsockopt,
                        &[one, 1, option as usize, to(&mut found), to(&mut length)],
                    );
                    // Linux counts in ticks.
                    side.note("time", (answer, length, found[0], (found[1] > 0)));
                }
            }
            for linger in [[0i32, 0], [1, 5], [1, 0], [0, 7]] {
                side.tell(
                    "linger",
                    __NR_setsockopt,
                    &[one, 1, SO_LINGER as usize, at(&linger), 8],
                );
                side.option(one, SOL_SOCKET, SO_LINGER);
            }
            side.tell(
                "linger",
                __NR_setsockopt,
                &[one, 1, SO_LINGER as usize, at(&[0u8; 8]), 4],
            );
            side.option(one, 0, 1);
            side.option(one, 6, 1);
            side.set(one, 6, 1, 1, 4);
            side.option(other, SOL_SOCKET, SO_PASSCRED);
            let mut length = -1i32;
            side.tell(
                "negative",
                __NR_getsockopt,
                &[one, 1, 3, to(&mut [0u8; 8]), to(&mut length)],
            );
            side.tell("bad", __NR_getsockopt, &[one, 1, 3, 8, to(&mut 4u32)]);
            side.tell("bad", __NR_getsockopt, &[one, 1, 3, to(&mut [0u8; 8]), 8]);
            side.tell("bad", __NR_setsockopt, &[one, 1, 2, 8, 4]);
        }
        let listener = side.socket(SOCK_STREAM);
        side.option(listener, SOL_SOCKET, SO_ACCEPTCONN);
        side.named("bind", __NR_bind, listener, "l");
        side.tell("listen", __NR_listen, &[listener, 1]);
        side.option(listener, SOL_SOCKET, SO_ACCEPTCONN);
    });
}

#[test]
fn messages_with_descriptors() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            let [one, other] = side.socket_pair(kind);
            let file = side.file("file", b"content");
            let [from, into] = side.pipe(O_NONBLOCK);
            for (what, descriptors, room, flags) in [
                ("none", vec![], 100, 0),
                ("one", vec![file], 100, 0),
                ("close on exec", vec![file], 100, MSG_CMSG_CLOEXEC),
                ("three", vec![file, from, into], 100, 0),
                ("no room", vec![file, from], 0, 0),
                ("room for one", vec![file, from], 20, 0),
                ("room for half", vec![file, from], 18, 0),
                ("peeked at", vec![file], 100, MSG_PEEK),
            ] {
                let control = if descriptors.is_empty() {
                    vec![]
                } else {
                    passing(&descriptors)
                };
                side.send_message(what, one, &[b"wo", b"rd"], &control, 0);
                let count = if flags == MSG_PEEK { 2 } else { 1 };
                for turn in 0..count {
                    let came = side.receive_message(
                        what,
                        other,
                        10,
                        room,
                        if turn == 0 { flags } else { 0 },
                    );
                    side.note("came", came.len());
                    for descriptor in came {
                        side.tell("flags", __NR_fcntl, &[descriptor, F_GETFD as usize]);
                        side.tell("flags", __NR_fcntl, &[descriptor, F_GETFL as usize]);
                        side.tell("place", __NR_lseek, &[descriptor, 1, 1]);
                        side.close(descriptor);
                    }
                }
            }
            // What comes with bytes ends a read of a stream.
            side.send("before", one, b"before", 0, None);
            side.send_message("with", one, &[b"with"], &passing(&[file]), 0);
            side.send("behind", one, b"behind", 0, None);
            for _ in 0..3 {
                let came = side.receive_message("in turn", other, 100, 100, 0);
                side.note("came", came.len());
                came.into_iter()
                    .for_each(|descriptor| side.close(descriptor));
            }
            // Read without looking, they are closed.
            side.send_message("lost", one, &[b"lost"], &passing(&[into]), 0);
            side.close(into);
            side.polled("in a message", &[from]);
            side.read("lost", other, 10);
            side.polled("lost", &[from]);
            // Messages that cannot be.
            let mut bad = passing(&[99]);
            side.send_message("closed", one, &[b"x"], &bad, 0);
            bad[..8].copy_from_slice(&15usize.to_ne_bytes());
            side.send_message("short", one, &[b"x"], &bad, 0);
            bad[..8].copy_from_slice(&100usize.to_ne_bytes());
            side.send_message("long", one, &[b"x"], &bad, 0);
            let mut kind = passing(&[file]);
            kind[12] = 77;
            side.send_message("kind", one, &[b"x"], &kind, 0);
            let mut level = passing(&[file]);
            level[8] = 77;
            side.send_message("level", one, &[b"x"], &level, 0);
            side.send_message("many", one, &[b"x"], &passing(&vec![file; 254]), 0);
            side.send_message("most", one, &[b"x"], &passing(&vec![file; 253]), 0);
            let message = [0usize, 0, 8, 1, 0, 0, 0];
            side.tell("bad spans", __NR_sendmsg, &[one, at(&message), 0]);
            let message = [0usize, 0, at(&[0usize; 2]), 1025, 0, 0, 0];
            side.tell("many spans", __NR_sendmsg, &[one, at(&message), 0]);
            side.tell("bad", __NR_sendmsg, &[one, 8, 0]);
            side.tell("bad", __NR_recvmsg, &[other, 8, WAITS_NOT]);
            side.send_message("nothing", one, &[], &passing(&[file]), 0);
            for end in [one, other, file, from] {
                side.close(end);
            }
        }
    });
}

#[test]
fn who_sent_it() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            let [one, other] = side.socket_pair(kind);
            side.set(other, SOL_SOCKET, SO_PASSCRED, 1, 4);
            side.send("send", one, b"word", 0, None);
            for room in [100, 28, 27, 20, 16, 10, 0] {
                side.receive_message("credentials", other, 10, room, MSG_PEEK);
            }
            side.receive_message("credentials", other, 10, 100, 0);
            side.set(other, SOL_SOCKET, SO_PASSCRED, 0, 4);
            side.send("send", one, b"word", 0, None);
            side.receive_message("none", other, 10, 100, 0);
            let (mut peer, mut length) = ([7u32; 3], 12u32);
            let answer = side.call(
                __NR_getsockopt,
                &[one, 1, SO_PEERCRED as usize, to(&mut peer), to(&mut length)],
            );
            side.note("peer", (answer, length, &peer[1..]));
            let socket = side.socket(kind);
            let answer = side.call(
                __NR_getsockopt,
                &[
                    socket,
                    1,
                    SO_PEERCRED as usize,
                    to(&mut peer),
                    to(&mut length),
                ],
            );
            side.note("nobody", (answer, length, peer));
        }
    });
}

#[test]
fn many_messages_at_once() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            let [one, other] = side.socket_pair(kind);
            let spans = [[at("first"), 5], [at("second"), 6], [at("3"), 1], [8, 4]];
            let message = |span: &[usize; 2]| [0, 0, at(span), 1, 0, 0, 0, 0];
            for (count, last) in [(0, 3), (1, 3), (3, 3), (4, 4), (4, 3)] {
                let mut messages: Vec<[usize; 8]> = spans.iter().take(last).map(message).collect();
                messages.resize(5, message(&spans[2]));
                let answer = side.call(
                    __NR_sendmmsg,
                    &[one, to(&mut messages[..]), count, WAITS_NOT],
                );
                let sent: Vec<u32> = messages.iter().map(|message| message[7] as u32).collect();
                side.note("sent", (count, answer, sent));
            }
            let mut buffers = [[0xee_u8; 8]; 6];
            for count in [0, 1, 2, 6] {
                let spans: Vec<[usize; 2]> =
                    buffers.iter_mut().map(|buffer| [to(buffer), 8]).collect();
                let mut messages: Vec<[usize; 8]> = spans.iter().map(message).collect();
                let answer = side.call(
                    __NR_recvmmsg,
                    &[other, to(&mut messages[..]), count, WAITS_NOT, 0],
                );
                let got: Vec<u32> = messages.iter().map(|message| message[7] as u32).collect();
                side.note(
                    "received",
                    (
                        count,
                        answer,
                        got,
                        buffers.map(|buffer| String::from_utf8_lossy(&buffer).into_owned()),
                    ),
                );
            }
            let mut buffer = [0u8; 8];
            let span = [to(&mut buffer), 8];
            let mut messages = [message(&span)];
            for time in [[0i64, 0], [0, -1], [-1, 0], [0, 1_000_000_000]] {
                side.tell(
                    "times",
                    __NR_recvmmsg,
                    &[other, to(&mut messages), 1, WAITS_NOT, at(&time)],
                );
            }
            side.tell("bad", __NR_recvmmsg, &[other, 8, 1, WAITS_NOT, 0]);
            side.tell("bad", __NR_sendmmsg, &[one, 8, 1, WAITS_NOT]);
            side.tell(
                "none",
                __NR_sendmmsg,
                &[99, to(&mut messages), 1, WAITS_NOT],
            );
        }
    });
}
