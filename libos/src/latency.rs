//! How long the operations of each heap take, in time stamp counter cycles: a histogram for each component, told on
//! the console when the image ends. Only in images built with the feature `latency`.
//!
//! ```text
//! bucket   0 .. 15     that many cycles
//!          16 and on   sixteen to each power of two: a bucket is 1/16 of its value wide
//! ```
//! Owns the histograms. Must never allocate: it is told of every allocation.

use crate::{platform, report, stats, time};
use bespoke_abi::boot::Span;
use bespoke_abi::stats::{Counter, MAX_COMPONENTS};
use bespoke_heap::Recorder;
use core::ptr::NonNull;

/// Buckets to a power of two.
const PARTS: usize = 16;
const PARTS_LOG2: usize = 4;
const BUCKETS: usize = (64 - PARTS_LOG2 + 1) * PARTS;
/// Pairs of readings that tell what the reading itself takes.
const FLOOR_READINGS: u32 = 1000;

struct Histogram {
    began: Counter,
    longest: Counter,
    count: Counter,
    buckets: [Counter; BUCKETS],
}

static HISTOGRAMS: [Histogram; MAX_COMPONENTS] = [const {
    Histogram {
        began: Counter::new(),
        longest: Counter::new(),
        count: Counter::new(),
        buckets: [const { Counter::new() }; BUCKETS],
    }
}; MAX_COMPONENTS];

/// Times the component in slot `SLOT`.
#[derive(Debug)]
pub struct Timing<const SLOT: u8>;

impl<const SLOT: u8> Timing<SLOT> {
    #[inline(always)]
    fn ended() {
        let now = time::tsc();
        let histogram = &HISTOGRAMS[SLOT as usize];
        // A request that never reached the heap did not begin.
        let began = histogram.began.get();
        if began != 0 {
            histogram.began.set(0);
            let cycles = now.wrapping_sub(began);
            histogram.buckets[bucket(cycles)].add(1);
            histogram.count.add(1);
            histogram.longest.raise(cycles);
        }
    }
}

impl<const SLOT: u8> Recorder for Timing<SLOT> {
    #[inline(always)]
    fn begins() {
        HISTOGRAMS[SLOT as usize].began.set(time::tsc());
    }

    #[inline(always)]
    fn allocated(_: usize, _: usize, _: bool, _: Option<NonNull<u8>>) {
        Self::ended();
    }

    #[inline(always)]
    fn freed(_: NonNull<u8>) {
        Self::ended();
    }

    #[inline(always)]
    fn resized(_: NonNull<u8>, _: usize, _: usize, _: Option<NonNull<u8>>) {
        Self::ended();
    }
}

fn bucket(cycles: u64) -> usize {
    if cycles < PARTS as u64 {
        return cycles as usize;
    }
    let power = cycles.ilog2() as usize;
    let part = (cycles >> (power - PARTS_LOG2)) as usize % PARTS;
    (power - PARTS_LOG2 + 1) * PARTS + part
}

/// The middle of a bucket, in cycles.
fn middle(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let shift = bucket / PARTS - 1;
    let low = ((PARTS + bucket % PARTS) as u64) << shift;
    low + (1u64 << shift) / 2
}

impl Histogram {
    /// Cycles that the share `1 - 1/one_in` of the operations do not exceed.
    fn quantile(&self, one_in: u64) -> u64 {
        let above = self.count.get() / one_in;
        let mut left = self.count.get() - above;
        for (index, bucket) in self.buckets.iter().enumerate() {
            if bucket.get() >= left {
                return middle(index).min(self.longest.get());
            }
            left -= bucket.get();
        }
        self.longest.get()
    }
}

/// Tells on the console: component, operations, what reading the counter takes, then p50, p99, p99.9 and the longest,
/// in cycles.
pub fn tell() {
    let mut floor = u64::MAX;
    for _ in 0..FLOOR_READINGS {
        let start = time::tsc();
        floor = floor.min(time::tsc().wrapping_sub(start));
    }
    for (histogram, component) in HISTOGRAMS.iter().zip(&stats().components) {
        if histogram.count.get() == 0 {
            continue;
        }
        let name = component.name.padded();
        let name = name.split(|&byte| byte == 0).next();
        let name = core::str::from_utf8(name.unwrap_or_default()).unwrap_or_default();
        let mut line = [0; 200];
        let used = report::write_text(
            &mut line,
            format_args!(
                "bespoke-heap-latency {name} {} {floor} {} {} {} {}\n",
                histogram.count.get(),
                histogram.quantile(2),
                histogram.quantile(100),
                histogram.quantile(1000),
                histogram.longest.get(),
            ),
        );
        let span = Span {
            start: line.as_ptr() as u64,
            bytes: used as u64,
        };
        // There is nowhere to report that the console is gone.
        let _ = platform::write(2, &[span]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_sixteenth_of_its_value_wide() {
        for cycles in (0..5000).chain([1 << 20, (1 << 40) + 12345, u64::MAX]) {
            let middle = middle(bucket(cycles));
            assert!(
                middle.abs_diff(cycles) <= cycles / 32 + 1,
                "{cycles}: {middle}"
            );
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_what_was_timed() {
        let slot = 7;
        for cycles in 1..=1000u64 {
            let histogram = &HISTOGRAMS[slot];
            histogram.buckets[bucket(cycles)].add(1);
            histogram.count.add(1);
            histogram.longest.raise(cycles);
        }
        for (one_in, expected) in [(2, 500), (100, 990), (1000, 999)] {
            let found = HISTOGRAMS[slot].quantile(one_in);
            assert!(
                found.abs_diff(expected) <= expected / 16,
                "{one_in}: {found}"
            );
        }
    }
}
