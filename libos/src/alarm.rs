//! The process's one timer that sends a signal (`setitimer`, `alarm`). Owns that timer; must never
//! send more than one signal for expirations that nobody had time for.

use crate::signals;
use crate::single::Single;
use crate::time::monotonic_ns;
use linux_raw_sys::general::SIGALRM;

/// A timer; 0: not set, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// Nanoseconds until it expires.
    pub value_ns: u64,
    /// Nanoseconds between expirations after the first.
    pub interval_ns: u64,
}

struct State {
    /// On the monotonic clock.
    deadline_ns: Option<u64>,
    interval_ns: u64,
}

static STATE: Single<State> = Single::new(State {
    deadline_ns: None,
    interval_ns: 0,
});

/// What is left of the timer.
pub fn get() -> Alarm {
    let now = monotonic_ns();
    STATE.with(|state| Alarm {
        // One that is about to expire is set all the same.
        value_ns: state
            .deadline_ns
            .map_or(0, |deadline| deadline.saturating_sub(now).max(1)),
        interval_ns: state.interval_ns,
    })
}

/// Sets the timer, or stops it with a value of 0; answers what it was.
pub fn set(alarm: Alarm) -> Alarm {
    let before = get();
    let now = monotonic_ns();
    STATE.with(|state| {
        state.deadline_ns = (alarm.value_ns > 0).then(|| now.saturating_add(alarm.value_ns));
        state.interval_ns = alarm.interval_ns;
    });
    before
}

/// When it expires.
pub fn deadline_ns() -> Option<u64> {
    STATE.with(|state| state.deadline_ns)
}

/// Sends the signal if the time has come.
pub fn expire(now_ns: u64) {
    let expired = STATE.with(|state| {
        let Some(due) = state.deadline_ns.filter(|&deadline| deadline <= now_ns) else {
            return false;
        };
        let missed = (now_ns - due).checked_div(state.interval_ns);
        state.deadline_ns =
            missed.map(|missed| due.saturating_add((missed + 1).saturating_mul(state.interval_ns)));
        true
    });
    if expired {
        signals::post_to_process(SIGALRM);
    }
}
