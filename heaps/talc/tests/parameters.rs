//! The parameters: the contract at both ends of their ranges, and that each changes something.

use bespoke_heap::{Heap as _, Parameter};
use bespoke_heap_testkit::script::{Op, allocate, free};
use bespoke_heap_testkit::{RustInterface, effect};

/// Bytes of the arenas below.
const MEMORY: usize = 128 << 20;

const P: &[Parameter] = <heap_talc::Heap>::INFO.parameters;

mod least {
    bespoke_heap_testkit::heap_tests!(
        heap_talc::Heap<{ crate::P[0].least }, { crate::P[1].least }, { crate::P[2].least }>,
        heap_talc::AppHeap<{ crate::P[0].least }, { crate::P[1].least }, { crate::P[2].least }>
    );
}

mod most {
    bespoke_heap_testkit::heap_tests!(
        heap_talc::Heap<{ crate::P[0].most }, { crate::P[1].most }, { crate::P[2].most }>,
        heap_talc::AppHeap<{ crate::P[0].most }, { crate::P[1].most }, { crate::P[2].most }>
    );
}

/// Grows to 24 MiB in small steps.
fn growth() -> Vec<Op> {
    (0..1500).map(|slot| allocate(slot, 16_000)).collect()
}

#[test]
fn run_is_what_is_taken_ahead_of_need() {
    let peak = |effect: effect::Effect| effect.peak_pages;
    let least =
        effect::of::<RustInterface<heap_talc::Heap<8, { 256 << 10 }, 4096>>>(MEMORY, &growth());
    let default = effect::of::<RustInterface<heap_talc::Heap>>(MEMORY, &growth());
    assert!(
        peak(least) < peak(default),
        "taking only what is needed holds as much: {least:?}, {default:?}"
    );
}

/// Gaps of 80 KiB, and of 90 KiB that were freed later; requests for the small ones, then for the large ones.
/// What lies between gaps is large too: the rest of the heap's first run must not take it, and let the gaps touch.
fn gaps() -> Vec<Op> {
    let blocks = (0..60).flat_map(|k| {
        let between = allocate(1000 + k, 60 << 10);
        [
            allocate(k, 80 << 10),
            between,
            allocate(100 + k, 90 << 10),
            allocate(2000 + k, 60 << 10),
        ]
    });
    let freed = (0..60).chain(100..160).map(free);
    let small = (0..60).map(|k| allocate(200 + k, 78 << 10));
    let large = (0..60).map(|k| allocate(300 + k, 88 << 10));
    blocks.chain(freed).chain(small).chain(large).collect()
}

#[test]
fn more_bins_to_a_power_find_the_gap_that_fits_best() {
    let coarse = effect::of::<RustInterface<heap_talc::Heap<2>>>(MEMORY, &gaps());
    let fine = effect::of::<RustInterface<heap_talc::Heap<16>>>(MEMORY, &gaps());
    assert!(
        fine.peak_pages < coarse.peak_pages,
        "{fine:?}, {coarse:?}: large gaps went to small requests, or not, whatever the bins"
    );
}

#[test]
fn trim_is_when_the_free_end_goes_back() {
    // The end of one run: the first block keeps it from being empty.
    let blocks = (0..100).map(|slot| allocate(slot, 1000));
    let script: Vec<Op> = blocks.chain((1..100).rev().map(free)).collect();
    let early = effect::of::<RustInterface<heap_talc::Heap<8, { 16 << 10 }>>>(MEMORY, &script);
    let default = effect::of::<RustInterface<heap_talc::Heap>>(MEMORY, &script);
    assert!(
        early.held_pages < default.held_pages,
        "{early:?}, {default:?}"
    );
}
