//! The trace ring: what the components of an image allocate, written by the image, read by the
//! monitor while it runs.
//!
//! Only images built for tracing have one, named by a note of its own
//! ([`crate::note::TYPE_TRACE`]). It lies in their bss: zero at the start, whole pages. One writer, one
//! reader. The image never drops a record: with [`TraceRing::limit`] entries waiting it waits for the monitor.
//! Unless the monitor selects a component before the start, nothing is recorded.

use crate::stats::Counter;
use core::sync::atomic::AtomicU64;

/// Entries the ring has room for, a power of two.
pub const RING_ENTRIES: usize = 1 << 15;
/// Words of an entry.
pub const ENTRY_WORDS: usize = 3;
/// An entry of the ring: most records are one, of 32 bits for each number. Others have an entry before them with the
/// upper halves: [`Record::upper`].
pub type Entry = [u64; ENTRY_WORDS];

/// [`Record::operation`] of an allocation: `size`, `align`, `new` (0: refused).
pub const ALLOCATE: u8 = 1;
/// As [`ALLOCATE`], of memory that reads as zero.
pub const ALLOCATE_ZEROED: u8 = 2;
/// Of a free: `old`.
pub const FREE: u8 = 3;
/// Of a reallocation: `old`, `size`, `align`, `new` (0: refused).
pub const RESIZE: u8 = 4;
/// Of an entry with upper halves.
const UPPER: u8 = 5;

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
    /// Time stamp counter in steps of 1 << [`CLOCK_SHIFT`] cycles, as it was last read.
    pub clock: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Address of the block before.
    pub old: u64,
    /// Address of the block now.
    pub new: u64,
}

/// Logarithm to base 2 of the cycles in a step of [`Record::clock`].
pub const CLOCK_SHIFT: u32 = 6;

impl Record {
    /// The entry of upper halves that goes before its own, if one is needed; `clock_upper` is the upper half of the
    /// clock of the record before.
    #[inline(always)]
    pub fn upper(&self, clock_upper: u64) -> Option<Entry> {
        let clock = self.clock >> 32;
        if clock == clock_upper && (self.size | self.old | self.new) >> 32 == 0 {
            return None;
        }
        Some([
            u64::from(UPPER) << 32,
            pair(clock, self.size >> 32),
            pair(self.old >> 32, self.new >> 32),
        ])
    }

    /// Its own entry.
    #[inline(always)]
    pub fn lower(&self) -> Entry {
        let what = u64::from(self.site)
            | u64::from(self.operation) << 32
            | u64::from(self.component) << 40
            | u64::from(self.align_log2) << 48;
        [what, pair(self.clock, self.size), pair(self.old, self.new)]
    }
}

/// The lower halves of two numbers.
#[inline(always)]
fn pair(first: u64, second: u64) -> u64 {
    u64::from(first as u32) | second << 32
}

/// Makes records of entries, whatever they mean.
#[derive(Debug, Default)]
pub struct Unpacker {
    /// Upper half of this record and those that follow.
    clock: u64,
    /// Upper halves of the next record.
    size: u64,
    old: u64,
    new: u64,
}

impl Unpacker {
    /// The record that ends with `entry`; `None` when it is one of upper halves.
    #[inline(always)]
    pub fn take(&mut self, [what, first, second]: Entry) -> Option<Record> {
        let operation = (what >> 32) as u8;
        let (clock, size) = (u64::from(first as u32), first >> 32);
        let (old, new) = (u64::from(second as u32), second >> 32);
        if operation == UPPER {
            self.clock = clock << 32;
            (self.size, self.old, self.new) = (size << 32, old << 32, new << 32);
            return None;
        }
        let record = Record {
            operation,
            component: (what >> 40) as u8,
            align_log2: (what >> 48) as u8,
            site: what as u32,
            clock: self.clock | clock,
            size: self.size | size,
            old: self.old | old,
            new: self.new | new,
        };
        (self.size, self.old, self.new) = (0, 0, 0);
        Some(record)
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
    /// Most entries waiting, at most [`RING_ENTRIES`]. The monitor's, before the start.
    pub limit: Counter,
    /// Times the image had to wait for the monitor. The image's.
    pub waits: Counter,
    /// Entries written since the start, stored with release order. The image's.
    pub head: Line,
    /// Entries taken, stored with release order. The monitor's.
    pub tail: Line,
    padding: [u64; 488],
    /// Entry k is at `k % RING_ENTRIES`.
    pub entries: [[AtomicU64; ENTRY_WORDS]; RING_ENTRIES],
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
            entries: [const { [const { AtomicU64::new(0) }; ENTRY_WORDS] }; RING_ENTRIES],
        }
    }
}

impl Default for TraceRing {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(core::mem::offset_of!(TraceRing, entries) == crate::PAGE_BYTES);
const _: () = assert!(size_of::<TraceRing>().is_multiple_of(crate::PAGE_BYTES));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_from_their_entries_whatever_their_numbers() {
        let numbers = [
            0,
            1,
            1 << 31,
            u64::from(u32::MAX),
            1 << 32,
            0x1234_5678_9abc_def0,
            u64::MAX,
        ];
        let (mut clock_upper, mut unpacker, mut uppers) = (0, Unpacker::default(), 0);
        for at in 0..numbers.len().pow(4) {
            let number = |place: u32| numbers[at / numbers.len().pow(place) % numbers.len()];
            let record = Record {
                operation: [ALLOCATE, ALLOCATE_ZEROED, FREE, RESIZE][at % 4],
                component: at as u8,
                align_log2: at as u8 % 64,
                site: !(at as u32),
                clock: number(3),
                size: number(2),
                old: number(1),
                new: number(0),
            };
            if let Some(entry) = record.upper(clock_upper) {
                clock_upper = record.clock >> 32;
                uppers += 1;
                assert_eq!(unpacker.take(entry), None);
            }
            assert_eq!(unpacker.take(record.lower()), Some(record));
        }
        // Of every clock there are more records of narrow numbers than the first.
        let (narrow, all) = (4 * 4 * 4, 7 * 7 * 7);
        assert_eq!(uppers, (all - narrow) * 7 + 3);
    }
}
