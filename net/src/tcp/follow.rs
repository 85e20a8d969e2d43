//! Follows a connection: after packets, timers and calls, compares its state with the last one.
//! It reports changes to waiting threads, ends connections and frees them.

use super::{Connection, Role, Tcp};
use crate::Error;
use crate::engine::{Engine, Kind};
use crate::link::Links;
use crate::packet::Flow;
use crate::slab::SocketId;
use crate::waiting::Numbers;
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

/// Longest handshake with a client.
const HALF_OPEN: Duration = Duration::from_secs(30);
/// Longest `connect`: as on Linux with six retries.
const CONNECTING: Duration = Duration::from_secs(127);
/// Longest time without an acknowledgement of data (Linux's `tcp_retries2`).
const UNANSWERED: Duration = Duration::from_secs(924);
/// Longest time until a connection without a handle has ended (`tcp_fin_timeout`).
const ORPHANED: Duration = Duration::from_secs(60);
/// How long the reset of a connection with unread input may wait until its last data is
/// acknowledged: time for one retransmission.
/// Linux does not wait. But the peer may process the reset before the data, and then
/// loses the reply that explains it.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a program that waits for room has to write again, before it is shown the peer's FIN.
const WRITERS_TURN: Duration = Duration::from_secs(1);

/// Next step for a connection after a check.
enum Fate {
    /// It continues; check again at the given time at the latest.
    Lives(Option<Instant>),
    /// Both sides have closed: keep a TIME_WAIT record only.
    Waits(Flow, Numbers),
    /// Nothing is left of it.
    Ends,
}

/// Changes to report, and to which sockets.
#[derive(Default)]
struct News {
    changed: bool,
    half_open_ended: Option<SocketId>,
}

impl Engine {
    /// Checks a connection after it was served; returns when to check again.
    pub(crate) fn follow(&mut self, slot: u32, links: &mut Links<'_>) -> Option<Instant> {
        let now = self.now;
        let socket = self.sockets.get_mut(slot)?;
        let held = socket.held;
        let Kind::Tcp(tcp) = &mut socket.kind else {
            return None;
        };
        let mut news = News::default();
        let fate = tcp.follow(held, now, links, &mut news);
        if news.changed {
            self.report(slot);
        }
        if let Some(listener) = news.half_open_ended {
            self.left_half_open(listener);
        }
        match fate {
            Fate::Lives(due) => return due,
            Fate::Waits(flow, numbers) => {
                self.remove(slot);
                self.waiting.add(flow, numbers, now);
            }
            Fate::Ends => self.remove(slot),
        }
        None
    }
}

impl Tcp {
    /// Returns, once, the listener of a connection that has completed its
    /// handshake and was not accepted.
    /// It does so at once, because the next SYN depends on the number of waiting connections.
    pub(crate) fn complete_handshake(&mut self) -> Option<SocketId> {
        let Role::Connection(connection) = &mut self.role else {
            return None;
        };
        let listener = connection.listener?;
        let state = connection.peek().state();
        let complete = connection.state == State::SynReceived
            && matches!(state, State::Established | State::CloseWait);
        if complete {
            connection.state = State::Established;
        }
        complete.then_some(listener)
    }

    fn follow(&mut self, held: bool, now: Instant, links: &mut Links<'_>, news: &mut News) -> Fate {
        let Role::Connection(connection) = &mut self.role else {
            return Fate::Lives(None);
        };
        let before = connection.state;
        let state = connection.peek().state();
        if state != before {
            connection.state = state;
            news.changed = true;
            if state == State::CloseWait || !matches!(before, State::Established | State::CloseWait)
            {
                connection.since = now;
            }
        }
        if matches!(
            state,
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        ) {
            let shown = connection.peer_closed;
            connection.peer_closed = shown || links.relays() || !connection.holds_end(now);
            news.changed |= shown != connection.peer_closed;
        }
        let queued = connection.peek().recv_queue();
        news.changed |= queued > connection.seen;
        connection.seen = queued;
        if connection.wants_room && connection.has_room() {
            connection.wants_room = false;
            news.changed = true;
        }
        if let Some(listener) = connection.listener {
            // After a reset the state machine listens again; to us the connection is closed.
            if before == State::SynReceived && state != State::SynReceived {
                news.half_open_ended = Some(listener);
                return Fate::Ends;
            }
        } else if !held {
            return connection.orphan(now, links);
        }
        if state == State::Closed && before != State::Closed {
            connection.peer_closed |= before != State::SynSent;
            if self.error.is_none() && connection.reset {
                self.error = Some(if before == State::SynSent {
                    Error::Refused
                } else {
                    Error::Reset
                });
            }
        }
        if let Some(error) = connection.overdue(&self.options, now) {
            if connection.listener.is_some() && state == State::SynReceived {
                news.half_open_ended = connection.listener;
                return Fate::Ends;
            }
            self.error = Some(error);
            connection.state = State::Closed;
            connection.peer_closed = true;
            if state == State::SynSent {
                connection.socket().close();
            } else {
                connection.socket().abort();
                if let Some((link, out)) = links.get(connection.path) {
                    link.egress(out, &mut connection.set, now);
                }
            }
            news.changed = true;
        }
        let due = connection.due(&self.options, now, links);
        Fate::Lives(due)
    }
}

