//! Runs a script against a heap and the shadow model, step by step.

use crate::script::{Expect, Op};
use crate::{Arena, Shadow, Subject, isolate};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap::{Block, Contents, Heap, Run};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

/// Slots that `Fill` uses start here.
const FILL_SLOTS: usize = 1 << 32;

#[derive(Debug)]
enum Held {
    Block(NonNull<u8>, Layout),
    Pages(Run),
}

/// A heap, its model and its slots.
#[derive(Debug)]
pub struct Interpreter<S: Subject> {
    subject: S,
    arena: Arena,
    shadow: Shadow,
    slots: BTreeMap<usize, Held>,
    next_fill: usize,
    first_fill: Option<(usize, usize, usize)>,
    page_bytes_taken: u64,
}

impl<S: Subject> Interpreter<S> {
    /// Starts a heap on `arena`.
    ///
    /// # Panics
    ///
    /// When the heap cannot start there.
    pub fn new(arena: Arena) -> Self {
        let (component, stats) = arena.component();
        if let Err(error) = component.start(arena.source) {
            panic!(
                "the heap could not start: {error:?}, the arena has {} bytes",
                arena.bytes
            );
        }
        Self {
            subject: S::new(component, stats),
            arena,
            shadow: Shadow::new(arena.range()),
            slots: BTreeMap::new(),
            next_fill: FILL_SLOTS,
            first_fill: None,
            page_bytes_taken: 0,
        }
    }

    /// Runs all of `script`, then frees everything and checks that nothing is left.
    ///
    /// # Panics
    ///
    /// At the first violation.
    pub fn run(&mut self, script: &[Op]) {
        for (step, op) in script.iter().enumerate() {
            isolate::at_step(step as u64);
            self.step(*op);
        }
        isolate::at_step(script.len() as u64);
        self.step(Op::CheckAll);
        self.step(Op::FreeAll);
        assert_eq!(
            self.subject.stats().live_bytes.get(),
            0,
            "live bytes left when all is freed"
        );
        let stats = self.subject.stats();
        assert_eq!(
            stats.allocations.get(),
            stats.frees.get(),
            "allocations and frees differ when all is freed"
        );
    }

    /// The heap under test.
    pub fn subject(&self) -> S {
        self.subject
    }

    /// One operation.
    pub fn step(&mut self, op: Op) {
        match op {
            Op::Allocate {
                slot,
                size,
                align,
                zeroed,
                expect,
            } => {
                self.allocate(slot, size, align, zeroed, expect);
            }
            Op::Free { slot } => self.free(slot),
            Op::Resize { slot, size, expect } => self.resize(slot, size, expect),
            Op::Fill {
                size,
                align,
                most,
                least,
            } => {
                let count = self.fill(size, align, most);
                assert!(
                    count >= least,
                    "exhausted after {count} blocks of {size} bytes, at least {least} must fit"
                );
                self.first_fill.get_or_insert((size, align, count));
            }
            Op::Refill => {
                let Some((size, align, before)) = self.first_fill else {
                    return;
                };
                let count = self.fill(size, align, before);
                assert!(
                    count >= before / 2,
                    "no recovery: {count} blocks of {size} bytes fit, {before} did before"
                );
            }
            Op::FreeAll => {
                let slots: Vec<usize> = self.slots.keys().copied().collect();
                slots.into_iter().for_each(|slot| self.free(slot));
            }
            Op::TakePages { slot, pages } => self.take_pages(slot, pages),
            Op::Trim => self.subject.component().trim(),
            Op::CheckAll => self.shadow.check_all(),
        }
        self.check_statistics();
    }

    fn fill(&mut self, size: usize, align: usize, most: usize) -> usize {
        let mut count = 0;
        while count < most && self.allocate(self.next_fill, size, align, false, Expect::Either) {
            self.next_fill += 1;
            count += 1;
        }
        count
    }

    fn allocate(
        &mut self,
        slot: usize,
        size: usize,
        align: usize,
        zeroed: bool,
        expect: Expect,
    ) -> bool {
        if self.slots.contains_key(&slot) {
            return false;
        }
        let Ok(layout) = Layout::from_size_align(size, align) else {
            return self.allocate_absurd(size, align);
        };
        let layout = S::layout(layout, zeroed);
        let block = self.subject.allocate(layout, zeroed);
        judge("allocate", size, expect, block);
        let Some(block) = block else { return false };
        if zeroed {
            self.shadow.check_zeroed(block.ptr, layout, block.granted);
        }
        self.shadow.insert(block.ptr, layout, block.granted);
        self.slots.insert(slot, Held::Block(block.ptr, layout));
        true
    }

