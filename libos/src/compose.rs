//! The composition of an image: which heap stands in which component.
//! Everything the final program must define exactly once is defined by this macro.

use crate::{components, report, stats, time};
use bespoke_abi::note::{EAGER, NO_NETWORK, SMALL_PAGES, TAKES_SIGNALS};
use bespoke_abi::stats::BootPoint;
use bespoke_heap::{
    CHeap, Component, Heap, OutOfMemory, PageSource, Recorder, set_corruption_handler,
};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Length of the composition text in the image's note, zero padded.
pub const COMPOSITION_BYTES: usize = 128;

/// The flags of the image's note.
pub const fn note_flags(eager: bool, has_net: bool, huge_pages: bool) -> u32 {
    let eager = if eager { EAGER } else { 0 };
    let no_network = if has_net { 0 } else { NO_NETWORK };
    let small_pages = if huge_pages { 0 } else { SMALL_PAGES };
    TAKES_SIGNALS | eager | no_network | small_pages
}

/// `app=A libos=B net=C stack=D boot=E`.
pub const fn composition_text(heaps: &[(&str, &str)]) -> [u8; COMPOSITION_BYTES] {
    let mut text = [0; COMPOSITION_BYTES];
    let mut used = 0;
    let mut i = 0;
    while i < heaps.len() {
        let (component, heap) = heaps[i];
        if i > 0 {
            used = append(&mut text, used, " ");
        }
        used = append(&mut text, used, component);
        used = append(&mut text, used, "=");
        used = append(&mut text, used, heap);
        i += 1;
    }
    text
}

const fn append(text: &mut [u8; COMPOSITION_BYTES], used: usize, part: &str) -> usize {
    let bytes = part.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        text[used + i] = bytes[i];
        i += 1;
    }
    used + bytes.len()
}

/// The ELF note that names the composition.
#[derive(Debug)]
#[repr(C)]
pub struct CompositionNote {
    name_bytes: u32,
    text_bytes: u32,
    kind: u32,
    name: [u8; 8],
    text: [u8; COMPOSITION_BYTES],
}

impl CompositionNote {
    /// A note of `text`.
    pub const fn new(text: [u8; COMPOSITION_BYTES]) -> Self {
        let kind = bespoke_abi::note::TYPE_COMPOSITION;
        Self {
            name_bytes: 8,
            text_bytes: COMPOSITION_BYTES as u32,
            kind,
            name: *b"Bespoke\0",
            text,
        }
    }
}

/// What components are told to: nobody.
#[cfg(not(any(feature = "trace", feature = "latency")))]
pub type Record<const SLOT: u8, const IS_C: bool> = bespoke_heap::Silent;
/// What components are told to: the histograms.
#[cfg(all(feature = "latency", not(feature = "trace")))]
pub type Record<const SLOT: u8, const IS_C: bool> = crate::latency::Timing<SLOT>;
/// What components are told to: the trace ring.
#[cfg(feature = "trace")]
pub type Record<const SLOT: u8, const IS_C: bool> = crate::trace::Recording<SLOT, IS_C>;

/// Starts one component's heap, timed; ends the image with a report when it cannot.
pub fn start_component<H: Heap, R: Recorder>(
    component: &Component<H, R>,
    name: &str,
    index: usize,
    source: &'static PageSource,
) {
    set_corruption_handler(report::corruption);
    let before = time::tsc();
    if let Err(OutOfMemory { needed_bytes }) = component.start(source) {
        let free = source.largest_free_pages() * bespoke_abi::PAGE_BYTES;
        report::heap_cannot_start(H::INFO.name, name, needed_bytes.saturating_sub(free));
    }
    stats().components[index]
        .start_cycles
        .set(time::tsc() - before);
}

