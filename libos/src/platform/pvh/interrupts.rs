//! The interrupt controllers: what ends a wait. Owns their registers.
//!
//! The local one is driven through its registers in memory, as every monitor starts it: QEMU's TCG has no other way in
//! version 7.2, and KVM serves it, too. Its timer counts nanoseconds on both, and on Firecracker. Must never be
//! believed to say which interrupt came: whoever waited looks for itself.

use super::stub::{DEVICE_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR};
use super::tables::Tables;
use super::{give_up, port};
use bespoke_abi::PAGE_BYTES;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub const LOCAL: usize = 0xfee0_0000;
const VERSION: usize = 0x30;
pub const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const ENABLED: u32 = 1 << 8;
const TIMER: usize = 0x320;
const LINE_0: usize = 0x350;
const MASKED: u32 = 1 << 16;
pub const INITIAL_COUNT: usize = 0x380;
const CURRENT_COUNT: usize = 0x390;
const DIVIDE: usize = 0x3e0;
/// By 16: a wait is at most 68 s long, which callers take as early; the finest is 16 ns.
const DIVIDE_BY_16: u32 = 3;
const NANOSECONDS_A_COUNT: u64 = 16;
/// How long a thread runs while others could.
pub const SLICE_NS: u64 = 4_000_000;
/// How soon a signal of the user comes to code that makes no call.
pub const WATCH_NS: u64 = 50_000_000;
/// How soon the timer comes again that found code which may not be interrupted, in counts: 0.2 ms.
#[cfg_attr(test, expect(dead_code, reason = "the stub is not part of host tests"))]
pub const RETRY_COUNT: u32 = (200_000 / NANOSECONDS_A_COUNT) as u32;
/// Counts from one tick to the next, which the stub sets.
pub static TICK_COUNT: AtomicU32 = AtomicU32::new((WATCH_NS / NANOSECONDS_A_COUNT) as u32);

/// Inputs of the first controller start here, of the second (QEMU microvm) 64 KiB further on.
const INPUTS: [usize; 2] = [0xfec0_0000, 0xfec1_0000];
const INPUTS_OF_ONE: u32 = 24;
const FIRST_ROUTE: u32 = 0x10;

fn write(address: usize, value: u32) {
    // SAFETY: registers of the controllers, mapped by `map`; they reach no memory of ours.
    unsafe { (address as *mut u32).write_volatile(value) }
}

/// Maps the controllers' registers.
pub fn map(tables: &mut Tables) {
    let registers = [LOCAL, INPUTS[0], INPUTS[1]].map(|start| start as u64);
    tables.map_registers(&registers, PAGE_BYTES as u32);
}

/// Sets the controllers up so that nothing comes unasked; [`map`] has mapped them.
pub fn start() {
    // SAFETY: mapped.
    let version = unsafe { ((LOCAL + VERSION) as *const u32).read_volatile() };
    if version == u32::MAX {
        give_up(format_args!(
            "the local interrupt controller is not where every monitor starts it (xAPIC mode)"
        ));
    }
    // The old controllers, and their way into the local one.
    port::write8(0x21, 0xff);
    port::write8(0xa1, 0xff);
    write(LOCAL + LINE_0, MASKED);
    write(LOCAL + SPURIOUS, ENABLED | SPURIOUS_VECTOR);
    write(LOCAL + DIVIDE, DIVIDE_BY_16);
    write(LOCAL + TIMER, TIMER_VECTOR);
}

/// Lets input `number`, counted over all controllers, end waits. Edges: the level of a device is its own matter.
pub fn route(number: u32) {
    let Some(inputs) = INPUTS.get((number / INPUTS_OF_ONE) as usize) else {
        return;
    };
    let register = FIRST_ROUTE + 2 * (number % INPUTS_OF_ONE);
    for (register, value) in [(register + 1, 0), (register, DEVICE_VECTOR)] {
        write(*inputs, register);
        write(*inputs + 0x10, value);
    }
}

/// What a device sends as a message to end waits, as in the tables of PCI's MSI-X: address, data, not masked.
#[cfg(feature = "net")]
pub fn message() -> [u32; 4] {
    [LOCAL as u32, 0, DEVICE_VECTOR, 0]
}

/// Lets the timer end a wait after about `nanoseconds`, early rather than late; `None`: not at all.
pub fn arm(nanoseconds: Option<u64>) {
    let count = nanoseconds.map_or(0, |nanoseconds| {
        (nanoseconds / NANOSECONDS_A_COUNT).clamp(1, u32::MAX.into())
    });
    write(LOCAL + INITIAL_COUNT, count as u32);
}

/// Sets how often the timer comes while code runs.
pub fn set_tick(nanoseconds: u64) {
    TICK_COUNT.store((nanoseconds / NANOSECONDS_A_COUNT) as u32, Relaxed);
}

/// Counted by the stub: interrupts of the timer while code runs, after each of which it is set again.
pub static TICKS: AtomicU32 = AtomicU32::new(0);

/// How many there were.
pub fn ticks() -> u32 {
    TICKS.load(Relaxed)
}

/// Lets the timer come while code runs.
pub fn arm_tick() {
    write(LOCAL + INITIAL_COUNT, TICK_COUNT.load(Relaxed));
}

/// Nanoseconds until the timer ends a wait.
pub fn left() -> u64 {
    // SAFETY: a register of the controller, mapped by `map`.
    let count = unsafe { ((LOCAL + CURRENT_COUNT) as *const u32).read_volatile() };
    u64::from(count) * NANOSECONDS_A_COUNT
}

/// After a wait: the local controller may bring the next one.
pub fn finish() {
    write(LOCAL + END_OF_INTERRUPT, 0);
}
