//! Clocks from the time stamp counter. Owns the conversion; must never ask the monitor for the time.

use crate::platform::boot_info;
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The time stamp counter.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 CPU has it, and no monitor sets CR4.TSD.
    unsafe { _rdtsc() }
}

/// Nanoseconds per cycle as a fixed point number with [`FRACTION_BITS`] fraction bits.
static SCALE: AtomicU64 = AtomicU64::new(0);
const FRACTION_BITS: u32 = 48;

/// Prepares the conversion; `platform` is up.
#[cfg_attr(
    test,
    expect(dead_code, reason = "the entry is not part of host tests")
)]
pub fn start() {
    SCALE.store(scale(boot_info().tsc_khz), Relaxed);
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
    nanoseconds(
        tsc().wrapping_sub(boot_info().tsc_base),
        SCALE.load(Relaxed),
    )
}

/// Nanoseconds since the Unix epoch.
pub fn wall_ns() -> u64 {
    boot_info().wall_ns.wrapping_add(monotonic_ns())
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
