//! The parameters: the contract at both ends of their ranges, and that each changes something.

use bespoke_heap::{Heap as _, Parameter};
use bespoke_heap_testkit::script::{Op, allocate};
use bespoke_heap_testkit::{RustInterface, effect};

/// Bytes of the arenas below.
const MEMORY: usize = 128 << 20;

const P: &[Parameter] = <heap_region::Heap>::INFO.parameters;

mod least {
    bespoke_heap_testkit::heap_tests!(
        heap_region::Heap<{ crate::P[0].least }>,
        heap_region::AppHeap<{ crate::P[0].least }>
    );
}

mod most {
    bespoke_heap_testkit::heap_tests!(
        heap_region::Heap<{ crate::P[0].most }>,
        heap_region::AppHeap<{ crate::P[0].most }>
    );
}

/// Grows to 24 MiB in small steps.
fn growth() -> Vec<Op> {
    (0..1500).map(|slot| allocate(slot, 16_000)).collect()
}

#[test]
fn run_is_what_is_taken_ahead_of_need() {
    let peak = |effect: effect::Effect| effect.peak_pages;
    let least = effect::of::<RustInterface<heap_region::Heap<4096>>>(MEMORY, &growth());
    let default = effect::of::<RustInterface<heap_region::Heap>>(MEMORY, &growth());
    assert!(
        peak(least) < peak(default),
        "taking only what is needed holds as much: {least:?}, {default:?}"
    );
}
