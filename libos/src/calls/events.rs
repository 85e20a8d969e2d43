//! System calls that make objects to wait on and wait for several of them: numbers and arguments
//! to methods of [`Files`], and nothing else. Owns nothing.

use crate::files::{Errno, Files, Guest, Host, Result, Timeout};
use linux_raw_sys::general::*;

const NS_PER_S: u64 = 1_000_000_000;

impl<H: Host> Files<H> {
    /// Answers calls on events; `None` when the number is none of them, or when the call comes
    /// with a signal mask, which `calls::masked` sets first.
    pub(super) fn event_call(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: [usize; 6],
    ) -> Option<Result> {
        let [a, b, c, d, e, f] = arguments;
        let answer =
            match number as u32 {
                __NR_pipe => self.pipe(guest, a, 0),
                __NR_pipe2 => self.pipe(guest, a, b as u32),
                __NR_poll => self.poll_descriptors(guest, a, b, milliseconds(c)),
                __NR_ppoll if d == 0 => timespec_at(guest, c)
                    .and_then(|timeout| self.poll_descriptors(guest, a, b, timeout)),
                __NR_select => timeval_at(guest, e)
                    .and_then(|timeout| self.select(guest, a, [b, c, d], timeout)),
                __NR_pselect6 if has_no_mask(guest, f) => timespec_at(guest, e)
                    .and_then(|timeout| self.select(guest, a, [b, c, d], timeout)),
                __NR_epoll_create if (a as i32) <= 0 => Err(Errno::INVAL),
                __NR_epoll_create => self.epoll_create(0),
                __NR_epoll_create1 => self.epoll_create(a as u32),
                __NR_epoll_ctl => self.epoll_control(guest, a, b as u32, c, d),
                __NR_epoll_wait => self.epoll_wait(guest, a, b, c, milliseconds(d)),
                __NR_epoll_pwait if e == 0 => self.epoll_wait(guest, a, b, c, milliseconds(d)),
                __NR_epoll_pwait2 if e == 0 => timespec_at(guest, d)
                    .and_then(|timeout| self.epoll_wait(guest, a, b, c, timeout)),
                __NR_eventfd => self.event_counter(a as u32, 0),
                __NR_eventfd2 => self.event_counter(a as u32, b as u32),
                __NR_timerfd_create => self.timer(a as u32, b as u32),
                __NR_timerfd_settime => self.set_timer(guest, a, b as u32, c, d),
                __NR_timerfd_gettime => self.timer_setting(guest, a, b),
                _ => return None,
            };
        if answer != Err(Errno::RESTART) {
            self.store_time_left(guest, number, arguments, self.attempt_deadline_ns());
        }
        Some(answer)
    }

    /// A signal ended a wait: as `store_time_left`.
    ///
    /// # Safety
    ///
    /// As for [`Files::system_call`], for the call that waited.
    #[cold]
    pub unsafe fn interrupted(
        &self,
        number: usize,
        arguments: [usize; 6],
        deadline_ns: Option<u64>,
    ) {
        // SAFETY: the caller's promise, for this call.
        let guest = unsafe { Guest::new() };
        self.store_time_left(guest, number, arguments, deadline_ns);
    }

    /// Writes what is left of the timeout to where `select`, `pselect6` and `ppoll` read it, if the call has waited.
    fn store_time_left(
        &self,
        guest: Guest,
        number: usize,
        [_, _, c, _, e, _]: [usize; 6],
        deadline_ns: Option<u64>,
    ) {
        let (address, parts_per_s) = match number as u32 {
            __NR_ppoll => (c, NS_PER_S),
            __NR_pselect6 => (e, NS_PER_S),
            __NR_select => (e, 1_000_000),
            _ => return,
        };
        let Some(deadline_ns) = deadline_ns.filter(|_| address != 0) else {
            return;
        };
        let left = deadline_ns.saturating_sub(self.monotonic_ns());
        let part = left % NS_PER_S / (NS_PER_S / parts_per_s);
        // Linux answers the same where the timeout cannot be written.
        let _ = guest.write(address, [left / NS_PER_S, part]);
    }
}

/// `pselect6` takes the address of a mask's address and size.
fn has_no_mask(guest: Guest, address: usize) -> bool {
    address == 0 || guest.read::<usize>(address) == Ok(0)
}

fn milliseconds(timeout: usize) -> Timeout {
    u64::try_from(timeout as i32).map_or(Timeout::Never, |ms| Timeout::After(ms * 1_000_000))
}

fn timespec_at(guest: Guest, address: usize) -> Result<Timeout> {
    if address == 0 {
        return Ok(Timeout::Never);
    }
    let [seconds, ns] = guest.read::<[i64; 2]>(address)?;
    duration(seconds, ns)
}

fn timeval_at(guest: Guest, address: usize) -> Result<Timeout> {
    if address == 0 {
        return Ok(Timeout::Never);
    }
    // Linux takes more than a million microseconds here.
    let [seconds, us] = guest.read::<[i64; 2]>(address)?;
    let seconds = seconds.saturating_add(us.div_euclid(1_000_000));
    duration(seconds, us.rem_euclid(1_000_000) * 1000)
}

fn duration(seconds: i64, ns: i64) -> Result<Timeout> {
    match (u64::try_from(seconds), u64::try_from(ns)) {
        (Ok(seconds), Ok(ns)) if ns < NS_PER_S => Ok(Timeout::After(
            seconds.saturating_mul(NS_PER_S).saturating_add(ns),
        )),
        _ => Err(Errno::INVAL),
    }
}
