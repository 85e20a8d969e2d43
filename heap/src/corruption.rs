//! The hook by which a heap reports damaged structures or a double free.
//! The hook never returns to the heap.

use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

type Handler = fn(&str, usize) -> !;

static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Installs the function that [`report_corruption`] calls. The
/// library OS installs its crash report.
pub fn set_corruption_handler(handler: Handler) {
    HANDLER.store(handler as *mut (), Relaxed);
}

/// Ends the program with a report: `what` happened (for example "double free"), at `address`.
///
/// # Panics
///
/// Always, when no handler is installed (as in tests).
#[cold]
pub fn report_corruption(what: &str, address: usize) -> ! {
    let handler = HANDLER.load(Relaxed);
    if handler.is_null() {
        panic!("heap corruption: {what} at {address:#x}");
    }
    // SAFETY: the only store is in `set_corruption_handler`, of a `Handler`.
    let handler: Handler = unsafe { core::mem::transmute(handler) };
    handler(what, address)
}
