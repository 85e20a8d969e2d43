//! What the monitor told the image, and which platform that makes.
//! Owns the pointer to it, which nothing but the start changes.

use super::Platform;
use crate::single::Single;
use bespoke_abi::boot::{
    BOOT_MAGIC, BootInfo, FLAG_FAULTS_END, FLAG_PROBE_STACK, PLATFORM_KVM, PLATFORM_PVH, Span,
};
use core::arch::asm;
use core::ptr::null;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

static INFO: AtomicPtr<BootInfo> = AtomicPtr::new(core::ptr::null_mut());

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
    if platform() == Platform::Kvm {
        // SAFETY: nothing else has started.
        unsafe { super::pvh::start_announced(info.cast_mut()) };
    }
}

/// The platform of this run. Host tests have no monitor: to them, Linux is.
#[inline(always)]
pub fn platform() -> Platform {
    if cfg!(test) {
        return Platform::Process;
    }
    match boot_info().platform {
        PLATFORM_KVM => Platform::Kvm,
        PLATFORM_PVH => Platform::Pvh,
        _ => Platform::Process,
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
