//! What is known of signals that were sent and not delivered yet: the `siginfo_t` of each.
//!
//! That a signal is pending is a bit of its receiver; this is what came with it. A standard signal that is pending
//! already is not noted again; real-time signals queue, in order, up to a limit. Allocates as signals are sent: where there
//! is no memory, a standard signal loses its details and a real-time one is refused.

use super::bit;
use crate::calls::errno;
use crate::limits;
use crate::single::Single;
use alloc::vec::Vec;
use linux_raw_sys::general::{RLIMIT_SIGPENDING, SIGRTMIN};

/// The receiver of a signal that any thread may take.
pub const PROCESS: u32 = 0;
/// Most signals that wait at once, whatever `RLIMIT_SIGPENDING` says.
const LIMIT: usize = 4096;

/// `si_code` of a program's timer (`SI_TIMER`).
const BY_TIMER: i32 = -2;
/// `si_code` of a message in a queue (`SI_MESGQ`).
const BY_QUEUE: i32 = -3;

/// Is told the number of a timer whose signal is taken; answers how often that expired besides.
pub type Taken = fn(u32) -> u32;

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static TIMERS: Single<Option<Taken>> = unsafe { Single::new(None) };

/// From now on `taken` is told of signals of timers.
pub fn watch_timers(taken: Taken) {
    TIMERS.with(|timers| *timers = Some(taken));
}

/// Whether a signal of timer `id` waits.
pub fn holds_timer(id: u32) -> bool {
    QUEUE.with(|queue| queue.iter().any(|entry| entry.info.timer() == Some(id)))
}

/// Takes a signal of timer `id` back: for whom it was, which, and whether another one of it waits there.
pub fn withdraw_timer(id: u32) -> Option<(u32, u32, bool)> {
    QUEUE.with(|queue| {
        let place = queue
            .iter()
            .position(|entry| entry.info.timer() == Some(id))?;
        let Entry { receiver, info } = queue.remove(place);
        let signal = info.signal();
        let is_same = |entry: &Entry| entry.receiver == receiver && entry.info.signal() == signal;
        Some((receiver, signal, queue.iter().any(is_same)))
    })
}

/// Most signals that wait at once now.
fn limit() -> usize {
    let set = limits::get(RLIMIT_SIGPENDING as usize).map_or(u64::MAX, |limit| limit.soft);
    set.min(LIMIT as u64) as usize
}

/// The words of a `siginfo_t` that are in use: number and `si_errno`, `si_code`, then by kind process and user, or an
/// address; then a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info(pub [u64; 4]);

/// What came with a signal besides its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Process and user.
    Sender,
    /// Process, user and a value.
    Value,
    /// A timer, how often it expired besides, and a value.
    Timer,
}

impl Info {
    /// Of a signal that came from process `pid`, whose user is 0.
    pub fn sent(signal: u32, code: i32, pid: u32) -> Self {
        Self([signal.into(), (code as u32).into(), pid.into(), 0])
    }

    /// Of a fault at `address`.
    pub fn fault(signal: u32, code: i32, address: u64) -> Self {
        Self([signal.into(), (code as u32).into(), address, 0])
    }

    /// Of timer `id`, with the program's own value; how often it expired is told when the signal is delivered.
    pub fn of_timer(signal: u32, id: u32, value: u64) -> Self {
        Self([signal.into(), (BY_TIMER as u32).into(), id.into(), value])
    }

    /// Of a message that process `pid` sent, with the value of who asked.
    pub fn of_queue(signal: u32, pid: u32, value: u64) -> Self {
        Self([signal.into(), (BY_QUEUE as u32).into(), pid.into(), value])
    }

    /// The timer that it is of.
    fn timer(&self) -> Option<u32> {
        (self.code() == BY_TIMER).then_some(self.0[2] as u32)
    }

    /// What its words after the first two say. Faults are never read from a descriptor.
    pub fn detail(&self) -> Detail {
        match self.code() {
            BY_TIMER => Detail::Timer,
            code if code < 0 => Detail::Value,
            _ => Detail::Sender,
        }
    }

    /// `si_code`.
    fn code(&self) -> i32 {
        self.0[1] as i32
    }

