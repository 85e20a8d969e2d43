//! What stands between a heap and its users: counters, recorders, the C interface, headers, accounts with the page source.
//! The heap beneath is the simplest there is, so that every number is known.
#![allow(clippy::print_stdout, reason = "a test reads what its child prints")]

use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::ComponentStats;
use bespoke_heap::{
    Block, C_ALIGN, CHeap, Capabilities, Component, Contents, Headed, Heap, HeapCell, Info,
    OutOfMemory, Pages, Parameter, Recorder, Run, Unit, set_corruption_handler,
};
use bespoke_heap_testkit::Arena;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::{NonNull, null_mut};

const MIB: usize = 1 << 20;
/// Requests of more bytes are refused.
const MOST_BYTES: usize = 4000;

/// A page for each block, of which it grants sixteen bytes more than asked; it knows the layout of every block.
struct Plain {
    pages: Option<Pages>,
    live: Option<HashMap<usize, Layout>>,
    trims: usize,
}

impl Plain {
    fn live(&mut self) -> &mut HashMap<usize, Layout> {
        self.live.get_or_insert_default()
    }
}

// SAFETY: every block is a page of its own.
unsafe impl Heap for Plain {
    const INFO: Info = Info {
        name: "plain",
        summary: "",
        origin: "",
        capabilities: Capabilities {
            frees: true,
            bounded_time: false,
            reallocates_in_place: false,
            gives_back: false,
            hardened: false,
            frees_without_size: true,
            shared_instance: false,
        },
        smallest_pool_bytes: PAGE_BYTES,
        eager: false,
        parameters: &[],
    };
    const EMPTY: Self = Self {
        pages: None,
        live: None,
        trims: 0,
    };

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.pages = Some(pages);
        match pages.source().largest_free_pages() {
            0 => Err(OutOfMemory {
                needed_bytes: PAGE_BYTES,
            }),
            _ => Ok(()),
        }
    }

    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        if layout.size() > MOST_BYTES {
            return None;
        }
        let align = layout.align().div_ceil(PAGE_BYTES);
        let run = self.pages?.allocate(1, align, Contents::Any)?;
        self.live().insert(run.start.addr().get(), layout);
        Some(Block {
            ptr: run.start,
            granted: layout.size() + 16,
        })
    }

    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
        let known = self.live().remove(&ptr.addr().get());
        let known = known.expect("a live block");
        // Headers say what was granted, others what was asked.
        assert!(known.align() == layout.align());
        assert!(layout.size() == known.size() || layout.size() == known.size() + 16);
        let run = Run {
            start: ptr,
            pages: 1,
        };
        // SAFETY: the block's page, of which nobody knows any more.
        unsafe { self.pages.expect("started").free(run) };
        known.size() + 16
    }

    fn trim(&mut self) {
        self.trims += 1;
        LOG.with_borrow_mut(|log| log.push("trim".into()));
    }
}

// SAFETY: it knows the layouts.
unsafe impl CHeap for Plain {
    unsafe fn free(&mut self, ptr: NonNull<u8>) -> usize {
        let layout = self.live()[&ptr.addr().get()];
        // SAFETY: the caller's promise.
        unsafe { self.deallocate(ptr, layout) }
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>) -> usize {
        let live = self.live.as_ref().expect("a live block");
        live[&ptr.addr().get()].size() + 16
    }
}

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What was recorded since the last time.
fn log() -> Vec<String> {
    LOG.with_borrow_mut(std::mem::take)
}

fn note(text: String) {
    LOG.with_borrow_mut(|log| log.push(text));
}

struct Telling;

impl Recorder for Telling {
    fn begins() {
        note("begins".into());
    }
    fn allocated(size: usize, align: usize, zeroed: bool, block: Option<NonNull<u8>>) {
        let granted = block.is_some();
        note(format!("allocated {size} {align} {zeroed} {granted}"));
    }
    fn freed(_: NonNull<u8>) {
        note("freed".into());
    }
    fn resized(_: NonNull<u8>, size: usize, align: usize, block: Option<NonNull<u8>>) {
        note(format!("resized {size} {align} {}", block.is_some()));
    }
}

