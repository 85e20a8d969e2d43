//! The trace ring: records of the components' allocations. The image writes it, and the
//! monitor reads it while the image runs.
//!
//! Only images built for tracing have one. A separate note names it ([`crate::note::TYPE_TRACE`]).
//! It lies in their bss: zero at the start, whole pages. It has one writer and one reader.
//! The image encodes its records itself ([`Encoder`]), because the monitor's reading thread often
//! shares a core with the clients of the image.
//! The image never drops a record: if the next one might not fit into [`TraceRing::limit`]
//! bytes, it waits for the monitor.
//! Nothing is recorded unless the monitor selects a component before the start.

mod code;
pub mod number;

pub use code::{Decoder, Encoder, MOST_EVENT_BYTES};

use crate::stats::Counter;
use core::sync::atomic::AtomicU64;

/// Bytes of events that fit into the ring, a power of two.
pub const CAPACITY_BYTES: usize = 256 << 10;

/// [`Record::operation`] of an allocation: `size`, `align`, `new` (0: refused).
pub const ALLOCATE: u8 = 1;
/// Like [`ALLOCATE`], for memory that reads as zero.
pub const ALLOCATE_ZEROED: u8 = 2;
/// [`Record::operation`] of a free: `old`.
pub const FREE: u8 = 3;
/// [`Record::operation`] of a reallocation: `old`, `size`, `align`, `new` (0: refused).
pub const RESIZE: u8 = 4;

/// One operation of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// [`ALLOCATE`], [`ALLOCATE_ZEROED`], [`FREE`] or [`RESIZE`].
    pub operation: u8,
    /// Slot of the component in the statistics page.
    pub component: u8,
    /// Requested alignment: its logarithm to base 2.
    pub align_log2: u8,
    /// Return address of the call; 0: unknown.
    pub site: u32,
    /// Last value read of the time stamp counter, in steps of 1 << [`CLOCK_SHIFT`] cycles.
    /// Decoded: steps since the first record.
    pub clock: u64,
    /// Bytes requested.
    pub size: u64,
    /// Address of the block before, below 1 << [`ADDRESS_BITS`].
    pub old: u64,
    /// Address of the block now, with the same limit.
    pub new: u64,
}

/// Logarithm to base 2 of the cycles in a step of [`Record::clock`].
pub const CLOCK_SHIFT: u32 = 6;

/// Bits of an address (AMD64 Architecture Programmer's Manual, volume 2, 1.1.3).
pub const ADDRESS_BITS: u32 = 48;

/// The image's position, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Written {
    /// Bytes written since the start, stored with release order: always a whole number of events.
    pub bytes: AtomicU64,
    /// Events written since the start.
    pub events: Counter,
    /// Times the image had to wait for the monitor.
    pub waits: Counter,
}

/// The monitor's position, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Taken {
    /// Bytes read since the start, stored with release order.
    pub bytes: AtomicU64,
}

/// The ring.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct TraceRing {
    /// Bit k: record the component in slot k. The monitor sets this before the start.
    pub selected: Counter,
    /// Most bytes that may wait, from [`MOST_EVENT_BYTES`] to [`CAPACITY_BYTES`]. The
    /// monitor sets this before the start.
    pub limit: Counter,
    /// Written by the image.
    pub written: Written,
    /// Written by the monitor.
    pub taken: Taken,
    padding: [u64; 488],
    /// Byte k of the events is byte `k % CAPACITY_BYTES`, lowest of a word first.
    /// An event that does not fit before the end continues into [`TraceRing::overhang`] first.
    pub words: [AtomicU64; CAPACITY_BYTES / 8],
    /// Used by the image; the monitor ignores it.
    pub overhang: [AtomicU64; crate::PAGE_BYTES / 8],
}

impl TraceRing {
    /// An empty ring that records nothing.
    pub const fn new() -> Self {
        Self {
            selected: Counter::new(),
            limit: Counter::new(),
            written: Written {
                bytes: AtomicU64::new(0),
                events: Counter::new(),
                waits: Counter::new(),
            },
            taken: Taken {
                bytes: AtomicU64::new(0),
            },
            padding: [0; 488],
            words: [const { AtomicU64::new(0) }; CAPACITY_BYTES / 8],
            overhang: [const { AtomicU64::new(0) }; crate::PAGE_BYTES / 8],
        }
    }
}

impl Default for TraceRing {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(core::mem::offset_of!(TraceRing, words) == crate::PAGE_BYTES);
const _: () = assert!(
    core::mem::offset_of!(TraceRing, overhang) == crate::PAGE_BYTES + CAPACITY_BYTES
        && size_of::<TraceRing>().is_multiple_of(crate::PAGE_BYTES)
);