    /// The signal.
    pub fn signal(&self) -> u32 {
        self.0[0] as u32
    }
}

struct Entry {
    /// Number of the receiving thread, or [`PROCESS`].
    receiver: u32,
    info: Info,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static QUEUE: Single<Vec<Entry>> = unsafe { Single::new(Vec::new()) };

/// Makes room for one more signal of `number`, so that [`note`] cannot fail.
///
/// # Errors
///
/// `EAGAIN` for a real-time signal when too many wait.
pub fn reserve(number: u32) -> Result<(), isize> {
    QUEUE.with(|queue| {
        let is_full = queue.len() >= limit() || queue.try_reserve(1).is_err();
        match is_full && number >= SIGRTMIN {
            true => Err(errno::EAGAIN),
            false => Ok(()),
        }
    })
}

/// Notes what came with a signal that has become pending for `receiver`.
pub fn note(receiver: u32, info: Info) {
    QUEUE.with(|queue| {
        let signal = info.signal();
        let is_same = |entry: &Entry| entry.receiver == receiver && entry.info.signal() == signal;
        // Each timer has a signal of its own, whatever else waits.
        let is_of_timer = info.timer().is_some();
        let is_noted = signal < SIGRTMIN && !is_of_timer && queue.iter().any(is_same);
        // The kernel's own words on a standard signal do not count.
        let limit = match signal < SIGRTMIN && info.code() >= 0 {
            true => LIMIT,
            false => limit(),
        };
        if !is_noted && queue.len() < limit && queue.try_reserve(1).is_ok() {
            queue.push(Entry { receiver, info });
        }
    });
}

/// Takes the oldest of `signal` for `receiver`, for whom it is pending: what came with it, and whether another one waits.
pub fn take(receiver: u32, signal: u32) -> (Info, bool) {
    let (mut info, more) = QUEUE.with(|queue| {
        let is_same = |entry: &Entry| entry.receiver == receiver && entry.info.signal() == signal;
        let Some(place) = queue.iter().position(is_same) else {
            return (Info::sent(signal, 0, 0), false);
        };
        let info = queue.remove(place).info;
        (info, queue[place..].iter().any(is_same))
    });
    if let (Some(id), Some(taken)) = (info.timer(), TIMERS.with(|timers| *timers)) {
        info.0[2] = u64::from(id) | u64::from(taken(id)) << 32;
    }
    (info, more)
}

/// Gives what waits for the process, of the signals of `set`, to thread `tid`.
pub fn hand_over(set: u64, tid: u32) {
    QUEUE.with(|queue| {
        for entry in queue.iter_mut() {
            if entry.receiver == PROCESS && bit(entry.info.signal()) & set != 0 {
                entry.receiver = tid;
            }
        }
    });
}

/// Forgets what waits for thread `tid`.
pub fn forget_thread(tid: u32) {
    QUEUE.with(|queue| queue.retain(|entry| entry.receiver != tid));
}

/// Forgets every signal of `number`.
pub fn forget_signal(number: u32) {
    QUEUE.with(|queue| queue.retain(|entry| entry.info.signal() != number));
}

#[cfg(test)]
mod tests {
    use super::{Info, PROCESS, forget_signal, note, take};

    /// One test, for there is one queue.
    #[test]
    fn real_time_signals_wait_in_order_and_others_once() {
        let (standard, real_time) = (10, 40);
        for value in 1..=3u64 {
            for signal in [standard, real_time] {
                let mut info = Info::sent(signal, -1, 1);
                info.0[3] = value;
                note(7, info);
            }
        }
        note(PROCESS, Info::sent(real_time, 0, 9));
        let value = |signal| {
            let (info, more) = take(7, signal);
            (info.0[3], more)
        };
        assert_eq!(value(standard), (1, false));
        assert_eq!(value(real_time), (1, true));
        assert_eq!(value(real_time), (2, true));
        assert_eq!(value(real_time), (3, false));
        // Nothing is known of it, but it is a signal all the same.
        assert_eq!(take(7, real_time), (Info::sent(real_time, 0, 0), false));
        forget_signal(real_time);
        assert_eq!(take(PROCESS, real_time).0, Info::sent(real_time, 0, 0));
    }
}
