//! Runs that measure time, instructions and memory.
//!
//! Each block's first word is written when it is granted and read before it is freed, which is the
//! least that any program does with memory. A run for memory writes every page.
//! The application's other work is not reproduced, neither its cache use nor its time.

use crate::{Answer, Kind, Operation, Operations};
use bespoke_abi::PAGE_BYTES;
use bespoke_heap_testkit::{Arena, Subject};
use serde::{Deserialize, Serialize};
use std::alloc::Layout;
use std::arch::x86_64::_rdtsc;
use std::hint::black_box;
use std::ptr::NonNull;

/// Number of points at which memory is sampled.
const POINTS: usize = 64;

/// A heap's use of memory, in bytes. Each value is a peak unless its name says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Live bytes asked for.
    pub requested_peak_bytes: u64,
    /// Live bytes granted.
    pub granted_peak_bytes: u64,
    /// Pages the heap took from the page source: its high-water mark.
    pub held_peak_bytes: u64,
    /// Pages of the heap and its blocks that were ever written; the
    /// largest value at the points below.
    pub resident_peak_bytes: u64,
    /// Pages it holds after the last operation.
    pub held_at_end_bytes: u64,
    /// Samples over time.
    pub points: Vec<Fragmentation>,
}

/// Memory at one point of the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fragmentation {
    /// Operations before it.
    pub operations: u64,
    /// Live bytes asked for.
    pub requested_bytes: u64,
    /// Live bytes granted. The excess over `requested_bytes` is internal fragmentation.
    pub granted_bytes: u64,
    /// Bytes of pages held. The excess over `granted_bytes` is external fragmentation.
    pub held_bytes: u64,
    /// Bytes of pages that were written.
    pub resident_bytes: u64,
}

/// A live block.
#[derive(Clone, Copy)]
struct Live {
    ptr: NonNull<u8>,
    layout: Layout,
}

/// A started heap and its blocks.
struct Run<S: Subject> {
    subject: S,
    arena: Arena,
    live: Vec<Option<Live>>,
}

impl<S: Subject> Run<S> {
    fn start(slots: usize, arena: Arena) -> Result<Self, String> {
        let (component, stats) = arena.component();
        component.start(arena.source).map_err(|error| {
            format!(
                "it cannot start in {} bytes, it needs {}",
                arena.bytes, error.needed_bytes
            )
        })?;
        Ok(Self {
            subject: S::new(component, stats),
            arena,
            live: vec![None; slots],
        })
    }

    /// Runs one operation; `None` when the heap has no memory for it.
    #[inline]
    fn step(&mut self, operation: &Operation) -> Option<()> {
        let slot = &mut self.live[operation.slot as usize];
        match operation.kind {
            Kind::Allocate | Kind::AllocateZeroed => {
                let zeroed = operation.kind == Kind::AllocateZeroed;
                let align = 1 << operation.align_log2;
                let layout = Layout::from_size_align(operation.size.max(1), align).ok()?;
                let layout = S::layout(layout, zeroed);
                let ptr = self.subject.ask(layout, zeroed)?;
                *slot = Some(Live { ptr, layout });
                touch(ptr);
            }
            Kind::Free => {
                if let Some(live) = slot.take() {
                    look(live.ptr);
                    // SAFETY: the block is live: it was in its slot, with this layout.
                    unsafe { self.subject.free(live.ptr, live.layout) };
                }
            }
            Kind::Resize => {
                if let Some(live) = slot {
                    let layout = S::resized(live.layout, operation.size.max(1))?;
                    // SAFETY: the block is live: it is in its slot, with this layout.
                    let ptr = unsafe {
                        self.subject
                            .ask_resize(live.ptr, live.layout, operation.size.max(1))
                    }?;
                    *live = Live { ptr, layout };
                    touch(ptr);
                }
            }
        }
        Some(())
    }

    /// Runs all of `operations`; returns how many it ran, and the reason if it stopped early.
    #[inline]
    fn all(&mut self, operations: &[Operation]) -> (u64, Option<String>) {
        for (done, operation) in (0..).zip(operations) {
            if self.step(operation).is_none() {
                return (
                    done,
                    Some(self.exhausted(done, operations.len(), operation)),
                );
            }
        }
        (operations.len() as u64, None)
    }

    fn exhausted(&self, done: u64, of: usize, operation: &Operation) -> String {
        format!(
            "out of memory at operation {done} of {of}: {} bytes asked for, {} granted and live, {} held of {}",
            operation.size,
            self.subject.stats().live_bytes.get(),
            self.held_bytes(),
            self.arena.bytes
        )
    }

    fn held_bytes(&self) -> u64 {
        self.arena.stats.held.get() * PAGE_BYTES as u64
    }
}

/// Every block has room for a byte.
#[inline]
fn touch(ptr: NonNull<u8>) {
    // SAFETY: the first byte of a block granted just now.
    unsafe { ptr.write_volatile(1) };
}

