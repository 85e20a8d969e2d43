//! The relay: gives an image the host's connectivity without any privilege.
//!
//! It is the peer on the image's link: a TCP/IP stack like the image's own, which transfers data
//! between its connections and datagrams and sockets of the host.
//! So ports of the host are forwarded to the image, and the image reaches what the host reaches.
//!
//! The ports are bound from the start. The thread starts after the machine is made, and ends with
//! the image, after clients have received their remaining data.

mod addresses;
mod bind;
mod datagrams;
mod outward;
mod streams;
mod system;
mod turn;
mod watch;
mod wire;

use super::forward::PortForward;
use crate::MonitorError;
use bespoke_abi::devices::NetInfo;
use bind::Bound;
pub use bind::listening;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use turn::Turns;
use watch::{Pulse, Watchdog};

/// The relay of a run; it has ended when this is dropped.
pub(super) struct Relay {
    bell: OwnedFd,
    /// Input of the thread.
    start: Option<Start>,
    thread: Option<JoinHandle<()>>,
}

struct Start {
    link: OwnedFd,
    bell: OwnedFd,
    bound: Bound,
}

impl Relay {
    /// Binds the ports and makes the link: the image's end, the image's network information, and
    /// the relay, which serves from [`Relay::serve`] on. Earlier traffic waits.
    pub(super) fn open(forwards: &[PortForward]) -> Result<(OwnedFd, NetInfo, Self), MonitorError> {
        system::allow_descriptors();
        let bound = bind::bind(forwards)?;
        let failed = |_| MonitorError::host("make the link of the image's network");
        let (image, link) = system::stream_pair().map_err(failed)?;
        let bell = system::bell().map_err(failed)?;
        let copy = bell.try_clone().map_err(failed)?;
        let mut families = forwards.iter().filter_map(|forward| forward.address);
        let info = addresses::info(families.any(|address| address.is_ipv6()));
        let start = Start {
            link,
            bell: copy,
            bound,
        };
        let relay = Self {
            bell,
            start: Some(start),
            thread: None,
        };
        Ok((image, info, relay))
    }

    /// Starts the thread and prints where the ports are. Called after the machine is made, because
    /// a process that forks must have one thread.
    pub(super) fn serve(&mut self) -> Result<(), MonitorError> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        for line in &start.bound.told {
            say(format_args!("{line}"));
        }
        let failed = |_| MonitorError::host("start the relay of the ports");
        let builder = thread::Builder::new().name("relay".into());
        let thread = without_signals(|| builder.spawn(move || start.run()));
        self.thread = Some(thread.map_err(failed)?);
        Ok(())
    }
}

impl Start {
    fn run(self) {
        if let Some(reason) = self.work() {
            say(format_args!(
                "the image's network has ended: {reason}; the image keeps running without it; restart the image to get its network back"
            ));
        }
    }

    /// Relays until the end. Returns the reason if it was not the image's end.
    fn work(self) -> Option<String> {
        let pulse = Arc::new(Pulse::default());
        let served = [&self.link]
            .into_iter()
            .chain(self.bound.streams.iter().map(|(_, listener)| listener));
        // Without descriptors for the copies, there is no watchdog.
        let served = served.filter_map(|descriptor| descriptor.try_clone().ok());
        let _watchdog = Watchdog::start(pulse.clone(), served.collect(), None);
        let work = || Turns::new(self.link, self.bell, self.bound, pulse)?.run();
        // Its sockets are closed by then, so clients are refused and do not wait forever.
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it panicked, which is a bug in Bespoke".into()),
        }
    }
}

/// Prints a message for the user; ignores errors.
fn say(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "bespoke: {what}");
}

impl Drop for Relay {
    fn drop(&mut self) {
        system::ring(&self.bell);
        if let Some(thread) = self.thread.take() {
            // Its panic was already reported.
            let _ = thread.join();
        }
    }
}

/// Runs `start` with all signals blocked. A thread that it starts inherits this: signals are
/// for the thread that runs the image.
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: sets of signals of this frame; both calls concern this thread alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let started = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        started
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    /// A relay of one port, which listens, what it would do in its thread, and the image's end of the link.
    fn open() -> (u16, Start, OwnedFd) {
        loop {
            let port = 20_000 + (system::random() % 12_000) as u16;
            let forward = format!("127.0.0.1:{port}:80").parse().expect("a forward");
            // Others take ports, too.
            if let Ok((image, _, mut relay)) = Relay::open(&[forward]) {
                return (port, relay.start.take().expect("it has not started"), image);
            }
        }
    }

    #[test]
    fn the_end_of_the_image_is_its_own_and_another_is_told() {
        let (port, start, image) = open();
        let client = TcpStream::connect(("127.0.0.1", port));
        drop(image);
        assert_eq!(start.work(), None);
        drop(client);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());

        let (port, start, image) = open();
        system::send(&image, &[0xff; 64]).expect("room");
        let reason = start.work().expect("a reason");
        assert!(reason.contains("invalid frame"), "{reason}");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
