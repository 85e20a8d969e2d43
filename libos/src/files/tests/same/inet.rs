//! Internet sockets on the loopback: names, options, connections and datagrams, as far as no time passes.

use super::{Side, at, same, to};
use linux_raw_sys::general::*;
use linux_raw_sys::net::*;
use std::format;
use std::vec::Vec;

const FREE: usize = O_NONBLOCK as usize;
const WAITS_NOT: usize = MSG_DONTWAIT as usize;

/// `sockaddr_in` of an address.
fn v4(address: [u8; 4], port: u16) -> Vec<u8> {
    let mut out = (AF_INET as u16).to_ne_bytes().to_vec();
    out.extend(port.to_be_bytes());
    out.extend(address);
    out.extend([0; 8]);
    out
}

/// `sockaddr_in6` of an address.
fn v6(address: [u8; 16], port: u16) -> Vec<u8> {
    let mut out = (AF_INET6 as u16).to_ne_bytes().to_vec();
    out.extend(port.to_be_bytes());
    out.extend([0; 4]);
    out.extend(address);
    out.extend([0; 4]);
    out
}

const LOCAL: [u8; 4] = [127, 0, 0, 1];
const LOCAL6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
/// Ports that nobody has.
const PORT: u16 = 29_471;

impl Side {
    fn inet(&mut self, family: u32, kind: u32) -> usize {
        self.call(__NR_socket, &[family as usize, kind as usize | FREE, 0]) as usize
    }

    fn with_address(&mut self, what: &str, number: u32, socket: usize, address: &[u8]) -> isize {
        self.tell(what, number, &[socket, at(address), address.len()])
    }

    fn inet_name(&mut self, what: &str, number: u32, socket: usize) {
        for room in [28u32, 8, 0] {
            let (mut buffer, mut length) = ([0xee_u8; 28], room);
            let answer = self.call(number, &[socket, to(&mut buffer), to(&mut length)]);
            // A port that was chosen is each system's own.
            let port = u16::from_be_bytes([buffer[2], buffer[3]]);
            if room >= 4 && port > 30_000 {
                buffer[2..4].fill(0xaa);
            }
            self.note(what, (answer, length, buffer));
        }
    }

    fn receive_inet(&mut self, what: &str, socket: usize, bytes: usize, flags: u32) {
        let (mut buffer, mut name, mut length) = ([0xee_u8; 64], [0xee_u8; 28], 28u32);
        let answer = self.call(
            __NR_recvfrom,
            &[
                socket,
                to(&mut buffer),
                bytes,
                flags as usize | WAITS_NOT,
                to(&mut name),
                to(&mut length),
            ],
        );
        self.note_bytes(&format!("{what} {flags:#x}"), answer, &buffer);
        if answer >= 0 {
            name[2..4].fill(0);
            self.note("from", (length, name));
        }
    }
}

#[test]
fn names_of_internet_sockets() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            for family in [AF_INET, AF_INET6] {
                let new = side.inet(family, kind);
                side.inet_name("new", __NR_getsockname, new);
                side.inet_name("new", __NR_getpeername, new);
                side.polled("new", &[new]);
                side.close(new);
                let unspecified = [AF_UNSPEC as u8; 16];
                for (what, address) in [
                    ("local", v4(LOCAL, PORT)),
                    ("any", v4([0; 4], PORT)),
                    ("foreign", v4([203, 0, 113, 7], PORT)),
                    ("local 6", v6(LOCAL6, PORT)),
                    ("any 6", v6([0; 16], PORT)),
                    ("mapped", v6(MAPPED, PORT)),
                    ("foreign 6", v6([0xfd; 16], PORT)),
                    ("chosen", v4(LOCAL, 0)),
                    ("short", v4(LOCAL, PORT)[..15].to_vec()),
                    ("short 6", v6(LOCAL6, PORT)[..23].to_vec()),
                    ("without a scope", v6(LOCAL6, PORT)[..24].to_vec()),
                    ("long", [&v4(LOCAL, PORT)[..], &[0; 84]].concat()),
                    ("unspecified", unspecified.to_vec()),
                    ("family", [9u8; 16].to_vec()),
                    ("two", [2u8, 0].to_vec()),
                    ("one", [2u8].to_vec()),
                ] {
                    // One that is too short as well is refused for either.
                    if family == AF_INET6 && matches!(what, "unspecified" | "family") {
                        continue;
                    }
                    let socket = side.inet(family, kind);
                    if side.with_address(&format!("bind {what}"), __NR_bind, socket, &address) == 0
                    {
                        side.inet_name("bound", __NR_getsockname, socket);
                        side.with_address("again", __NR_bind, socket, &v4(LOCAL, PORT + 1));
                        let other = side.inet(family, kind);
                        side.with_address("taken", __NR_bind, other, &address);
                        let value = 1i32;
                        side.tell(
                            "reuse",
                            __NR_setsockopt,
                            &[other, 1, SO_REUSEADDR as usize, at(&value), 4],
                        );
                        side.with_address("taken", __NR_bind, other, &address);
                        side.close(other);
                    }
                    side.close(socket);
                }
            }
        }
    });
}

