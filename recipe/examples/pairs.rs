//! Frees and allocates `PAIRS` times with a thousand blocks live: `pairs HEAP PAIRS`. `pairs --list` names the heaps.
//!
//! To be counted, not timed: under `valgrind --tool=callgrind` the difference between two runs is
//! what the pairs cost, the same to the last digit on any machine. `scripts/count-instructions`
//! does that for every heap.
#![allow(clippy::print_stdout, reason = "its result")]

use bespoke_heap::{CHeap, Heap};
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

/// The function that counts for a heap, by its name.
type Counted = (&'static str, fn(u64));

macro_rules! counted {
    ($($heap:ident, $info:expr, $marks:expr;)*) => {
        &[$(($info.name, pairs::<$heap::AppHeap>)),*]
    };
}

const HEAPS: &[Counted] = bespoke_recipe::heaps!(counted);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [_, count] = &arguments[..]
        && let Some((_, pairs)) = HEAPS.iter().find(|(name, _)| *name == arguments[0])
    {
        return pairs(count.parse().expect("a number of pairs"));
    }
    if let [list] = &arguments[..]
        && list == "--list"
    {
        return HEAPS.iter().for_each(|(name, _)| println!("{name}"));
    }
    eprintln!("usage: pairs HEAP PAIRS, or pairs --list");
    std::process::exit(2);
}
