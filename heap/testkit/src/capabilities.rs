//! Tests of a heap's declared capabilities, as far as they can be tested.

use crate::run::{arena_bytes, body, info, skip};
use crate::script::{Expect, Op, allocate, free};
use crate::{Arena, Interpreter, Random, Subject, cases, isolate};
use bespoke_abi::PAGE_BYTES;
use std::alloc::Layout;

/// Bytes a page source needs for a pool of `pool_bytes` and its own table of 16 bytes a page.
fn with_table(pool_bytes: usize) -> usize {
    let pages = pool_bytes.div_ceil(PAGE_BYTES);
    let table_pages = (pages * 16).div_ceil(PAGE_BYTES - 16) + 1;
    (pages + table_pages) * PAGE_BYTES
}

/// [`bespoke_heap::Info::smallest_pool_bytes`]: a heap starts and serves a first block in that memory.
pub fn smallest_pool<S: Subject>() {
    let pool = info::<S>().smallest_pool_bytes;
    body::<S>("smallest_pool", || {
        Interpreter::<S>::new(Arena::new(with_table(pool))).run(&[allocate(0, 16)]);
    });
}

/// A heap reports a lack of memory, at its start or on a request.
pub fn tiny_memory<S: Subject>() {
    for pages in 1..24 {
        body::<S>(&format!("tiny_memory of {pages} pages"), || {
            let arena = Arena::new(pages * PAGE_BYTES);
            let (component, _) = arena.component::<S::Heap>();
            match component.start(arena.source) {
                Err(error) => assert!(error.needed_bytes > 0, "out of memory, but needs 0 bytes"),
                Ok(()) => {
                    let script = (cases::MIXED.script)(&mut Random::new(pages as u64), arena.bytes);
                    let script = lenient(script);
                    // A shared instance stays with the memory it started on.
                    let shared = info::<S>().capabilities.shared_instance;
                    let fresh = || Arena::new(pages * PAGE_BYTES);
                    let arena = if shared { arena } else { fresh() };
                    Interpreter::<S>::new(arena).run(&script);
                }
            }
        });
    }
}

/// Runs every case and allows refusals: for a heap whose parameters
/// make it too small to serve them.
pub fn refusals<S: Subject>() {
    for case in cases::ALL {
        body::<S>(case.name, || {
            let bytes = arena_bytes::<S>(case.memory);
            let script = (case.script)(&mut Random::new(case.seeds[0]), bytes);
            Interpreter::<S>::new(Arena::new(bytes)).run(&lenient(script));
        });
    }
}

fn lenient(script: Vec<Op>) -> Vec<Op> {
    // A second filling is measured by the first, which may have been refused at once.
    let kept = script.into_iter().filter(|op| *op != Op::Refill);
    kept.map(may_refuse).collect()
}

fn may_refuse(op: Op) -> Op {
    match op {
        Op::Allocate {
            slot,
            size,
            align,
            zeroed,
            ..
        } => Op::Allocate {
            slot,
            size,
            align,
            zeroed,
            expect: Expect::Either,
        },
        Op::Resize { slot, size, .. } => Op::Resize {
            slot,
            size,
            expect: Expect::Either,
        },
        Op::Fill {
            size, align, most, ..
        } => Op::Fill {
            size,
            align,
            most,
            least: 0,
        },
        other => other,
    }
}

/// Two components with the same heap on one page source do not interfere.
pub fn two_components<S: Subject>() {
    body::<S>("two_components", || {
        let arena = Arena::new(arena_bytes::<S>(cases::Memory::Ample));
        let mut both = [Interpreter::<S>::new(arena), Interpreter::<S>::new(arena)];
        let mut random = Random::new(9);
        for step in 0..2000 {
            isolate::at_step(step);
            let slot = random.below(100);
            let op = if random.below(2) == 0 {
                allocate(slot, random.size(4096))
            } else {
                free(slot)
            };
            both[random.below(2)].step(op);
        }
        both.iter_mut().for_each(|one| one.run(&[]));
    });
}

/// `gives_back`: pages held fall by half when everything is freed.
pub fn gives_back<S: Subject>() {
    if !info::<S>().capabilities.gives_back {
        return skip::<S>("gives_back", "not promised");
    }
    body::<S>("gives_back", || {
        let mut interpreter =
            Interpreter::<S>::new(Arena::new(arena_bytes::<S>(cases::Memory::Ample)));
        let script: Vec<Op> = (0..120)
            .flat_map(|k| [allocate(2 * k, 100_000), allocate(2 * k + 1, 500)])
            .collect();
        interpreter.run(&script);
        interpreter.step(Op::Trim);
        let stats = interpreter.subject().stats();
        let (held, peak) = (stats.held_pages.get(), stats.peak_pages.get());
        assert!(
            held < peak / 2,
            "promises to give memory back: {held} of {peak} pages still held when all is freed"
        );
    });
}

/// `reallocates_in_place`: a block with nothing behind it grows beyond its grant without moving.
pub fn reallocates_in_place<S: Subject>() {
    if !info::<S>().capabilities.reallocates_in_place {
        return skip::<S>("reallocates_in_place", "not promised");
    }
    body::<S>("reallocates_in_place", || {
        let arena = Arena::new(arena_bytes::<S>(cases::Memory::Ample));
        let (component, stats) = arena.component();
        component.start(arena.source).expect("ample memory");
        let subject = S::new(component, stats);
        let mut layout = Layout::from_size_align(64, 16).expect("a layout");
        let mut block = subject.allocate(layout, false).expect("ample memory");
        let mut stayed = 0;
        for size in (5..16).map(|shift| 3 << shift) {
            // SAFETY: the block is live with this layout.
            let next = unsafe { subject.resize(block.ptr, layout, size) }.expect("ample memory");
            stayed += usize::from(next.ptr == block.ptr && size > block.granted);
            (block, layout) = (next, Layout::from_size_align(size, 16).expect("a layout"));
        }
        assert!(
            stayed > 0,
            "promises to grow in place and moved a lone block every time"
        );
    });
}

/// `hardened`: freeing a block twice ends in a report.
pub fn double_free<S: Subject>() {
    if !info::<S>().capabilities.hardened {
        return skip::<S>("double_free", "detection is not promised");
    }
    let result = isolate::in_child(|| {
        let arena = Arena::new(arena_bytes::<S>(cases::Memory::Ample));
        let (component, stats) = arena.component();
        component.start(arena.source).expect("ample memory");
        let subject = S::new(component, stats);
        let layout = Layout::from_size_align(48, 16).expect("a layout");
        let blocks = [(); 3].map(|()| subject.allocate(layout, false).expect("ample memory"));
        for _ in 0..2 {
            // SAFETY: live the first time; the second free is the error to be reported, in a
            // process that ends here.
            unsafe { subject.free(blocks[1].ptr, layout) };
        }
    });
    let name = info::<S>().name;
    let failure =
        result.expect_err("a double free went unnoticed although the heap promises to be hardened");
    assert!(
        failure.message.contains("heap corruption"),
        "{name}: a double free ended in: {}",
        failure.message
    );
}
