//! The parameters: the contract at both ends of their ranges, and that each changes something.

use bespoke_heap::{Heap as _, Parameter};
use bespoke_heap_testkit::script::{Op, allocate, free};
use bespoke_heap_testkit::{RustInterface, effect};

/// Bytes of the arenas below.
const MEMORY: usize = 128 << 20;

const P: &[Parameter] = <heap_tlsf::Heap>::INFO.parameters;

mod least {
    bespoke_heap_testkit::heap_tests!(
        heap_tlsf::Heap<{ crate::P[0].least }, { crate::P[1].least }, { crate::P[2].least }>,
        heap_tlsf::AppHeap<{ crate::P[0].least }, { crate::P[1].least }, { crate::P[2].least }>
    );
}

mod most {
    bespoke_heap_testkit::heap_tests!(
        heap_tlsf::Heap<{ crate::P[0].most }, { crate::P[1].most }, { crate::P[2].most }>,
        heap_tlsf::AppHeap<{ crate::P[0].most }, { crate::P[1].most }, { crate::P[2].most }>
    );
}

/// Grows to 24 MiB in small steps.
fn growth() -> Vec<Op> {
    (0..1500).map(|slot| allocate(slot, 16_000)).collect()
}

#[test]
fn run_is_what_is_taken_ahead_of_need() {
    let peak = |effect: effect::Effect| effect.peak_pages;
    let least = effect::of::<RustInterface<heap_tlsf::Heap<59, 16, 4096>>>(MEMORY, &growth());
    let default = effect::of::<RustInterface<heap_tlsf::Heap>>(MEMORY, &growth());
    assert!(
        peak(least) < peak(default),
        "taking only what is needed holds as much: {least:?}, {default:?}"
    );
}

/// Sixty gaps of 80 KiB between live blocks, and then requests of 70 KiB, which fit into them.
fn gaps() -> Vec<Op> {
    let blocks = (0..120).map(|slot| allocate(slot, 80 << 10));
    let gaps = (0..60).map(|gap| free(2 * gap));
    let fitting = (0..60).map(|slot| allocate(200 + slot, 70 << 10));
    blocks.chain(gaps).chain(fitting).collect()
}

#[test]
fn more_lists_to_a_power_find_the_block_that_fits() {
    let coarse = effect::of::<RustInterface<heap_tlsf::Heap<59, 2>>>(MEMORY, &gaps());
    let fine = effect::of::<RustInterface<heap_tlsf::Heap<59, 64>>>(MEMORY, &gaps());
    assert!(
        fine.peak_pages < coarse.peak_pages,
        "{fine:?}, {coarse:?}: gaps of 80 KiB were found, or not, whatever the lists"
    );
    assert!(size_of::<heap_tlsf::Heap<59, 2>>() < size_of::<heap_tlsf::Heap<59, 64>>());
}

#[test]
fn without_all_powers_pools_are_never_joined() {
    let script: Vec<Op> = (1..40)
        .flat_map(|step| [allocate(0, step * 100_000), free(0)])
        .collect();
    let apart = effect::of::<RustInterface<heap_tlsf::Heap<23>>>(MEMORY, &script);
    let joined = effect::of::<RustInterface<heap_tlsf::Heap>>(MEMORY, &script);
    assert!(
        apart.peak_pages > 2 * joined.peak_pages,
        "{apart:?}, {joined:?}"
    );
    assert!(size_of::<heap_tlsf::Heap<23>>() < size_of::<heap_tlsf::Heap>());
}
