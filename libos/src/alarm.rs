//! The process's timers that send a signal (`setitimer`, `alarm`): of real time, and of the processor's. Owns those
//! timers; must never send more than one signal for expirations that nobody had time for.

use crate::single::Single;
use crate::threads;
use crate::time::monotonic_ns;
use crate::{platform, signals, stats};
use linux_raw_sys::general::{SIGALRM, SIGPROF, SIGVTALRM};

/// Which timer (`ITIMER_REAL` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of the monotonic clock.
    Real,
    /// Of the time that the program computes.
    Virtual,
    /// As [`Which::Virtual`]: the library OS computes for the program, and counts.
    Profiling,
}

impl Which {
    const ALL: [Self; 3] = [Self::Real, Self::Virtual, Self::Profiling];

    /// By Linux's number.
    pub fn of(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied()
    }

    fn now(self) -> u64 {
        match self {
            Self::Real => monotonic_ns(),
            Self::Virtual | Self::Profiling => threads::process_time_ns(),
        }
    }

    fn signal(self) -> u32 {
        match self {
            Self::Real => SIGALRM,
            Self::Virtual => SIGVTALRM,
            Self::Profiling => SIGPROF,
        }
    }
}

/// A timer; 0: not set, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// Nanoseconds until it expires.
    pub value_ns: u64,
    /// Nanoseconds between expirations after the first.
    pub interval_ns: u64,
}

#[derive(Clone, Copy)]
struct Timer {
    /// On its clock.
    deadline_ns: Option<u64>,
    interval_ns: u64,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static TIMERS: Single<[Timer; 3]> = unsafe {
    Single::new(
        [Timer {
            deadline_ns: None,
            interval_ns: 0,
        }; 3],
    )
};

/// What is left of a timer.
pub fn get(which: Which) -> Alarm {
    let now = which.now();
    let timer = TIMERS.with(|timers| timers[which as usize]);
    Alarm {
        // One that is about to expire is set all the same.
        value_ns: timer
            .deadline_ns
            .map_or(0, |deadline| deadline.saturating_sub(now).max(1)),
        interval_ns: timer.interval_ns,
    }
}

/// Sets a timer, or stops it with a value of 0; answers what it was.
pub fn set(which: Which, alarm: Alarm) -> Alarm {
    let before = get(which);
    let now = which.now();
    TIMERS.with(|timers| {
        timers[which as usize] = Timer {
            deadline_ns: (alarm.value_ns > 0).then(|| now.saturating_add(alarm.value_ns)),
            interval_ns: alarm.interval_ns,
        };
    });
    tell();
    if alarm.value_ns > 0 {
        platform::begin_interrupts();
    }
    before
}

/// Timers of a call group, which only images with that group have.
pub struct Others {
    /// Whether one is to expire.
    pub runs: fn() -> bool,
    /// When one expires first, of those whose clocks go while nobody computes.
    pub deadline_ns: fn() -> Option<u64>,
    /// Sends the signals of those whose time has come.
    pub expire: fn(),
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static OTHERS: Single<Option<&'static Others>> = unsafe { Single::new(None) };

/// From now on looks at the timers of a call group, too.
pub fn have_others(others: &'static Others) {
    OTHERS.with(|slot| *slot = Some(others));
}

fn others() -> Option<&'static Others> {
    OTHERS.with(|others| *others)
}

/// Tells the monitor whether a timer runs.
pub fn tell() {
    let own = TIMERS.with(|timers| timers.iter().any(|timer| timer.deadline_ns.is_some()));
    let runs = own || others().is_some_and(|others| (others.runs)());
    stats().timers.set(runs.into());
}

/// When one expires first, of those whose clocks go while nobody computes.
pub fn deadline_ns() -> Option<u64> {
    let own = TIMERS.with(|timers| timers[Which::Real as usize].deadline_ns);
    match (own, others().and_then(|others| (others.deadline_ns)())) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Sends the signals of timers whose time has come.
pub fn expire() {
    if stats().timers.get() == 0 {
        return;
    }
    for which in Which::ALL {
        let now_ns = which.now();
        let expired = TIMERS.with(|timers| {
            let timer = &mut timers[which as usize];
            let Some(due) = timer.deadline_ns.filter(|&deadline| deadline <= now_ns) else {
                return false;
            };
            let missed = (now_ns - due).checked_div(timer.interval_ns);
            timer.deadline_ns = missed
                .map(|missed| due.saturating_add((missed + 1).saturating_mul(timer.interval_ns)));
            true
        });
        if expired {
            tell();
            signals::post_timer(which.signal());
        }
    }
    if let Some(others) = others() {
        (others.expire)();
        tell();
    }
}
