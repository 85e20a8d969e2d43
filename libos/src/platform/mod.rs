//! The way out of the image: hypercalls under the KVM monitor ([`kvm`]), Linux system calls as a process ([`process`]), and
//! on a stock virtual machine what the image does itself ([`pvh`]). Nobody else knows which it is.
//! Owns the request block; must never allocate.

mod boot_info;
mod kvm;
mod process;
pub mod pvh;

pub use boot_info::*;

use bespoke_abi::boot::{FLAG_NO_FSGSBASE, Span};
#[cfg(feature = "net")]
use bespoke_abi::devices::MmioDevice;
use bespoke_abi::hypercall::{FAR_END, Request};
#[cfg(feature = "net")]
use bespoke_virtio::Registers;
use core::arch::asm;
use core::ops::Range;

use crate::memory::Rights;
use crate::single::Single;
use crate::time;
pub use process::share;
#[cfg(feature = "net")]
pub use process::{read_from, write_to};

/// Who started the image, and so how it asks for something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Our KVM monitor.
    Kvm,
    /// Our process monitor.
    Process,
    /// A stock virtual machine that boots PVH kernels.
    Pvh,
}

/// Far addresses begin at a multiple of this.
const HUGE_BYTES: usize = 2 << 20;

/// Its address stands in the image's note.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
pub static REQUEST: Single<Request> = unsafe {
    Single::new(Request {
        operation: 0,
        arguments: [0; 4],
        result: 0,
    })
};

/// What is known of time. To be asked once: where the monitor told nothing, it is measured now.
pub fn clock() -> pvh::Clock {
    pvh::measured_clock().unwrap_or_else(|| {
        let info = boot_info();
        pvh::Clock {
            tsc_khz: info.tsc_khz,
            tsc_base: info.tsc_base,
            wall_ns: info.wall_ns,
        }
    })
}

/// The seed of the random bytes that the application asks for; to be asked once.
pub fn seed() -> [u8; 32] {
    let mut seed = boot_info().seed;
    pvh::stir(&mut seed);
    seed
}

/// Whether the monitor is asked by leaving the guest.
pub fn asking_is_an_exit() -> bool {
    platform() == Platform::Kvm
}

/// Leaves `request` for whoever reads the memory of a stock virtual machine.
pub fn leave_request(request: Request) {
    REQUEST.with(|place| {
        // SAFETY: `place` is valid; volatile because nobody in the image reads it.
        unsafe { (place as *mut Request).write_volatile(request) }
    });
}

/// Ends the image with `code`.
pub fn exit(code: u8) -> ! {
    loop {
        match platform() {
            Platform::Kvm => kvm::exit(code),
            Platform::Process => process::exit(code),
            Platform::Pvh => pvh::exit(code),
        }
    }
}

/// Writes spans to a descriptor of the monitor (1, 2, or an export); bytes written or `-errno`.
/// At most [`bespoke_abi::hypercall::MAX_SPANS`] spans.
pub fn write(descriptor: u64, spans: &[Span]) -> i64 {
    match platform() {
        Platform::Kvm | Platform::Process if descriptor <= 2 && pvh::has_consoles() => {
            pvh::write(descriptor, spans)
        }
        Platform::Kvm => kvm::write(descriptor, spans),
        Platform::Process => process::write(descriptor, spans),
        Platform::Pvh => pvh::write(descriptor, spans),
    }
}

/// Reads from descriptor 0 of the monitor, blocking; bytes read or `-errno`.
pub fn read(buffer: &mut [u8]) -> i64 {
    time::asleep(|| match platform() {
        Platform::Kvm | Platform::Process if pvh::has_consoles() => pvh::read(buffer),
        Platform::Kvm => kvm::read(buffer),
        Platform::Process => process::read(buffer),
        Platform::Pvh => pvh::read(buffer),
    })
}

