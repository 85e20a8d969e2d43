//! Time stamp counter and wall clock. Calls take microseconds at most,
//! because they are on the start path.

use std::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use std::time::{Duration, Instant};

/// Reads the time stamp counter.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 has it, and Linux does not forbid it to processes.
    unsafe { _rdtsc() }
}

/// Returns nanoseconds since the Unix epoch, and the time stamp counter at that moment.
pub(crate) fn wall() -> (u64, u64) {
    let before = tsc();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let after = tsc();
    (
        now.map_or(0, |now| now.as_nanos() as u64),
        before + (after - before) / 2,
    )
}

/// Returns the frequency of the time stamp counter in kHz, without KVM.
pub fn tsc_khz() -> u64 {
    from_cpuid().or_else(from_perf).unwrap_or_else(measure)
}

/// From leaf 15h if it states the crystal frequency, else from the hypervisors' leaf 40000010h.
fn from_cpuid() -> Option<u64> {
    let highest = __cpuid(0).eax;
    if highest >= 0x15 {
        let leaf = __cpuid_count(0x15, 0);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax) / 1000);
        }
    }
    let hypervisor = __cpuid(1).ecx >> 31 == 1;
    if hypervisor && (0x4000_0010..0x4000_1000).contains(&__cpuid(0x4000_0000).eax) {
        let khz = __cpuid(0x4000_0010).eax;
        return (khz != 0).then_some(u64::from(khz));
    }
    None
}

/// From the kernel's own value, on the page of a software event (about 10 us).
fn from_perf() -> Option<u64> {
    const TYPE_SOFTWARE: u32 = 1;
    const COUNT_DUMMY: u64 = 9;
    const PAGE: usize = 4096;
    const CAPABILITIES: usize = 40;
    const CAP_USER_TIME: u64 = 1 << 3;
    const TIME_SHIFT: usize = 50;
    const TIME_MULT: usize = 52;
    // struct perf_event_attr, version 0: type, size, config; exclude_kernel and exclude_hv set.
    let mut attr = [0u64; 8];
    attr[0] = u64::from(TYPE_SOFTWARE) | (64 << 32);
    attr[1] = COUNT_DUMMY;
    attr[5] = (1 << 5) | (1 << 6);
    // SAFETY: `attr` is 64 bytes, as its size field says.
    let fd =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), 0, -1, -1, 8) } as i32;
    if fd < 0 {
        return None;
    }
    // SAFETY: maps the event's control page, read only.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(fd) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let page = page.cast::<u8>();
    // SAFETY: fields of struct perf_event_mmap_page, inside the mapped page, aligned.
    let (capabilities, shift, mult) = unsafe {
        (
            page.add(CAPABILITIES).cast::<u64>().read_volatile(),
            page.add(TIME_SHIFT).cast::<u16>().read_volatile(),
            page.add(TIME_MULT).cast::<u32>().read_volatile(),
        )
    };
    // SAFETY: mapped above, not used afterwards.
    unsafe { libc::munmap(page.cast(), PAGE) };
    // ns = tsc * mult >> shift, so kHz = 10^6 << shift / mult.
    let usable = capabilities & CAP_USER_TIME != 0 && mult != 0 && shift < 64;
    usable.then(|| ((1_000_000u128 << shift) / u128::from(mult)) as u64)
}

/// Measures for half a millisecond, accurate to about 0.1 %; only if
/// no other source has the frequency.
fn measure() -> u64 {
    let (start, first) = (Instant::now(), tsc());
    loop {
        let (elapsed, ticks) = (start.elapsed(), tsc() - first);
        if elapsed >= Duration::from_micros(500) {
            return (u128::from(ticks) * 1_000_000 / elapsed.as_nanos()) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_that_answers_agrees_within_one_percent() {
        let measured = measure();
        for khz in [from_cpuid(), from_perf()].into_iter().flatten() {
            assert!(
                khz.abs_diff(measured) * 100 < measured,
                "{khz} kHz against {measured} kHz measured"
            );
        }
    }
}
