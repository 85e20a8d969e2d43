//! The way out of the image: hypercalls under the KVM monitor, Linux system calls as a process, and on a stock
//! virtual machine what [`crate::bare`] does itself.
//! Owns the boot information and the request block; must never allocate.

use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::{
    BOOT_MAGIC, BootInfo, FLAG_FAULTS_END, FLAG_NO_FSGSBASE, FLAG_PROBE_STACK, PLATFORM_BARE,
    PLATFORM_KVM, Span,
};
#[cfg(feature = "net")]
use bespoke_abi::devices::{MmioDevice, NET_PACKET};
use bespoke_abi::hypercall::{
    ACCESS_NONE, ACCESS_READ, ACCESS_WRITE, EXIT, FAR_END, FATAL, FATAL_MAGIC, FOREVER, GIVE_BACK,
    MAP, NOTICE_DESCRIPTOR, PORT, PROTECT, READ, Request, TICK, TICK_NOTICE, UNMAP, WAIT,
    WAIT_CONSOLE, WAIT_NET, WRITE,
};
#[cfg(feature = "net")]
use bespoke_virtio::Registers;
use core::arch::asm;
use core::ops::Range;
use core::ptr::null;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
#[cfg(feature = "net")]
use linux_raw_sys::general::POLLERR;
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, MREMAP_FIXED, MREMAP_MAYMOVE,
    POLLIN, PROT_READ, PROT_WRITE,
};

use crate::bare;
use crate::memory::Rights;
use crate::single::Single;
use crate::stats;
use crate::time;

/// Far addresses begin at a multiple of this.
const HUGE_BYTES: usize = 2 << 20;

static INFO: AtomicPtr<BootInfo> = AtomicPtr::new(core::ptr::null_mut());
/// Its address stands in the image's note.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
pub static REQUEST: Single<Request> = unsafe {
    Single::new(Request {
        operation: 0,
        arguments: [0; 4],
        result: 0,
    })
};

/// Remembers the boot information.
///
/// # Safety
///
/// `info` is the pointer the monitor passed to the entry; it stays valid for ever.
pub unsafe fn start(info: *const BootInfo) {
    INFO.store(info.cast_mut(), Relaxed);
    if boot_info().magic != BOOT_MAGIC || boot_info().version != bespoke_abi::VERSION {
        // Nothing else may be trusted, not even which way out there is.
        // SAFETY: an illegal instruction ends the image with a report on every monitor.
        unsafe { asm!("ud2", options(noreturn)) }
    }
    if is_kvm() {
        // SAFETY: nothing else has started.
        unsafe { bare::start_announced(info.cast_mut()) };
    }
}

/// A flag of the boot information that no monitor sets: calls are observed (`crate::calls::observers`).
pub const FLAG_OBSERVE_CALLS: u32 = 1 << 31;

/// Sets [`FLAG_OBSERVE_CALLS`].
pub fn announce_calls() {
    // SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
    static COPY: Single<Option<BootInfo>> = unsafe { Single::new(None) };
    if boot_info().flags & FLAG_OBSERVE_CALLS != 0 {
        return;
    }
    // The page of the monitor may be closed to writing, and others keep references to it.
    COPY.with(|copy| {
        let info = copy.insert(*boot_info());
        info.flags |= FLAG_OBSERVE_CALLS;
        INFO.store(info, Relaxed);
    });
}

/// What the monitor told the image.
pub fn boot_info() -> &'static BootInfo {
    // SAFETY: `start` ran before anything else and the page is never unmapped.
    unsafe { &*INFO.load(Relaxed) }
}

/// Whether no fault can be served, so that memory must be there before it is touched.
pub fn faults_end() -> bool {
    boot_info().flags & FLAG_FAULTS_END != 0
}

/// Has system calls touch what they take of their stack first, where that may lie beyond RAM.
pub fn probe_stacks() {
    // SAFETY: as for `boot_info`; memory of the image's own, of which one word changes, and no reference lives meanwhile.
    unsafe { (*INFO.load(Relaxed)).flags |= FLAG_PROBE_STACK };
}