fn component<H: Heap>() -> (Component<H, Telling>, &'static ComponentStats, Arena) {
    let arena = Arena::new(MIB);
    let stats: &'static ComponentStats = Box::leak(Box::default());
    let heap: &'static HeapCell<H> = Box::leak(Box::default());
    // SAFETY: a heap of its own, and this thread alone.
    let component = unsafe { Component::new(heap, stats) };
    component.start(arena.source).expect("a page");
    (component, stats, arena)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// Allocations, frees, reallocations, failures; requested, granted, live and peak bytes.
fn counted(stats: &ComponentStats) -> ([u64; 4], [u64; 4]) {
    (
        [
            stats.allocations.get(),
            stats.frees.get(),
            stats.reallocations.get(),
            stats.failures.get(),
        ],
        [
            stats.requested_bytes.get(),
            stats.granted_bytes.get(),
            stats.live_bytes.get(),
            stats.peak_bytes.get(),
        ],
    )
}

#[test]
fn what_rust_asks_for_is_counted_and_recorded() {
    let (component, stats, _arena) = component::<Plain>();
    let first = component.allocate(layout(100)).expect("granted");
    let second = component.allocate_zeroed(layout(50)).expect("granted");
    assert_eq!((first.granted, second.granted), (116, 66));
    assert!(component.allocate(layout(MOST_BYTES + 1)).is_none());
    assert_eq!(counted(stats), ([2, 0, 0, 1], [150, 182, 182, 182]));
    // SAFETY: live blocks with these layouts.
    let third = unsafe {
        component.deallocate(first.ptr, layout(100));
        assert!(component.reallocate(second.ptr, layout(50), 5000).is_none());
        component.reallocate(second.ptr, layout(50), 60)
    };
    assert_eq!(third.expect("granted").granted, 76);
    assert_eq!(counted(stats), ([2, 1, 1, 2], [210, 258, 76, 182]));
    component.trim();
    let expected = [
        "begins",
        "allocated 100 8 false true",
        "begins",
        "allocated 50 8 true true",
        "begins",
        "allocated 4001 8 false false",
        "begins",
        "freed",
        "begins",
        "resized 5000 8 false",
        "begins",
        "resized 60 8 true",
        "trim",
    ];
    assert_eq!(log(), expected);
}

#[test]
fn what_c_asks_for_is_counted_and_recorded() {
    let (component, stats, _arena) = component::<Plain>();
    // SAFETY: blocks of the component, each used as long as it lives.
    unsafe {
        let first = component.c_allocate(0, 1);
        assert_eq!(component.c_usable_size(first), 17);
        assert_eq!(component.c_usable_size(null_mut()), 0);
        first.write(7);
        let first = component.c_resize(first, 300);
        assert_eq!((first.read(), component.c_usable_size(first)), (7, 316));
        assert!(component.c_resize(first, MOST_BYTES + 1).is_null());
        let second = component.c_resize(null_mut(), 10);
        assert!(!second.is_null());
        let second = component.c_resize(second, 0);
        assert_eq!(component.c_usable_size(second), 17);
        component.c_free(null_mut());
        component.c_free(second);
        component.c_free(first);
        let zeros = component.c_allocate_zeroed(3, 5);
        assert_eq!(std::slice::from_raw_parts(zeros, 15), [0; 15]);
        component.c_free(zeros);
    }
    assert_eq!(
        counted(stats),
        (
            [3, 3, 2, 1],
            [1 + 300 + 10 + 1 + 15, 17 + 316 + 26 + 17 + 31, 0, 342]
        )
    );
    log();
    // More than any memory, and more than a number.
    assert!(component.c_allocate(usize::MAX, 16).is_null());
    assert!(component.c_allocate_zeroed(usize::MAX, 2).is_null());
    assert!(component.c_allocate_zeroed(usize::MAX / 2, 1).is_null());
    assert_eq!(stats.failures.get(), 4);
    let all = usize::MAX;
    let half = all / 2;
    let expected = [
        format!("allocated {all} 16 false false"),
        format!("allocated {all} 16 true false"),
        format!("allocated {half} 16 true false"),
    ];
    assert_eq!(log(), expected);
    // Alignment is at least that of C.
    let block = component.c_allocate(1, 64);
    // SAFETY: a live block.
    unsafe { component.c_free(block) };
    let block = component.c_allocate(1, 2);
    // SAFETY: a live block.
    unsafe { component.c_free(block) };
    let aligned: Vec<_> = log()
        .into_iter()
        .filter(|line| line.starts_with('a'))
        .collect();
    assert_eq!(
        aligned,
        ["allocated 1 64 false true", "allocated 1 16 false true"]
    );
}

#[test]
fn a_component_is_a_global_allocator() {
    let (component, stats, _arena) = component::<Plain>();
    // SAFETY: live blocks with their layouts, and null.
    unsafe {
        let block = component.alloc(layout(8));
        block.cast::<u64>().write(5);
        let block = component.realloc(block, layout(8), 24);
        assert_eq!(block.cast::<u64>().read(), 5);
        assert!(component.realloc(null_mut(), layout(8), 24).is_null());
        assert!(
            component
                .realloc(block, layout(24), MOST_BYTES + 1)
                .is_null()
        );
        component.dealloc(block, layout(24));
        component.dealloc(null_mut(), layout(24));
        let zeros = component.alloc_zeroed(layout(32));
        assert_eq!(std::slice::from_raw_parts(zeros, 32), [0; 32]);
        component.dealloc(zeros, layout(32));
        assert!(component.alloc(layout(MOST_BYTES + 1)).is_null());
        assert!(component.alloc_zeroed(layout(MOST_BYTES + 1)).is_null());
    }
    assert_eq!(counted(stats).0, [2, 2, 1, 3]);
    assert_eq!(stats.live_bytes.get(), 0);
}

#[test]
fn a_component_without_a_page_says_what_it_needs() {
    let arena = Arena::new(MIB);
    let all = arena.source.largest_free_pages();
    arena.source.allocate(all, 1, Contents::Any).expect("all");
    let stats: &'static ComponentStats = Box::leak(Box::default());
    let heap: &'static HeapCell<Plain> = Box::leak(Box::default());
    // SAFETY: a heap of its own, and this thread alone.
    let component: Component<Plain> = unsafe { Component::new(heap, stats) };
    let expected = OutOfMemory {
        needed_bytes: PAGE_BYTES,
    };
    assert_eq!(component.start(arena.source), Err(expected));
}

#[cfg(debug_assertions)]
thread_local! {
    static CALLED_BACK: RefCell<Option<&'static Component<CallsBack>>> = const { RefCell::new(None) };
}

/// Breaks the promise of `Component::new`: allocating calls the component again.
#[cfg(debug_assertions)]
struct CallsBack(Plain);

// SAFETY: as `Plain`, whenever it returns.
#[cfg(debug_assertions)]
unsafe impl Heap for CallsBack {
    const INFO: Info = Plain::INFO;
    const EMPTY: Self = Self(Plain::EMPTY);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0.start(pages)
    }

    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        CALLED_BACK.with_borrow(|component| component.and_then(|it| it.allocate(layout)))
    }

    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(ptr, layout) }
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "CallsBack is entered by who already works on it")]
fn a_heap_that_calls_its_component_is_noticed() {
    let arena = Arena::new(MIB);
    let (component, _) = arena.component::<CallsBack>();
    component.start(arena.source).expect("a page");
    CALLED_BACK.set(Some(component));
    component.allocate(layout(8));
}

