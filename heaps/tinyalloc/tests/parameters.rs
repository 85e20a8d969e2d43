//! The parameters: the contract at both ends of their ranges, and that each changes something.

use bespoke_heap::{Heap as _, Parameter};
use bespoke_heap_testkit::script::{Expect, Op};
use bespoke_heap_testkit::{CInterface, RustInterface, capabilities, effect};

/// Bytes of the arenas below.
const MEMORY: usize = 128 << 20;

const P: &[Parameter] = <heap_tinyalloc::Heap>::INFO.parameters;

/// So small a table refuses most of what the cases ask for; what it grants must be right.
#[test]
fn least() {
    type Least = heap_tinyalloc::Heap<{ P[0].least }, { P[1].least }>;
    capabilities::refusals::<RustInterface<Least>>();
    capabilities::refusals::<CInterface<Least>>();
}

mod most {
    bespoke_heap_testkit::heap_tests!(
        heap_tinyalloc::Heap<{ crate::P[0].most }, { crate::P[1].most }>,
        heap_tinyalloc::AppHeap<{ crate::P[0].most }, { crate::P[1].most }>
    );
}

fn perhaps(slot: usize, size: usize) -> Op {
    Op::Allocate {
        slot,
        size,
        align: 16,
        zeroed: false,
        expect: Expect::Either,
    }
}

#[test]
fn blocks_are_how_many_there_may_be() {
    let script: Vec<Op> = (0..3000).map(|slot| perhaps(slot, 100)).collect();
    let default = effect::of::<RustInterface<heap_tinyalloc::Heap>>(MEMORY, &script);
    let more = effect::of::<RustInterface<heap_tinyalloc::Heap<4096>>>(MEMORY, &script);
    assert_eq!((default.refusals, more.refusals), (3000 - 2048, 0));
    let pool = |info: bespoke_heap::Info| info.smallest_pool_bytes;
    assert!(pool(<heap_tinyalloc::Heap>::INFO) < pool(<heap_tinyalloc::Heap<4096>>::INFO));
}

#[test]
fn share_is_what_it_takes_of_memory() {
    let script = [perhaps(0, 100)];
    let tenth = effect::of::<RustInterface<heap_tinyalloc::Heap<2048, 10>>>(MEMORY, &script);
    let half = effect::of::<RustInterface<heap_tinyalloc::Heap>>(MEMORY, &script);
    let ratio = half.held_pages as f64 / tenth.held_pages as f64;
    assert!((4.9..5.1).contains(&ratio), "{tenth:?}, {half:?}");
}
