//! The ring-0 stub (`stub/stub.s`) as the library OS sees it: where its memory lies, and its gate.
//! Owns the constants both share; must never be used for anything the CPU lets CPL 3 do itself.

use crate::single::Single;
use bespoke_abi::hypercall::{FaultRecord, STOCK_TABLES};
use core::arch::asm;

/// KVM's `pvclock_wall_clock`, all zero without it.
pub const WALL_CLOCK: usize = 0x10_3600;
/// KVM's `pvclock_vcpu_time_info`, all zero without it.
pub const SYSTEM_CLOCK: usize = 0x10_3640;
/// Physical addresses of the two top tables that [`switch_tables`] chooses from.
pub const ROOTS: usize = STOCK_TABLES as usize;
const STACK_TOP: usize = 0x10_5000;
/// Where page tables may lie: the rest of the second MiB, which the image leaves alone.
pub const TABLES: core::ops::Range<usize> = STACK_TOP..0x20_0000;

const GATE: u32 = 4;
const WAIT: u32 = 0;
const SWITCH_TABLES: u32 = 1;
const POWER_OFF: u32 = 2;
const OPEN_INTERRUPTS: u32 = 3;

/// Vector of the timer that ends a wait.
pub const TIMER_VECTOR: u32 = 0x20;
/// Vector of devices.
pub const DEVICE_VECTOR: u32 = 0x21;
/// Vector of interrupts that were withdrawn.
pub const SPURIOUS_VECTOR: u32 = 0x22;

/// Written by the stub before it enters [`super::fault`].
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
pub static FAULT: Single<FaultRecord> = unsafe {
    Single::new(FaultRecord {
        vector: 0,
        error_code: 0,
        address: 0,
        rip: 0,
        flags: 0,
        fs_base: 0,
        general: [0; 16],
    })
};

/// Opens interrupts for this code and all that runs after it: the timer may then take the processor.
pub fn open_interrupts() {
    // SAFETY: as in `wait`; an interrupt changes nothing but which code of the application runs.
    unsafe { asm!("int {gate}", gate = const GATE, inout("eax") OPEN_INTERRUPTS => _) };
}

/// Halts until an interrupt comes; one that came before the call ends it at once.
pub fn wait() {
    // SAFETY: the gate keeps all registers but rax, rcx and rdx, and touches no memory of ours; devices may
    // have written theirs meanwhile, hence no `nomem`.
    unsafe {
        asm!("int {gate}", gate = const GATE, inout("eax") WAIT => _, out("rcx") _, out("rdx") _)
    };
}

/// Goes over to the tables whose top one is `index` of [`ROOTS`], and forgets every translation.
///
/// # Safety
///
/// The top table is there, and all that runs stays mapped where it is.
pub unsafe fn switch_tables(index: usize) {
    // SAFETY: the caller's promise; registers as in `wait`.
    unsafe {
        asm!("int {gate}", gate = const GATE, inout("eax") SWITCH_TABLES => _, in("rdi") index)
    };
}

/// Shuts the machine down: the way out where no device gives a better one.
pub fn power_off() -> ! {
    // SAFETY: does not return.
    unsafe { asm!("int {gate}", "ud2", gate = const GATE, in("eax") POWER_OFF, options(noreturn)) }
}

/// The assembly file and the constants that nobody else needs; host programs have no use for it.
#[cfg(not(test))]
mod assembly {
    use super::super::interrupts;
    use super::*;
    use bespoke_abi::stats::{Interrupt, StatsPage, VECTOR_TICK};
    use core::arch::global_asm;
    use core::mem::offset_of;

    const INTERRUPT: usize = offset_of!(StatsPage, interrupt);

    /// Note type of Xen's PVH entry (`XEN_ELFNOTE_PHYS32_ENTRY`).
    const PHYS32_ENTRY: u32 = 18;

    /// Page tables of the start: top, pointers, directory.
    const BOOT_TABLES: usize = 0x10_0000;
    const GATES: usize = 0x10_3000;
    const DESCRIPTORS: usize = 0x10_3240;
    const TASK_STATE: usize = 0x10_3300;
    /// The task state proper, then a bit for each port that CPL 3 may use, then the byte the CPU reads beyond.
    const TASK_STATE_BYTES: usize = 104 + PORTS / 8 + 1;
    /// Ports below are open: among them those that end a machine, its serial port, clocks, PCI's registers.
    const PORTS: usize = 0xd00;
    const FAULTED: usize = 0x10_3690;
    /// A device interrupted CPL 3.
    const WOKEN: usize = 0x10_3694;

    global_asm!(
        include_str!("../../../../stub/stub.s"),
        PHYS32_ENTRY = const PHYS32_ENTRY,
        BOOT_TABLES = const BOOT_TABLES,
        GATES = const GATES,
        DESCRIPTORS = const DESCRIPTORS,
        TASK_STATE = const TASK_STATE,
        TASK_STATE_BYTES = const TASK_STATE_BYTES,
        WALL_CLOCK = const WALL_CLOCK,
        SYSTEM_CLOCK = const SYSTEM_CLOCK,
        ROOTS = const ROOTS,
        FAULTED = const FAULTED,
        WOKEN = const WOKEN,
        LOCAL = const interrupts::LOCAL,
        INITIAL_COUNT = const interrupts::INITIAL_COUNT,
        END_OF_INTERRUPT = const interrupts::END_OF_INTERRUPT,
        TICK_COUNT = sym interrupts::TICK_COUNT,
        TICKS = sym interrupts::TICKS,
        RETRY_COUNT = const interrupts::RETRY_COUNT,
        READY = const offset_of!(StatsPage, ready),
        WAITS = const offset_of!(StatsPage, waits),
        TIMERS = const offset_of!(StatsPage, timers),
        HANDLED = const offset_of!(StatsPage, handled),
        HOST_SIGNALS = const offset_of!(StatsPage, host_signals),
        INTERRUPT_RIP = const INTERRUPT + offset_of!(Interrupt, rip),
        INTERRUPT_VECTOR = const INTERRUPT + offset_of!(Interrupt, vector),
        INTERRUPT_ERROR = const INTERRUPT + offset_of!(Interrupt, error_code),
        INTERRUPT_ADDRESS = const INTERRUPT + offset_of!(Interrupt, address),
        VECTOR_TICK = const VECTOR_TICK,
        STACK_TOP = const STACK_TOP,
        GATE = const GATE,
        KERNEL_CODE = const 0x08,
        KERNEL_DATA = const 0x10,
        USER_DATA = const 0x2b,
        USER_CODE = const 0x33,
        TASK_SELECTOR = const 0x40,
        FAULT = sym FAULT,
        VECTOR = const offset_of!(FaultRecord, vector),
        ERROR_CODE = const offset_of!(FaultRecord, error_code),
        ADDRESS = const offset_of!(FaultRecord, address),
        RIP = const offset_of!(FaultRecord, rip),
        FLAGS = const offset_of!(FaultRecord, flags),
        GENERAL = const offset_of!(FaultRecord, general),
    );
}
