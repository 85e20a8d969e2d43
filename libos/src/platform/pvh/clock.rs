//! Where the counter's frequency and the time of day come from on a stock monitor: KVM's clocks, CPUID, else the local
//! timer, which ends waits by the same measure, and the battery-backed clock. Owns what has been begun to be measured; must
//! never wait longer than it has to measure.

use super::calendar::seconds;
use super::{give_up, interrupts, port, stub};
use crate::single::Single;
use crate::time::tsc;
use core::arch::x86_64::__cpuid_count;
use core::hint::black_box;

/// What is known of time.
#[derive(Default)]
pub struct Clock {
    /// Frequency of the time stamp counter.
    pub tsc_khz: u64,
    /// A value of the counter.
    pub tsc_base: u64,
    /// Nanoseconds since the epoch at that moment.
    pub wall_ns: u64,
}

const NANOSECONDS: u64 = 1_000_000_000;

/// Of a machine without KVM's clock, until somebody asks for the time: the counter at the start, and its frequency.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static PENDING: Single<Option<(u64, Frequency)>> = unsafe { Single::new(None) };

/// Begins to find the clock of a machine without KVM's; the interrupt controller has been started. The local timer
/// comes after `timer_ns`, and may not be set otherwise until [`measured`]: but a tick may set it again.
pub fn begin(timer_ns: u64) {
    PENDING.with(|pending| *pending = Some((tsc(), Frequency::begin(timer_ns))));
}

/// The clock that [`begin`] began to find; `None` if it did not, or when it was asked before. Many a program never asks
/// for the time.
pub fn measured() -> Option<Clock> {
    let (tsc_base, frequency) = PENDING.with(Option::take)?;
    let wall_ns = wall_seconds() * NANOSECONDS;
    let passed = u128::from(tsc() - tsc_base);
    let tsc_khz = frequency.khz();
    let passed_ns = passed * 1_000_000 / u128::from(tsc_khz.max(1));
    Some(Clock {
        tsc_khz,
        tsc_base,
        wall_ns: wall_ns.wrapping_sub(passed_ns as u64),
    })
}

/// Frequency of the time stamp counter of a machine without KVM's clock.
enum Frequency {
    /// In kHz, as the CPU names it.
    Named(u64),
    /// To be measured against the local timer, which has been started, while other work is done.
    Since(Moment),
}

impl Frequency {
    /// Asks the CPU, else takes the local timer until [`Self::khz`].
    fn begin(timer_ns: u64) -> Self {
        from_cpuid().map_or_else(|| Self::Since(Moment::of_timer(timer_ns)), Self::Named)
    }

    /// Waits for what is left of the time that measuring takes.
    fn khz(self) -> u64 {
        /// 1 ms: both ends are known to some tenths of a microsecond.
        const SPAN_NS: u64 = 1_000_000;
        /// More cycles than any counter makes in that time.
        const LONGEST_CYCLES: u64 = 100_000_000;
        let mut start = match self {
            Self::Named(khz) => return khz,
            Self::Since(start) => start,
        };
        let asked = tsc();
        loop {
            let now = Moment::now();
            if now.left == 0 || interrupts::ticks() != start.ticks {
                // It has run out, or was set again, and says no more how much time passed.
                start = Moment::of_timer(LONGEST_NS);
                continue;
            }
            let passed = start.left.saturating_sub(now.left);
            if passed >= SPAN_NS {
                interrupts::arm(None);
                return (now.cycles - start.cycles) * 1_000_000 / passed;
            }
            if now.cycles.saturating_sub(asked) > LONGEST_CYCLES {
                give_up(format_args!(
                    "this machine has no clock: its CPU names no frequency, and its local timer stands still"
                ));
            }
        }
    }
}

/// Both clocks at one time.
struct Moment {
    cycles: u64,
    /// Nanoseconds left to the timer.
    left: u64,
    /// How often it was set by a tick before.
    ticks: u32,
}

/// More than any measuring takes.
pub const LONGEST_NS: u64 = 60 * NANOSECONDS;

impl Moment {
    /// That at which the timer is started, for so long.
    fn of_timer(nanoseconds: u64) -> Self {
        interrupts::arm(Some(nanoseconds));
        Self::now()
    }