/// What is known of time. To be asked once: where the monitor told nothing, it is measured now.
pub fn clock() -> bare::Clock {
    bare::measured_clock().unwrap_or_else(|| {
        let info = boot_info();
        bare::Clock {
            tsc_khz: info.tsc_khz,
            tsc_base: info.tsc_base,
            wall_ns: info.wall_ns,
        }
    })
}

/// The seed of the random bytes that the application asks for; to be asked once.
pub fn seed() -> [u8; 32] {
    let mut seed = boot_info().seed;
    bare::stir(&mut seed);
    seed
}

/// Whether the monitor is asked by leaving the guest.
pub fn asking_is_an_exit() -> bool {
    is_kvm() && !is_bare()
}

fn is_kvm() -> bool {
    boot_info().platform == PLATFORM_KVM
}

fn is_bare() -> bool {
    boot_info().platform == PLATFORM_BARE
}

/// Leaves `request` for whoever reads the memory of a stock virtual machine.
pub fn leave_request(request: Request) {
    REQUEST.with(|place| {
        // SAFETY: `place` is valid; volatile because nobody in the image reads it.
        unsafe { (place as *mut Request).write_volatile(request) }
    });
}

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

/// Ends the image with `code`.
pub fn exit(code: u8) -> ! {
    if is_bare() {
        bare::exit(code);
    }
    loop {
        if is_kvm() {
            hypercall(EXIT, [code.into(), 0, 0, 0]);
        } else {
            linux(number::EXIT_GROUP, [code.into(), 0, 0, 0]);
        }
    }
}

/// Writes spans to a descriptor of the monitor (1, 2, or an export); bytes written or `-errno`.
/// At most [`bespoke_abi::hypercall::MAX_SPANS`] spans.
pub fn write(descriptor: u64, spans: &[Span]) -> i64 {
    if is_bare() || descriptor <= 2 && bare::has_consoles() {
        return bare::write(descriptor, spans);
    }
    let arguments = [descriptor, spans.as_ptr() as u64, spans.len() as u64, 0];
    if is_kvm() {
        hypercall(WRITE, arguments)
    } else {
        linux(number::WRITEV, arguments)
    }
}

/// Reads from descriptor 0 of the monitor, blocking; bytes read or `-errno`.
pub fn read(buffer: &mut [u8]) -> i64 {
    time::asleep(|| read_now(buffer))
}

