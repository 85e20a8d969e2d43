//! Timers with a descriptor (timerfd_create(2)). Owns the timers and their deadlines; must never
//! look at more timers than have expired.

use super::vector::Scatter;
use super::waiters::Queue;
use super::{Errno, Files, Guest, Host, Objects, Result, Waitable};
use linux_raw_sys::general::{
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_REALTIME_ALARM,
    O_CLOEXEC, O_NONBLOCK, O_RDWR, POLLIN, TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET,
};

const NS_PER_S: u64 = 1_000_000_000;

/// A timer; times are nanoseconds on the monotonic clock.
pub(crate) struct Timer {
    queue: Queue,
    /// Set by the wall clock.
    realtime: bool,
    /// When it expires next; `None`: disarmed.
    next: Option<u64>,
    /// 0: once.
    interval: u64,
    /// Expirations not read yet.
    expirations: u64,
}

/// `struct itimerspec`: interval, then value; seconds and nanoseconds.
type Setting = [i64; 4];

fn nanoseconds(seconds: i64, ns: i64) -> Result<u64> {
    match (u64::try_from(seconds), u64::try_from(ns)) {
        (Ok(seconds), Ok(ns)) if ns < NS_PER_S => {
            Ok(seconds.saturating_mul(NS_PER_S).saturating_add(ns))
        }
        _ => Err(Errno::INVAL),
    }
}

impl Objects {
    /// Lets all timers expire whose time has come.
    pub fn expire_timers<H: Host>(&mut self, host: &H, now_ns: u64) {
        while let Some(number) = self.deadlines.expired(now_ns) {
            let timer = &mut self.timers[number];
            let Some(due) = timer.next.take() else {
                continue;
            };
            let mut passed = 1;
            if let Some(more) = now_ns.saturating_sub(due).checked_div(timer.interval) {
                passed += more;
                let next = due.saturating_add(timer.interval.saturating_mul(passed));
                timer.next = Some(next);
                self.deadlines.set(number, next);
            }
            let news = timer.expirations == 0;
            timer.expirations = timer.expirations.saturating_add(passed);
            let queue = timer.queue;
            // Linux wakes once: further expirations are only counted until they are read.
            if news {
                self.notify(host, queue, POLLIN);
            }
        }
    }

    /// When the next timer expires.
    pub fn timer_deadline(&self) -> Option<u64> {
        self.deadlines.first()
    }

    /// What poll(2) says of a timer.
    pub fn timer_readiness(&self, timer: u32) -> u32 {
        if self.timers[timer].expirations > 0 {
            POLLIN
        } else {
            0
        }
    }

    /// Who waits for a timer.
    pub fn timer_queue(&self, timer: u32) -> Queue {
        self.timers[timer].queue
    }

    /// Takes the number of expirations.
    pub fn read_timer<H: Host>(&mut self, host: &H, timer: u32, to: &mut Scatter<'_>) -> Result {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::INVAL);
        }
        self.expire_timers(host, host.monotonic_ns());
        let expirations = core::mem::take(&mut self.timers[timer].expirations);
        if expirations == 0 {
            return Err(Errno::AGAIN);
        }
        to.put(&expirations.to_ne_bytes());
        Ok(size_of::<u64>())
    }

    fn timer_setting(&self, timer: u32, now_ns: u64) -> Setting {
        let state = &self.timers[timer];
        // One that is about to expire is not disarmed.
        let left = state
            .next
            .map_or(0, |next| next.saturating_sub(now_ns).max(1));
        let pair = |ns: u64| [(ns / NS_PER_S) as i64, (ns % NS_PER_S) as i64];
        let ([a, b], [c, d]) = (pair(state.interval), pair(left));
        [a, b, c, d]
    }

    /// The last descriptor of a timer is closed.
    pub fn close_timer(&mut self, timer: u32) {
        self.deadlines.remove(timer);
        if let Some(state) = self.timers.remove(timer) {
            self.waiters.remove_queue(state.queue);
        }
    }
}

impl<H: Host> Files<H> {
    /// `timerfd_create`
    pub(crate) fn timer(&mut self, clock: u32, flags: u32) -> Result {
        let realtime = match clock {
            CLOCK_REALTIME | CLOCK_REALTIME_ALARM => true,
            CLOCK_MONOTONIC | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => false,
            _ => return Err(Errno::INVAL),
        };
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::INVAL);
        }
        let queue = self.objects.waiters.queue()?;
        let timer = self.objects.timers.insert(Timer {
            queue,
            realtime,
            next: None,
            interval: 0,
            expirations: 0,
        })?;
        let waitable = Waitable::Timer(timer);
        if self.objects.deadlines.reserve(timer as usize + 1).is_err() {
            self.objects.release(&self.host, waitable);
            return Err(Errno::NOMEM);
        }
        self.open_waitable(waitable, flags | O_RDWR)
    }

    fn timer_behind(&self, descriptor: usize) -> Result<u32> {
        match self.waitable(descriptor)? {
            Some(Waitable::Timer(timer)) => Ok(timer),
            _ => Err(Errno::INVAL),
        }
    }

    /// `timerfd_settime`
    pub(crate) fn set_timer(
        &mut self,
        guest: Guest,
        descriptor: usize,
        flags: u32,
        new: usize,
        old: usize,
    ) -> Result {
        let [interval, interval_ns, value, value_ns] = guest.read::<Setting>(new)?;
        if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::INVAL);
        }
        let (interval, value) = (
            nanoseconds(interval, interval_ns)?,
            nanoseconds(value, value_ns)?,
        );
        let timer = self.timer_behind(descriptor)?;
        let now = self.host.monotonic_ns();
        self.objects.expire_timers(&self.host, now);
        let before = self.objects.timer_setting(timer, now);
        let wall = self.host.now_ns();
        let state = &mut self.objects.timers[timer];
        let next = match (flags & TFD_TIMER_ABSTIME != 0, state.realtime) {
            (false, _) => now.saturating_add(value),
            (true, false) => value,
            (true, true) => now.saturating_add(value.saturating_sub(wall)),
        };
        state.expirations = 0;
        state.interval = interval;
        state.next = (value > 0).then_some(next);
        match state.next {
            Some(next) => self.objects.deadlines.set(timer, next),
            None => self.objects.deadlines.remove(timer),
        }
        if old != 0 {
            guest.write(old, before)?;
        }
        Ok(0)
    }

    /// `timerfd_gettime`
    pub(crate) fn timer_setting(
        &mut self,
        guest: Guest,
        descriptor: usize,
        address: usize,
    ) -> Result {
        let timer = self.timer_behind(descriptor)?;
        let now = self.host.monotonic_ns();
        self.objects.expire_timers(&self.host, now);
        guest.write(address, self.objects.timer_setting(timer, now))?;
        Ok(0)
    }
}
