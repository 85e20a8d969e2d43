//! Serves hypercalls of a virtual machine. The kernel gets only checked addresses, and the guest
//! can use only its own descriptors.

use super::far::Far;
use super::memory::{GuestMemory, Rights};
use super::slots::Slots;
use super::virtio::Devices;
use super::wait;
use crate::exports::Exports;
use crate::memory::PAGE_BYTES;
use crate::report::Fatal;
use crate::signals::HostSignals;
use bespoke_abi::boot::Span;
use bespoke_abi::hypercall::{self, EXPORT_DESCRIPTOR, MAX_SPANS, Request};
use std::io;
use std::time::Instant;

/// Result of a hypercall.
pub(super) enum Served {
    /// The guest continues.
    Continue,
    /// It requests interrupts from now on.
    Tick,
    /// It ended itself.
    Exit(u8),
    /// It reported a fatal condition.
    Fatal(Fatal),
    /// The request is invalid.
    Malformed(String),
}

/// Serves the request at guest-virtual `address`.
///
/// Blocking calls give up at `deadline`. A signal must announce the deadline.
pub(super) fn serve(
    memory: &mut GuestMemory,
    (far, slots): (&mut Far, &mut Slots),
    exports: &Exports,
    devices: &mut Option<Devices>,
    signals: Option<&HostSignals>,
    deadline: Option<Instant>,
    address: u64,
) -> Served {
    let Some(words) = memory.read::<[u64; 6]>(address) else {
        return Served::Malformed(format!(
            "request at {address:#x} is not in memory the image may write"
        ));
    };
    let [operation, a, b, c, d, _] = words;
    let result = match operation {
        hypercall::EXIT => return Served::Exit(a as u8),
        hypercall::FATAL => {
            return Served::Fatal(Fatal::read(
                |at, bytes| far.read(memory, at, bytes),
                [a, b, c, d],
            ));
        }
        // The console belongs to its device: no direct reads or writes.
        hypercall::WRITE | hypercall::READ
            if a <= 2 && devices.as_ref().is_some_and(Devices::has_consoles) =>
        {
            -i64::from(libc::EBADF)
        }
        hypercall::WRITE => write(memory, far, exports, deadline, [a, b, c]),
        hypercall::READ => read(memory, far, signals, deadline, [a, b, c]),
        hypercall::PROTECT => match rights(c) {
            Some(rights) if far.contains(a) => far.protect(memory, a, b, rights),
            Some(rights) => memory.protect(a, b, rights),
            None => -i64::from(libc::EINVAL),
        },
        hypercall::MAP => match rights(d) {
            Some(rights) => far.map(memory, slots, [a, b, c], rights),
            None => -i64::from(libc::EINVAL),
        },
        hypercall::UNMAP => far.unmap(memory, a, b),
        hypercall::GIVE_BACK => memory.give_back(a, b),
        hypercall::TICK => 0,
        hypercall::WAIT => wait::wait(devices, signals, memory, a, b),
        unknown => return Served::Malformed(format!("operation {unknown} does not exist")),
    };
    let is_tick = operation == hypercall::TICK;
    let at = address + std::mem::offset_of!(Request, result) as u64;
    match memory.write(at, result) {
        true if is_tick => Served::Tick,
        true => Served::Continue,
        false => Served::Malformed(format!("request at {address:#x} cannot take its result")),
    }
}

fn rights(access: u64) -> Option<Rights> {
    match access {
        hypercall::ACCESS_NONE => Some(Rights::None),
        hypercall::ACCESS_READ => Some(Rights::Read),
        hypercall::ACCESS_WRITE => Some(Rights::Write),
        _ => None,
    }
}