/// The header takes as much as the alignment, and remembers the layout for the heap beneath, which checks it.
#[test]
fn a_header_gives_c_what_the_heap_needs() {
    let (component, stats, _arena) = component::<Headed<Plain>>();
    for align in [16, 32, 64, 256] {
        let block = component.c_allocate(100, align);
        assert_eq!(block.addr() % PAGE_BYTES, align, "right behind its header");
        // SAFETY: a live block.
        unsafe {
            assert_eq!(component.c_usable_size(block), 116);
            block.write_bytes(0x5a, 116);
            let block = component.c_resize(block, 200);
            assert_eq!(block.addr() % PAGE_BYTES, align);
            assert_eq!(std::slice::from_raw_parts(block, 116), [0x5a; 116]);
            assert_eq!(component.c_usable_size(block), 216);
            component.c_free(block);
        }
    }
    assert_eq!(stats.live_bytes.get(), 0);
    // SAFETY: live blocks.
    unsafe {
        let zeros = component.c_allocate_zeroed(40, 1);
        assert_eq!(std::slice::from_raw_parts(zeros, 40), [0; 40]);
        let block = NonNull::new(zeros).expect("granted");
        component.deallocate(block, layout(40));
    }
    assert_eq!((stats.live_bytes.get(), stats.held_pages.get()), (0, 0));
    // The header counts: what it leaves no room for is refused.
    assert!(component.c_allocate(MOST_BYTES, 16).is_null());
    assert!(component.c_allocate(MOST_BYTES - 16 + 1, 16).is_null());
    assert!(!component.c_allocate(MOST_BYTES - 16, 16).is_null());
    log();
    component.trim();
    assert_eq!(log(), ["trim"]);
}

