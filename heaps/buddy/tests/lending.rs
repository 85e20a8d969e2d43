//! What makes the baseline the baseline: it takes all memory when it starts, and the rest of the
//! image borrows from it.

use bespoke_heap::{Contents, Heap as _, PAGE_BYTES, Run};
use bespoke_heap_testkit::{Arena, CInterface, Subject};
use heap_buddy::Heap;
use std::alloc::Layout;

const MIB: usize = 1 << 20;

fn start(arena: Arena) -> CInterface<Heap> {
    let (component, stats) = arena.component();
    component.start(arena.source).expect("ample memory");
    CInterface::new(component, stats)
}

#[test]
fn starting_takes_every_page_and_writes_a_bit_for_each() {
    let arena = Arena::new(64 * MIB);
    let before = arena.resident_pages();
    let heap = start(arena);
    assert_eq!(arena.stats.untouched.get(), 0);
    assert_eq!(heap.stats().held_pages.get(), arena.stats.held.get());
    let bitmap_bytes = 64 * MIB / PAGE_BYTES / 8;
    assert!(arena.resident_pages() - before > bitmap_bytes / PAGE_BYTES);
}

#[test]
fn a_byte_costs_a_page_and_a_page_costs_two() {
    let heap = start(Arena::new(16 * MIB));
    let grant = |size| {
        heap.allocate(Layout::from_size_align(size, 16).expect("a layout"), false)
            .map(|block| block.granted)
    };
    assert_eq!(grant(1), Some(PAGE_BYTES - 16));
    assert_eq!(grant(PAGE_BYTES), Some(2 * PAGE_BYTES - 16));
    // Three pages are asked for, and known; the fourth of the chunk is lost.
    assert_eq!(grant(2 * PAGE_BYTES), Some(3 * PAGE_BYTES - 16));
}

#[test]
fn pages_lent_come_back_in_parts_and_merge() {
    let arena = Arena::new(16 * MIB);
    start(arena);
    let whole = arena.source.largest_free_pages();
    let runs: Vec<Run> = (1..40)
        .map(|pages| {
            arena
                .source
                .allocate(pages, 1, Contents::Zero)
                .expect("ample")
        })
        .collect();
    let aligned = arena.source.allocate(3, 64, Contents::Any).expect("ample");
    assert!(aligned.start.addr().get().is_multiple_of(64 * PAGE_BYTES));
    for run in runs.into_iter().chain([aligned]) {
        for page in (0..run.pages).rev() {
            // SAFETY: each page of the run is returned once.
            unsafe {
                arena.source.free(Run {
                    start: run.start.add(page * PAGE_BYTES),
                    pages: 1,
                })
            };
        }
    }
    assert_eq!(arena.source.largest_free_pages(), whole);
}

#[test]
fn a_second_buddy_rules_over_half_of_the_largest_chunk() {
    let arena = Arena::new(16 * MIB);
    start(arena);
    let largest = arena.source.largest_free_pages();
    let second = start(arena);
    assert_eq!(second.stats().held_pages.get(), largest as u64 / 2);
    assert!(
        arena.source.largest_free_pages() >= largest / 2,
        "the first still lends"
    );
}

#[test]
fn too_little_memory_is_an_error_with_a_figure() {
    let arena = Arena::new(3 * PAGE_BYTES);
    let (component, _) = arena.component::<Heap>();
    let error = component
        .start(arena.source)
        .expect_err("two pages are not enough");
    assert_eq!(error.needed_bytes, Heap::INFO.smallest_pool_bytes);
}
