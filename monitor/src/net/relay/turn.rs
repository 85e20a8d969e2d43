//! The relay's event loop, in a thread of its own: a turn serves the stack, then every host socket
//! with an event, and waits for more.

use super::addresses;
use super::bind::{Bound, Led};
use super::datagrams::Datagrams;
use super::outward::Outward;
use super::streams::{Stream, Streams};
use super::system::{self, Events, Poll};
use super::watch::Pulse;
use super::wire::{Kept, Wire};
use allocator_api2::alloc::Global;
use bespoke_net::device::Device;
use bespoke_net::{Error, IntegerOption, IpEndpoint, Stack};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kinds of tokens, in their upper half; the lower half is a number.
const LINK: u64 = 0;
const BELL: u64 = 1;
const LISTENER: u64 = 2;
const STREAM: u64 = 3;
const OPENING: u64 = 4;
const LED: u64 = 5;
const FLOW: u64 = 6;

/// Most connections accepted in one turn, so that others are served, too.
const TURN: usize = 64;
/// How long listeners pause when descriptors or memory are exhausted.
const REST: Duration = Duration::from_millis(100);
/// How long a client may read nothing of the data left by an ended image.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// First of the ports that identify the host's clients to the image.
const FIRST_PORT: u16 = 1024;

/// See the module.
pub(super) struct Turns {
    stack: Stack<Wire>,
    poll: Poll,
    bell: OwnedFd,
    listeners: Vec<(Led, OwnedFd)>,
    streams: Streams,
    outward: Outward,
    datagrams: Datagrams,
    next_port: u16,
    /// The link is also watched for room.
    watches_room: bool,
    rest_until: Option<Instant>,
    /// The image is gone: only the clients' remaining data is left to send.
    is_ending: bool,
    /// Read by the watchdog.
    pulse: Arc<Pulse>,
}

fn token(kind: u64, number: usize) -> u64 {
    kind << 32 | number as u64
}

impl Turns {
    pub(super) fn new(
        link: OwnedFd,
        bell: OwnedFd,
        bound: Bound,
        pulse: Arc<Pulse>,
    ) -> io::Result<Self> {
        let wire = Wire::new(link);
        let link = wire.descriptor();
        let configuration = addresses::configuration(system::random());
        let stack = Stack::new(Some(wire), &configuration, &Global)
            .map_err(|error| io::Error::other(format!("no network stack: {error:?}")))?;
        let poll = Poll::new()?;
        let datagrams = Datagrams::new(bound.datagrams);
        poll.add(link, token(LINK, 0), libc::EPOLLIN)?;
        poll.add(bell.as_raw_fd(), token(BELL, 0), libc::EPOLLIN)?;
        for (number, (_, listener)) in bound.streams.iter().enumerate() {
            poll.add(listener.as_raw_fd(), token(LISTENER, number), libc::EPOLLIN)?;
        }
        for (number, descriptor) in datagrams.descriptors().enumerate() {
            poll.add(descriptor, token(LED, number), libc::EPOLLIN)?;
        }
        Ok(Self {
            stack,
            poll,
            bell,
            listeners: bound.streams,
            streams: Streams::default(),
            outward: Outward::default(),
            datagrams,
            next_port: FIRST_PORT,
            watches_room: false,
            rest_until: None,
            is_ending: false,
            pulse,
        })
    }