#[test]
fn options_of_internet_sockets() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            for family in [AF_INET, AF_INET6] {
                let socket = side.inet(family, kind);
                // Level, option, and values to set.
                for (level, option) in [
                    (SOL_SOCKET, SO_REUSEADDR),
                    (SOL_SOCKET, SO_REUSEPORT),
                    (SOL_SOCKET, SO_KEEPALIVE),
                    (SOL_SOCKET, SO_BROADCAST),
                    (SOL_SOCKET, SO_TYPE),
                    (SOL_SOCKET, SO_ERROR),
                    (SOL_SOCKET, SO_ACCEPTCONN),
                    (SOL_SOCKET, SO_DOMAIN),
                    (SOL_SOCKET, SO_PROTOCOL),
                    (6, 1),
                    (6, 3),
                    (6, 4),
                    (6, 5),
                    (6, 6),
                    (6, 18),
                    (0, 1),
                    (0, 2),
                    (41, 26),
                    (41, 67),
                ] {
                    // Levels that are of the other transport or version.
                    if level == 6 && kind != SOCK_STREAM
                        || level == 41 && family != AF_INET6
                        // Linux keeps two bits of the traffic class of a stream to itself.
                        || option == 67 && kind == SOCK_STREAM
                    {
                        continue;
                    }
                    side.option(socket, level, option);
                    for (value, bytes) in [
                        (1i32, 4usize),
                        (0, 4),
                        (5, 4),
                        (1, 3),
                        (-1, 4),
                        (256, 4),
                        (128, 4),
                        (32_768, 4),
                    ] {
                        // What Linux takes for `TCP_SYNCNT`-like limits, and its own readings of one byte.
                        if level == 0 && bytes != 4 || (level, option) == (0, 1) && value == 5 {
                            continue;
                        }
                        let value = [value, 0];
                        side.tell(
                            &format!("set {level} {option} {value:?} {bytes}"),
                            __NR_setsockopt,
                            &[socket, level as usize, option as usize, at(&value), bytes],
                        );
                        let (mut found, mut length) = (-7i32, 4u32);
                        let answer = side.call(
                            __NR_getsockopt,
                            &[
                                socket,
                                level as usize,
                                option as usize,
                                to(&mut found),
                                to(&mut length),
                            ],
                        );
                        side.note("now", (answer, found, length));
                    }
                }
                let value = 1i32;
                side.tell("unknown", __NR_setsockopt, &[socket, 1, 999, at(&value), 4]);
                side.tell(
                    "bad",
                    __NR_setsockopt,
                    &[socket, 1, SO_REUSEADDR as usize, 8, 4],
                );
                side.close(socket);
            }
        }
    });
}

