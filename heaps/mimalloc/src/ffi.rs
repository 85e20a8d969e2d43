//! The C side: the functions it offers, and the callbacks it needs for pages and reports.
//! A callback never calls the C side.

use bespoke_heap::{Contents, Pages, Run, report_corruption};
use core::cell::Cell;
use core::ffi::{c_int, c_long};
use core::ptr::{NonNull, null_mut};

const PAGE_BYTES: usize = 4096;
/// The segment size that the C side was compiled with.
pub const SEGMENT_BYTES: usize = match usize::from_str_radix(env!("MIMALLOC_SEGMENT"), 10) {
    Ok(bytes) => bytes,
    Err(_) => panic!("the build script names a number"),
};
/// mimalloc's error code for corrupted metadata.
const EFAULT: c_int = 14;

unsafe extern "C" {
    fn mimalloc_start(reserve_bytes: usize, purge_delay: c_long);
    pub(crate) fn mi_umalloc(bytes: usize, granted: *mut usize) -> *mut u8;
    pub(crate) fn mi_uzalloc(bytes: usize, granted: *mut usize) -> *mut u8;
    pub(crate) fn mi_malloc_aligned(bytes: usize, align: usize) -> *mut u8;
    pub(crate) fn mi_zalloc_aligned(bytes: usize, align: usize) -> *mut u8;
    pub(crate) fn mimalloc_resize_counted(
        ptr: *mut u8,
        bytes: usize,
        before: *mut usize,
        granted: *mut usize,
    ) -> *mut u8;
    pub(crate) fn mimalloc_free_counted(ptr: *mut u8) -> usize;
    pub(crate) fn mi_usable_size(ptr: *const u8) -> usize;
    pub(crate) fn mi_collect(force: bool);
}

struct Shared(Cell<Option<Pages>>);

// SAFETY: one vCPU, cooperative threads, no allocator call yields (rule 2 of `bespoke_heap`).
unsafe impl Sync for Shared {}

/// Account of the component that started first.
static PAGES: Shared = Shared(Cell::new(None));

/// Starts the instance on `pages`, unless another component has started it.
/// `purge_delay` is in milliseconds; -1: never.
pub(crate) fn start(pages: Pages, reserve_bytes: usize, purge_delay: i32) {
    if PAGES.0.get().is_none() {
        PAGES.0.set(Some(pages));
        // SAFETY: called once, and the callbacks have their pages.
        unsafe { mimalloc_start(reserve_bytes, purge_delay.into()) };
    }
}

/// Allocates pages at an alignment. Segments are requested zeroed, which
/// costs nothing when they are fresh.
/// A larger run is not, because clearing all of it would cost more than clearing the
/// part that a caller requests zeroed.
#[unsafe(no_mangle)]
unsafe extern "C" fn mimalloc_map(bytes: usize, align: usize, is_zero: *mut bool) -> *mut u8 {
    let zero = bytes <= SEGMENT_BYTES;
    let contents = if zero { Contents::Zero } else { Contents::Any };
    // SAFETY: the C side passes a place for the answer.
    unsafe { is_zero.write(zero) };
    let run = PAGES.0.get().and_then(|pages| {
        pages.allocate(
            bytes.div_ceil(PAGE_BYTES),
            align.div_ceil(PAGE_BYTES).max(1),
            contents,
        )
    });
    run.map_or(null_mut(), |run| run.start.as_ptr())
}

/// Gives a run, or a part of one, back.
#[unsafe(no_mangle)]
unsafe extern "C" fn mimalloc_unmap(start: *mut u8, bytes: usize) {
    if let (Some(pages), Some(start)) = (PAGES.0.get(), NonNull::new(start)) {
        // SAFETY: the C side unmaps only what it mapped, once.
        unsafe {
            pages.free(Run {
                start,
                pages: bytes.div_ceil(PAGE_BYTES),
            })
        };
    }
}

/// Gives the host the memory of unused pages that stay in their run.
#[unsafe(no_mangle)]
unsafe extern "C" fn mimalloc_discard(start: *mut u8, bytes: usize) {
    if let (Some(pages), Some(start)) = (PAGES.0.get(), NonNull::new(start)) {
        let run = Run {
            start,
            pages: bytes / PAGE_BYTES,
        };
        // SAFETY: the C side discards whole pages of its own that hold nothing. It does not rely on the
        // answer: it takes their contents as undefined.
        unsafe { pages.discard(run) };
    }
}

/// Reports that mimalloc found damaged structures.
#[unsafe(no_mangle)]
extern "C" fn mimalloc_corrupt(error: c_int) -> ! {
    let what = if error == EFAULT {
        "damaged metadata of mimalloc"
    } else {
        "double free"
    };
    report_corruption(what, 0)
}
