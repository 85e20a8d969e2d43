//! Preempts a computing guest: every few milliseconds of the guest's CPU time, a thread of the
//! monitor checks whether an interrupt would have an effect, and only then sends one.
//!
//! It starts when an image first requests it (it has a second thread or a timer that sends a
//! signal), or when a host signal finds the guest where it cannot be interrupted.
//! It uses the clock of the guest's own CPU time, which stops while the guest sleeps.
//! The monitor defines what an interrupt is: here it is the signal [`KICK`].

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
/// Delay until it is noticed that other threads could run.
const NOTICE: Duration = Duration::from_millis(5);
/// Time slice of a thread while others could run.
/// It is short, because threads that spin until another one has done something are common (the I/O
/// threads of Redis). It is still many times the cost of an interrupt.
const SLICE: Duration = Duration::from_millis(2);
/// Interval of retries after an interrupt that came at a bad time.
const RETRY: Duration = Duration::from_micros(200);
const RETRIES: u32 = 100;
/// Interval of checks for timers that send signals.
const TIMERS: Duration = Duration::from_millis(1);

/// The target of the interrupts.
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

/// The thread, which ends when dropped.
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
    /// Starts the thread.
    pub(crate) fn start(guest: Guest, stats: StatsView) -> Result<Self, MonitorError> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        // The new thread inherits this mask, so that the monitor's signals go
        // to the same threads as before.
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
        // The thread does not panic; if it did, nothing would be left to do.
        let _ = thread.join();
    }
}

fn tick(guest: Guest, stats: &StatsView, ends: &AtomicBool) {
    // The kernel may refuse the timer, because timers are limited (RLIMIT_SIGPENDING).
    // Then this thread wakes by itself.
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
        // While a thread is ready, the guest does not sleep, and its CPU clock has only the
        // resolution of the kernel's tick.
        while page.ready.get() != 0 && !ends.load(SeqCst) {
            std::thread::sleep(SLICE);
            interrupt(guest, page);
        }
    }
}

/// Interrupts the guest. Retries where it could not be interrupted, so that a thread that is seldom
/// in interruptible code is preempted there.
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
