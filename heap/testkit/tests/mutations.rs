//! The kit itself under test: heaps that are broken on purpose, each in one way, must fail, and
//! for the right reason; the heap they are made from must pass.

use bespoke_heap::{Block, C_ALIGN, CHeap, Capabilities, Headed, Heap, Info, OutOfMemory, Pages};
use bespoke_heap_testkit::cases::{self, Case};
use bespoke_heap_testkit::{CInterface, RustInterface, Subject, capabilities, run};
use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

const SOUND: u8 = 0;
const OVERLAPS: u8 = 1;
const MISALIGNS: u8 = 2;
const LOSES_CONTENTS: u8 = 3;
const FORGETS_TO_CLEAR: u8 = 4;
const GRANTS_LESS: u8 = 5;
const STRAYS: u8 = 6;
const SCRIBBLES: u8 = 7;
const MISCOUNTS: u8 = 8;
const CRASHES: u8 = 9;
const GIVES_UP: u8 = 10;
const LEAKS: u8 = 11;
const PROMISES_THE_MOON: u8 = 12;
const FREES_ON_FAILURE: u8 = 13;
const BOASTS: u8 = 14;

/// A sound heap with one fault.
struct Broken<const FAULT: u8> {
    inner: heap_tlsf::Heap,
    last: Option<Block>,
    operations: usize,
}

fn grant(layout: Layout) -> usize {
    layout.size().next_multiple_of(C_ALIGN)
}

// SAFETY: none of it is: that is the point. Instances run in children that end at the first error.
unsafe impl<const FAULT: u8> Heap for Broken<FAULT> {
    const INFO: Info = Info {
        name: "broken",
        capabilities: Capabilities {
            gives_back: FAULT == BOASTS,
            hardened: FAULT == BOASTS,
            reallocates_in_place: FAULT == BOASTS,
            ..<heap_tlsf::Heap as Heap>::INFO.capabilities
        },
        smallest_pool_bytes: if FAULT == BOASTS { 1 } else { 8192 },
        ..<heap_tlsf::Heap as Heap>::INFO
    };
    const EMPTY: Self = Self {
        inner: <heap_tlsf::Heap as Heap>::EMPTY,
        last: None,
        operations: 0,
    };

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        if FAULT == BOASTS {
            // Needs more than it says.
            pages
                .allocate(4, 1, bespoke_heap::Contents::Any)
                .ok_or(OutOfMemory {
                    needed_bytes: 1 << 14,
                })?;
        }
        self.inner.start(pages)
    }

    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        self.operations += 1;
        let late = self.operations.is_multiple_of(50);
        let last = self.last;
        match FAULT {
            GIVES_UP if self.operations > 300 => return None,
            PROMISES_THE_MOON if layout.size() > 1 << 30 => {
                return last.map(|block| Block {
                    granted: layout.size(),
                    ..block
                });
            }
            // SAFETY: a write to page 0 ends the child with SIGSEGV, which is what is to be seen.
            CRASHES if late => unsafe {
                std::ptr::without_provenance_mut::<u8>(8).write_volatile(1)
            },
            OVERLAPS if late => {
                let inside = last.filter(|block| block.granted >= layout.size() + 16);
                if let Some(block) = inside {
                    // SAFETY: inside the last block, which is what is wrong with it.
                    let ptr = unsafe { block.ptr.add(16) };
                    return Some(Block {
                        ptr,
                        granted: grant(layout),
                    });
                }
            }
            STRAYS if late => {
                let outside: &'static mut [u128] = vec![0; layout.size() / 16 + 1].leak();
                return Some(Block {
                    ptr: NonNull::from(outside).cast(),
                    granted: grant(layout),
                });
            }
            // SAFETY: the last block is memory of the arena, live or not.
            SCRIBBLES if late => last
                .iter()
                .for_each(|block| unsafe { block.ptr.write(0xee) }),
            _ => {}
        }
        let mut wider =
            Layout::from_size_align(layout.size().checked_add(32)?, layout.align().max(C_ALIGN))
                .ok()?;
        wider = wider.pad_to_align();
        let Block { ptr, .. } = self.inner.allocate(wider)?;
        let mut block = Block {
            ptr,
            granted: grant(layout),
        };
        match FAULT {
            // SAFETY: the inner block is 32 bytes longer than asked.
            MISALIGNS if late => block.ptr = unsafe { ptr.add(8) },
            GRANTS_LESS if late => block.granted = layout.size() - 1,
            _ => {}
        }
        self.last = Some(block);
        Some(block)
    }

    fn allocate_zeroed(&mut self, layout: Layout) -> Option<Block> {
        let block = self.allocate(layout)?;
        if FAULT != FORGETS_TO_CLEAR {
            // SAFETY: the block was just granted.
            unsafe { block.ptr.write_bytes(0, layout.size()) };
        }
        Some(block)
    }

    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
        let wider = Layout::from_size_align(layout.size() + 32, layout.align().max(C_ALIGN));
        if FAULT != LEAKS && FAULT != MISALIGNS && FAULT != OVERLAPS {
            // SAFETY: allocated with this layout.
            unsafe {
                self.inner
                    .deallocate(ptr, wider.expect("it was allocated").pad_to_align())
            };
        }
        if FAULT == MISCOUNTS && self.operations > 100 {
            16
        } else {
            grant(layout)
        }
    }

    unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        old: Layout,
        new_size: usize,
    ) -> Option<(Block, usize)> {
        let layout = Layout::from_size_align(new_size, old.align()).ok()?;
        let block = self.allocate(layout);
        if block.is_none() && FAULT == FREES_ON_FAILURE {
            // SAFETY: live, and that it is freed now is what is wrong.
            unsafe { ptr.write_bytes(0, old.size()) };
        }
        let block = block?;
        let kept = if FAULT == LOSES_CONTENTS {
            old.size().min(new_size) / 2
        } else {
            old.size().min(new_size)
        };
        // SAFETY: both blocks are live and disjoint.
        unsafe { ptr.copy_to_nonoverlapping(block.ptr, kept) };
        // SAFETY: live, with this layout.
        Some((block, unsafe { self.deallocate(ptr, old) }))
    }
}

