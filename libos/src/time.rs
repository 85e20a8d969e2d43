//! Clocks from the time stamp counter. Owns the conversion; must never ask the monitor for the time but once.

use crate::platform;
use bespoke_abi::stats::BootPoint;
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Ticks a second of most kernels (`CONFIG_HZ`), by which Linux rounds some times.
pub const TICKS_PER_S: u64 = 250;

/// The time stamp counter.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 CPU has it, and no monitor sets CR4.TSD.
    unsafe { _rdtsc() }
}

/// Nanoseconds per cycle as a fixed point number with [`FRACTION_BITS`] fraction bits; 0 until somebody asks for the time.
static SCALE: AtomicU64 = AtomicU64::new(0);
const FRACTION_BITS: u32 = 48;
/// A value of the counter, and nanoseconds since the Unix epoch at that moment.
static BASE: AtomicU64 = AtomicU64::new(0);
static WALL_NS: AtomicU64 = AtomicU64::new(0);

/// Makes sure that the clock is known; the scale.
#[inline(always)]
pub fn settle() -> u64 {
    match SCALE.load(Relaxed) {
        0 => start(),
        scale => scale,
    }
}

#[cold]
fn start() -> u64 {
    let clock = platform::clock();
    BASE.store(clock.tsc_base, Relaxed);
    WALL_NS.store(clock.wall_ns, Relaxed);
    let scale = scale(clock.tsc_khz);
    SCALE.store(scale, Relaxed);
    scale
}

fn scale(khz: u64) -> u64 {
    ((1_000_000u128 << FRACTION_BITS) / u128::from(khz.max(1))).min(u64::MAX.into()) as u64
}

/// Nanoseconds in `cycles` cycles: one multiplication, for this is on the path of every write.
fn nanoseconds(cycles: u64, scale: u64) -> u64 {
    ((u128::from(cycles) * u128::from(scale)) >> FRACTION_BITS) as u64
}

/// Nanoseconds since the machine started.
pub fn monotonic_ns() -> u64 {
    let scale = settle();
    nanoseconds(tsc().wrapping_sub(BASE.load(Relaxed)), scale)
}

/// Nanoseconds since the Unix epoch.
pub fn wall_ns() -> u64 {
    let since_base = monotonic_ns();
    WALL_NS.load(Relaxed).wrapping_add(since_base)
}

/// Cycles in which nobody ran.
static ASLEEP: AtomicU64 = AtomicU64::new(0);

/// Does `work`, in which the image sleeps: no time that the process uses.
#[inline]
pub fn asleep<R>(work: impl FnOnce() -> R) -> R {
    let before = tsc();
    let result = work();
    let slept = tsc().wrapping_sub(before);
    ASLEEP.store(ASLEEP.load(Relaxed).wrapping_add(slept), Relaxed);
    result
}

/// Cycles the process has used since its first instruction.
#[inline]
pub fn used_cycles() -> u64 {
    let first = crate::stats().boot[BootPoint::FirstInstruction as usize].get();
    tsc().wrapping_sub(first + ASLEEP.load(Relaxed))
}

/// The nanoseconds of `cycles` cycles.
pub fn cycles_ns(cycles: u64) -> u64 {
    nanoseconds(cycles, settle())
}

#[cfg(test)]
mod tests {
    use super::{nanoseconds, scale};

    #[test]
    fn cycles_convert_without_overflow_or_drift() {
        assert_eq!(nanoseconds(0, scale(2_600_000)), 0);
        let second = nanoseconds(2_600_000_000, scale(2_600_000));
        assert!((999_999_999..=1_000_000_000).contains(&second), "{second}");
        // Ten years at 5 GHz: off by less than a millisecond.
        let seconds = 10 * 365 * 86_400u64;
        let decade = nanoseconds(seconds * 5_000_000_000, scale(5_000_000));
        assert!(
            decade.abs_diff(seconds * 1_000_000_000) < 1_000_000,
            "{decade}"
        );
    }
}
