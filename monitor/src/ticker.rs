//! Interrupts a guest that computes: a thread of the monitor that looks, every few milliseconds that the guest's CPU runs,
//! whether an interrupt would change anything, and only then sends one.
//!
//! It starts when an image first asks for it (it has a second thread or a timer that sends a signal), or when a signal of the
//! user finds the guest where it cannot be interrupted. The clock is that of the guest's own CPU time, so it stands while
//! the guest sleeps. What an interrupt is, is the monitor's matter: here it is the signal [`KICK`].

use crate::MonitorError;
use crate::stats::StatsView;
use crate::timer::Timer;
use bespoke_abi::stats::{MISSED_INTERRUPT, StatsPage};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

/// The signal that interrupts a guest, and that wakes the ticker.
pub(crate) const KICK: libc::c_int = libc::SIGURG;
/// How soon it is noticed that others could run.
const NOTICE: Duration = Duration::from_millis(5);
/// How long a thread runs while others could: short, for threads that spin until another one has done something are
/// common (the I/O threads of Redis), and longer than many times what an interrupt costs.
const SLICE: Duration = Duration::from_millis(2);
/// How soon an interrupt is tried again that came at a bad time, and how often.
const RETRY: Duration = Duration::from_micros(200);
const RETRIES: u32 = 100;
/// How often timers are looked at that send signals.
const TIMERS: Duration = Duration::from_millis(1);

/// Who is interrupted.
#[derive(Clone, Copy)]
pub(crate) enum Guest {
    /// A thread of this process.
    Thread(i32),
    /// Another process, which is not reaped while the ticker lives.
    Process(i32),
}

impl Guest {
    /// The running thread.
    pub(crate) fn this_thread() -> Self {
        // SAFETY: asks for a number.
        Self::Thread(unsafe { libc::gettid() })
    }

    /// Its CPU time as a clock: `MAKE_PROCESS_CPUCLOCK` and `MAKE_THREAD_CPUCLOCK` of the kernel.
    fn clock(self) -> libc::clockid_t {
        const SCHEDULED: i32 = 2;
        const PER_THREAD: i32 = 4;
        match self {
            Self::Thread(id) => !id << 3 | SCHEDULED | PER_THREAD,
            Self::Process(id) => !id << 3 | SCHEDULED,
        }
    }

    /// Interrupts it.
    fn kick(self) {
        // SAFETY: sends a signal that only ends what sleeps; a guest that is gone gets none.
        unsafe {
            match self {
                Self::Thread(id) => libc::syscall(libc::SYS_tgkill, libc::getpid(), id, KICK),
                Self::Process(id) => libc::kill(id, KICK).into(),
            };
        }
    }
}

/// The thread, until dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    /// Number of the ticking thread.
    thread: AtomicI32,
}

impl Ticker {
    /// Starts it.
    pub(crate) fn start(guest: Guest, stats: StatsView) -> Result<Self, MonitorError> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        // The new thread inherits this mask, so that every signal of the monitor goes where it went before.
        let blocked = block_all();
        let thread = std::thread::Builder::new()
            .name("ticker".into())
            .spawn(move || {
                // SAFETY: asks for a number.
                theirs.thread.store(unsafe { libc::gettid() }, SeqCst);
                tick(guest, &stats, &theirs.ends);
            });
        restore(&blocked);
        let thread = thread.map_err(|source| MonitorError::Host {
            step: "start the thread that interrupts the image",
            source,
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.ends.store(true, SeqCst);
        while !thread.is_finished() {
            let id = self.shared.thread.load(SeqCst);
            if id != 0 {
                // SAFETY: wakes a thread of ours, which is not joined yet.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, KICK) };
            }
            std::thread::yield_now();
        }
        // It does not panic, and if it did there is nothing left for it to do.
        let _ = thread.join();
    }
}

fn tick(guest: Guest, stats: &StatsView, ends: &AtomicBool) {
    // The kernel may refuse it, for timers are counted (RLIMIT_SIGPENDING): then this thread wakes by itself.
    let mut timer = Timer::new(guest.clock(), KICK).ok();
    let mut period = Duration::ZERO;
    while !ends.load(SeqCst) {
        let page = stats.page();
        let wanted = match page.timers.get() {
            0 => NOTICE,
            _ => TIMERS,
        };
        if period != wanted {
            period = wanted;
            timer = timer.filter(|timer| timer.set(period, period).is_ok());
        }
        match timer {
            Some(_) => wait_for_kick(),
            None => std::thread::sleep(period),
        }
        if page.wants_interrupt() && !ends.load(SeqCst) {
            interrupt(guest, page);
        }
        // While somebody waits his turn the guest does not sleep, and its own clock would only tell with the
        // kernel's tick.
        while page.ready.get() != 0 && !ends.load(SeqCst) {
            std::thread::sleep(SLICE);
            interrupt(guest, page);
        }
    }
}

/// Interrupts the guest; again and again where it could not be interrupted, so that one that is seldom in its own code
/// loses the processor there.
fn interrupt(guest: Guest, page: &StatsPage) {
    guest.kick();
    for _ in 0..RETRIES {
        std::thread::sleep(RETRY);
        if page.host_signals.load(SeqCst) & MISSED_INTERRUPT == 0 {
            return;
        }
        guest.kick();
    }
}

fn set_of_kick() -> libc::sigset_t {
    // SAFETY: zero is a valid start of the set that is filled.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, KICK);
        set
    }
}

fn wait_for_kick() {
    let mut signal = 0;
    // SAFETY: both are valid; all signals are blocked in this thread.
    unsafe { libc::sigwait(&set_of_kick(), &mut signal) };
}

fn block_all() -> libc::sigset_t {
    // SAFETY: fills a set, which then replaces the mask of this thread, whose old one it returns.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

fn restore(mask: &libc::sigset_t) {
    // SAFETY: a mask that was in force.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}