    /// Serves until the image's end of the link is closed, or the bell rings; then until
    /// clients have received their data.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        let (mut last_words, mut is_rung) = (None, false);
        loop {
            let moved = self.stack.device().map_or(0, |wire| wire.moved());
            self.pulse.turn(moved);
            if self.pulse.is_condemned() {
                return Err(io::Error::other("its watchdog has stopped it"));
            }
            let more = self.serve_stack();
            let is_ended = self.stack.device().is_none_or(|wire| wire.is_ended());
            if is_rung || is_ended {
                let now = Instant::now();
                self.listen_no_more();
                let (behind, since) = last_words.get_or_insert((usize::MAX, now));
                let left = self.streams.behind(&mut self.stack);
                if left < *behind {
                    (*behind, *since) = (left, now);
                }
                if left == 0 && !more || now > *since + LAST_WORDS {
                    return self.verdict();
                }
            }
            let limit = if more {
                Some(Duration::ZERO)
            } else {
                self.limit()
            };
            self.watch_room()?;
            self.pulse.set_waiting(true);
            let waited = self.poll.wait(limit, &mut events);
            self.pulse.set_waiting(false);
            waited?;
            self.end_rest()?;
            for &(token, events) in &events {
                is_rung |= token >> 32 == BELL;
                self.serve(token, events)?;
            }
        }
    }

    /// Returns whether the link ended normally.
    fn verdict(&mut self) -> io::Result<()> {
        match self.stack.device() {
            Some(wire) if wire.is_broken() => {
                Err(io::Error::other("the image sent an invalid frame"))
            }
            _ => Ok(()),
        }
    }

    /// Runs the stack and handles its changes; returns whether there is more to do at once.
    fn serve_stack(&mut self) -> bool {
        let mut more = self.stack.poll(system::now_nanoseconds());
        let kept = self.stack.device().map(Wire::take_kept).unwrap_or_default();
        more |= !kept.is_empty();
        for kept in kept {
            match kept {
                Kept::Datagram { from, to, payload } => {
                    if let Some((number, descriptor)) = self.datagrams.pass_on(from, to, &payload) {
                        self.watch(descriptor, token(FLOW, number as usize), libc::EPOLLIN);
                    }
                }
                Kept::Opening { from, to, frame } => {
                    let opened = self.outward.open((from, to), frame, &mut self.stack);
                    if let Some((number, descriptor)) = opened {
                        let events = libc::EPOLLOUT | libc::EPOLLET;
                        self.watch(descriptor, token(OPENING, number as usize), events);
                    }
                }
            }
        }
        while let Some(change) = self.stack.take_change() {
            if let Some(number) = self.streams.of(change.socket) {
                self.serve_stream(number, 0);
            } else if let Some(accepted) = self.outward.accept(change.socket, &mut self.stack) {
                accepted
                    .into_iter()
                    .for_each(|(_, stream)| self.add(stream, true));
            }
        }
        self.flush();
        more | self.stack.device().is_some_and(|wire| wire.has_input())
    }

    fn flush(&mut self) {
        if let Some(wire) = self.stack.device() {
            wire.split().1.flush();
        }
    }

    fn serve(&mut self, token: u64, events: u32) -> io::Result<()> {
        let number = token as u32;
        match token >> 32 {
            LISTENER => self.accept(number as usize)?,
            STREAM => self.serve_stream(number, events),
            OPENING => self.outward.answered(number, &mut self.stack),
            LED => {
                if let Some(wire) = self.stack.device() {
                    self.datagrams.take_questions(number as usize, wire);
                }
            }
            FLOW => {
                if let Some(wire) = self.stack.device() {
                    self.datagrams.take_answers(number, wire);
                }
            }
            // The link is checked in every turn, and the bell by the waiting code.
            _ => {}
        }
        Ok(())
    }

    fn serve_stream(&mut self, number: u32, events: u32) {
        let ended = self.streams.serve(number, events, &mut self.stack);
        if let Some(ends) = ended.and_then(|stream| stream.opened) {
            self.outward.ended(ends);
        }
    }

    /// Accepts clients of a forwarded port and connects them to the image.
    fn accept(&mut self, number: usize) -> io::Result<()> {
        for _ in 0..TURN {
            let (led, listener) = &self.listeners[number];
            let led = *led;
            let (client, address) = match system::accept(listener) {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        return self.begin_rest();
                    }
                    // The client has gone (accept(2)).
                    _ => continue,
                },
            };
            let seen = addresses::seen_stream(address, led.is_ipv6);
            match self.connect(led, seen) {
                Ok(socket) => self.add(Stream::new(socket, client, None), false),
                Err(_) => {
                    system::reset_at_close(&client);
                    drop(client);
                    return self.begin_rest();
                }
            }
        }
        Ok(())
    }

    /// Connects to the image for a client with the address `address`, and
    /// with its own port if it has one.
    fn connect(
        &mut self,
        led: Led,
        (address, port): (bespoke_net::IpAddress, Option<u16>),
    ) -> bespoke_net::Result<bespoke_net::SocketId> {
        let socket = self.stack.stream(led.is_ipv6)?;
        let to = addresses::image(led.is_ipv6, led.guest);
        let mut connect = || {
            for option in [IntegerOption::NoDelay, IntegerOption::QuickAck] {
                self.stack.set_option(socket, option, 1)?;
            }
            // A client's own address and port are in use only if it connects through two ports that
            // lead to the same image port.
            let mut from = port.map(|port| IpEndpoint::new(address, port));
            for _ in FIRST_PORT..=u16::MAX {
                let end = from.take().unwrap_or_else(|| {
                    let end = IpEndpoint::new(address, self.next_port);
                    self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
                    end
                });
                match self.stack.connect_from(socket, end, to) {
                    Err(Error::InProgress) => return Ok(()),
                    Err(Error::AddressNotAvailable) => {}
                    result => return result,
                }
            }
            Err(Error::AddressNotAvailable)
        };
        let connected = connect();
        if connected.is_err() {
            // The handle is valid until it is closed here.
            let _ = self.stack.close(socket);
        }
        connected.map(|()| socket)
    }

    /// Adds a connection. Its host socket may be watched already.
    fn add(&mut self, stream: Stream, is_watched: bool) {
        let number = self.streams.add(stream);
        let Some(descriptor) = self.streams.descriptor(number) else {
            return;
        };
        let token = token(STREAM, number as usize);
        if is_watched {
            // It is watched, so this fails only without memory. Then the connection
            // waits until the image sends.
            let _ = self.poll.change(descriptor, token, Stream::EVENTS);
        } else {
            self.watch(descriptor, token, Stream::EVENTS);
        }
        self.serve_stream(number, 0);
    }

    /// Without memory, or beyond the user's limit of watches, the socket gets no events.
    fn watch(&self, descriptor: i32, token: u64, events: i32) {
        let _ = self.poll.add(descriptor, token, events);
    }

    /// Watches the link for room while frames wait.
    fn watch_room(&mut self) -> io::Result<()> {
        let Some(wire) = self.stack.device() else {
            return Ok(());
        };
        let (descriptor, wants_room) = (wire.descriptor(), wire.has_unsent());
        if self.is_ending || wants_room == self.watches_room {
            return Ok(());
        }
        self.watches_room = wants_room;
        let room = if wants_room { libc::EPOLLOUT } else { 0 };
        self.poll
            .change(descriptor, token(LINK, 0), libc::EPOLLIN | room)
    }

    /// Returns how long nothing needs to be done.
    fn limit(&self) -> Option<Duration> {
        let now = system::now_nanoseconds();
        let due = self.stack.next_deadline();
        let due = due.map(|due| Duration::from_nanos(due.saturating_sub(now)));
        let rest = self.rest_until.map(|_| REST);
        let end = self.is_ending.then_some(REST);
        [due, rest, end].into_iter().flatten().min()
    }

    fn begin_rest(&mut self) -> io::Result<()> {
        self.rest_until = Some(Instant::now() + REST);
        self.watch_listeners(0)
    }

    fn end_rest(&mut self) -> io::Result<()> {
        if self
            .rest_until
            .take_if(|until| Instant::now() >= *until)
            .is_some()
        {
            return self.watch_listeners(libc::EPOLLIN);
        }
        Ok(())
    }

    fn watch_listeners(&self, events: i32) -> io::Result<()> {
        for (number, (_, listener)) in self.listeners.iter().enumerate() {
            self.poll
                .change(listener.as_raw_fd(), token(LISTENER, number), events)?;
        }
        Ok(())
    }

    /// Stops watching listeners, link and bell, which would be reported again and again.
    fn listen_no_more(&mut self) {
        if std::mem::replace(&mut self.is_ending, true) {
            return;
        }
        self.listeners.clear();
        self.rest_until = None;
        let link = self.stack.device().map(|wire| wire.descriptor());
        for descriptor in link.into_iter().chain([self.bell.as_raw_fd()]) {
            self.poll.remove(descriptor);
        }
    }
}
