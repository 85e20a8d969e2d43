//! Timers that a program makes (`timer_create`): each sends a signal when it expires, or is only looked at.
//!
//! A timer has one signal under way. Until that is delivered it does not expire again, and then learns how often it would
//! have: so a timer that nobody listens to costs nothing, however short its interval.
//! Owns the timers; whether a signal is under way is told by the queue of signals alone.

use super::call_group;
use crate::alarm;
use crate::calls::time::{clock, load_pair, store_pair};
use crate::calls::{Arguments, Outcome, checked, errno, target};
use crate::memory::Rights;
use crate::platform;
use crate::signals::{self, Info};
use crate::single::Single;
use crate::threads;
use crate::time::{monotonic_ns, wall_ns};
use alloc::vec::Vec;
use linux_raw_sys::general::{
    __NR_timer_create, __NR_timer_delete, __NR_timer_getoverrun, __NR_timer_gettime,
    __NR_timer_settime, CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME,
    CLOCK_TAI, CLOCK_THREAD_CPUTIME_ID, SIGALRM, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD,
    SIGEV_THREAD_ID, TIMER_ABSTIME,
};

/// Bytes of `struct sigevent`.
const EVENT_BYTES: usize = 64;
/// Most timers of a process, as so many signals may wait (`RLIMIT_SIGPENDING`).
const MOST: usize = 4096;

/// What a timer runs by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Monotonic,
    Wall,
    /// The time of the processor that the process has used.
    Process,
    /// The time of the processor that a thread has used.
    Thread(u32),
}

impl Clock {
    /// What it shows; `None`: it has ended with its thread. That of the wall goes as the monotonic one does.
    fn now(self) -> Option<u64> {
        match self {
            Self::Monotonic | Self::Wall => Some(monotonic_ns()),
            Self::Process => Some(threads::process_time_ns()),
            Self::Thread(tid) => threads::thread_time_ns(Some(tid)),
        }
    }

    fn of(id: usize) -> Result<Self, isize> {
        /// In a negative number: of a thread, not of a process.
        const OF_A_THREAD: i32 = 4;
        // A clock that can be read at all.
        clock(id)?;
        let id = id as i32;
        if id < 0 {
            let number = !(id >> 3) as u32;
            return Ok(match (id & OF_A_THREAD, number) {
                (0, _) => Self::Process,
                (_, 0) => Self::Thread(threads::tid()),
                (_, tid) => Self::Thread(tid),
            });
        }
        match id as u32 {
            CLOCK_REALTIME | CLOCK_TAI => Ok(Self::Wall),
            CLOCK_MONOTONIC | CLOCK_BOOTTIME => Ok(Self::Monotonic),
            CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process),
            CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(threads::tid())),
            _ => Err(errno::EOPNOTSUPP),
        }
    }
}

/// The signal of a timer.
#[derive(Clone, Copy)]
struct Event {
    signal: u32,
    /// Who gets it; `None`: the process.
    tid: Option<u32>,
    value: u64,
}

struct Timer {
    id: u32,
    clock: Clock,
    /// `None`: nobody is told.
    event: Option<Event>,
    /// When it expires, on its clock; `None`: it is stopped.
    due: Option<u64>,
    /// 0: once.
    interval: u64,
    /// How often it expired besides, when its signal was delivered last.
    overruns: u32,
}

impl Timer {
    fn is_under_way(&self) -> bool {
        signals::holds_timer(self.id)
    }

    /// Whether it is to expire, and somebody to be told.
    fn runs(&self) -> bool {
        self.event.is_some() && self.due.is_some() && !self.is_under_way()
    }

    /// Its next expiration after now, and how many came before; `None`: it is stopped.
    fn ahead(&self) -> Option<(u64, u64)> {
        let (due, now) = (self.due?, self.clock.now()?);
        if due > now {
            return Some((due, 0));
        }
        let passed = (now - due).checked_div(self.interval)? + 1;
        Some((
            due.saturating_add(passed.saturating_mul(self.interval)),
            passed,
        ))
    }

    /// Interval and what is left, in nanoseconds.
    fn setting(&self) -> [u64; 2] {
        let now = self.clock.now().unwrap_or(0);
        let left = match (self.ahead(), self.due) {
            (Some((next, _)), _) => next.saturating_sub(now).max(1),
            // About to expire.
            (None, Some(_)) if self.event.is_some() => 1,
            _ => 0,
        };
        [self.interval, left]
    }
}

struct State {
    /// By number.
    timers: Vec<Timer>,
    next: u32,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        timers: Vec::new(),
        next: 0,
    })
};

/// Works on a timer.
///
/// # Errors
///
/// `EINVAL`: there is none of that number.
fn with<R>(id: usize, work: impl FnOnce(&mut Timer) -> R) -> Result<R, isize> {
    STATE.with(|state| {
        let place = state
            .timers
            .binary_search_by_key(&(id as u32), |timer| timer.id);
        place
            .map(|place| work(&mut state.timers[place]))
            .map_err(|_| errno::EINVAL)
    })
}

/// Answers calls on timers.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, ..] = arguments;
    // SAFETY: pointers are the program's own, checked in each.
    unsafe {
        Some(match number as u32 {
            __NR_timer_create => create(a, b, c),
            __NR_timer_settime => set(a, b as u32, c, d),
            __NR_timer_gettime => with(a, |timer| timer.setting())
                .and_then(|setting| store_pair(b, setting).map(|()| 0)),
            __NR_timer_getoverrun => with(a, |timer| timer.overruns as usize),
            __NR_timer_delete => delete(a),
            _ => return None,
        })
    }
}

