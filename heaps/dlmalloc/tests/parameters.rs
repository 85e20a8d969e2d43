//! The parameters: the contract at both ends of their ranges, and that each changes something.

use bespoke_heap::{Heap as _, Parameter};
use bespoke_heap_testkit::script::{Op, allocate, free};
use bespoke_heap_testkit::{RustInterface, effect};

/// Bytes of the arenas below.
const MEMORY: usize = 128 << 20;

const P: &[Parameter] = <heap_dlmalloc::Heap>::INFO.parameters;

mod least {
    bespoke_heap_testkit::heap_tests!(
        heap_dlmalloc::Heap<{ crate::P[0].least }, { crate::P[1].least }, { crate::P[2].least }>,
        heap_dlmalloc::AppHeap<{ crate::P[0].least }, { crate::P[1].least }, { crate::P[2].least }>
    );
}

mod most {
    bespoke_heap_testkit::heap_tests!(
        heap_dlmalloc::Heap<{ crate::P[0].most }, { crate::P[1].most }, { crate::P[2].most }>,
        heap_dlmalloc::AppHeap<{ crate::P[0].most }, { crate::P[1].most }, { crate::P[2].most }>
    );
}

/// Grows to 24 MiB in small steps.
fn growth() -> Vec<Op> {
    (0..1500).map(|slot| allocate(slot, 16_000)).collect()
}

#[test]
fn run_is_what_is_taken_ahead_of_need() {
    let peak = |effect: effect::Effect| effect.peak_pages;
    let least = effect::of::<RustInterface<heap_dlmalloc::Heap<4096, { 2 << 20 }, 4096>>>(
        MEMORY,
        &growth(),
    );
    let default = effect::of::<RustInterface<heap_dlmalloc::Heap>>(MEMORY, &growth());
    assert!(
        peak(least) < peak(default),
        "taking only what is needed holds as much: {least:?}, {default:?}"
    );
}

#[test]
fn granularity_is_the_least_that_is_taken() {
    let script = [allocate(0, 100)];
    let coarse = effect::of::<RustInterface<heap_dlmalloc::Heap<{ 1 << 20 }>>>(MEMORY, &script);
    let default = effect::of::<RustInterface<heap_dlmalloc::Heap>>(MEMORY, &script);
    assert_eq!((coarse.peak_pages, default.peak_pages), (256, 1));
}

#[test]
fn trim_is_when_the_free_end_goes_back() {
    let blocks = (0..100).map(|slot| allocate(slot, 10_000));
    let script: Vec<Op> = blocks.chain((1..100).rev().map(free)).collect();
    let early =
        effect::of::<RustInterface<heap_dlmalloc::Heap<4096, { 64 << 10 }>>>(MEMORY, &script);
    let default = effect::of::<RustInterface<heap_dlmalloc::Heap>>(MEMORY, &script);
    assert!(
        2 * early.held_pages < default.held_pages,
        "{early:?}, {default:?}"
    );
}
