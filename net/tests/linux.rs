//! The stack against Linux's TCP over a TAP device.

mod common;

use bespoke_net::{Change, Error, IpAddress, IpEndpoint, SocketId, ready};
use common::{App, GUEST, GUEST6, TapStack, namespace, run};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// Sends back what it gets.
#[derive(Default)]
struct Echo {
    listener: Option<SocketId>,
    connections: HashMap<SocketId, Pending>,
    accepted: usize,
}

#[derive(Default)]
struct Pending {
    data: Vec<u8>,
    ended: bool,
}

impl Echo {
    fn serve(&mut self, stack: &mut TapStack, id: SocketId) {
        let Some(pending) = self.connections.get_mut(&id) else {
            return;
        };
        let mut buffer = vec![0; 65536];
        loop {
            while !pending.data.is_empty() {
                match stack.send(id, &pending.data, false) {
                    Ok(sent) => drop(pending.data.drain(..sent)),
                    Err(Error::WouldBlock) => return,
                    Err(_) => {
                        self.connections.remove(&id);
                        stack.close(id).unwrap();
                        return;
                    }
                }
            }
            if pending.ended {
                self.connections.remove(&id);
                stack.close(id).unwrap();
                return;
            }
            match stack.receive(id, &mut buffer, false) {
                Ok(0) => pending.ended = true,
                Ok(taken) => pending.data.extend_from_slice(&buffer[..taken]),
                Err(Error::WouldBlock) => return,
                Err(_) => pending.ended = true,
            }
        }
    }
}

impl App for Echo {
    fn start(&mut self, stack: &mut TapStack) {
        let listener = stack.stream(true).unwrap();
        let any = IpEndpoint::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0), 7);
        stack.bind(listener, any).unwrap();
        stack.listen(listener, 511).unwrap();
        self.listener = Some(listener);
    }

    fn change(&mut self, stack: &mut TapStack, change: Change) {
        if Some(change.socket) == self.listener {
            assert_ne!(change.ready & ready::IN, 0);
            while let Ok(id) = stack.accept(change.socket) {
                self.accepted += 1;
                self.connections.insert(id, Pending::default());
                self.serve(stack, id);
            }
        } else {
            self.serve(stack, change.socket);
        }
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect((address, 7)).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    stream
}

#[test]
fn echoes_over_both_versions_of_ip() {
    for offload in [false, true] {
        let Some(tap) = namespace(offload) else {
            return;
        };
        let server = run(tap, offload, Echo::default());
        for address in [GUEST, GUEST6] {
            let mut stream = connect(address);
            stream.set_nodelay(true).unwrap();
            for round in 0..100_u32 {
                let message = format!("message {round} over {address}");
                stream.write_all(message.as_bytes()).unwrap();
                let mut answer = vec![0; message.len()];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, message.as_bytes());
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0);
        }
        let echo = server.stop();
        assert_eq!(echo.accepted, 2);
        assert!(echo.connections.is_empty());
    }
}