#[test]
fn streams_over_the_loopback() {
    same(|side| {
        for (family, address) in [
            (AF_INET, v4(LOCAL, PORT + 10)),
            (AF_INET6, v6(LOCAL6, PORT + 11)),
        ] {
            let (listener, client) = (
                side.inet(family, SOCK_STREAM),
                side.inet(family, SOCK_STREAM),
            );
            let value = 1i32;
            side.tell(
                "reuse",
                __NR_setsockopt,
                &[listener, 1, SO_REUSEADDR as usize, at(&value), 4],
            );
            side.with_address("bind", __NR_bind, listener, &address);
            side.tell("accept", __NR_accept, &[listener, 0, 0]);
            side.tell("write", __NR_write, &[client, at("x"), 1]);
            side.receive_inet("not connected", client, 8, 0);
            side.tell("listen", __NR_listen, &[listener, 4]);
            // Nothing waits for what went before it.
            side.tell("no delay", __NR_setsockopt, &[client, 6, 1, at(&value), 4]);
            side.tell("none", __NR_accept, &[listener, 0, 0]);
            side.polled("listener", &[listener]);
            side.option(listener, SOL_SOCKET, SO_ACCEPTCONN);
            side.with_address("connect a listener", __NR_connect, listener, &address);
            side.with_address("connect", __NR_connect, client, &address);
            side.polled("both", &[listener, client]);
            side.inet_name("peer", __NR_getpeername, client);
            side.option(client, SOL_SOCKET, SO_ERROR);
            side.with_address("done", __NR_connect, client, &address);
            side.with_address("done", __NR_connect, client, &address);
            let (mut name, mut length) = ([0xee_u8; 28], 28u32);
            let accepted = side.call(
                __NR_accept4,
                &[
                    listener,
                    to(&mut name),
                    to(&mut length),
                    (O_NONBLOCK | O_CLOEXEC) as usize,
                ],
            ) as usize;
            name[2..4].fill(0);
            side.note("accepted", (length, name));
            for command in [F_GETFL, F_GETFD] {
                side.tell("flags", __NR_fcntl, &[accepted, command as usize]);
            }
            side.inet_name("own", __NR_getsockname, accepted);
            side.polled("open", &[client, accepted]);
            for (bytes, flags) in [
                (3, MSG_PEEK),
                (3, 0),
                (10, MSG_WAITALL),
                (2, MSG_TRUNC),
                (10, 0),
                (10, 0),
            ] {
                side.write("word", client, b"words");
                side.polled("word", &[accepted]);
                let mut waiting = 0i32;
                side.tell(
                    "waiting",
                    __NR_ioctl,
                    &[
                        accepted,
                        linux_raw_sys::ioctl::FIONREAD as usize,
                        to(&mut waiting),
                    ],
                );
                side.note("waiting", waiting);
                side.receive_inet("word", accepted, bytes, flags);
            }
            side.tell("empty", __NR_sendto, &[client, at("x"), 0, 0, 0, 0]);
            side.receive_inet("empty", accepted, 8, 0);
            side.tell("shutdown", __NR_shutdown, &[client, 1]);
            side.polled("half", &[accepted]);
            side.receive_inet("end", accepted, 8, 0);
            side.write("back", accepted, b"back");
            side.polled("back", &[client]);
            side.receive_inet("back", client, 8, 0);
            side.write("shut", client, b"x");
            side.tell("bad", __NR_shutdown, &[client, 3]);
            side.close(accepted);
            side.polled("closed", &[client]);
            side.receive_inet("closed", client, 8, 0);
            side.close(client);
            // Nobody listens.
            side.close(listener);
            let client = side.inet(family, SOCK_STREAM);
            side.with_address("connect", __NR_connect, client, &address);
            side.polled("refused", &[client]);
            side.option(client, SOL_SOCKET, SO_ERROR);
            side.close(client);
        }
    });
}

#[test]
fn datagrams_over_the_loopback() {
    same(|side| {
        for (family, one, other) in [
            (AF_INET, v4(LOCAL, PORT + 20), v4(LOCAL, PORT + 21)),
            (AF_INET6, v6(LOCAL6, PORT + 22), v6(LOCAL6, PORT + 23)),
        ] {
            let (first, second) = (side.inet(family, SOCK_DGRAM), side.inet(family, SOCK_DGRAM));
            side.with_address("bind", __NR_bind, first, &one);
            side.with_address("bind", __NR_bind, second, &other);
            side.write("nobody", first, b"x");
            side.tell("listen", __NR_listen, &[first, 1]);
            side.tell("accept", __NR_accept, &[first, 0, 0]);
            for (bytes, flags) in [
                (8, 0),
                (2, 0),
                (2, MSG_TRUNC),
                (8, MSG_PEEK),
                (0, 0),
                (8, 0),
            ] {
                side.tell(
                    "send",
                    __NR_sendto,
                    &[first, at("word"), 4, WAITS_NOT, at(&other[..]), other.len()],
                );
                side.polled("sent", &[first, second]);
                let mut waiting = 0i32;
                side.tell(
                    "waiting",
                    __NR_ioctl,
                    &[
                        second,
                        linux_raw_sys::ioctl::FIONREAD as usize,
                        to(&mut waiting),
                    ],
                );
                side.note("waiting", waiting);
                side.receive_inet("word", second, bytes, flags);
            }
            side.tell(
                "empty",
                __NR_sendto,
                &[first, at("word"), 0, WAITS_NOT, at(&other[..]), other.len()],
            );
            side.receive_inet("left", second, 8, 0);
            side.receive_inet("left", second, 8, 0);
            side.receive_inet("left", second, 8, 0);
            side.tell(
                "short",
                __NR_sendto,
                &[first, at("word"), 4, WAITS_NOT, at(&other[..]), 7],
            );
            if family == AF_INET {
                let nowhere = v4(LOCAL, 0);
                side.tell(
                    "port",
                    __NR_sendto,
                    &[first, at("word"), 4, WAITS_NOT, at(&nowhere[..]), 16],
                );
            }
            side.with_address("connect", __NR_connect, second, &one);
            side.inet_name("peer", __NR_getpeername, second);
            side.write("connected", second, b"connected");
            side.receive_inet("connected", first, 32, 0);
            side.tell("shutdown", __NR_shutdown, &[second, 1]);
            side.write("shut", second, b"x");
            side.tell("dissolve", __NR_connect, &[second, at(&[0u8; 16]), 16]);
            side.inet_name("none", __NR_getpeername, second);
            side.tell("shutdown", __NR_shutdown, &[first, 2]);
            side.close(second);
            side.close(first);
        }
    });
}

