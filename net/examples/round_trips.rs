//! Requests and answers over a wire in memory: what the server's stack costs per request.
//! For callgrind, which counts the instructions inside `server_turn`:
//!
//! `valgrind --tool=callgrind --toggle-collect='*server_turn*' round_trips CONNECTIONS REQUESTS`
#![allow(clippy::print_stdout, reason = "its result")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../tests/common/wire.rs"]
mod wire;

use bespoke_net::{Error, IpAddress, IpEndpoint, SocketId, Stack};
use std::env;
use wire::{End, Pair, SERVER};

const REQUEST: [u8; 60] = [1; 60];
const ANSWER: [u8; 612] = [2; 612];

#[inline(never)]
fn server_turn(server: &mut Stack<End>, now: u64, listener: SocketId, buffer: &mut [u8]) -> usize {
    server.poll(now);
    let mut answered = 0;
    while let Some(change) = server.take_change() {
        if change.socket == listener {
            while server.accept(listener).is_ok() {}
            continue;
        }
        if let Ok(taken) = server.receive(change.socket, buffer, false) {
            assert_eq!(taken, REQUEST.len());
            server.send(change.socket, &ANSWER, false).unwrap();
            answered += 1;
        }
    }
    answered
}

fn main() {
    let mut arguments = env::args()
        .skip(1)
        .map(|text| text.parse::<usize>().unwrap());
    let connections = arguments.next().unwrap_or(30);
    let requests = arguments.next().unwrap_or(10_000);
    let mut pair = Pair::new(256 << 20, 1);
    let mut now = 1_000_000;
    // Cleared here: callgrind would count a call's own.
    let mut server_buffer = [0; 4096];
    let listener = pair.server.stream(false).unwrap();
    let name = |address| IpEndpoint::new(address, 80);
    pair.server
        .bind(listener, name(IpAddress::v4(0, 0, 0, 0)))
        .unwrap();
    pair.server.listen(listener, 1024).unwrap();
    let clients: Vec<SocketId> = (0..connections)
        .map(|_| {
            let id = pair.client.stream(false).unwrap();
            let result = pair.client.connect(id, name(IpAddress::Ipv4(SERVER)));
            assert_eq!(result, Err(Error::InProgress));
            for _ in 0..6 {
                now += 1_000_000;
                pair.client.poll(now);
                server_turn(&mut pair.server, now, listener, &mut server_buffer);
            }
            id
        })
        .collect();
    let mut answered = 0;
    let mut round = 0;
    while answered < requests {
        // A batch from different connections, as a busy device delivers them.
        for step in 0..connections.min(8) {
            let id = clients[(round * 8 + step) % connections];
            pair.client.send(id, &REQUEST, false).unwrap();
        }
        round += 1;
        now += 20_000;
        answered += server_turn(&mut pair.server, now, listener, &mut server_buffer);
        now += 20_000;
        pair.client.poll(now);
        while let Some(change) = pair.client.take_change() {
            let mut buffer = [0; 4096];
            while let Ok(taken) = pair.client.receive(change.socket, &mut buffer, false) {
                assert_eq!(taken, ANSWER.len());
            }
        }
    }
    let under_way = pair.to_client.borrow().len() + pair.to_server.borrow().len();
    assert!(under_way <= connections, "acknowledgements at most");
    println!("{answered} requests on {connections} connections");
}
