//! Records what the components of a traced image do, for the monitor: `bespoke trace`.
//!
//! Owns the ring and its note. Must never allocate, and never drop a record: when the ring is full the image
//! sleeps until the monitor has taken some. Only in images built with the feature `trace`, where C code comes
//! in through [`crate::c_entry`], which notes who called.

use crate::single::Single;
use crate::{platform, time};
use bespoke_abi::note::TYPE_TRACE;
use bespoke_abi::stats::Counter;
use bespoke_abi::trace::{
    ALLOCATE, ALLOCATE_ZEROED, CAPACITY_BYTES, CLOCK_SHIFT, Encoder, FREE, MOST_EVENT_BYTES,
    RESIZE, Record, TraceRing,
};
use bespoke_heap::Recorder;
use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// How long the image sleeps before it looks for room again.
const NAP_NS: u64 = 100_000;

/// Operations with one reading of the clock, which takes 7 ns.
const CLOCK_OPERATIONS: u64 = 8;

static RING: TraceRing = TraceRing::new();
/// The clock as it was last read.
static CLOCK: Counter = Counter::new();
/// Operations until it is read again.
static CLOCK_HOLDS: Counter = Counter::new();
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static ENCODER: Single<Encoder> = unsafe { Single::new(Encoder::new()) };

/// Return address of the C function at work, stored by its entry.
#[doc(hidden)]
pub static C_SITE: AtomicU64 = AtomicU64::new(0);

global_asm!(
    ".pushsection .note.bespoke, \"a\", @note",
    ".balign 4",
    ".long 8, 8, {kind}",
    ".asciz \"Bespoke\"",
    ".quad {ring}",
    ".popsection",
    kind = const TYPE_TRACE,
    ring = sym RING,
);

/// Who called the function that calls this. Traced images are built with frame pointers, and a function
/// that calls has its frame by then.
#[unsafe(naked)]
extern "C" fn caller_of_caller() -> u64 {
    naked_asm!("mov rax, [rbp + 8]", "ret")
}

/// The image has slept: the next operation reads the clock.
pub fn slept() {
    CLOCK_HOLDS.set(0);
}

#[inline(always)]
fn clock() -> u64 {
    match CLOCK_HOLDS.get() {
        0 => {
            CLOCK_HOLDS.set(CLOCK_OPERATIONS - 1);
            CLOCK.set(time::tsc() >> CLOCK_SHIFT);
        }
        operations => CLOCK_HOLDS.set(operations - 1),
    }
    CLOCK.get()
}

/// Records the component in slot `SLOT`; `IS_C`: it is used through [`crate::c_entry`] alone.
pub struct Recording<const SLOT: u8, const IS_C: bool>;

impl<const SLOT: u8, const IS_C: bool> Recording<SLOT, IS_C> {
    #[inline(always)]
    fn record(operation: u8, size: usize, align: usize, old: u64, new: u64) {
        if RING.selected.get() & 1 << SLOT == 0 {
            return;
        }
        let site = if IS_C {
            C_SITE.load(Relaxed)
        } else {
            caller_of_caller()
        };
        push(&Record {
            operation,
            component: SLOT,
            align_log2: align.trailing_zeros() as u8,
            site: site as u32,
            clock: clock(),
            size: size as u64,
            old,
            new,
        });
    }
}

#[inline(always)]
fn address(block: Option<NonNull<u8>>) -> u64 {
    block.map_or(0, |block| block.addr().get() as u64)
}

impl<const SLOT: u8, const IS_C: bool> Recorder for Recording<SLOT, IS_C> {
    #[inline(always)]
    fn allocated(size: usize, align: usize, zeroed: bool, block: Option<NonNull<u8>>) {
        let operation = if zeroed { ALLOCATE_ZEROED } else { ALLOCATE };
        Self::record(operation, size, align, 0, address(block));
    }

    #[inline(always)]
    fn freed(block: NonNull<u8>) {
        Self::record(FREE, 0, 1, address(Some(block)), 0);
    }

    #[inline(always)]
    fn resized(old: NonNull<u8>, size: usize, align: usize, block: Option<NonNull<u8>>) {
        Self::record(RESIZE, size, align, address(Some(old)), address(block));
    }
}

/// Writes `record` into the ring, behind the others.
#[inline(always)]
fn push(record: &Record) {
    let written = RING.written.bytes.load(Relaxed);
    if !has_room(written) {
        wait_for_room(written);
    }
    let at = written as usize % CAPACITY_BYTES;
    // SAFETY: as many bytes lie there, for what is written on over the end lies in `overhang`, a page. They are atomics,
    // so they may change behind a shared reference; only this image changes them, on one thread. There is room for all of
    // an event, so they were taken, and the monitor uses none of them before `written` says so. It is another program and
    // loads whole words: what it finds of these bytes in its first and last word, it drops.
    let out = unsafe { &mut *bytes().add(at).cast::<[u8; MOST_EVENT_BYTES]>() };
    let length = ENCODER.with(|encoder| encoder.put(out, record));
    if at + length > CAPACITY_BYTES {
        bring_overhang(at + length - CAPACITY_BYTES);
    }
    RING.written.events.add(1);
    let written = written.wrapping_add(length as u64);
    RING.written.bytes.store(written, Release);
}

/// The first byte of events; all others and the overhang follow.
#[inline(always)]
fn bytes() -> *mut u8 {
    let ring = (&raw const RING).cast_mut().cast::<u8>();
    ring.wrapping_add(offset_of!(TraceRing, words))
}

#[inline(always)]
fn has_room(written: u64) -> bool {
    let most = written.wrapping_add(MOST_EVENT_BYTES as u64);
    most.wrapping_sub(RING.taken.bytes.load(Acquire)) <= RING.limit.get()
}

/// Copies the first `bytes` bytes of the overhang to where they belong.
#[cold]
#[inline(never)]
fn bring_overhang(bytes: usize) {
    let (to, overhang) = (self::bytes(), self::bytes().wrapping_add(CAPACITY_BYTES));
    // SAFETY: an event is shorter than the overhang and than the words; as in `push`.
    unsafe { to.copy_from_nonoverlapping(overhang, bytes) };
}

#[cold]
#[inline(never)]
fn wait_for_room(written: u64) {
    RING.written.waits.add(1);
    while !has_room(written) {
        platform::wait(NAP_NS, 0);
    }
}
