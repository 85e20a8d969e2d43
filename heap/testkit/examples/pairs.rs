//! Frees and allocates `PAIRS` times with a thousand blocks live: `pairs HEAP PAIRS`.
//!
//! To be counted, not timed: under `valgrind --tool=callgrind` the difference between two runs is
//! what the pairs cost, the same to the last digit on any machine. `scripts/count-instructions`
//! does that for every heap.

use bespoke_heap::CHeap;
use bespoke_heap_testkit::Arena;

const LIVE: usize = 1000;
const ARENA_BYTES: usize = 64 << 20;

/// Sizes as programs ask for them: most are small, one in sixteen is up to 4 KiB.
fn size(random: u64) -> usize {
    let range = if random.is_multiple_of(16) { 4096 } else { 256 };
    1 + (random >> 8) as usize % range
}

fn pairs<H: CHeap + 'static>(count: u64) {
    let arena = Arena::new(ARENA_BYTES);
    let (component, _) = arena.component::<H>();
    component
        .start(arena.source)
        .expect("the heap starts in 64 MiB");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut live = [core::ptr::null_mut::<u8>(); LIVE];
    for _ in 0..count {
        let (slot, bytes) = (random() as usize % LIVE, size(random()));
        // SAFETY: null, or granted by this component and not freed since.
        unsafe { component.c_free(live[slot]) };
        live[slot] = component.c_allocate(bytes, 1);
        assert!(!live[slot].is_null(), "{bytes} bytes of 64 MiB");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, heap, count] = &arguments[..] else {
        eprintln!("usage: pairs HEAP PAIRS");
        std::process::exit(2);
    };
    let count = count.parse().expect("a number of pairs");
    match heap.as_str() {
        "region" => pairs::<heap_region::AppHeap>(count),
        "buddy" => pairs::<heap_buddy::AppHeap>(count),
        "tlsf" => pairs::<heap_tlsf::AppHeap>(count),
        "tinyalloc" => pairs::<heap_tinyalloc::AppHeap>(count),
        "dlmalloc" => pairs::<heap_dlmalloc::AppHeap>(count),
        "talc" => pairs::<heap_talc::AppHeap>(count),
        "mallocng" => pairs::<heap_mallocng::AppHeap>(count),
        "mimalloc" => pairs::<heap_mimalloc::AppHeap>(count),
        other => panic!("no heap {other}"),
    }
}