/// The registers of a virtio device that the monitor announced.
///
/// # Safety
///
/// Nobody else drives the device.
#[cfg(feature = "net")]
pub unsafe fn registers(device: &MmioDevice) -> Option<Registers> {
    if platform() == Platform::Pvh {
        return pvh::network_registers();
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
    match platform() {
        Platform::Kvm => kvm::protect(start, bytes, rights),
        Platform::Process => process::protect(start, bytes, rights),
        Platform::Pvh => pvh::protect(start, bytes, rights),
    }
}

/// Shows whole pages of RAM from `memory` on at `start`, too, beyond the end of memory. As a process there is other memory
/// at `start` instead, zero. Whether that could be done.
///
/// # Safety
///
/// Nothing is shown at `start`, and nobody else uses the pages of RAM.
pub unsafe fn show(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    match platform() {
        Platform::Kvm => kvm::show(start, bytes, memory, rights),
        // SAFETY: the caller's promise.
        Platform::Process => unsafe { process::show(start, bytes, memory, rights) },
        Platform::Pvh => pvh::show(start, bytes, memory, rights),
    }
}

/// As [`show`], of pages that are in use where they lie, too; in a process, of such that [`share`] made.
///
/// # Safety
///
/// Nothing is shown at `start`, and who uses the pages expects them to change.
pub unsafe fn show_too(start: usize, bytes: usize, memory: usize, rights: Rights) -> bool {
    match platform() {
        // SAFETY: the caller's promise.
        Platform::Process => unsafe { process::show_too(start, bytes, memory, rights) },
        // SAFETY: the caller's promise; nothing is given back here.
        Platform::Kvm | Platform::Pvh => unsafe { show(start, bytes, memory, rights) },
    }
}

/// Shows nothing at whole pages beyond the end of memory any more.
///
/// # Safety
///
/// Nobody uses what is shown there.
pub unsafe fn hide(start: usize, bytes: usize) {
    match platform() {
        Platform::Kvm => kvm::hide(start, bytes),
        Platform::Process => process::hide(start, bytes),
        Platform::Pvh => pvh::hide(start, bytes),
    }
}

/// Addresses at which [`show`] shows something, and those among them that it must leave alone.
pub fn far() -> [Range<usize>; 2] {
    if platform() == Platform::Pvh {
        return [pvh::FAR, 0..0];
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

/// Drops the host memory behind whole pages; they read as zero afterwards. Whether the monitor did.
///
/// # Safety
///
/// The contents of the pages are no longer needed.
pub unsafe fn give_back(start: usize, bytes: usize) -> bool {
    match platform() {
        Platform::Kvm => kvm::give_back(start, bytes),
        // SAFETY: the caller's promise.
        Platform::Process => unsafe { process::give_back(start, bytes) },
        // A stock virtual machine takes nothing back.
        Platform::Pvh => false,
    }
}

/// Sleeps for `nanoseconds` ([`bespoke_abi::hypercall::FOREVER`]: no limit) or until one of `events` (bits `WAIT_*`) may
/// have come; answers the bits of those that may have. May end early without any.
pub fn wait(nanoseconds: u64, events: u64) -> u64 {
    let sleep = || match platform() {
        Platform::Kvm => kvm::wait(nanoseconds, events),
        Platform::Process => process::wait(nanoseconds, events),
        Platform::Pvh => pvh::wait(nanoseconds, events),
    };
    let came = match nanoseconds {
        0 => sleep(),
        _ => time::asleep(sleep),
    };
    #[cfg(feature = "trace")]
    crate::trace::slept();
    came
}

/// Has the monitor interrupt the image from now on while that may be of use. Once is enough.
pub fn begin_interrupts() {
    // SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
    static BEGUN: Single<bool> = unsafe { Single::new(false) };
    if BEGUN.with(|begun| core::mem::replace(begun, true)) {
        return;
    }
    match platform() {
        Platform::Kvm => kvm::begin_interrupts(),
        Platform::Process => process::begin_interrupts(),
        Platform::Pvh => pvh::begin_interrupts(),
    }
}

/// Ends the image with a report: `kind` and `value` as in [`bespoke_abi::hypercall::FATAL`].
pub fn fatal(kind: u64, message: &str, value: u64) -> ! {
    let arguments = [kind, message.as_ptr() as u64, message.len() as u64, value];
    match platform() {
        Platform::Kvm => kvm::fatal(arguments),
        Platform::Process => {}
        Platform::Pvh => pvh::fatal(kind, message, value),
    }
    // Where a hypercall came back, the trap at its end ends the image all the same.
    process::fatal(arguments)
}

/// Sets the thread pointer (FS base); 0 or `-errno`.
pub fn set_thread_pointer(address: usize) -> i64 {
    if boot_info().flags & FLAG_NO_FSGSBASE != 0 {
        return process::set_thread_pointer(address);
    }
    // SAFETY: FSGSBASE is enabled unless the flag says otherwise; libos code does not use FS.
    unsafe { asm!("wrfsbase {}", in(reg) address, options(nomem, nostack)) };
    0
}
