//! The library OS: Linux system calls as function calls.
//!
//! It runs at CPL 3 beside the application, on one vCPU whose threads are preempted in the application's code alone, under the
//! KVM monitor or as a Linux process; `platform` is the only module that knows which. An
//! image is made by [`compose!`], which names the heap of each component.
#![no_std]
// 838 of them, where `pub` means: of this module's interface. Nothing is reachable from outside but what stands here.
#![allow(unreachable_pub)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod alarm;
#[cfg(test)]
mod apart;
pub mod calls;
pub mod compose;
#[cfg(not(test))]
mod entry;
pub mod files;
mod filesystem;
#[cfg_attr(test, allow(dead_code, reason = "host programs are not interrupted"))]
mod interrupt;
#[cfg(any(test, feature = "latency"))]
pub mod latency;
mod limits;
mod linux_stack;
mod memory;
mod platform;
mod random;
pub mod report;
mod signals;
mod single;
mod threads;
mod time;
#[cfg(feature = "trace")]
pub mod trace;

use bespoke_abi::boot::FLAG_EXPORT_ALWAYS;
use bespoke_abi::stats::{BootPoint, StatsPage};
use bespoke_heap::{PageSource, Pages};

/// What [`compose!`] expands to needs these names.
#[doc(hidden)]
pub mod __private {
    pub use crate::{compose, report};
    pub use bespoke_abi::stats::StatsPage;
    pub use bespoke_heap::{Component, Heap, HeapCell, PageSource};
    pub use core::alloc::Layout;
    pub use core::arch::global_asm;
    pub use core::panic::PanicInfo;
    pub use core::ptr::NonNull;
}

/// Slots in the statistics page that are not heaps of the composition.
mod components {
    pub const FILES: usize = 4;
    pub const MMAP: usize = 5;
    /// A heap of the composition, if the image has a network.
    pub const NET: usize = 6;
}

// SAFETY: one vCPU, and calls of the library OS and of heaps are never interrupted; the monitor's give-back and `buddy` do
// not call back.
static PAGES: PageSource = unsafe { PageSource::new() };

unsafe extern "C" {
    safe static BESPOKE_STATS: StatsPage;
}

/// The statistics page of this image.
#[inline(always)]
fn stats() -> &'static StatsPage {
    &BESPOKE_STATS
}

fn pages() -> &'static PageSource {
    &PAGES
}

fn component_pages(index: usize) -> Pages {
    Pages::new(&PAGES, &stats().components[index])
}

/// Bytes of the main thread's stack.
fn stack_bytes() -> usize {
    platform::boot_info().stack.bytes as usize
}

/// Ends the image: files named by `--out` are written, unless the program failed, and connections ended, first.
fn exit(code: u8) -> ! {
    stats().stamp(BootPoint::Exit, time::tsc());
    if code == 0 || platform::boot_info().flags & FLAG_EXPORT_ALWAYS != 0 {
        filesystem::export_all();
    }
    #[cfg(feature = "latency")]
    latency::tell();
    filesystem::end_connections();
    platform::exit(code)
}

/// What [`compose!`] would define, for the tests of this crate.
#[cfg(test)]
mod test_composition {
    use bespoke_abi::stats::StatsPage;
    use core::alloc::Layout;
    use core::ptr::NonNull;

    #[unsafe(no_mangle)]
    static BESPOKE_STATS: StatsPage = StatsPage::new();

    #[unsafe(no_mangle)]
    fn bespoke_boot_allocate(layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: no layout of this crate has size 0.
        NonNull::new(unsafe { std::alloc::alloc(layout) })
    }

    #[unsafe(no_mangle)]
    fn bespoke_net_allocate(layout: Layout, _zeroed: bool) -> Option<NonNull<u8>> {
        // SAFETY: no layout of the network has size 0.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
    }

    #[unsafe(no_mangle)]
    unsafe fn bespoke_net_free(start: NonNull<u8>, layout: Layout) {
        // SAFETY: allocated above with this layout.
        unsafe { std::alloc::dealloc(start.as_ptr(), layout) }
    }

    #[unsafe(no_mangle)]
    fn bespoke_stack_frees() -> bool {
        true
    }

    #[unsafe(no_mangle)]
    fn bespoke_stack_allocate(layout: Layout) -> Option<NonNull<u8>> {
        bespoke_boot_allocate(layout)
    }

    #[unsafe(no_mangle)]
    unsafe fn bespoke_stack_free(start: NonNull<u8>, layout: Layout) {
        // SAFETY: allocated above with this layout.
        unsafe { std::alloc::dealloc(start.as_ptr(), layout) }
    }
}