/// Begins the statistics page: `heaps` names the components in the order of the image's note. Each
/// component has a slot of its own whether or not others exist.
pub fn begin_stats(heaps: &[(&str, &str)]) {
    const ORDER: [&str; 4] = ["app", "libos", "stack", "boot"];
    let slots = &stats().components;
    slots[components::FILES].label("files", "pages");
    slots[components::MMAP].label("mmap", "pages");
    let mut count = 6;
    for &(component, heap) in heaps {
        let slot = ORDER.iter().position(|name| *name == component);
        let slot = slot.unwrap_or_else(|| {
            count = 7;
            components::NET
        });
        slots[slot].label(component, heap);
    }
    stats().begin(count);
}

/// Allocates from a component for Rust code that handles its own exhaustion.
#[inline(always)]
pub fn allocate<H: Heap, R: Recorder>(
    component: &Component<H, R>,
    layout: Layout,
    zeroed: bool,
) -> Option<NonNull<u8>> {
    let block = if zeroed {
        component.allocate_zeroed(layout)
    } else {
        component.allocate(layout)
    };
    block.map(|block| block.ptr)
}

/// Stamps the entry of `main`.
pub fn stamp_main() {
    stats().stamp(BootPoint::Main, time::tsc());
}

unsafe extern "C" {
    fn __errno_location() -> *mut i32;
}

fn set_errno(error: u32) {
    // SAFETY: the C library runs, so the thread pointer is set.
    unsafe { __errno_location().write(error as i32) }
}

fn or_enomem(ptr: *mut u8) -> *mut u8 {
    if ptr.is_null() {
        set_errno(linux_raw_sys::errno::ENOMEM);
    }
    ptr
}

/// `malloc`.
#[inline(always)]
pub fn malloc<H: CHeap, R: Recorder>(app: &Component<H, R>, size: usize) -> *mut u8 {
    or_enomem(app.c_allocate(size, 1))
}

/// `calloc`.
#[inline(always)]
pub fn calloc<H: CHeap, R: Recorder>(app: &Component<H, R>, count: usize, size: usize) -> *mut u8 {
    or_enomem(app.c_allocate_zeroed(count, size))
}

/// `realloc`.
///
/// # Safety
///
/// `ptr` is null or live in `app`.
#[inline(always)]
pub unsafe fn realloc<H: CHeap, R: Recorder>(
    app: &Component<H, R>,
    ptr: *mut u8,
    size: usize,
) -> *mut u8 {
    // SAFETY: the caller's promise.
    or_enomem(unsafe { app.c_resize(ptr, size) })
}

/// `memalign` and `aligned_alloc`.
pub fn memalign<H: CHeap, R: Recorder>(
    app: &Component<H, R>,
    align: usize,
    size: usize,
) -> *mut u8 {
    if !align.is_power_of_two() {
        set_errno(linux_raw_sys::errno::EINVAL);
        return core::ptr::null_mut();
    }
    or_enomem(app.c_allocate(size, align))
}

/// `posix_memalign`.
///
/// # Safety
///
/// `out` is valid for a pointer.
pub unsafe fn posix_memalign<H: CHeap, R: Recorder>(
    app: &Component<H, R>,
    out: *mut *mut u8,
    align: usize,
    size: usize,
) -> i32 {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return linux_raw_sys::errno::EINVAL as i32;
    }
    let ptr = app.c_allocate(size, align);
    if ptr.is_null() {
        return linux_raw_sys::errno::ENOMEM as i32;
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(ptr) };
    0
}