/// In processes of their own: a report of damage ends one.
fn ends_with(what: &str, damage: fn(&Component<Headed<Plain>, Telling>)) {
    const CASE: &str = "BESPOKE_TEST_DAMAGE";
    fn told(what: &str, _address: usize) -> ! {
        println!("told: {what}");
        std::process::exit(77)
    }
    let is_it = std::env::var(CASE).is_ok_and(|case| case == what);
    if is_it {
        set_corruption_handler(told);
        let (component, ..) = component::<Headed<Plain>>();
        damage(&component);
        std::process::exit(0);
    }
    let name = std::thread::current();
    let child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name.name().expect("a test"), "--nocapture"])
        .env(CASE, what)
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(text.contains(&format!("told: {what}")), "{text}");
    assert_eq!(child.status.code(), Some(77));
}

#[test]
fn a_double_free_is_told() {
    ends_with("double free", |component| {
        let block = component.c_allocate(8, 16);
        // SAFETY: the page stays mapped; the second one is what is tested.
        unsafe {
            component.c_free(block);
            component.c_free(block);
        }
    });
}

#[test]
fn a_pointer_into_a_block_is_told() {
    ends_with("free of a pointer that was never allocated", |component| {
        let block = component.c_allocate(8, 16);
        // SAFETY: inside the block; that it is none is what is tested.
        unsafe { component.c_free(block.add(8)) };
    });
}

#[test]
fn a_header_written_over_is_told() {
    ends_with("damaged block header", |component| {
        let block = component.c_allocate(8, 16);
        // SAFETY: the block's own header; that it is damaged is what is tested. No power of two; then less than any.
        unsafe { block.sub(8).cast::<usize>().write(24) };
        // SAFETY: as above.
        unsafe { component.c_free(block) };
    });
}

#[test]
fn a_header_with_too_small_an_alignment_is_told() {
    ends_with("damaged block header", |component| {
        let block = component.c_allocate(8, 16);
        // SAFETY: as in the test above.
        unsafe { block.sub(8).cast::<usize>().write(8) };
        // SAFETY: as above.
        unsafe { component.c_free(block) };
    });
}

#[test]
fn an_account_counts_what_it_holds() {
    let arena = Arena::new(4 * MIB);
    let new = || -> (&'static ComponentStats, Pages) {
        let stats: &'static ComponentStats = Box::leak(Box::default());
        (stats, Pages::new(arena.source, stats))
    };
    let ((one, first), (two, second)) = (new(), new());
    let held = || (one.held_pages.get(), two.held_pages.get());
    let run = first.allocate(10, 1, Contents::Any).expect("ample");
    assert!(first.allocate(1 << 20, 1, Contents::Any).is_none());
    assert_eq!(held(), (10, 0));
    // SAFETY: the run is held.
    unsafe {
        assert!(first.extend(run, 5, Contents::Any));
        assert!(!first.extend(run, 1 << 20, Contents::Any));
    }
    assert_eq!(held(), (15, 0));
    second.take_over(&first, 6);
    assert_eq!(held(), (9, 6));
    assert_eq!((one.peak_pages.get(), two.peak_pages.get()), (15, 6));
    // SAFETY: the first nine pages, of which nobody knows any more.
    unsafe { first.free(Run { pages: 9, ..run }) };
    assert_eq!(held(), (0, 6));
    assert_eq!(arena.stats.held.get(), 6);
    assert!(std::ptr::eq(first.source(), arena.source));
}

