//! The process monitor: each request is a Linux system call that its filter lets pass.
//! Owns what must be known of pages that were shared.

use super::{REQUEST, boot_info};
use crate::memory::Rights;
use crate::single::Single;
use crate::stats;
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::Span;
#[cfg(feature = "net")]
use bespoke_abi::devices::NET_PACKET;
use bespoke_abi::hypercall::{
    FATAL, FATAL_MAGIC, FOREVER, NOTICE_DESCRIPTOR, Request, TICK_NOTICE, WAIT_CONSOLE, WAIT_NET,
};
use core::arch::asm;
#[cfg(feature = "net")]
use linux_raw_sys::general::POLLERR;
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, MREMAP_FIXED, MREMAP_MAYMOVE,
    POLLIN, PROT_READ, PROT_WRITE,
};

/// System call numbers of the process monitor's filter (x86-64).
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const MREMAP: usize = 25;
    pub const WRITEV: usize = 20;
    pub const MADVISE: usize = 28;
    pub const ARCH_PRCTL: usize = 158;
    pub const CLOCK_NANOSLEEP: usize = 230;
    pub const EXIT_GROUP: usize = 231;
    pub const PPOLL: usize = 271;
}

fn linux(number: usize, arguments: [u64; 4]) -> i64 {
    stats().hypercalls.add(1);
    let result;
    // SAFETY: callers pass valid system calls that touch only memory they own.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

fn linux6(number: usize, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    stats().hypercalls.add(1);
    let result;
    // SAFETY: as for `linux`.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

/// A mapping of zeros at an address: its start, bytes and protection, and whether it is private.
fn linux_mmap([start, bytes, protection]: [u64; 3], kind: u32) -> i64 {
    let flags = u64::from(kind | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE);
    linux6(number::MMAP, [start, bytes, protection, flags, u64::MAX, 0])
}

/// Asks for the end of the image; does not come back.
pub fn exit(code: u8) {
    linux(number::EXIT_GROUP, [code.into(), 0, 0, 0]);
}

/// See [`super::write`].
pub fn write(descriptor: u64, spans: &[Span]) -> i64 {
    let arguments = [descriptor, spans.as_ptr() as u64, spans.len() as u64, 0];
    linux(number::WRITEV, arguments)
}

/// See [`super::read`].
pub fn read(buffer: &mut [u8]) -> i64 {
    let arguments = [0, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0];
    linux(number::READ, arguments)
}

/// Reads from a device's descriptor of the process monitor, without blocking; bytes read or `-errno`.
#[cfg(feature = "net")]
pub fn read_from(descriptor: u32, buffer: &mut [u8]) -> i64 {
    let (start, bytes) = (buffer.as_mut_ptr() as u64, buffer.len() as u64);
    linux(number::READ, [descriptor.into(), start, bytes, 0])
}

/// Writes to a device's descriptor of the process monitor, without blocking; bytes written or
/// `-errno`.
#[cfg(feature = "net")]
pub fn write_to(descriptor: u32, buffer: &[u8]) -> i64 {
    let (start, bytes) = (buffer.as_ptr() as u64, buffer.len() as u64);
    linux(number::WRITE, [descriptor.into(), start, bytes, 0])
}

/// See [`super::protect`].
pub fn protect(start: usize, bytes: usize, rights: Rights) -> bool {
    let arguments = [start as u64, bytes as u64, protection(rights), 0];
    linux(number::MPROTECT, arguments) >= 0
}

/// See [`super::show`]: other memory, zero.
///
/// # Safety
///
/// As there.
pub unsafe fn show(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    // SAFETY: the caller's promise; the pages only stand for what is used elsewhere.
    unsafe { give_back(memory, bytes) };
    let arguments = [start as u64, bytes as u64, protection(rights)];
    linux_mmap(arguments, MAP_PRIVATE) >= 0
}

/// See [`super::show_too`].
///
/// # Safety
///
/// As there.
pub unsafe fn show_too(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    const MOVE: u64 = (MREMAP_MAYMOVE | MREMAP_FIXED) as u64;
    let page = PAGE_BYTES as u64;
    // An old size of zero makes a second mapping. Each page alone, for they were not all shared at once.
    let is_shown = (0..bytes as u64).step_by(PAGE_BYTES).all(|offset| {
        let (from, to) = (memory as u64 + offset, start as u64 + offset);
        linux6(number::MREMAP, [from, 0, page, MOVE, to, 0]) >= 0
    });
    is_shown && protect(start, bytes, rights)
}

/// Makes whole pages of a process such that [`show_too`] can show them; what they hold is lost if that succeeds.
///
/// # Safety
///
/// Whoever uses the pages puts back what they held.
pub unsafe fn share(start: usize, bytes: usize) -> bool {
    SHARES.with(|shares| *shares = true);
    linux_mmap(
        [start as u64, bytes as u64, protection(Rights::Write)],
        MAP_SHARED,
    ) >= 0
}

/// Whether [`share`] was called: pages may be of a kind that is not cleared by giving them back.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static SHARES: Single<bool> = unsafe { Single::new(false) };

/// See [`super::hide`].
pub fn hide(start: usize, bytes: usize) {
    linux(number::MUNMAP, [start as u64, bytes as u64, 0, 0]);
}

fn protection(rights: Rights) -> u64 {
    let bits = match rights {
        Rights::None => 0,
        Rights::Read => PROT_READ,
        Rights::Write => PROT_READ | PROT_WRITE,
    };
    bits.into()
}

/// See [`super::give_back`].
///
/// # Safety
///
/// As there.
pub unsafe fn give_back(start: usize, bytes: usize) -> bool {
    const MADV_DONTNEED: u64 = 4;
    let (start, bytes) = (start as u64, bytes as u64);
    let result = if SHARES.with(|shares| *shares) {
        linux_mmap([start, bytes, protection(Rights::Write)], MAP_PRIVATE)
    } else {
        linux(number::MADVISE, [start, bytes, MADV_DONTNEED, 0])
    };
    result >= 0
}

/// See [`super::wait`].
pub fn wait(nanoseconds: u64, events: u64) -> u64 {
    const CLOCK_MONOTONIC: u64 = 1;
    let duration = [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000];
    let duration = duration.as_ptr() as u64;
    if events == 0 {
        linux(number::CLOCK_NANOSLEEP, [CLOCK_MONOTONIC, 0, duration, 0]);
        return 0;
    }
    let duration = if nanoseconds == FOREVER { 0 } else { duration };
    let sources = [(WAIT_NET, boot_info().net.descriptor), (WAIT_CONSOLE, 0)];
    // Linux skips entries with a negative descriptor.
    let mut polled = sources.map(|(bit, descriptor)| Polled {
        descriptor: if events & bit != 0 {
            descriptor as i32
        } else {
            -1
        },
        events: POLLIN as u16,
        returned: 0,
    });
    let arguments = [polled.as_mut_ptr() as u64, polled.len() as u64, duration, 0];
    linux(number::PPOLL, arguments);
    #[cfg(feature = "net")]
    if boot_info().net.kind == NET_PACKET && polled[0].returned & POLLERR as u16 != 0 {
        // A packet socket whose link went down says so until it was read once: the image would never sleep again.
        read_from(boot_info().net.descriptor, &mut [0]);
    }
    let came = sources
        .iter()
        .zip(&polled)
        .filter(|(_, polled)| polled.returned != 0);
    came.fold(0, |bits, ((bit, _), _)| bits | bit)
}

/// `struct pollfd`.
#[repr(C)]
struct Polled {
    descriptor: i32,
    events: u16,
    returned: u16,
}

/// See [`super::begin_interrupts`].
pub fn begin_interrupts() {
    let notice = TICK_NOTICE;
    let address = (&raw const notice) as u64;
    linux(number::WRITE, [NOTICE_DESCRIPTOR, address, 1, 0]);
}

/// Ends the image with a report.
pub fn fatal(arguments: [u64; 4]) -> ! {
    REQUEST.with(|request| {
        *request = Request { operation: FATAL, arguments, result: 0 };
        let address: *const Request = request;
        // SAFETY: the process monitor's handler takes over at `int3` and does not return here.
        unsafe {
            asm!("mov rbx, {request}", "int3", "ud2", request = in(reg) address, in("rax") FATAL_MAGIC, options(noreturn))
        }
    })
}

/// Sets the thread pointer where the CPU's own instruction is closed; 0 or `-errno`.
pub fn set_thread_pointer(address: usize) -> i64 {
    const ARCH_SET_FS: u64 = 0x1002;
    linux(number::ARCH_PRCTL, [ARCH_SET_FS, address as u64, 0, 0])
}