/// Options by level that answer as on Linux whatever is set. Others depend on its version, link and congestion control, or are
/// refused here on purpose where Linux would keep a value that nobody heeds.
const ALIKE: [(u32, &[u32]); 4] = [
    (
        0,
        &[
            1, 2, 3, 8, 10, 14, 15, 22, 24, 27, 28, 29, 30, 31, 33, 34, 49, 53, 54, 55, 56, 57, 58,
            59, 60,
        ],
    ),
    (
        1,
        &[
            1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 15, 16, 19, 20, 21, 22, 23, 24, 27, 28, 30, 31,
            32, 33, 34, 36, 38, 39, 46, 49, 54, 58,
        ],
    ),
    (
        6,
        &[1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 18, 25, 38, 39, 40],
    ),
    (41, &[19, 23, 26, 49]),
];

#[test]
fn every_option_of_a_level() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            for family in [AF_INET, AF_INET6] {
                for (level, options) in ALIKE {
                    if level == 6 && kind != SOCK_STREAM || level == 41 && family != AF_INET6 {
                        continue;
                    }
                    for &option in options {
                        let socket = side.inet(family, kind);
                        let get = |side: &mut Side, room: u32| {
                            let (mut value, mut length) = ([0xee_u8; 8], room);
                            let answer = side.call(
                                __NR_getsockopt,
                                &[
                                    socket,
                                    level as usize,
                                    option as usize,
                                    to(&mut value),
                                    to(&mut length),
                                ],
                            );
                            side.note(
                                &format!("{kind} {family} {level} {option}"),
                                (answer, length, value),
                            );
                        };
                        get(side, 4);
                        for (value, bytes) in [
                            (1i32, 4usize),
                            (0, 4),
                            (2, 4),
                            (-1, 4),
                            (255, 4),
                            (256, 4),
                            (70_000, 4),
                            (1, 1),
                        ] {
                            let value = [value, 0];
                            side.tell(
                                &format!("{kind} {family} {level} {option} set {value:?}"),
                                __NR_setsockopt,
                                &[socket, level as usize, option as usize, at(&value), bytes],
                            );
                            get(side, 4);
                        }
                        get(side, 1);
                        side.close(socket);
                    }
                }
            }
        }
    });
}

#[test]
fn sizes_of_buffers() {
    same(|side| {
        for kind in [SOCK_STREAM, SOCK_DGRAM] {
            for option in [SO_SNDBUF, SO_RCVBUF] {
                for value in [0i32, 1, 1000, 2303, 2305, 5000, 100_000, 212_992] {
                    let socket = side.inet(AF_INET, kind);
                    let other = if option == SO_SNDBUF {
                        SO_RCVBUF
                    } else {
                        SO_SNDBUF
                    };
                    side.tell(
                        "set",
                        __NR_setsockopt,
                        &[socket, 1, option as usize, at(&value), 4],
                    );
                    let (mut found, mut length) = (-7i32, 4u32);
                    let answer = side.call(
                        __NR_getsockopt,
                        &[socket, 1, option as usize, to(&mut found), to(&mut length)],
                    );
                    side.note("now", (option, value, answer, found));
                    // The other one stays.
                    let mut before = [-7i32; 2];
                    for (place, of) in before.iter_mut().zip([socket, side.inet(AF_INET, kind)]) {
                        side.call(
                            __NR_getsockopt,
                            &[of, 1, other as usize, to(place), to(&mut length)],
                        );
                    }
                    side.note("other", before[0] == before[1]);
                }
            }
        }
    });
}
