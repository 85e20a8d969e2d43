//! The trace ring: what the components of an image allocate, written by the image, taken by the
//! monitor while it runs.
//!
//! Only images built for tracing have one, named by a note of its own
//! ([`crate::note::TYPE_TRACE`]). It lies in their bss: zero at the start, whole pages. One writer, one
//! reader. The image encodes its records itself ([`Encoder`]), as the thread that takes them often shares a core with those
//! whom the image serves. It never drops one: where the next might not fit into [`TraceRing::limit`] bytes it waits for the
//! monitor. Unless the monitor selects a component before the start, nothing is recorded.

mod code;
pub mod number;

pub use code::{Decoder, Encoder, MOST_EVENT_BYTES};

use crate::stats::Counter;
use core::sync::atomic::AtomicU64;

/// Bytes of events the ring has room for, a power of two.
pub const CAPACITY_BYTES: usize = 256 << 10;

/// [`Record::operation`] of an allocation: `size`, `align`, `new` (0: refused).
pub const ALLOCATE: u8 = 1;
/// As [`ALLOCATE`], of memory that reads as zero.
pub const ALLOCATE_ZEROED: u8 = 2;
/// Of a free: `old`.
pub const FREE: u8 = 3;
/// Of a reallocation: `old`, `size`, `align`, `new` (0: refused).
pub const RESIZE: u8 = 4;

/// One operation of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// [`ALLOCATE`], [`ALLOCATE_ZEROED`], [`FREE`] or [`RESIZE`].
    pub operation: u8,
    /// Slot of the component in the statistics page.
    pub component: u8,
    /// Alignment asked for: its logarithm to base 2.
    pub align_log2: u8,
    /// Return address of the call; 0: unknown.
    pub site: u32,
    /// Time stamp counter in steps of 1 << [`CLOCK_SHIFT`] cycles, as it was last read. Decoded: since the first record.
    pub clock: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Address of the block before, below 1 << [`ADDRESS_BITS`].
    pub old: u64,
    /// Address of the block now, below the same.
    pub new: u64,
}

/// Logarithm to base 2 of the cycles in a step of [`Record::clock`].
pub const CLOCK_SHIFT: u32 = 6;

/// Bits of an address (AMD64 Architecture Programmer's Manual, volume 2, 1.1.3).
pub const ADDRESS_BITS: u32 = 48;

/// What the image says of its events, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Written {
    /// Bytes since the start, stored with release order: always a whole number of events.
    pub bytes: AtomicU64,
    /// Events since the start.
    pub events: Counter,
    /// Times the image had to wait for the monitor.
    pub waits: Counter,
}

/// What the monitor says, on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Taken {
    /// Bytes since the start, stored with release order.
    pub bytes: AtomicU64,
}

/// The ring.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct TraceRing {
    /// Bit k: record the component in slot k. The monitor's, before the start.
    pub selected: Counter,
    /// Most bytes waiting, from [`MOST_EVENT_BYTES`] to [`CAPACITY_BYTES`]. The monitor's, before the start.
    pub limit: Counter,
    /// The image's.
    pub written: Written,
    /// The monitor's.
    pub taken: Taken,
    padding: [u64; 488],
    /// Byte k of the events is byte `k % CAPACITY_BYTES`, lowest of a word first. An event that does not fit before the
    /// end is written on into [`TraceRing::overhang`] first.
    pub words: [AtomicU64; CAPACITY_BYTES / 8],
    /// The image's: means nothing to the monitor.
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
