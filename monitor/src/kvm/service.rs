//! Serves hypercalls of a virtual machine. Owns the descriptors the guest may use; must never
//! pass the kernel an address that was not checked, nor give the guest any other descriptor.

use super::memory::{GuestMemory, Rights};
use super::virtio::Devices;
use super::wait;
use crate::exports::Exports;
use crate::report::Fatal;
use crate::signals::HostSignals;
use bespoke_abi::boot::Span;
use bespoke_abi::hypercall::{self, EXPORT_DESCRIPTOR, MAX_SPANS, Request};
use std::io;
use std::time::Instant;

/// What a hypercall led to.
pub(super) enum Served {
    /// The guest goes on.
    Continue,
    /// It wants to be interrupted from now on.
    Tick,
    /// It ended by itself.
    Exit(u8),
    /// It declared itself lost.
    Fatal(Fatal),
    /// The request makes no sense.
    Malformed(String),
}

/// Serves the request at guest-virtual `address`.
///
/// Calls that block give up at `deadline`, which a signal must announce.
pub(super) fn serve(
    memory: &mut GuestMemory,
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
                |at, bytes| memory.read_bytes(at, bytes),
                [a, b, c, d],
            ));
        }
        // Nobody writes or reads the console behind its device's back.
        hypercall::WRITE | hypercall::READ
            if a <= 2 && devices.as_ref().is_some_and(Devices::has_consoles) =>
        {
            -i64::from(libc::EBADF)
        }
        hypercall::WRITE => write(memory, exports, deadline, [a, b, c]),
        hypercall::READ => read(memory, signals, deadline, [a, b, c]),
        hypercall::PROTECT => match c {
            hypercall::ACCESS_NONE => memory.protect(a, b, Rights::None),
            hypercall::ACCESS_READ => memory.protect(a, b, Rights::Read),
            hypercall::ACCESS_WRITE => memory.protect(a, b, Rights::Write),
            _ => -i64::from(libc::EINVAL),
        },
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

fn write(
    memory: &GuestMemory,
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
    for (index, entry) in vector[..count as usize].iter_mut().enumerate() {
        let at = spans.checked_add((index * size_of::<Span>()) as u64);
        let Some(span) = at.and_then(|at| memory.read::<Span>(at)) else {
            return -i64::from(libc::EFAULT);
        };
        if span.bytes == 0 {
            continue;
        }
        let Some(start) = memory.readable(span.start, span.bytes) else {
            return -i64::from(libc::EFAULT);
        };
        *entry = libc::iovec {
            iov_base: start.cast_mut().cast(),
            iov_len: span.bytes as usize,
        };
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
        libc::writev(fd, vector.as_ptr(), count as i32)
    } as i64);
    if let (Some(export), ..0) = (export, result) {
        exports.refused(export, -result as i32);
    }
    result
}

fn read(
    memory: &GuestMemory,
    signals: Option<&HostSignals>,
    deadline: Option<Instant>,
    [number, start, bytes]: [u64; 3],
) -> i64 {
    if number != 0 {
        return -i64::from(libc::EBADF);
    }
    let Some(target) = memory.writable(start, bytes) else {
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

/// Waits for input or a signal; whether it is a signal that came.
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

/// Blocks even on descriptors that someone made non-blocking; interrupted calls begin again.
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

/// Whether there is a deadline and it is over.
pub(super) fn passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
