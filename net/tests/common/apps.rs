//! Applications on the stack, for its tests.

use super::{App, TapStack};
use bespoke_net::{Change, Error, IpAddress, IpEndpoint, SocketId, ready};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Sends back what it gets.
#[derive(Default)]
pub(crate) struct Echo {
    listener: Option<SocketId>,
    /// Open connections.
    pub connections: HashMap<SocketId, Pending>,
    /// Connections accepted.
    pub accepted: usize,
    /// How many connections are open, for those who watch.
    pub open: Arc<AtomicUsize>,
}

/// What is still to be sent back.
#[derive(Default)]
pub(crate) struct Pending {
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
        self.open.store(self.connections.len(), Relaxed);
    }
}

/// Reads nothing, or all there is, and never answers. Errors end nothing.
#[derive(Default)]
pub(crate) struct Discard {
    /// Whether it reads.
    pub reads: Arc<AtomicBool>,
    /// Bytes it has read.
    pub taken: Arc<AtomicUsize>,
    /// Connections it accepts at most.
    pub most: usize,
    /// Its listener.
    pub listener: Option<SocketId>,
    /// Connections it has, in the order it accepted them.
    pub connections: Vec<SocketId>,
    /// Errors its reads gave.
    pub errors: Vec<Error>,
    /// Backlog of the listener.
    pub backlog: usize,
}

impl App for Discard {
    fn start(&mut self, stack: &mut TapStack) {
        let listener = stack.stream(false).unwrap();
        let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 9);
        stack.bind(listener, any).unwrap();
        stack.listen(listener, self.backlog).unwrap();
        self.listener = Some(listener);
    }

    fn change(&mut self, stack: &mut TapStack, change: Change) {
        if Some(change.socket) == self.listener {
            while self.connections.len() < self.most {
                let Ok(id) = stack.accept(change.socket) else {
                    break;
                };
                self.connections.push(id);
            }
        }
    }

    fn turn(&mut self, stack: &mut TapStack) {
        if !self.reads.load(Relaxed) {
            return;
        }
        let mut buffer = [0; 4096];
        for id in &self.connections {
            loop {
                match stack.receive(*id, &mut buffer, false) {
                    Ok(0) | Err(Error::WouldBlock) => break,
                    Ok(bytes) => drop(self.taken.fetch_add(bytes, Relaxed)),
                    Err(error) => {
                        self.errors.push(error);
                        break;
                    }
                }
            }
        }
    }
}
