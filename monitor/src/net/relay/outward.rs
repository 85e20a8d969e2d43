//! Connections that the image opens. Its SYN is kept until the outcome of the host's connection is
//! known, so that the image sees the true result.
//! Then the stack gets the SYN: with a listener for it, or without one if the connection failed.

use super::addresses;
use super::streams::{Ends, Stream};
use super::system;
use super::wire::Wire;
use bespoke_net::{IntegerOption, IpEndpoint, SocketId, Stack};
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// Most connections being opened.
const MOST_OPENING: usize = 1024;
/// A connection attempt without an answer for this time has failed,
/// as seen by the image and by Linux.
const PATIENCE: Duration = Duration::from_secs(130);

/// A connection being opened.
struct Opening {
    ends: Ends,
    frame: Vec<u8>,
    host: OwnedFd,
    /// The stack has its SYN and a listener for it.
    is_given: bool,
    since: Instant,
}

/// A listener of the stack for connections to one address, some of which are being opened.
struct Door {
    to: IpEndpoint,
    listener: SocketId,
    users: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Outward {
    openings: HashMap<u32, Opening>,
    /// All connections being opened or open, whose SYN may be repeated.
    known: HashSet<Ends>,
    doors: Vec<Door>,
    next: u32,
}

impl Outward {
    /// Starts with the SYN `frame`. Returns the number of the opening and its socket, to be watched
    /// for writing; `None` when it has ended.
    pub(super) fn open(
        &mut self,
        ends: Ends,
        frame: Vec<u8>,
        stack: &mut Stack<Wire>,
    ) -> Option<(u32, RawFd)> {
        if self.known.contains(&ends) {
            return None;
        }
        let now = Instant::now();
        self.drop_old(now, stack);
        let host = addresses::host(ends.1).filter(|_| self.openings.len() < MOST_OPENING);
        let Some(host) = host.and_then(|to| system::connect(to).ok()) else {
            refuse(frame, stack);
            return None;
        };
        let (number, descriptor) = (self.next, host.as_raw_fd());
        self.next = self.next.wrapping_add(1);
        self.known.insert(ends);
        self.openings.insert(
            number,
            Opening {
                ends,
                frame,
                host,
                is_given: false,
                since: now,
            },
        );
        Some((number, descriptor))
    }

    /// Handles an event of an opening's host socket: it is connected, or has failed.
    pub(super) fn answered(&mut self, number: u32, stack: &mut Stack<Wire>) {
        let Some(opening) = self.openings.get_mut(&number) else {
            return;
        };
        // After the SYN was given to the stack, events are the connection's,
        // whose owner checks for itself.
        if opening.is_given {
            return;
        }
        let frame = std::mem::take(&mut opening.frame);
        let to = opening.ends.1;
        if system::take_error(&opening.host) != 0 || self.open_door(to, stack).is_none() {
            self.forget(number, stack);
            return refuse(frame, stack);
        }
        if let Some(opening) = self.openings.get_mut(&number) {
            opening.is_given = true;
        }
        give(frame, stack);
    }

    /// Returns the connections accepted by `listener`, with the number of each opening; `None` when
    /// it is not one of these listeners.
    pub(super) fn accept(
        &mut self,
        listener: SocketId,
        stack: &mut Stack<Wire>,
    ) -> Option<Vec<(u32, Stream)>> {
        self.doors.iter().find(|door| door.listener == listener)?;
        let mut accepted = Vec::new();
        while let Ok(socket) = stack.accept(listener) {
            let ends = stack
                .peer_name(socket)
                .ok()
                .zip(stack.local_name(socket).ok());
            let mut found = self.openings.iter();
            let number = found.find(|(_, opening)| opening.is_given && Some(opening.ends) == ends);
            let number = number.map(|(number, _)| *number);
            let Some(opening) = number.and_then(|number| self.openings.remove(&number)) else {
                // The host's side is gone; a reset tells the image.
                let _ = stack.set_linger(socket, Some(0));
                let _ = stack.close(socket);
                continue;
            };
            self.leave_door(opening.ends.1, stack);
            let stream = Stream::new(socket, opening.host, Some(opening.ends));
            accepted.extend(number.map(|number| (number, stream)));
        }
        Some(accepted)
    }

    /// A connection between these ends has ended.
    pub(super) fn ended(&mut self, ends: Ends) {
        self.known.remove(&ends);
    }

    fn forget(&mut self, number: u32, stack: &mut Stack<Wire>) {
        if let Some(opening) = self.openings.remove(&number) {
            self.known.remove(&opening.ends);
            if opening.is_given {
                self.leave_door(opening.ends.1, stack);
            }
        }
    }

    fn drop_old(&mut self, now: Instant, stack: &mut Stack<Wire>) {
        let openings = self.openings.iter();
        let old = openings.filter(|(_, opening)| now > opening.since + PATIENCE);
        for number in old.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.forget(number, stack);
        }
    }

    fn open_door(&mut self, to: IpEndpoint, stack: &mut Stack<Wire>) -> Option<()> {
        if let Some(door) = self.doors.iter_mut().find(|door| door.to == to) {
            door.users += 1;
            return Some(());
        }
        let is_ipv6 = matches!(to.addr, bespoke_net::IpAddress::Ipv6(_));
        let listener = stack.stream(is_ipv6).ok()?;
        let made = [
            IntegerOption::NoDelay,
            IntegerOption::QuickAck,
            IntegerOption::ReuseAddress,
        ]
        .iter()
        .try_for_each(|option| stack.set_option(listener, *option, 1))
        .and_then(|()| stack.bind(listener, to))
        .and_then(|()| stack.listen(listener, MOST_OPENING));
        if made.is_err() {
            let _ = stack.close(listener);
            return None;
        }
        self.doors.push(Door {
            to,
            listener,
            users: 1,
        });
        Some(())
    }

    fn leave_door(&mut self, to: IpEndpoint, stack: &mut Stack<Wire>) {
        let Some(at) = self.doors.iter().position(|door| door.to == to) else {
            return;
        };
        self.doors[at].users -= 1;
        if self.doors[at].users == 0 {
            let door = self.doors.swap_remove(at);
            // The handle is valid: it is closed only here.
            let _ = stack.close(door.listener);
        }
    }
}

fn give(frame: Vec<u8>, stack: &mut Stack<Wire>) {
    if let Some(wire) = stack.device() {
        wire.give_back(frame);
    }
}

/// Without a listener the stack answers a SYN with a reset.
fn refuse(frame: Vec<u8>, stack: &mut Stack<Wire>) {
    give(frame, stack);
}