/// Composes an image; the invocation is the whole of its crate.
///
/// ```ignore
/// bespoke_libos::compose! {
///     app: heap_mimalloc::AppHeap,
///     libos: heap_tlsf::Heap,
///     net: heap_tlsf::Heap, // only with the feature `net`
///     stack: heap_region::Heap,
///     boot: heap_region::Heap,
///     huge_pages: false, // only where RAM is not to lie on huge pages
///     stack_bytes: 262144,
/// }
/// ```
#[macro_export]
macro_rules! compose {
    (
        app: $app:ty, libos: $libos:ty, $(net: $net:ty,)? stack: $stack:ty, boot: $boot:ty,
        $(huge_pages: $huge_pages:expr,)?
        stack_bytes: $stack_bytes:expr $(,)?
    ) => {
        mod composition {
            use $crate::__private::*;

            const HEAPS: &[(&str, &str)] = &[
                ("app", <$app as Heap>::INFO.name),
                ("libos", <$libos as Heap>::INFO.name),
                $(("net", <$net as Heap>::INFO.name),)?
                ("stack", <$stack as Heap>::INFO.name),
                ("boot", <$boot as Heap>::INFO.name),
            ];

            const EAGER: bool = <$app as Heap>::INFO.eager
                || <$libos as Heap>::INFO.eager
                $(|| <$net as Heap>::INFO.eager)?
                || <$stack as Heap>::INFO.eager
                || <$boot as Heap>::INFO.eager;

            const HUGE_PAGES: bool = true $(&& $huge_pages)?;

            const HAS_NET: bool = false $(|| !<$net as Heap>::INFO.name.is_empty())?;

            // A page of its own, which image.ld puts behind what fills no page: no gap on either side.
            #[unsafe(no_mangle)]
            #[unsafe(link_section = ".bss.1page")]
            pub static BESPOKE_STATS: StatsPage = StatsPage::new();

            #[used]
            #[unsafe(link_section = ".note.bespoke")]
            static NOTE: compose::CompositionNote =
                compose::CompositionNote::new(compose::composition_text(HEAPS));

            static APP_HEAP: HeapCell<$app> = HeapCell::new();
            static LIBOS_HEAP: HeapCell<$libos> = HeapCell::new();
            static STACK_HEAP: HeapCell<$stack> = HeapCell::new();
            static BOOT_HEAP: HeapCell<$boot> = HeapCell::new();
            // SAFETY: of each of them: its heap is the one above, one vCPU runs the image, and neither the library OS nor a heap
            // is interrupted.
            static APP: Component<$app, compose::Record<0, true>> = unsafe { Component::new(&APP_HEAP, &BESPOKE_STATS.components[0]) };
            #[global_allocator]
            static LIBOS: Component<$libos, compose::Record<1, false>> = unsafe { Component::new(&LIBOS_HEAP, &BESPOKE_STATS.components[1]) };
            static STACK: Component<$stack, compose::Record<2, false>> = unsafe { Component::new(&STACK_HEAP, &BESPOKE_STATS.components[2]) };
            static BOOT: Component<$boot, compose::Record<3, false>> = unsafe { Component::new(&BOOT_HEAP, &BESPOKE_STATS.components[3]) };
            $(static NET_HEAP: HeapCell<$net> = HeapCell::new();)?
            $(static NET: Component<$net, compose::Record<6, false>> = unsafe { Component::new(&NET_HEAP, &BESPOKE_STATS.components[6]) };)?

            // For the image's note: the monitor provides the main stack and the memory.
            global_asm!(
                ".globl bespoke_stack_bytes, bespoke_note_flags",
                ".set bespoke_stack_bytes, {bytes}",
                ".set bespoke_note_flags, {flags}",
                bytes = const $stack_bytes,
                flags = const compose::note_flags(EAGER, HAS_NET, HUGE_PAGES)
            );

            #[unsafe(no_mangle)]
            fn bespoke_start_heaps(source: &'static PageSource) {
                compose::begin_stats(HEAPS);
                compose::start_component(&BOOT, "boot", 3, source);
                compose::start_component(&STACK, "stack", 2, source);
                compose::start_component(&LIBOS, "libos", 1, source);
                $(compose::start_component::<$net, _>(&NET, "net", 6, source);)?
                compose::start_component(&APP, "app", 0, source);
            }
            #[unsafe(no_mangle)]
            fn bespoke_boot_allocate(layout: Layout) -> Option<NonNull<u8>> {
                BOOT.allocate(layout).map(|block| block.ptr)
            }
            #[unsafe(no_mangle)]
            fn bespoke_stack_allocate(layout: Layout) -> Option<NonNull<u8>> {
                STACK.allocate(layout).map(|block| block.ptr)
            }
            #[unsafe(no_mangle)]
            unsafe fn bespoke_stack_free(start: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller passes what `bespoke_stack_allocate` gave.
                unsafe { STACK.deallocate(start, layout) }
            }
            #[unsafe(no_mangle)]
            fn bespoke_stack_frees() -> bool {
                <$stack as Heap>::INFO.capabilities.frees
            }

            $(
                #[unsafe(no_mangle)]
                fn bespoke_net_allocate(layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
                    compose::allocate::<$net, _>(&NET, layout, zeroed)
                }
                #[unsafe(no_mangle)]
                unsafe fn bespoke_net_free(start: NonNull<u8>, layout: Layout) {
                    // SAFETY: the caller passes what `bespoke_net_allocate` gave.
                    unsafe { NET.deallocate(start, layout) }
                }
            )?

            #[panic_handler]
            fn panic(info: &PanicInfo<'_>) -> ! {
                report::panic(info)
            }
            #[unsafe(no_mangle)]
            extern "C" fn rust_eh_personality() {}
            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Resume() -> ! {
                unreachable!("images are built with panic=abort")
            }

            unsafe extern "C" {
                fn __real_main(argc: i32, argv: *mut *mut u8, envp: *mut *mut u8) -> i32;
            }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn __wrap_main(argc: i32, argv: *mut *mut u8, envp: *mut *mut u8) -> i32 {
                compose::stamp_main();
                // SAFETY: the arguments come from the C library's start code, unchanged.
                unsafe { __real_main(argc, argv, envp) }
            }

            // The `__libc_` names are what the C library itself calls.
            $crate::c_names!(malloc, __libc_malloc, (size: usize) -> *mut u8, compose::malloc(&APP, size));
            $crate::c_names!(calloc, __libc_calloc, (count: usize, size: usize) -> *mut u8,
                compose::calloc(&APP, count, size));
            $crate::c_names!(realloc, __libc_realloc, (ptr: *mut u8, size: usize) -> *mut u8,
                compose::realloc(&APP, ptr, size));
            $crate::c_names!(free, __libc_free, (ptr: *mut u8) -> (), APP.c_free(ptr));
            $crate::c_names!(memalign, aligned_alloc, (align: usize, size: usize) -> *mut u8,
                compose::memalign(&APP, align, size));
            $crate::c_entry!(posix_memalign, (out: *mut *mut u8, align: usize, size: usize) -> i32,
                compose::posix_memalign(&APP, out, align, size));
            #[unsafe(no_mangle)]
            unsafe extern "C" fn malloc_usable_size(ptr: *mut u8) -> usize {
                // SAFETY: C's promise about `ptr`.
                unsafe { APP.c_usable_size(ptr) }
            }
        }
    };
}

