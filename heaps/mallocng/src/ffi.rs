//! The C side: the functions it offers, and the callbacks it needs
//! for pages, its secret and reports.
//! A callback never calls the C side.

use bespoke_heap::{Contents, Pages, Run, report_corruption};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::NonNull;

const PAGE_BYTES: usize = 4096;
/// `MAP_FAILED`.
const FAILED: *mut u8 = usize::MAX as *mut u8;

unsafe extern "C" {
    pub(crate) fn mallocng_malloc(bytes: usize) -> *mut u8;
    pub(crate) fn mallocng_aligned_alloc(align: usize, bytes: usize) -> *mut u8;
    pub(crate) fn mallocng_realloc(ptr: *mut u8, bytes: usize) -> *mut u8;
    pub(crate) fn mallocng_free(ptr: *mut u8);
    pub(crate) fn mallocng_free_counted(ptr: *mut u8) -> usize;
    pub(crate) fn mallocng_usable_size(ptr: *mut u8) -> usize;
    pub(crate) fn mallocng_is_allzero(ptr: *mut u8) -> c_int;
}

/// State of the callbacks.
struct Instance {
    /// Account of the component that started first.
    pages: Option<Pages>,
    /// The block of the current call, for reports.
    subject: usize,
}

struct Shared(UnsafeCell<Instance>);

// SAFETY: one vCPU, cooperative threads, no allocator call yields (rule 2 of `bespoke_heap`).
unsafe impl Sync for Shared {}

static INSTANCE: Shared = Shared(UnsafeCell::new(Instance {
    pages: None,
    subject: 0,
}));

/// Adopts `pages`, unless another component has started the instance.
pub(crate) fn adopt(pages: Pages) {
    // SAFETY: allocator calls never overlap, and no reference outlives this statement.
    unsafe { (*INSTANCE.0.get()).pages.get_or_insert(pages) };
}

/// Records the block of the next call.
#[inline]
pub(crate) fn about(ptr: NonNull<u8>) {
    // SAFETY: allocator calls never overlap.
    unsafe { (*INSTANCE.0.get()).subject = ptr.addr().get() };
}

fn pages() -> Option<Pages> {
    // SAFETY: allocator calls never overlap.
    unsafe { (*INSTANCE.0.get()).pages }
}

fn run(start: *mut u8, pages: usize) -> Option<Run> {
    Some(Run {
        start: NonNull::new(start)?,
        pages,
    })
}

/// `mmap`: returns fresh zero pages, which the C side relies on.
#[unsafe(no_mangle)]
extern "C" fn mallocng_map(bytes: usize) -> *mut u8 {
    let granted =
        pages().and_then(|pages| pages.allocate(bytes.div_ceil(PAGE_BYTES), 1, Contents::Zero));
    granted.map_or(FAILED, |run| run.start.as_ptr())
}

/// `munmap` of a whole mapping.
#[unsafe(no_mangle)]
unsafe extern "C" fn mallocng_unmap(start: *mut u8, bytes: usize) {
    if let (Some(pages), Some(run)) = (pages(), run(start, bytes.div_ceil(PAGE_BYTES))) {
        // SAFETY: the C side unmaps only what it mapped, once.
        unsafe { pages.free(run) };
    }
}

/// `mremap` of a whole mapping: in place if the neighbouring pages allow it, else moved. Contents
/// past the old length are arbitrary.
#[unsafe(no_mangle)]
unsafe extern "C" fn mallocng_remap(start: *mut u8, old_bytes: usize, new_bytes: usize) -> *mut u8 {
    let (old, new) = (
        old_bytes.div_ceil(PAGE_BYTES),
        new_bytes.div_ceil(PAGE_BYTES),
    );
    let (Some(pages), Some(whole)) = (pages(), run(start, old)) else {
        return FAILED;
    };
    if new <= old {
        // SAFETY: the tail lies inside the mapping the C side gives up.
        let tail = unsafe { whole.start.add(new * PAGE_BYTES) };
        if new < old {
            // SAFETY: as above; nothing refers to it after this call.
            unsafe {
                pages.free(Run {
                    start: tail,
                    pages: old - new,
                })
            };
        }
        return start;
    }
    // SAFETY: `whole` is one mapping, up to its end.
    if unsafe { pages.extend(whole, new - old, Contents::Any) } {
        return start;
    }
    let Some(moved) = pages.allocate(new, 1, Contents::Any) else {
        return FAILED;
    };
    // SAFETY: two distinct runs, the new one longer; the old one is given up by the C side.
    unsafe {
        whole
            .start
            .copy_to_nonoverlapping(moved.start, old * PAGE_BYTES);
        pages.free(whole);
    }
    moved.start.as_ptr()
}

/// Returns the secret that distinguishes true metadata from forged.
/// It is not cryptographic: the heap contract has no randomness, so it is taken from the clock and
/// spread over all bits (the finaliser of SplitMix64, Steele et al. 2014).
#[unsafe(no_mangle)]
extern "C" fn mallocng_secret() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and CR4.TSD is clear on every monitor.
    let mut x = unsafe { core::arch::x86_64::_rdtsc() };
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Reports a failed assertion of mallocng.
#[unsafe(no_mangle)]
unsafe extern "C" fn mallocng_corrupt(assertion: *const c_char) -> ! {
    // SAFETY: the C side passes a string literal.
    let assertion = unsafe { CStr::from_ptr(assertion) };
    let what = assertion.to_str().unwrap_or("damaged metadata");
    // SAFETY: allocator calls never overlap.
    let subject = unsafe { (*INSTANCE.0.get()).subject };
    report_corruption(what, subject)
}