/// What a program asks for; the inner `None`: a number that is no signal is no mistake here, for there is none.
unsafe fn event(address: usize, id: u32) -> Result<Option<Event>, isize> {
    if address == 0 {
        let (signal, value) = (SIGALRM, id.into());
        return Ok(Some(Event {
            signal,
            tid: None,
            value,
        }));
    }
    let place: *const u64 = checked(address, EVENT_BYTES, Rights::Read)?;
    // SAFETY: checked; the value, then the signal and the way, then a thread.
    let [value, signal, tid] = unsafe { place.cast::<[u64; 3]>().read_unaligned() };
    let (signal, notify, tid) = (signal as u32, (signal >> 32) as u32, tid as u32);
    let tid = match notify {
        SIGEV_NONE => return Ok(None),
        SIGEV_SIGNAL | SIGEV_THREAD => None,
        SIGEV_THREAD_ID if threads::exists(tid) => Some(tid),
        _ => return Err(errno::EINVAL),
    };
    if !(1..=64).contains(&signal) {
        return Err(errno::EINVAL);
    }
    Ok(Some(Event { signal, tid, value }))
}

unsafe fn create(clock: usize, address: usize, place: usize) -> Outcome {
    let id = STATE.with(|state| state.next);
    // SAFETY: the program's own structure.
    let event = unsafe { event(address, id) };
    // A structure that cannot be read comes before all, one that says nonsense after the clock.
    if event.is_err_and(|error| error == errno::EFAULT) {
        return Err(errno::EFAULT);
    }
    let timer = Timer {
        id,
        clock: Clock::of(clock)?,
        event: event?,
        due: None,
        interval: 0,
        overruns: 0,
    };
    let place: *mut u32 = target(place)?;
    STATE.with(|state| {
        if state.timers.len() >= MOST || id == i32::MAX as u32 {
            return Err(errno::EAGAIN);
        }
        state.timers.try_reserve(1).map_err(|_| errno::EAGAIN)?;
        state.timers.push(timer);
        state.next += 1;
        Ok(())
    })?;
    signals::watch_timers(delivered);
    alarm::have_others(&OTHERS);
    // SAFETY: the program's own word.
    unsafe { place.write(id) };
    Ok(0)
}

unsafe fn set(id: usize, flags: u32, new: usize, old: usize) -> Outcome {
    if new == 0 {
        return Err(errno::EINVAL);
    }
    // SAFETY: the program's own structure.
    let [interval, value] = unsafe { load_pair(new)? };
    expire();
    let before = with(id, |timer| {
        let before = timer.setting();
        let now = timer.clock.now().unwrap_or(0);
        let due = match (flags & TIMER_ABSTIME != 0, timer.clock) {
            (false, _) => now.saturating_add(value),
            (true, Clock::Wall) => now.saturating_add(value.saturating_sub(wall_ns())),
            (true, _) => value,
        };
        timer.due = (value > 0).then_some(due);
        timer.interval = if value > 0 { interval } else { 0 };
        timer.overruns = 0;
        before
    })?;
    // A signal of the old setting is none of the new one.
    signals::withdraw_timer(id as u32);
    if value > 0 {
        platform::begin_interrupts();
    }
    expire();
    alarm::tell();
    signals::deliver_pending();
    if old != 0 {
        // SAFETY: the program's own structure.
        unsafe { store_pair(old, before)? };
    }
    Ok(0)
}

fn delete(id: usize) -> Outcome {
    with(id, |_| ())?;
    signals::withdraw_timer(id as u32);
    STATE.with(|state| state.timers.retain(|timer| timer.id != id as u32));
    alarm::tell();
    Ok(0)
}

static OTHERS: alarm::Others = alarm::Others {
    runs: || STATE.with(|state| state.timers.iter().any(Timer::runs)),
    deadline_ns,
    expire,
};

/// When a timer expires first, of those whose clocks go while nobody computes.
fn deadline_ns() -> Option<u64> {
    STATE.with(|state| {
        let goes = |timer: &&Timer| matches!(timer.clock, Clock::Monotonic | Clock::Wall);
        let due = state
            .timers
            .iter()
            .filter(goes)
            .filter(|timer| timer.runs());
        due.filter_map(|timer| timer.due).min()
    })
}

/// Sends the signals of timers whose time has come.
fn expire() {
    let mut from = 0;
    loop {
        let due = STATE.with(|state| {
            let timers = state.timers.iter_mut().skip_while(|timer| timer.id < from);
            let is_due = |timer: &&mut Timer| {
                let now = timer.clock.now();
                timer.runs() && timer.due.zip(now).is_some_and(|(due, now)| due <= now)
            };
            let mut due = timers.filter(is_due);
            due.next().map(|timer| {
                if timer.interval == 0 {
                    timer.due = None;
                }
                (timer.id, timer.event)
            })
        });
        let Some((id, Some(event))) = due else {
            return;
        };
        from = id + 1;
        let info = Info::of_timer(event.signal, id, event.value);
        signals::post_of_timer(info, event.tid);
        if !signals::holds_timer(id) {
            // Ignored, or there is no memory for it: the timer goes on without.
            go_on(id);
        }
    }
}

/// Sets a timer of whose expiration somebody knows now to the next one; answers how many passed besides.
fn go_on(id: u32) -> u32 {
    let passed = with(id as usize, |timer| {
        if timer.interval == 0 {
            return 0;
        }
        let Some((next, passed)) = timer.ahead() else {
            return 0;
        };
        timer.due = Some(next);
        timer.overruns = passed.saturating_sub(1).min(i32::MAX as u64) as u32;
        timer.overruns
    });
    passed.unwrap_or(0)
}

/// The signal of a timer is being delivered.
fn delivered(id: u32) -> u32 {
    let overruns = go_on(id);
    alarm::tell();
    overruns
}

call_group!(bespoke_calls_timers, plain: Some(call), files: None);