    /// A size that no layout can express can reach a heap only through C.
    fn allocate_absurd(&mut self, size: usize, align: usize) -> bool {
        let largest = Layout::from_size_align(isize::MAX as usize & !(align - 1), align)
            .expect("a layout at the limit");
        let block = self.subject.allocate(S::layout(largest, false), false);
        judge("allocate", size, Expect::Refused, block);
        false
    }

    fn free(&mut self, slot: usize) {
        match self.slots.remove(&slot) {
            None => {}
            Some(Held::Block(ptr, layout)) => {
                self.shadow.remove(ptr);
                // SAFETY: the block is live: it was in a slot, with this layout.
                unsafe { self.subject.free(ptr, layout) };
            }
            Some(Held::Pages(run)) => {
                self.shadow.remove(run.start);
                self.page_bytes_taken -= (run.pages * PAGE_BYTES) as u64;
                // SAFETY: the run came from this source, and the model forgot it.
                unsafe { self.arena.source.free(run) };
            }
        }
    }

    fn resize(&mut self, slot: usize, size: usize, expect: Expect) {
        let Some(Held::Block(ptr, layout)) = self.slots.get(&slot) else {
            return;
        };
        let (ptr, layout) = (*ptr, *layout);
        let Some(new_layout) = S::resized(layout, size) else {
            return;
        };
        let old = self.shadow.remove(ptr);
        // SAFETY: the block is live: it is in a slot, with this layout.
        let resized = unsafe { self.subject.resize(ptr, layout, size) };
        judge("resize", size, expect, resized);
        match resized {
            Some(block) => {
                self.shadow.moved(old, block.ptr, new_layout, block.granted);
                self.slots.insert(slot, Held::Block(block.ptr, new_layout));
            }
            None => self.shadow.restore(ptr, old),
        }
    }

    fn take_pages(&mut self, slot: usize, pages: usize) {
        if self.slots.contains_key(&slot) {
            return;
        }
        let bytes = pages * PAGE_BYTES;
        let Some(run) = self.arena.source.allocate(pages, 1, Contents::Zero) else {
            return;
        };
        let layout = Layout::from_size_align(bytes, PAGE_BYTES).expect("a few pages");
        self.shadow.check_zeroed(run.start, layout, bytes);
        self.shadow.insert(run.start, layout, bytes);
        self.page_bytes_taken += bytes as u64;
        self.slots.insert(slot, Held::Pages(run));
    }

    fn check_statistics(&self) {
        let stats = self.subject.stats();
        let live = self.shadow.live_bytes() - self.page_bytes_taken;
        assert_eq!(
            stats.live_bytes.get(),
            live,
            "statistics: live bytes (left) against the model (right)"
        );
        assert!(
            stats.peak_bytes.get() >= live,
            "statistics: peak {} below live {live}",
            stats.peak_bytes.get()
        );
        let held = stats.held_pages.get();
        // A shared instance holds all its pages on the account of the component that started first.
        let shared = <S::Heap as Heap>::INFO.capabilities.shared_instance;
        assert!(
            shared || held * PAGE_BYTES as u64 >= live,
            "statistics: {held} pages held for {live} live bytes"
        );
        assert!(
            stats.peak_pages.get() >= held,
            "statistics: peak pages {} below held {held}",
            stats.peak_pages.get()
        );
        let pages = self.arena.stats;
        assert!(
            held <= pages.held.get(),
            "statistics: the heap holds {held} pages, the source gave {}",
            pages.held.get()
        );
        assert!(
            pages.held.get() <= pages.total.get(),
            "statistics: more pages held than there are"
        );
        assert!(
            pages.high_water.get() >= pages.held.get(),
            "statistics: high-water mark below pages held"
        );
    }
}

fn judge(what: &str, size: usize, expect: Expect, block: Option<Block>) {
    match (expect, block) {
        (Expect::Granted, None) => {
            panic!("refused to {what} {size} bytes although memory is ample")
        }
        (Expect::Refused, Some(block)) => {
            panic!("claims to {what} {size} bytes, more than there are: {block:?}")
        }
        _ => {}
    }
}
