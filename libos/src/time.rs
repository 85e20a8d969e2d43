//! Clocks from the time stamp counter. Owns the conversion; must never ask the monitor for the time.

use crate::platform::boot_info;
use core::arch::x86_64::_rdtsc;

/// The time stamp counter.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 CPU has it, and no monitor sets CR4.TSD.
    unsafe { _rdtsc() }
}

/// Nanoseconds in `cycles` cycles of a counter running at `khz`.
fn nanoseconds(cycles: u64, khz: u64) -> u64 {
    (u128::from(cycles) * 1_000_000 / u128::from(khz.max(1))) as u64
}

/// Nanoseconds since the machine started.
pub fn monotonic_ns() -> u64 {
    let info = boot_info();
    nanoseconds(tsc().wrapping_sub(info.tsc_base), info.tsc_khz)
}

/// Nanoseconds since the Unix epoch.
pub fn wall_ns() -> u64 {
    boot_info().wall_ns.wrapping_add(monotonic_ns())
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn cycles_convert_without_overflow_or_drift() {
        assert_eq!(nanoseconds(2_600_000, 2_600_000), 1_000_000);
        assert_eq!(nanoseconds(0, 2_600_000), 0);
        // 100 years at 5 GHz.
        let century = 100 * 365 * 86_400 * 5_000_000_000u64;
        assert_eq!(nanoseconds(century, 5_000_000), 100 * 365 * 86_400 * 1_000_000_000);
    }
}
