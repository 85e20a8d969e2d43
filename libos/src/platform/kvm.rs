//! Our KVM monitor: each request is a hypercall, which leaves the guest.
//! Owns nothing but the way there.

use super::{REQUEST, pvh};
use crate::memory::Rights;
use crate::stats;
use bespoke_abi::boot::Span;
use bespoke_abi::hypercall::{
    ACCESS_NONE, ACCESS_READ, ACCESS_WRITE, EXIT, FATAL, GIVE_BACK, MAP, PORT, PROTECT, READ,
    Request, TICK, UNMAP, WAIT, WAIT_CONSOLE, WRITE,
};
use core::arch::asm;

fn hypercall(operation: u64, arguments: [u64; 4]) -> i64 {
    REQUEST.with(|request| {
        stats().hypercalls.add(1);
        *request = Request {
            operation,
            arguments,
            result: 0,
        };
        let address: *mut Request = request;
        // SAFETY: the request is filled; the monitor reads it and writes `result` only, plus
        // what the operation says it writes (hence no `nomem`).
        unsafe {
            asm!("out dx, eax", in("dx") PORT, in("eax") address as usize as u32, options(nostack))
        };
        // SAFETY: `address` is `request`; volatile because the monitor wrote it.
        unsafe { (&raw const (*address).result).read_volatile() }
    })
}

/// Asks for the end of the image; does not come back.
pub fn exit(code: u8) {
    hypercall(EXIT, [code.into(), 0, 0, 0]);
}

/// See [`super::write`].
pub fn write(descriptor: u64, spans: &[Span]) -> i64 {
    let arguments = [descriptor, spans.as_ptr() as u64, spans.len() as u64, 0];
    hypercall(WRITE, arguments)
}

/// See [`super::read`].
pub fn read(buffer: &mut [u8]) -> i64 {
    let arguments = [0, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0];
    hypercall(READ, arguments)
}

/// See [`super::protect`].
pub fn protect(start: usize, bytes: usize, rights: Rights) -> bool {
    hypercall(PROTECT, [start as u64, bytes as u64, access(rights), 0]) >= 0
}

/// See [`super::show`].
pub fn show(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    let arguments = [start as u64, bytes as u64, memory as u64, access(rights)];
    hypercall(MAP, arguments) >= 0
}

/// See [`super::hide`].
pub fn hide(start: usize, bytes: usize) {
    hypercall(UNMAP, [start as u64, bytes as u64, 0, 0]);
}

/// See [`super::give_back`].
pub fn give_back(start: usize, bytes: usize) -> bool {
    hypercall(GIVE_BACK, [start as u64, bytes as u64, 0, 0]) >= 0
}

/// See [`super::wait`].
pub fn wait(nanoseconds: u64, events: u64) -> u64 {
    // What the console's driver knows the monitor does not.
    let is_ready = || events & WAIT_CONSOLE != 0 && pvh::console_is_ready();
    let drives_console = pvh::has_consoles();
    if drives_console && is_ready() {
        return WAIT_CONSOLE;
    }
    let came = u64::try_from(hypercall(WAIT, [nanoseconds, events, 0, 0])).unwrap_or(0);
    match drives_console {
        true if !is_ready() => came & !WAIT_CONSOLE,
        _ => came,
    }
}

/// See [`super::begin_interrupts`].
pub fn begin_interrupts() {
    hypercall(TICK, [0; 4]);
}

/// Ends the image with a report; does not come back.
pub fn fatal(arguments: [u64; 4]) {
    hypercall(FATAL, arguments);
}

fn access(rights: Rights) -> u64 {
    match rights {
        Rights::None => ACCESS_NONE,
        Rights::Read => ACCESS_READ,
        Rights::Write => ACCESS_WRITE,
    }
}