type Rust<const FAULT: u8> = RustInterface<Broken<FAULT>>;
type C<const FAULT: u8> = CInterface<Headed<Broken<FAULT>>>;

/// The case fails for both interfaces, and every message says `why`.
fn fails<const FAULT: u8>(case: &Case, why: &str) {
    for result in [
        run::check::<Rust<FAULT>>(case),
        run::check::<C<FAULT>>(case),
    ] {
        let message = result.expect_err("a broken heap passed");
        assert!(message.contains(why), "expected {why:?} in:\n{message}");
        assert!(
            message.contains("broken (")
                && message.contains("seed 1")
                && message.contains(case.name),
            "{message}"
        );
        assert!(
            message.contains("operations show it"),
            "not cut down:\n{message}"
        );
    }
}

fn boast_fails(check: fn(), why: &str) {
    let payload = catch_unwind(AssertUnwindSafe(check)).expect_err("an empty promise passed");
    let message = payload
        .downcast_ref::<String>()
        .expect("a formatted message");
    assert!(message.contains(why), "expected {why:?} in:\n{message}");
}

fn sound<S: Subject>() {
    for case in [
        &cases::MIXED,
        &cases::OVER_ALIGNED,
        &cases::ABSURD_SIZES,
        &cases::EXHAUSTION_LARGE,
        &cases::PRESSURE,
    ] {
        run::case::<S>(case);
    }
}

#[test]
fn a_sound_heap_passes() {
    sound::<Rust<SOUND>>();
    sound::<C<SOUND>>();
}

#[test]
fn overlapping_blocks_are_seen() {
    fails::<OVERLAPS>(&cases::MIXED, "overlap");
}

#[test]
fn wrong_alignment_is_seen() {
    let message = run::check::<Rust<MISALIGNS>>(&cases::MIXED).expect_err("a broken heap passed");
    assert!(message.contains("wrong alignment"), "{message}");
}

#[test]
fn contents_lost_in_a_move_are_seen() {
    fails::<LOSES_CONTENTS>(&cases::REALLOC_ONLY, "contents lost by reallocate");
}

#[test]
fn contents_lost_in_a_refused_move_are_seen() {
    fails::<FREES_ON_FAILURE>(&cases::PRESSURE, "contents lost");
}

#[test]
fn memory_that_is_not_zero_is_seen() {
    fails::<FORGETS_TO_CLEAR>(&cases::ZEROED_AFTER_DIRTY, "not zeroed");
}

#[test]
fn a_short_grant_is_seen() {
    let message = run::check::<Rust<GRANTS_LESS>>(&cases::CHURN).expect_err("a broken heap passed");
    assert!(message.contains("short block"), "{message}");
}

#[test]
fn memory_from_elsewhere_is_seen() {
    fails::<STRAYS>(&cases::CHURN, "outside the page source");
}

#[test]
fn writes_to_a_live_block_are_seen() {
    let message = run::check::<Rust<SCRIBBLES>>(&cases::LIFO).expect_err("a broken heap passed");
    assert!(message.contains("contents lost"), "{message}");
}

#[test]
fn wrong_statistics_are_seen() {
    let message = run::check::<Rust<MISCOUNTS>>(&cases::CHURN).expect_err("a broken heap passed");
    assert!(message.contains("statistics: live bytes"), "{message}");
}

#[test]
fn a_crash_is_seen_and_named() {
    fails::<CRASHES>(&cases::FIFO, "crashed: SIGSEGV");
}

#[test]
fn refusal_without_need_is_seen() {
    fails::<GIVES_UP>(&cases::LIFO, "refused to allocate");
}

#[test]
fn memory_that_never_comes_back_is_seen() {
    fails::<LEAKS>(&cases::EXHAUSTION_LARGE, "no recovery");
}

#[test]
fn a_grant_larger_than_memory_is_seen() {
    fails::<PROMISES_THE_MOON>(&cases::ABSURD_SIZES, "claims to");
}

#[test]
fn empty_promises_are_seen() {
    boast_fails(
        capabilities::gives_back::<Rust<BOASTS>>,
        "promises to give memory back",
    );
    boast_fails(
        capabilities::reallocates_in_place::<Rust<BOASTS>>,
        "promises to grow in place",
    );
    boast_fails(
        capabilities::smallest_pool::<Rust<BOASTS>>,
        "could not start",
    );
    boast_fails(
        capabilities::double_free::<RustInterface<BoastsOfChecks>>,
        "double free",
    );
}

/// A heap that claims to notice double frees and notices nothing: a region.
struct BoastsOfChecks(heap_region::AppHeap);

// SAFETY: all of it is the region's.
unsafe impl Heap for BoastsOfChecks {
    const INFO: Info = Info {
        name: "boasts",
        capabilities: Capabilities {
            hardened: true,
            ..<heap_region::Heap>::INFO.capabilities
        },
        ..<heap_region::Heap>::INFO
    };
    const EMPTY: Self = Self(heap_region::AppHeap::EMPTY);

    fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
        self.0.start(pages)
    }
    fn allocate(&mut self, layout: Layout) -> Option<Block> {
        self.0.allocate(layout)
    }
    unsafe fn deallocate(&mut self, ptr: NonNull<u8>, _layout: Layout) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.0.free(ptr) }
    }
}