#[test]
fn pages_ahead_of_need_are_an_eighth_of_what_is_held() {
    const RUN: usize = 8 * PAGE_BYTES;
    let arena = Arena::new(4 * MIB);
    let stats: &'static ComponentStats = Box::leak(Box::default());
    let pages = Pages::new(arena.source, stats);
    let ahead = |least| {
        let run = pages.allocate_ahead::<RUN>(least, Contents::Any);
        run.map(|run| run.pages)
    };
    assert_eq!(ahead(1), Some(1));
    pages.allocate(39, 1, Contents::Any).expect("ample");
    assert_eq!(ahead(1), Some(5));
    assert_eq!(ahead(5), Some(5));
    assert_eq!(ahead(6), Some(6));
    // At most the run; more only if more is needed.
    let last = pages.allocate(100, 1, Contents::Any).expect("ample");
    assert_eq!((ahead(1), ahead(9)), (Some(8), Some(9)));
    // In place: behind the last run.
    let rest = arena.source.largest_free_pages();
    let end = pages.allocate(rest - 9, 1, Contents::Any).expect("ample");
    // SAFETY: runs that are held, and end where they end.
    unsafe {
        assert_eq!(pages.extend_ahead::<RUN>(last, 1, Contents::Any), 0);
        assert_eq!(pages.extend_ahead::<RUN>(end, 2, Contents::Any), 8);
        let longer = Run {
            pages: end.pages + 8,
            ..end
        };
        // Eight are not left, one is.
        assert_eq!(pages.extend_ahead::<RUN>(longer, 1, Contents::Any), 1);
    }
    assert_eq!(arena.source.largest_free_pages(), 0);
    assert_eq!(
        (ahead(1), stats.held_pages.get()),
        (None, arena.stats.held.get())
    );
}

#[test]
fn an_account_falls_back_to_what_is_needed() {
    const RUN: usize = 8 * PAGE_BYTES;
    let arena = Arena::new(MIB);
    let stats: &'static ComponentStats = Box::leak(Box::default());
    let pages = Pages::new(arena.source, stats);
    let rest = arena.source.largest_free_pages();
    pages
        .allocate(rest - 3, 1, Contents::Any)
        .expect("all but three");
    let run = pages.allocate_ahead::<RUN>(2, Contents::Any).expect("two");
    assert_eq!(run.pages, 2);
}

#[test]
fn discarded_pages_stay_and_read_as_zero() {
    let arena = Arena::new(MIB);
    let stats: &'static ComponentStats = Box::leak(Box::default());
    let pages = Pages::new(arena.source, stats);
    let run = pages.allocate(4, 1, Contents::Any).expect("ample");
    // SAFETY: the run is held.
    unsafe {
        run.start.write_bytes(1, 4 * PAGE_BYTES);
        assert!(pages.discard(Run { pages: 3, ..run }));
        assert_eq!(run.start.add(3 * PAGE_BYTES - 1).read(), 0);
        assert_eq!(run.start.add(3 * PAGE_BYTES).read(), 1);
    }
    assert_eq!(
        (stats.held_pages.get(), arena.stats.given_back.get()),
        (4, 3)
    );
    for (hook, given) in [
        (None, 0),
        (Some((|_, _| false) as fn(usize, usize) -> bool), 0),
    ] {
        let arena = Arena::with_hook(MIB, hook);
        let run = arena.source.allocate(1, 1, Contents::Any).expect("ample");
        // SAFETY: the run is held.
        assert!(!unsafe { arena.source.discard(run) });
        assert_eq!(arena.stats.given_back.get(), given);
    }
}

#[test]
fn a_parameter_allows_its_range_and_its_word() {
    let count = Parameter::new("count", Unit::Count, 5, (3, 9), "");
    let allowed = |parameter: Parameter| (0..20).filter(move |&value| parameter.allows(value));
    assert!(allowed(count).eq(3..10));
    let bytes = Parameter::new("bytes", Unit::Bytes, 4, (4, 16), "");
    assert!(bytes.power_of_two);
    assert!(allowed(bytes).eq([4, 8, 16]));
    let never = Parameter {
        word: Some(("never", 0)),
        ..bytes
    };
    assert!(allowed(never).eq([0, 4, 8, 16]));
    assert_eq!(C_ALIGN, 16);
    let run = Parameter::RUN;
    assert!(!run.tries.is_empty());
    let tries = run
        .tries
        .iter()
        .chain([&run.default, &run.least, &run.most]);
    assert!(tries.copied().all(|value| run.allows(value)));
    assert!(!run.allows(2 * run.most) && !run.allows(run.least / 2));
}
