//! Touches the stack before the library OS runs on it, where its pages become memory as they are touched: a fault of
//! the library OS itself could not be served, one here can, for this code may be interrupted (`libos/image.ld`).
//! Owns the address from which on stacks are so.

#[cfg(not(test))]
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Pages that a system call may take of the stack, generously.
pub const PAGES: usize = 4;

/// Where far addresses begin, once there are any.
#[cfg(not(test))]
static FAR: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Has stacks from `address` on probed.
pub fn begin(address: usize) {
    #[cfg(not(test))]
    FAR.store(address, Relaxed);
    crate::platform::probe_stacks();
    let _ = address;
}

#[cfg(not(test))]
core::arch::global_asm!(
    ".pushsection .text.bespoke_probe, \"ax\", @progbits",
    ".globl bespoke_probe",
    "bespoke_probe:",
    "cmp rsp, [{far}]",
    "jb {probed}",
    "mov r10, rsp",
    "mov eax, {pages}",
    "1:",
    "sub r10, 4096",
    "test byte ptr [r10], 0",
    "dec eax",
    "jnz 1b",
    "jmp {probed}",
    ".popsection",
    far = sym FAR,
    pages = const PAGES,
    probed = sym super::probed,
);

#[cfg(not(test))]
unsafe extern "C" {
    /// `super::probed`, with room on the stack.
    pub fn bespoke_probe(
        number: usize,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> isize;
}

/// Host tests have all of their stack.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[cfg(test)]
pub unsafe fn bespoke_probe(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    // SAFETY: the caller's promise.
    unsafe { super::probed(number, a, b, c, d, e, f) }
}