#[inline]
fn look(ptr: NonNull<u8>) {
    // SAFETY: the first byte of a live block.
    black_box(unsafe { ptr.read_volatile() });
}

fn answer(operations: &Operations, done: u64, failure: Option<String>) -> Answer {
    Answer {
        operations: done,
        skipped: operations.skipped,
        failure,
        ..Answer::default()
    }
}

/// Populates the arena before the run, with huge pages where possible.
/// In an image most of RAM lies in huge pages, so first touches should not be measured.
fn back(arena: &Arena) {
    const MOST_BYTES: usize = 1 << 30;
    let start = arena.start as *mut libc::c_void;
    // SAFETY: advice about a mapping that is ours and whose contents stay; what the kernel refuses costs time only.
    unsafe {
        libc::madvise(start, arena.bytes, libc::MADV_HUGEPAGE);
        libc::madvise(
            start,
            arena.bytes.min(MOST_BYTES),
            libc::MADV_POPULATE_WRITE,
        );
    }
}

/// Time.
pub(crate) fn cycles<S: Subject>(operations: &Operations, arena_bytes: usize) -> Answer {
    let arena = Arena::new(arena_bytes);
    back(&arena);
    let mut run = match Run::<S>::start(operations.slots, arena) {
        Ok(run) => run,
        Err(failure) => return answer(operations, 0, Some(failure)),
    };
    // SAFETY: every x86-64 CPU has it.
    let start = unsafe { _rdtsc() };
    let (done, failure) = run.all(&operations.list);
    // SAFETY: as above.
    let end = unsafe { _rdtsc() };
    Answer {
        cycles: end.saturating_sub(start),
        ..answer(operations, done, failure)
    }
}

/// Runs `work`. A simulator finds the instructions to count by this function's name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bespoke_replay_counted(work: &mut &mut dyn FnMut()) {
    work();
}

/// Runs the operations for a simulator that counts instructions.
pub(crate) fn count<S: Subject>(operations: &Operations, arena_bytes: usize) -> Answer {
    let mut run = match Run::<S>::start(operations.slots, Arena::new(arena_bytes)) {
        Ok(run) => run,
        Err(failure) => return answer(operations, 0, Some(failure)),
    };
    let mut ended = (0, None);
    let mut work = || ended = run.all(&operations.list);
    bespoke_replay_counted(&mut (&mut work as &mut dyn FnMut()));
    answer(operations, ended.0, ended.1)
}

/// Memory.
pub(crate) fn memory<S: Subject>(operations: &Operations, arena_bytes: usize) -> Answer {
    let mut run = match Run::<S>::start(operations.slots, Arena::new(arena_bytes)) {
        Ok(run) => run,
        Err(failure) => return answer(operations, 0, Some(failure)),
    };
    let mut usage = Usage::default();
    let mut requested = 0u64;
    let total = operations.list.len();
    let mut ended = (total as u64, None);
    for (done, operation) in operations.list.iter().enumerate() {
        let size = |live: &Option<Live>| live.map_or(0, |live| live.layout.size() as u64);
        let slot = operation.slot as usize;
        requested -= size(&run.live[slot]);
        if run.step(operation).is_none() {
            ended = (
                done as u64,
                Some(run.exhausted(done as u64, total, operation)),
            );
            break;
        }
        requested += size(&run.live[slot]);
        run.live[slot].iter().for_each(write_pages);
        usage.requested_peak_bytes = usage.requested_peak_bytes.max(requested);
        // Evenly, the last point at the last operation.
        if (done + 1) * POINTS / total != done * POINTS / total {
            usage
                .points
                .push(run.look_at_memory(done as u64 + 1, requested));
        }
    }
    usage.granted_peak_bytes = run.subject.stats().peak_bytes.get();
    usage.held_peak_bytes = run.arena.stats.high_water.get() * PAGE_BYTES as u64;
    usage.held_at_end_bytes = run.held_bytes();
    let resident = usage.points.iter().map(|point| point.resident_bytes);
    usage.resident_peak_bytes = resident.max().unwrap_or(0);
    Answer {
        usage: Some(usage),
        ..answer(operations, ended.0, ended.1)
    }
}

impl<S: Subject> Run<S> {
    fn look_at_memory(&self, operations: u64, requested_bytes: u64) -> Fragmentation {
        Fragmentation {
            operations,
            requested_bytes,
            granted_bytes: self.subject.stats().live_bytes.get(),
            held_bytes: self.held_bytes(),
            resident_bytes: (self.arena.resident_pages() * PAGE_BYTES) as u64,
        }
    }
}

fn write_pages(live: &Live) {
    for offset in (0..live.layout.size()).step_by(PAGE_BYTES) {
        // SAFETY: inside the block, which is live.
        unsafe { live.ptr.add(offset).write_volatile(1) };
    }
}