    /// The best of a few tries: that during which the fewest cycles passed.
    #[inline(never)]
    fn now() -> Self {
        const TRIES: u32 = 4;
        let ticks = interrupts::ticks();
        let (mut least, mut best) = (u64::MAX, (0, 0));
        // A loop that is not unrolled: where code is translated before it runs, less of it is sooner.
        for _ in 0..black_box(TRIES) {
            let (before, left, after) = (tsc(), interrupts::left(), tsc());
            let took = after - before;
            if took < least {
                let cycles = before + took / 2;
                (least, best) = (took, (cycles, left));
            }
        }
        let (cycles, left) = best;
        Self {
            cycles,
            left,
            ticks,
        }
    }
}

/// KVM's clock, where there is one, while the boot tables are in force: the structures the stub gave to KVM (Linux,
/// Documentation/virt/kvm/x86/msr.rst).
pub fn of_kvm() -> Option<Clock> {
    // SAFETY: the stub's memory, open as long as the boot tables are in force; KVM writes it at entries only.
    let word = |address: usize| unsafe { (address as *const u32).read_volatile() };
    let long = |address: usize| u64::from(word(address)) | u64::from(word(address + 4)) << 32;
    let (seconds, nanoseconds) = (word(stub::WALL_CLOCK + 4), word(stub::WALL_CLOCK + 8));
    let (counter, since_start) = (long(stub::SYSTEM_CLOCK + 8), long(stub::SYSTEM_CLOCK + 16));
    let multiplier = u128::from(word(stub::SYSTEM_CLOCK + 24));
    let shift = word(stub::SYSTEM_CLOCK + 28) as u8 as i8;
    if multiplier == 0 || seconds == 0 {
        return None;
    }
    // Nanoseconds are cycles * 2^shift * multiplier / 2^32.
    let khz = (1_000_000u128 << 32) / multiplier;
    let khz = if shift >= 0 {
        khz >> shift
    } else {
        khz << -shift
    };
    let wall_ns = u64::from(seconds) * NANOSECONDS + u64::from(nanoseconds);
    Some(Clock {
        tsc_khz: khz as u64,
        tsc_base: counter,
        wall_ns: wall_ns + since_start,
    })
}

/// Leaf 15h where it names the crystal, else the hypervisors' leaf 40000010h.
fn from_cpuid() -> Option<u64> {
    const TIMING: u32 = 0x4000_0010;
    let leaf = |number| __cpuid_count(number, 0);
    if leaf(0).eax >= 0x15 {
        let crystal = leaf(0x15);
        if crystal.eax != 0 && crystal.ebx != 0 && crystal.ecx != 0 {
            let hertz = u64::from(crystal.ecx) * u64::from(crystal.ebx) / u64::from(crystal.eax);
            return Some(hertz / 1000);
        }
    }
    let has_timing =
        leaf(1).ecx >> 31 == 1 && (TIMING..TIMING + 0x100).contains(&leaf(0x4000_0000).eax);
    let khz = if has_timing { leaf(TIMING).eax } else { 0 };
    (khz != 0).then_some(khz.into())
}

/// Reads a register of the battery-backed clock.
#[inline(never)]
fn register(number: u8) -> u8 {
    port::write8(0x70, number);
    port::read8(0x71)
}

/// Seconds since the epoch by the battery-backed clock (MC146818); 0 where there is none.
#[inline(never)]
fn wall_seconds() -> u64 {
    const UPDATING: u8 = 0x80;
    const BINARY: u8 = 4;
    // Twice the same: not in the middle of an update. An absent clock reads as ones.
    let mut fields = [0; 6];
    for _ in 0..100 {
        let mut is_same = register(10) & UPDATING == 0;
        for (field, number) in fields.iter_mut().zip([0, 2, 4, 7, 8, 9]) {
            is_same &= core::mem::replace(field, register(number)) == *field;
        }
        if is_same {
            break;
        }
    }
    let is_binary = register(11) & BINARY != 0;
    let [second, minute, hour, day, month, year] = fields.map(|field| {
        let binary = if is_binary {
            field
        } else {
            (field >> 4) * 10 + (field & 15)
        };
        u64::from(binary)
    });
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 {
        return 0;
    }
    seconds([2000 + year, month, day, hour, minute, second])
}