fn write(
    memory: &GuestMemory,
    far: &Far,
    exports: &Exports,
    deadline: Option<Instant>,
    [number, spans, count]: [u64; 3],
) -> i64 {
    if count > MAX_SPANS {
        return -i64::from(libc::EINVAL);
    }
    let mut vector = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; MAX_SPANS as usize];
    let mut used = 0;
    'spans: for index in 0..count {
        let mut words = [0; size_of::<Span>()];
        let at = spans.checked_add(index * size_of::<Span>() as u64);
        if !at.is_some_and(|at| far.read(memory, at, &mut words)) {
            return -i64::from(libc::EFAULT);
        }
        let (words, _) = words.as_chunks::<8>();
        let (mut start, mut bytes) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
        while bytes > 0 {
            // Far pages may be discontiguous; the part that does not fit is not written now.
            let part = match far.contains(start) {
                true => bytes.min(PAGE_BYTES - start % PAGE_BYTES),
                false => bytes,
            };
            let place = match far.contains(start) {
                true => far
                    .place(memory, start, part, Rights::Read)
                    .map(<*mut u8>::cast_const),
                false => memory.readable(start, part),
            };
            let (Some(place), Some(entry)) = (place, vector.get_mut(used)) else {
                match place {
                    Some(_) => break 'spans,
                    None => return -i64::from(libc::EFAULT),
                }
            };
            *entry = libc::iovec {
                iov_base: place.cast_mut().cast(),
                iov_len: part as usize,
            };
            used += 1;
            (start, bytes) = (start.saturating_add(part), bytes - part);
        }
    }
    let export = number.checked_sub(EXPORT_DESCRIPTOR);
    let bytes = || vector.iter().map(|entry| entry.iov_len as u64).sum();
    let admitted = match (number, export) {
        (1 | 2, _) => Ok(number as i32),
        (_, Some(export)) => exports.admit(export, bytes()),
        _ => Err(libc::EBADF),
    };
    let fd = match admitted {
        Ok(fd) => fd,
        Err(errno) => return -i64::from(errno),
    };
    // SAFETY: every entry was checked to lie in guest memory; closed pages give EFAULT.
    let result = retry(fd, deadline, libc::POLLOUT, || unsafe {
        libc::writev(fd, vector.as_ptr(), used as i32)
    } as i64);
    if let (Some(export), ..0) = (export, result) {
        exports.refused(export, -result as i32);
    }
    result
}

fn read(
    memory: &GuestMemory,
    far: &Far,
    signals: Option<&HostSignals>,
    deadline: Option<Instant>,
    [number, start, bytes]: [u64; 3],
) -> i64 {
    if number != 0 {
        return -i64::from(libc::EBADF);
    }
    let (target, bytes) = match far.contains(start) {
        true => {
            let bytes = bytes.min(PAGE_BYTES - start % PAGE_BYTES);
            (far.place(memory, start, bytes, Rights::Write), bytes)
        }
        false => (memory.writable(start, bytes), bytes),
    };
    let Some(target) = target else {
        return -i64::from(libc::EFAULT);
    };
    if signals.is_some_and(|signals| is_signal_first(signals, deadline)) {
        return -i64::from(libc::EINTR);
    }
    // SAFETY: checked to lie in memory the guest may write; closed pages give EFAULT.
    retry(
        0,
        deadline,
        libc::POLLIN,
        || unsafe { libc::read(0, target.cast(), bytes as usize) } as i64,
    )
}

/// Waits for input or a signal; returns whether it was a signal.
fn is_signal_first(signals: &HostSignals, deadline: Option<Instant>) -> bool {
    let entry = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut polled = [entry(0), entry(signals.descriptor())];
    // SAFETY: two structures, as the count says.
    while unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) } < 0 && !passed(deadline) {}
    let is_signal = polled[1].revents != 0;
    if is_signal {
        signals.was_woken();
    }
    is_signal && polled[0].revents == 0
}

/// Blocks even on descriptors that another program made non-blocking; restarts interrupted calls.
fn retry(fd: i32, deadline: Option<Instant>, events: i16, mut call: impl FnMut() -> i64) -> i64 {
    loop {
        let result = call();
        if result >= 0 {
            return result;
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) if !passed(deadline) => {}
            Some(libc::EAGAIN) if passed(deadline) => return -i64::from(libc::EAGAIN),
            Some(libc::EAGAIN) => {
                let mut poll = libc::pollfd {
                    fd,
                    events,
                    revents: 0,
                };
                // SAFETY: one structure, as the count says.
                unsafe { libc::poll(&mut poll, 1, -1) };
            }
            error => return -i64::from(error.unwrap_or(libc::EIO)),
        }
    }
}

/// Whether there is a deadline that has passed.
pub(super) fn passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
