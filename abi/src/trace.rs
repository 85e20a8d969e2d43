//! The trace ring: what the components of an image allocate, written by the image, read by the
//! monitor while it runs.
//!
//! Only images built for tracing have one, named by a note of its own
//! ([`crate::note::TYPE_TRACE`]). It lies in their bss: zero at the start, whole pages. One writer, one
//! reader. The image never drops a record: with [`TraceRing::limit`] records waiting it waits for the monitor.
//! Unless the monitor selects a component before the start, nothing is recorded.

use crate::stats::Counter;
use core::sync::atomic::AtomicU64;

/// Records the ring has room for, a power of two.
pub const RING_RECORDS: usize = 1 << 15;
/// Words of a record: [`Record`].
pub const RECORD_WORDS: usize = 5;

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
    /// Time stamp counter.
    pub tsc: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Address of the block before.
    pub old: u64,
    /// Address of the block now.
    pub new: u64,
}

impl Record {
    /// As it lies in the ring.
    #[inline(always)]
    pub fn words(&self) -> [u64; RECORD_WORDS] {
        let what = u64::from(self.site)
            | u64::from(self.operation) << 32
            | u64::from(self.component) << 40
            | u64::from(self.align_log2) << 48;
        [what, self.tsc, self.size, self.old, self.new]
    }

    /// What lies in the ring, whatever it means.
    #[inline(always)]
    pub fn of_words([what, tsc, size, old, new]: [u64; RECORD_WORDS]) -> Self {
        Self {
            operation: (what >> 32) as u8,
            component: (what >> 40) as u8,
            align_log2: (what >> 48) as u8,
            site: what as u32,
            tsc,
            size,
            old,
            new,
        }
    }
}

/// A counter on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Line(pub AtomicU64);

/// The ring.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct TraceRing {
    /// Bit k: record the component in slot k. The monitor's, before the start.
    pub selected: Counter,
    /// Most records waiting, at most [`RING_RECORDS`]. The monitor's, before the start.
    pub limit: Counter,
    /// Times the image had to wait for the monitor. The image's.
    pub waits: Counter,
    /// Records written since the start, stored with release order. The image's.
    pub head: Line,
    /// Records taken, stored with release order. The monitor's.
    pub tail: Line,
    padding: [u64; 488],
    /// Record k is at `k % RING_RECORDS`.
    pub records: [[AtomicU64; RECORD_WORDS]; RING_RECORDS],
}

impl TraceRing {
    /// An empty ring that records nothing.
    pub const fn new() -> Self {
        Self {
            selected: Counter::new(),
            limit: Counter::new(),
            waits: Counter::new(),
            head: Line(AtomicU64::new(0)),
            tail: Line(AtomicU64::new(0)),
            padding: [0; 488],
            records: [const { [const { AtomicU64::new(0) }; RECORD_WORDS] }; RING_RECORDS],
        }
    }
}

impl Default for TraceRing {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(core::mem::offset_of!(TraceRing, records) == crate::PAGE_BYTES);
const _: () = assert!(size_of::<TraceRing>().is_multiple_of(crate::PAGE_BYTES));
