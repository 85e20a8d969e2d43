//! The relay's watchdog: detects that the relay's thread spins or hangs, reports it,
//! and closes its sockets. Then clients are refused and the image sees its link end,
//! instead of both waiting forever.
//!
//! The relay counts its turns and the frames that it moved. A thread that turns again and again and
//! moves nothing spins. A thread that neither turns nor waits hangs.
//! The watchdog holds copies of the link and of the listeners until the relay ends.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Interval of checks, and the number of consecutive failures that counts.
const PERIOD: Duration = Duration::from_secs(2);
const STRIKES: u32 = 5;
/// Number of turns in a period without moved frames that counts as spinning.
/// A turn takes some microseconds, or at least a millisecond if it waits.
const SPINNING_TURNS: u64 = 20_000;

/// State that the relay reports.
#[derive(Default)]
pub(super) struct Pulse {
    turns: AtomicU64,
    moved: AtomicU64,
    waits: AtomicBool,
    /// The watchdog has stopped the relay.
    condemned: AtomicBool,
}

impl Pulse {
    /// Called at the start of a turn; `moved` frames have been received and sent so far.
    pub(super) fn turn(&self, moved: u64) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.moved.store(moved, Ordering::Relaxed);
    }

    /// Called when the relay starts or ends a wait.
    pub(super) fn set_waiting(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// Whether the relay must end.
    pub(super) fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Relaxed)
    }
}

/// Why a relay is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Spins,
    Hangs,
}

/// Observations so far.
#[derive(Default)]
struct Judge {
    turns: u64,
    moved: u64,
    strikes: u32,
    fault: Option<Fault>,
}

impl Judge {
    /// Checks once more; returns the fault if it has persisted.
    fn look(&mut self, turns: u64, moved: u64, waits: bool) -> Option<Fault> {
        let fault = match (turns - self.turns, moved == self.moved) {
            (0, _) if !waits => Some(Fault::Hangs),
            (count, true) if count > SPINNING_TURNS => Some(Fault::Spins),
            _ => None,
        };
        (self.turns, self.moved) = (turns, moved);
        self.strikes = match fault {
            Some(_) if fault == self.fault => self.strikes + 1,
            Some(_) => 1,
            None => 0,
        };
        self.fault = fault;
        fault.filter(|_| self.strikes >= STRIKES)
    }
}

/// A watchdog; it has ended when this is dropped.
pub(super) struct Watchdog {
    thread: Option<thread::JoinHandle<()>>,
    end: Option<Sender<()>>,
}

impl Watchdog {
    /// Watches the relay behind `pulse`; `served` are the link and the listeners. Without memory
    /// for a thread there is no watchdog.
    pub(super) fn start(pulse: Arc<Pulse>, served: Vec<OwnedFd>, period: Option<Duration>) -> Self {
        let (end, ended) = channel();
        let builder = thread::Builder::new().name("relay watch".into());
        let work = move || watch(&pulse, &served, &ended, period.unwrap_or(PERIOD));
        let thread = super::without_signals(|| builder.spawn(work)).ok();
        Self {
            thread,
            end: Some(end),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // The thread does not panic. If it did, only the watchdog would be missing.
            let _ = thread.join();
        }
    }
}

fn watch(pulse: &Pulse, served: &[OwnedFd], ended: &Receiver<()>, period: Duration) {
    let mut judge = Judge::default();
    while ended.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waits = pulse.waits.load(Ordering::Relaxed);
        let Some(fault) = judge.look(load(&pulse.turns), load(&pulse.moved), waits) else {
            continue;
        };
        let what = match fault {
            Fault::Spins => "spins without progress",
            Fault::Hangs => "hangs",
        };
        super::say(format_args!(
            "the relay of the image's network {what}, which is a bug in Bespoke; its connections are closed; the image keeps running without a network; restart the image to get it back"
        ));
        pulse.condemned.store(true, Ordering::Relaxed);
        for descriptor in served {
            // SAFETY: ends a socket of ours in both directions; one that has ended answers an error, which is as good.
            unsafe { libc::shutdown(descriptor.as_raw_fd(), libc::SHUT_RDWR) };
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::relay::system;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn one_that_waits_or_works_is_left_alone() {
        let mut judge = Judge::default();
        for round in 1..100 {
            assert_eq!(judge.look(round, 0, true), None);
        }
        for _ in 0..100 {
            assert_eq!(judge.look(99, 0, true), None);
        }
        for round in 1..100 {
            assert_eq!(judge.look(100 + round * 1_000_000, round, false), None);
        }
    }

    #[test]
    fn one_that_spins_or_hangs_is_given_up() {
        let mut judge = Judge::default();
        let spins: Vec<_> = (1..=5)
            .map(|round| judge.look(round * 1_000_000, 7, false))
            .collect();
        assert_eq!(spins[..4], [None; 4]);
        // The first look saw frames move.
        assert_eq!(judge.look(6_000_000, 7, false), Some(Fault::Spins));
        let mut judge = Judge::default();
        judge.look(3, 0, false);
        let hangs: Vec<_> = (0..5).map(|_| judge.look(3, 0, false)).collect();
        assert_eq!(hangs[4], Some(Fault::Hangs));
        assert_eq!(hangs[..4], [None; 4]);
    }

    #[test]
    fn what_a_hanging_relay_served_is_closed() {
        let (image, link) = system::stream_pair().expect("a link");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("bound");
        let copy = listener.try_clone().expect("a descriptor").into();
        let pulse = Arc::new(Pulse::default());
        let period = Some(Duration::from_millis(5));
        let watchdog = Watchdog::start(pulse.clone(), vec![link, copy], period);
        while !pulse.is_condemned() {
            thread::sleep(Duration::from_millis(5));
        }
        drop(watchdog);
        let mut room = [0; 4];
        let end = loop {
            match system::receive(&image, &mut room) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => thread::yield_now(),
                other => break other,
            }
        };
        assert_eq!(end.expect("an end"), 0);
        assert!(TcpStream::connect(at).is_err());
        drop(listener);
    }
}