impl Connection {
    /// Handles a connection without a handle.
    fn orphan(&mut self, now: Instant, links: &mut Links<'_>) -> Fate {
        // Input that nobody will read (RFC 1122, 4.2.2.13).
        let mut resets = self.peek().can_recv() && self.peek().state() != State::Closed;
        if resets && (self.peek().send_queue() == 0 || now >= self.since + LAST_WORDS) {
            resets = false;
            self.socket().abort();
            if let Some((link, out)) = links.get(self.path) {
                link.egress(out, &mut self.set, now);
            }
        }
        let overdue = now >= self.since + ORPHANED;
        match (self.peek().state(), self.numbers) {
            (State::TimeWait, Some((send_next, receive_next))) if !self.is_unsent(links, now) => {
                let numbers = Numbers {
                    send_next,
                    receive_next,
                };
                Fate::Waits(self.flow, numbers)
            }
            // A reset may still have to leave.
            (State::Closed, _) if overdue || !self.is_unsent(links, now) => Fate::Ends,
            (State::FinWait2, _) if overdue => Fate::Ends,
            (_, _) if now >= self.active + ORPHANED + ORPHANED => Fate::Ends,
            _ => {
                let limit = self.since.max(self.active) + ORPHANED;
                let limit = if limit <= now { now + ORPHANED } else { limit };
                let limit = if resets {
                    self.since + LAST_WORDS
                } else {
                    limit
                };
                Fate::Lives(earlier(self.machine_due(links, now), Some(limit)))
            }
        }
    }

    /// Whether the peer's FIN is hidden from a program that waits to write the rest of a reply.
    /// Servers treat such a peer as gone, although it wants the whole reply
    /// ([`super::surplus`]). So the writer goes first.
    fn holds_end(&self, now: Instant) -> bool {
        self.surplus.refused && self.state == State::CloseWait && now < self.since + WRITERS_TURN
    }

    /// Whether the state machine has something to send now.
    fn is_unsent(&mut self, links: &mut Links<'_>, now: Instant) -> bool {
        self.machine_due(links, now).is_some_and(|due| due <= now)
    }

    /// When smoltcp must be polled again.
    fn machine_due(&mut self, links: &mut Links<'_>, now: Instant) -> Option<Instant> {
        let (link, _) = links.get(self.path)?;
        link.interface.poll_at(now, &self.set)
    }

    /// Returns the time at which the connection fails, and the error.
    fn limit(&self, options: &crate::options::Options) -> Option<(Instant, Error)> {
        match self.peek().state() {
            State::SynReceived => Some((self.since + HALF_OPEN, Error::TimedOut)),
            State::SynSent => {
                let limit = options.user_timeout.unwrap_or(CONNECTING);
                Some((self.since + limit, Error::TimedOut))
            }
            State::Closed | State::TimeWait | State::Listen => None,
            _ if self.peek().send_queue() > 0 => {
                let limit = options.user_timeout.unwrap_or(UNANSWERED);
                Some((self.active + limit, Error::TimedOut))
            }
            _ if options.keep_alive => {
                let probes = options.keep_interval * options.keep_count;
                Some((self.active + options.keep_idle + probes, Error::TimedOut))
            }
            _ => None,
        }
    }

    /// Returns the error of a connection that has timed out.
    fn overdue(&mut self, options: &crate::options::Options, now: Instant) -> Option<Error> {
        let (limit, error) = self.limit(options)?;
        let established = !matches!(self.peek().state(), State::SynReceived | State::SynSent);
        let idle = options.keep_alive && established && now >= self.active + options.keep_idle;
        if idle && !self.probing {
            // Sends the first probe at once and continues at this interval.
            self.probing = true;
            self.socket().set_keep_alive(Some(options.keep_interval));
        }
        (now >= limit).then_some(error)
    }

    /// Returns when the connection must be checked again.
    fn due(
        &mut self,
        options: &crate::options::Options,
        now: Instant,
        links: &mut Links<'_>,
    ) -> Option<Instant> {
        let machine = self.machine_due(links, now);
        let limit = self.limit(options).map(|(limit, _)| limit);
        let probe = (options.keep_alive && !self.probing && self.state == State::Established)
            .then(|| self.active + options.keep_idle);
        let cork = (options.cork && self.is_partial()).then(|| self.active + super::CORK_LIMIT);
        let machine = if cork.is_some() { cork } else { machine };
        let end = (!self.peer_closed && self.holds_end(now)).then(|| self.since + WRITERS_TURN);
        earlier(earlier(earlier(machine, limit), probe), end)
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
