//! Internet sockets over loopback, through the system calls: what a server and a client on one
//! machine see.

use super::Machine;
use linux_raw_sys::errno::*;
use linux_raw_sys::general::*;
use linux_raw_sys::net::{AF_INET, AF_INET6, SO_ERROR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};
use std::vec::Vec;

const NON_BLOCKING: usize = (SOCK_STREAM | O_NONBLOCK) as usize;

/// `sockaddr_in` of 127.0.0.1, or `sockaddr_in6` of its mapped address.
fn loopback(v6: bool, port: u16) -> Vec<u8> {
    let family = if v6 { AF_INET6 } else { AF_INET };
    let mut address = Vec::from((family as u16).to_ne_bytes());
    address.extend(port.to_be_bytes());
    if v6 {
        address.extend([0; 4 + 10]);
        address.extend([0xff, 0xff]);
    }
    address.extend([127, 0, 0, 1]);
    address.resize(if v6 { 28 } else { 16 }, 0);
    address
}

/// A call that takes an address.
fn name(machine: &mut Machine, call: u32, descriptor: isize, address: &[u8]) -> isize {
    let (at, bytes) = (address.as_ptr() as usize, address.len());
    machine.call(call, &[descriptor as usize, at, bytes])
}

fn named(machine: &mut Machine, call: u32, descriptor: isize) -> Vec<u8> {
    let mut address = [0_u8; 28];
    let mut length = 28_u32;
    let (at, length_at) = (address.as_mut_ptr() as usize, &raw mut length as usize);
    assert_eq!(machine.call(call, &[descriptor as usize, at, length_at]), 0);
    address[..length as usize].to_vec()
}

#[test]
fn a_server_and_a_client_talk_over_loopback() {
    let mut machine = Machine::new(4096);
    let socket = |machine: &mut Machine, family: u32| {
        machine.call(__NR_socket, &[family as usize, NON_BLOCKING, 0])
    };
    let server = socket(&mut machine, AF_INET6);
    let own = loopback(true, 4000);
    assert_eq!(name(&mut machine, __NR_bind, server, &own), 0);
    assert_eq!(machine.call(__NR_listen, &[server as usize, 8]), 0);
    assert_eq!(named(&mut machine, __NR_getsockname, server), own);
    let accept = [server as usize, 0, 0, O_NONBLOCK as usize];
    assert_eq!(machine.call(__NR_accept4, &accept), -(EAGAIN as isize));

    // An IPv6 server takes the IPv4 client, and names it by a mapped address.
    let client = socket(&mut machine, AF_INET);
    let peer = loopback(false, 4000);
    let begun = name(&mut machine, __NR_connect, client, &peer);
    assert_eq!(begun, -(EINPROGRESS as isize));
    let accepted = machine.call(__NR_accept4, &accept);
    assert!(accepted > client, "{accepted}");
    // The first call after that learns of it.
    assert_eq!(name(&mut machine, __NR_connect, client, &peer), 0);
    let again = name(&mut machine, __NR_connect, client, &peer);
    assert_eq!(again, -(EISCONN as isize));
    assert_eq!(named(&mut machine, __NR_getpeername, client), peer);
    let seen = named(&mut machine, __NR_getpeername, accepted);
    let client_name = named(&mut machine, __NR_getsockname, client);
    assert_eq!(seen[2..4], client_name[2..4], "the same port");
    assert_eq!(seen[18..24], [0xff, 0xff, 127, 0, 0, 1]);

    assert_eq!(machine.write(client, b"question"), 8);
    let mut buffer = [0_u8; 64];
    let read = [accepted as usize, buffer.as_mut_ptr() as usize, 64];
    assert_eq!(machine.call(__NR_read, &read), 8);
    assert_eq!(&buffer[..8], b"question");
    assert_eq!(machine.call(__NR_read, &read), -(EAGAIN as isize));
    assert_eq!(machine.call(__NR_shutdown, &[client as usize, 1]), 0);
    assert_eq!(machine.call(__NR_read, &read), 0);
    assert_eq!(machine.write(accepted, b"answer"), 6);
    let read = [client as usize, buffer.as_mut_ptr() as usize, 64];
    assert_eq!(machine.call(__NR_read, &read), 6);
    for descriptor in [accepted, client, server] {
        assert_eq!(machine.close(descriptor), 0);
    }

    let late = socket(&mut machine, AF_INET);
    let begun = name(&mut machine, __NR_connect, late, &peer);
    assert_eq!(begun, -(EINPROGRESS as isize));
    let mut polled = pollfd {
        fd: late as i32,
        events: POLLOUT as i16,
        revents: 0,
    };
    let poll = [&raw mut polled as usize, 1, 0];
    assert_eq!(machine.call(__NR_poll, &poll), 1);
    assert_ne!(polled.revents as u32 & POLLERR, 0);
    let (mut error, mut length) = (0_u32, 4_u32);
    let option = [
        late as usize,
        SOL_SOCKET as usize,
        SO_ERROR as usize,
        &raw mut error as usize,
        &raw mut length as usize,
    ];
    assert_eq!(machine.call(__NR_getsockopt, &option), 0);
    assert_eq!(error, ECONNREFUSED);
}

#[test]
fn datagrams_keep_their_bounds_and_their_senders() {
    let mut machine = Machine::new(4096);
    let kind = (SOCK_DGRAM | O_NONBLOCK) as usize;
    let socket = |machine: &mut Machine| machine.call(__NR_socket, &[AF_INET as usize, kind, 0]);
    let receiver = socket(&mut machine);
    let own = loopback(false, 5000);
    assert_eq!(name(&mut machine, __NR_bind, receiver, &own), 0);
    let sender = socket(&mut machine);
    for text in [&b"first"[..], b"", b"the third is longer"] {
        let send = [
            sender as usize,
            text.as_ptr() as usize,
            text.len(),
            0,
            own.as_ptr() as usize,
            own.len(),
        ];
        assert_eq!(machine.call(__NR_sendto, &send), text.len() as isize);
    }
    let sender_name = named(&mut machine, __NR_getsockname, sender);
    for (text, room) in [(&b"first"[..], 64), (b"", 64), (b"the", 3)] {
        let mut buffer = [0_u8; 64];
        let mut from = [0_u8; 16];
        let mut length = 16_u32;
        let receive = [
            receiver as usize,
            buffer.as_mut_ptr() as usize,
            room,
            0,
            from.as_mut_ptr() as usize,
            &raw mut length as usize,
        ];
        assert_eq!(machine.call(__NR_recvfrom, &receive), text.len() as isize);
        assert_eq!(&buffer[..text.len()], text);
        assert_eq!(from[2..4], sender_name[2..4]);
        assert_eq!(from[4..8], [127, 0, 0, 1]);
    }
    // As Linux: `read` of nothing asks no socket.
    let read = [receiver as usize, 0, 0];
    assert_eq!(machine.call(__NR_read, &read), 0);
    let mut byte = 0_u8;
    let read = [receiver as usize, &raw mut byte as usize, 1];
    assert_eq!(machine.call(__NR_read, &read), -(EAGAIN as isize));
}
