//! The parameters: the contract at the ends of their ranges, and that each changes something.
//!
//! The size of a segment is compiled into the C: this file tests the size it was compiled with, and `segments.rs`
//! has it compiled with others.

use bespoke_heap::{Heap as _, Parameter};
use bespoke_heap_testkit::script::{Op, allocate, free};
use bespoke_heap_testkit::{RustInterface, effect};

const P: &[Parameter] = heap_mimalloc::INFO.parameters;
const SEGMENT: usize = heap_mimalloc::SEGMENT_BYTES;
/// Bytes of the arenas below.
const MEMORY: usize = 128 << 20;

mod reserve_and_purge_at_once {
    bespoke_heap_testkit::heap_tests!(
        heap_mimalloc::Heap<{ crate::SEGMENT }, { 1 << 20 }, 0>,
        heap_mimalloc::AppHeap<{ crate::SEGMENT }, { 1 << 20 }, 0>
    );
}

mod most {
    bespoke_heap_testkit::heap_tests!(
        heap_mimalloc::Heap<{ crate::SEGMENT }, { crate::P[1].most }, { crate::P[2].most }>,
        heap_mimalloc::AppHeap<{ crate::SEGMENT }, { crate::P[1].most }, { crate::P[2].most }>
    );
}

/// Fills segments with large blocks and frees all but one in ten.
fn sparse() -> Vec<Op> {
    let blocks = (0..400).map(|slot| allocate(slot, 100_000));
    let freed = (0..400).filter(|slot| slot % 10 != 0).map(free);
    blocks.chain(freed).collect()
}

#[test]
fn purging_gives_the_host_what_is_unused_inside_segments() {
    let never = effect::of::<RustInterface<heap_mimalloc::Heap<SEGMENT>>>(MEMORY, &sparse());
    let at_once =
        effect::of::<RustInterface<heap_mimalloc::Heap<SEGMENT, 0, 0>>>(MEMORY, &sparse());
    assert!(
        at_once.given_back_pages > never.given_back_pages + 1000,
        "{at_once:?}, {never:?}"
    );
}

#[test]
fn a_reserve_is_taken_at_once_and_kept() {
    let script: Vec<Op> = sparse()
        .into_iter()
        .chain((0..40).map(|k| free(10 * k)))
        .collect();
    let none = effect::of::<RustInterface<heap_mimalloc::Heap<SEGMENT>>>(MEMORY, &script);
    let arena =
        effect::of::<RustInterface<heap_mimalloc::Heap<SEGMENT, { 64 << 20 }>>>(MEMORY, &script);
    assert!(arena.held_pages >= (64 << 20) / 4096, "{arena:?}");
    assert!(
        2 * none.held_pages < arena.held_pages,
        "{none:?}, {arena:?}"
    );
}

#[test]
fn a_segment_is_the_least_that_is_taken() {
    let effect =
        effect::of::<RustInterface<heap_mimalloc::Heap<SEGMENT>>>(MEMORY, &[allocate(0, 100)]);
    let segment = (SEGMENT / 4096) as u64;
    assert!(
        (segment..segment + 16).contains(&effect.held_pages),
        "{effect:?}, a segment has {segment} pages"
    );
    let pool = <heap_mimalloc::Heap<SEGMENT>>::INFO.smallest_pool_bytes;
    assert!((2 * SEGMENT..3 * SEGMENT).contains(&pool));
}