/// Defines one C function under two names.
#[doc(hidden)]
#[macro_export]
macro_rules! c_names {
    ($first:ident, $second:ident, ($($argument:ident: $type:ty),*) -> $result:ty, $body:expr) => {
        $crate::c_entry!($first, ($($argument: $type),*) -> $result, $body);
        $crate::c_entry!($second, ($($argument: $type),*) -> $result, $body);
    };
}

/// Defines one C function.
#[cfg(not(feature = "trace"))]
#[doc(hidden)]
#[macro_export]
macro_rules! c_entry {
    ($name:ident, ($($argument:ident: $type:ty),*) -> $result:ty, $body:expr) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            #[allow(unused_unsafe, reason = "some of these need no promise from C")]
            // SAFETY: C's promises about its arguments.
            unsafe { $body }
        }
    };
}

/// Defines one C function that notes its return address first.
#[cfg(feature = "trace")]
#[doc(hidden)]
#[macro_export]
macro_rules! c_entry {
    ($name:ident, ($($argument:ident: $type:ty),*) -> $result:ty, $body:expr) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            unsafe extern "C" fn noted($($argument: $type),*) -> $result {
                #[allow(unused_unsafe, reason = "some of these need no promise from C")]
                // SAFETY: C's promises about its arguments.
                unsafe { $body }
            }
            core::arch::naked_asm!("mov rax, [rsp]", "mov [{site}], rax", "jmp {noted}",
                site = sym $crate::trace::C_SITE, noted = sym noted)
        }
    };
}