fn read_now(buffer: &mut [u8]) -> i64 {
    if is_bare() || bare::has_consoles() {
        return bare::read(buffer);
    }
    let arguments = [0, buffer.as_mut_ptr() as u64, buffer.len() as u64, 0];
    if is_kvm() {
        hypercall(READ, arguments)
    } else {
        linux(number::READ, arguments)
    }
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

/// The registers of a virtio device that the monitor announced.
///
/// # Safety
///
/// Nobody else drives the device.
#[cfg(feature = "net")]
pub unsafe fn registers(device: &MmioDevice) -> Option<Registers> {
    if is_bare() {
        return bare::network_registers();
    }
    // SAFETY: the monitor says that they are there; then the caller's promise.
    unsafe { Registers::new(device.address as usize) }
}

/// Gives whole pages these rights; whether the monitor did.
///
/// # Safety
///
/// Nobody uses the pages in a way the rights do not allow.
pub unsafe fn protect(start: usize, bytes: usize, rights: Rights) -> bool {
    // Host tests have no monitor, and their pages are Linux's.
    if !cfg!(test) && is_bare() {
        return bare::protect(start, bytes, rights);
    }
    let (start, bytes) = (start as u64, bytes as u64);
    let result = if !cfg!(test) && is_kvm() {
        hypercall(PROTECT, [start, bytes, access(rights), 0])
    } else {
        linux(number::MPROTECT, [start, bytes, protection(rights), 0])
    };
    result >= 0
}

/// Shows whole pages of RAM from `memory` on at `start`, too, beyond the end of memory. As a process there is other memory
/// at `start` instead, zero. Whether that could be done.
///
/// # Safety
///
/// Nothing is shown at `start`, and nobody else uses the pages of RAM.
pub unsafe fn show(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    if !cfg!(test) && is_bare() {
        return bare::show(start, bytes, memory, rights);
    }
    let (start, bytes) = (start as u64, bytes as u64);
    let result = if !cfg!(test) && is_kvm() {
        hypercall(MAP, [start, bytes, memory as u64, access(rights)])
    } else {
        // SAFETY: the caller's promise; the pages only stand for what is used elsewhere.
        unsafe { give_back(memory, bytes as usize) };
        linux_mmap([start, bytes, protection(rights)], MAP_PRIVATE)
    };
    result >= 0
}

/// As [`show`], of pages that are in use where they lie, too; in a process, of such that [`share`] made.
///
/// # Safety
///
/// Nothing is shown at `start`, and who uses the pages expects them to change.
pub unsafe fn show_too(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    const MOVE: u64 = (MREMAP_MAYMOVE | MREMAP_FIXED) as u64;
    if !cfg!(test) && (is_bare() || is_kvm()) {
        // SAFETY: the caller's promise; nothing is given back here.
        return unsafe { show(start, bytes, memory, rights) };
    }
    let page = PAGE_BYTES as u64;
    // An old size of zero makes a second mapping. Each page alone, for they were not all shared at once.
    let is_shown = (0..bytes as u64).step_by(PAGE_BYTES).all(|offset| {
        let (from, to) = (memory as u64 + offset, start as u64 + offset);
        linux6(number::MREMAP, [from, 0, page, MOVE, to, 0]) >= 0
    });
    // SAFETY: the pages are the application's, who asked for this.
    is_shown && unsafe { protect(start, bytes, rights) }
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

/// Shows nothing at whole pages beyond the end of memory any more.
///
/// # Safety
///
/// Nobody uses what is shown there.
pub unsafe fn hide(start: usize, bytes: usize) {
    if !cfg!(test) && is_bare() {
        return bare::hide(start, bytes);
    }
    let arguments = [start as u64, bytes as u64, 0, 0];
    if !cfg!(test) && is_kvm() {
        hypercall(UNMAP, arguments);
    } else {
        linux(number::MUNMAP, arguments);
    }
}

/// Addresses at which [`show`] shows something, and those among them that it must leave alone.
pub fn far() -> [Range<usize>; 2] {
    if !cfg!(test) && is_bare() {
        return [bare::FAR, 0..0];
    }
    let info = boot_info();
    let ring = info.ring.address as usize;
    let ring_bytes = info.ring.slots as usize * info.ring.slot_bytes as usize;
    let end = (info.ram.start + info.ram.bytes) as usize;
    [
        // Never right behind RAM: a mapping lies on one side.
        end.next_multiple_of(HUGE_BYTES) + HUGE_BYTES..FAR_END as usize,
        ring..ring + ring_bytes,
    ]
}

/// A mapping of zeros at an address: its start, bytes and protection, and whether it is private.
fn linux_mmap([start, bytes, protection]: [u64; 3], kind: u32) -> i64 {
    let flags = u64::from(kind | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE);
    linux6(number::MMAP, [start, bytes, protection, flags, u64::MAX, 0])
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

fn access(rights: Rights) -> u64 {
    match rights {
        Rights::None => ACCESS_NONE,
        Rights::Read => ACCESS_READ,
        Rights::Write => ACCESS_WRITE,
    }
}

fn protection(rights: Rights) -> u64 {
    let bits = match rights {
        Rights::None => 0,
        Rights::Read => PROT_READ,
        Rights::Write => PROT_READ | PROT_WRITE,
    };
    bits.into()
}

/// Drops the host memory behind whole pages; they read as zero afterwards. Whether the monitor did.
///
/// # Safety
///
/// The contents of the pages are no longer needed.
pub unsafe fn give_back(start: usize, bytes: usize) -> bool {
    const MADV_DONTNEED: u64 = 4;
    // A stock virtual machine takes nothing back.
    if is_bare() {
        return false;
    }
    let (start, bytes) = (start as u64, bytes as u64);
    let result = if is_kvm() {
        hypercall(GIVE_BACK, [start, bytes, 0, 0])
    } else if SHARES.with(|shares| *shares) {
        linux_mmap([start, bytes, protection(Rights::Write)], MAP_PRIVATE)
    } else {
        linux(number::MADVISE, [start, bytes, MADV_DONTNEED, 0])
    };
    result >= 0
}

/// Sleeps for `nanoseconds` ([`FOREVER`]: no limit) or until one of `events` (bits `WAIT_*`) may
/// have come; answers the bits of those that may have. May end early without any.
pub fn wait(nanoseconds: u64, events: u64) -> u64 {
    let came = match nanoseconds {
        0 => sleep(0, events),
        _ => time::asleep(|| sleep(nanoseconds, events)),
    };
    #[cfg(feature = "trace")]
    crate::trace::slept();
    came
}

fn sleep(nanoseconds: u64, events: u64) -> u64 {
    const CLOCK_MONOTONIC: u64 = 1;
    if is_bare() {
        return bare::wait(nanoseconds, events);
    }
    if is_kvm() {
        // What the console's driver knows the monitor does not.
        let is_ready = || events & WAIT_CONSOLE != 0 && bare::console_is_ready();
        let drives_console = bare::has_consoles();
        if drives_console && is_ready() {
            return WAIT_CONSOLE;
        }
        let came = u64::try_from(hypercall(WAIT, [nanoseconds, events, 0, 0])).unwrap_or(0);
        return match drives_console {
            true if !is_ready() => came & !WAIT_CONSOLE,
            _ => came,
        };
    }
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

/// Has the monitor interrupt the image from now on while that may be of use. Once is enough.
pub fn begin_interrupts() {
    // SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
    static BEGUN: Single<bool> = unsafe { Single::new(false) };
    if BEGUN.with(|begun| core::mem::replace(begun, true)) {
        return;
    }
    if is_bare() {
        bare::begin_interrupts();
    } else if is_kvm() {
        hypercall(TICK, [0; 4]);
    } else {
        let notice = TICK_NOTICE;
        linux(
            number::WRITE,
            [NOTICE_DESCRIPTOR, (&raw const notice) as u64, 1, 0],
        );
    }
}

/// Ends the image with a report: `kind` and `value` as in [`bespoke_abi::hypercall::FATAL`].
pub fn fatal(kind: u64, message: &str, value: u64) -> ! {
    let arguments = [kind, message.as_ptr() as u64, message.len() as u64, value];
    if is_bare() {
        bare::fatal(kind, message, value);
    }
    if is_kvm() {
        hypercall(FATAL, arguments);
    }
    REQUEST.with(|request| {
        *request = Request { operation: FATAL, arguments, result: 0 };
        let address: *const Request = request;
        // SAFETY: the process monitor's handler takes over at `int3` and does not return here.
        unsafe {
            asm!("mov rbx, {request}", "int3", "ud2", request = in(reg) address, in("rax") FATAL_MAGIC, options(noreturn))
        }
    })
}

/// Sets the thread pointer (FS base); 0 or `-errno`.
pub fn set_thread_pointer(address: usize) -> i64 {
    const ARCH_SET_FS: u64 = 0x1002;
    if boot_info().flags & FLAG_NO_FSGSBASE != 0 {
        return linux(number::ARCH_PRCTL, [ARCH_SET_FS, address as u64, 0, 0]);
    }
    // SAFETY: FSGSBASE is enabled unless the flag says otherwise; libos code does not use FS.
    unsafe { asm!("wrfsbase {}", in(reg) address, options(nomem, nostack)) };
    0
}

/// Number of NUL-terminated strings in `span`, passed to `visit` with their index, in order.
pub fn for_each_string(
    span: Span,
    count: u32,
    mut visit: impl FnMut(u32, &'static core::ffi::CStr),
) {
    let mut rest: &'static [u8] = if span.bytes == 0 {
        &[]
    } else {
        debug_assert_ne!(span.start as *const u8, null());
        // SAFETY: spans of the boot information are guest memory that stays valid for ever.
        unsafe { core::slice::from_raw_parts(span.start as *const u8, span.bytes as usize) }
    };
    for index in 0..count {
        let Ok(string) = core::ffi::CStr::from_bytes_until_nul(rest) else {
            return;
        };
        rest = &rest[string.to_bytes_with_nul().len()..];
        visit(index, string);
    }
}
