//! The pages below the image that stay in a guest process: the code that is
//! entered last, and signal handlers.
//!
//! ```text
//!   0x100000  code       r-x   resident.s
//!   0x101000  control    rw-   Control, read by the parent
//!   0x102000  nothing          guard
//!   0x103000  stack      rw-   of signal handlers
//!   0x113000  orders     r--   input of the code: Orders, then the script
//! ```
//!
//! The parent prepares these pages and shares them with the child.
//! The code unmaps everything else of the child, from the parent's heap to the vDSO. After
//! that no Rust code of ours can run.
//! A guest finds there our code, the orders, and what it could write itself. Registers
//! are cleared for the same reason.

use super::control::Control;
use super::script::{CALL_WORDS, Script};
use super::{ANSWER, NOTICE, RESCUE};
use crate::MonitorError;
use crate::memory::{Mapping, PAGE_BYTES};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::stats::{Interrupt, MISSED_INTERRUPT, StatsPage, VECTOR_TICK};
use std::arch::{asm, global_asm};
use std::io;
use std::mem::offset_of;
use std::ops::Range;

const BASE: u64 = 0x10_0000;
const CONTROL: u64 = BASE + PAGE_BYTES;
const GUARD: u64 = CONTROL + PAGE_BYTES;
const STACK: u64 = GUARD + PAGE_BYTES;
const STACK_BYTES: u64 = 64 << 10;
const ORDERS: u64 = STACK + STACK_BYTES;
const ORDERS_BYTES: u64 = 8 * PAGE_BYTES;
const _: () = assert!(PAGES.end <= IMAGE_BASE);
/// Interrupts enabled, all other flags clear.
const CLEAN_FLAGS: u64 = 0x202;
const ALIGNMENT_CHECK: i32 = 1 << 18;
/// The flag that makes the CPU trap after each instruction, and the exception for it.
const TRAP_FLAG: i32 = 1 << 8;
const VECTOR_DEBUG: i32 = 1;
/// Most instructions that an image single-steps: a few milliseconds,
/// and many times what a heap takes.
const MOST_STEPS: i32 = 1000;
/// It single-steps at one in this number of misses, a power of two.
/// A long call of the library OS misses every interrupt and must not be slowed down by much.
const MISSES_PER_WALK: i32 = 32;
/// `si_syscall` in a `siginfo_t`.
const SI_SYSCALL: usize = 24;
const UC_REGISTERS: usize = offset_of!(libc::ucontext_t, uc_mcontext);
/// x87, SSE, AVX and AVX-512. Linux clears all other registers for a
/// process, and no code here has used them.
const CLEARED_COMPONENTS: u64 = 0xe7;
/// System calls return `-errno` from this value on.
const LEAST_ERROR: i64 = -4095;

global_asm!(
    include_str!("resident.s"),
    STACK_TOP = const STACK + STACK_BYTES,
    ORDERS = const ORDERS,
    CONTROL = const CONTROL,
    CALL_COUNT = const offset_of!(Orders, call_count),
    CALLS = const offset_of!(Orders, calls),
    CALL_BYTES = const 8 * CALL_WORDS,
    LEAST_ERROR = const LEAST_ERROR,
    ENTER_STAMP = const offset_of!(Orders, enter_stamp),
    XSAVE_MASK = const offset_of!(Orders, xsave_mask),
    XSAVE = const offset_of!(Orders, x87_control),
    BOOT = const offset_of!(Orders, boot),
    ENTRY = const offset_of!(Orders, entry),
    HAS_FSGSBASE = const offset_of!(Orders, has_fsgsbase),
    RESCUE_ENTRY = const offset_of!(Orders, rescue_entry),
    RESCUE_STACK = const offset_of!(Orders, rescue_stack),
    STATS = const offset_of!(Orders, stats),
    INTERRUPT_ENTRY = const offset_of!(Orders, interrupt_entry),
    INTERRUPTIBLE_START = const offset_of!(Orders, interruptible) + offset_of!(Range<u64>, start),
    INTERRUPTIBLE_END = const offset_of!(Orders, interruptible) + offset_of!(Range<u64>, end),
    SHARED_START = const offset_of!(Orders, shared) + offset_of!(Range<u64>, start),
    SHARED_END = const offset_of!(Orders, shared) + offset_of!(Range<u64>, end),
    TEXT_START = const offset_of!(Orders, text) + offset_of!(Range<u64>, start),
    TEXT_END = const offset_of!(Orders, text) + offset_of!(Range<u64>, end),
    HOST_SIGNALS = const offset_of!(StatsPage, host_signals),
    READY = const offset_of!(StatsPage, ready),
    WAITS = const offset_of!(StatsPage, waits),
    TIMERS = const offset_of!(StatsPage, timers),
    HANDLED = const offset_of!(StatsPage, handled),
    INTERRUPT_RIP = const offset_of!(StatsPage, interrupt) + offset_of!(Interrupt, rip),
    INTERRUPT_VECTOR = const offset_of!(StatsPage, interrupt) + offset_of!(Interrupt, vector),
    INTERRUPT_ERROR = const offset_of!(StatsPage, interrupt) + offset_of!(Interrupt, error_code),
    INTERRUPT_ADDRESS = const offset_of!(StatsPage, interrupt) + offset_of!(Interrupt, address),
    MISSED_BIT = const MISSED_INTERRUPT.trailing_zeros(),
    VECTOR_TICK = const VECTOR_TICK,
    MEMORY_SIGNALS = const 1 << (libc::SIGSEGV - 1) | 1 << (libc::SIGBUS - 1),
    SIGSEGV = const libc::SIGSEGV,
    SIGBUS = const libc::SIGBUS,
    ERRNO = const offset_of!(Control, errno),
    FAILED_STEP = const offset_of!(Control, failed_step),
    REFUSED_CALL = const offset_of!(Control, refused_call),
    SAVED = const offset_of!(Control, saved),
    SAVED_COUNT = const super::control::SAVED,
    FS_BASE = const offset_of!(Control, fs_base),
    SINGLE_STEPS = const offset_of!(Control, single_steps),
    MOST_STEPS = const MOST_STEPS,
    MISSES = const offset_of!(Control, misses),
    OTHER_MISSES = const MISSES_PER_WALK - 1,
    TRAP_FLAG = const TRAP_FLAG,
    NO_TRAP_FLAG = const !TRAP_FLAG,
    VECTOR_DEBUG = const VECTOR_DEBUG,
    SIGTRAP = const libc::SIGTRAP,
    SIGNAL = const offset_of!(Control, signal),
    NOT_STARTED = const super::child::NOT_STARTED,
    CLEAN_FLAGS = const CLEAN_FLAGS,
    NO_ALIGNMENT_CHECK = const !ALIGNMENT_CHECK,
    SIGSYS = const libc::SIGSYS,
    SI_SYSCALL = const SI_SYSCALL,
    UC_REGISTERS = const UC_REGISTERS,
    UC_RIP = const UC_REGISTERS + 8 * libc::REG_RIP as usize,
    UC_RSP = const UC_REGISTERS + 8 * libc::REG_RSP as usize,
    UC_FLAGS = const UC_REGISTERS + 8 * libc::REG_EFL as usize,
    UC_ERROR = const UC_REGISTERS + 8 * libc::REG_ERR as usize,
    UC_VECTOR = const UC_REGISTERS + 8 * libc::REG_TRAPNO as usize,
    UC_CR2 = const UC_REGISTERS + 8 * libc::REG_CR2 as usize,
    NOTICE = const NOTICE,
    ANSWER = const ANSWER,
    RESCUE = const RESCUE,
    SYS_READ = const libc::SYS_read,
    SYS_WRITE = const libc::SYS_write,
    SYS_RT_SIGRETURN = const libc::SYS_rt_sigreturn,
    SYS_EXIT_GROUP = const libc::SYS_exit_group,
);

unsafe extern "C" {
    static bespoke_resident_start: u8;
    static bespoke_resident_enter: u8;
    static bespoke_resident_fault: u8;
    static bespoke_resident_kick: u8;
    static bespoke_resident_return: u8;
    static bespoke_resident_end: u8;
}

/// Addresses and ranges for the code.
pub(super) struct Entry {
    pub entry: u64,
    pub boot: u64,
    pub rescue_entry: u64,
    pub rescue_stack: u64,
    /// Address of the image's statistics page.
    pub stats: u64,
    /// Where an interrupted image continues; 0: it cannot be interrupted.
    pub interrupt_entry: u64,
    /// Code that may be interrupted.
    pub interruptible: Range<u64>,
    /// Code that may be interrupted if its caller may.
    pub shared: Range<u64>,
    /// All code of the image.
    pub text: Range<u64>,
    /// Address for the time stamp of the entry.
    pub enter_stamp: u64,
    pub has_fsgsbase: bool,
}

/// Zero, except for these fields.
#[repr(C, align(64))]
struct Orders {
    /// An XSAVE area: legacy region and header (Intel SDM volume 1, 13.4), in initial state.
    x87_control: u16,
    until_mxcsr: [u8; 22],
    mxcsr: u32,
    rest_of_xsave: [u8; 484 + 64],
    /// 0: the CPU does not support `xrstor`.
    xsave_mask: u64,
    entry: u64,
    boot: u64,
    rescue_entry: u64,
    rescue_stack: u64,
    stats: u64,
    interrupt_entry: u64,
    interruptible: Range<u64>,
    shared: Range<u64>,
    text: Range<u64>,
    enter_stamp: u64,
    has_fsgsbase: u64,
    call_count: u64,
    calls: u64,
}

/// The pages, prepared in memory that a child shares.
pub(super) struct Resident {
    memory: Mapping,
}

/// Handlers of signals in the resident code.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Interrupts the image if it handles the fault; else reports the fault to the parent.
    Fault,
    /// Interrupts the image where that is allowed, and ends a sleep.
    Kick,
}

impl Handler {
    /// Returns the kernel's structure for this handler, with the signals of the
    /// mask `held` blocked meanwhile.
    pub(super) fn action(self, held: u64) -> [u64; 4] {
        /// `SA_RESTORER` of the kernel's interface.
        const RESTORER: u64 = 0x0400_0000;
        let function = match self {
            Self::Fault => &raw const bespoke_resident_fault,
            Self::Kick => &raw const bespoke_resident_kick,
        };
        // Without SA_RESTART, because sleeping calls must return.
        let flags = (libc::SA_SIGINFO | libc::SA_ONSTACK) as u64 | RESTORER;
        let restorer = resident(&raw const bespoke_resident_return);
        [resident(function), flags, restorer, held]
    }
}

/// Returns where the data of a [`Script`] lies.
pub(super) const fn script_at() -> u64 {
    ORDERS + size_of::<Orders>() as u64
}

/// Returns the kernel's `stack_t` for the stack of handlers.
pub(super) const fn handler_stack() -> [u64; 3] {
    [STACK, 0, STACK_BYTES]
}

/// What stays mapped besides the image.
pub(super) const PAGES: Range<u64> = BASE..ORDERS + ORDERS_BYTES;

/// Pages that the image must not write, and their rights.
pub(super) const PROTECTIONS: [(Range<u64>, i32); 2] = [
    (GUARD..STACK, libc::PROT_NONE),
    (ORDERS..PAGES.end, libc::PROT_READ),
];

impl Resident {
    /// Writes the pages. `script` begins at [`script_at`].
    pub(super) fn prepare(entry: &Entry, script: Script) -> Result<Self, MonitorError> {
        let (words, calls, call_count) = script.finish();
        let orders_bytes = size_of::<Orders>() + size_of_val(&words[..]);
        if orders_bytes as u64 > ORDERS_BYTES {
            return Err(MonitorError::Host {
                step: "prepare the child",
                source: io::Error::from_raw_os_error(libc::E2BIG),
            });
        }
        let memory = Mapping::shared((PAGES.end - BASE) as usize)?;
        let code = &raw const bespoke_resident_start;
        // SAFETY: the labels enclose the code, which fits its page; the memory is new, ours alone, and as long as these parts,
        // and zero is a valid start of the orders. They are written field by field, for what lies between the
        // fields of a structure that is copied is anything.
        unsafe {
            let code_bytes = (&raw const bespoke_resident_end).offset_from_unsigned(code);
            assert!(code_bytes as u64 <= PAGE_BYTES);
            code.copy_to_nonoverlapping(memory.at(0), code_bytes);
            let orders = &mut *memory.at((ORDERS - BASE) as usize).cast::<Orders>();
            orders.x87_control = 0x37f;
            orders.mxcsr = 0x1f80;
            orders.xsave_mask = enabled_components() & CLEARED_COMPONENTS;
            orders.entry = entry.entry;
            orders.boot = entry.boot;
            orders.rescue_entry = entry.rescue_entry;
            orders.rescue_stack = entry.rescue_stack;
            orders.stats = entry.stats;
            orders.interrupt_entry = entry.interrupt_entry;
            orders.interruptible = entry.interruptible.clone();
            orders.shared = entry.shared.clone();
            orders.text = entry.text.clone();
            orders.enter_stamp = entry.enter_stamp;
            orders.has_fsgsbase = entry.has_fsgsbase.into();
            orders.call_count = call_count;
            orders.calls = calls;
            let target = memory.at((script_at() - BASE) as usize).cast::<u64>();
            target.copy_from_nonoverlapping(words.as_ptr(), words.len());
        }
        Ok(Self { memory })
    }

    /// Returns the page by which the child reports.
    pub(super) fn control(&self) -> &Control {
        Control::of(&self.memory, (CONTROL - BASE) as usize)
    }

    /// Leaves the monitor's code and memory for the image. Failures on the way
    /// are recorded in the control page.
    pub(super) fn enter(&self) -> io::Result<std::convert::Infallible> {
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_NORESERVE
            | libc::MAP_FIXED_NOREPLACE;
        let wanted = BASE as *mut libc::c_void;
        let bytes = self.memory.bytes();
        let none = libc::PROT_NONE;
        // SAFETY: the first call never replaces a mapping of the process, the second one replaces what it made. The code
        // needs nothing of this frame, and does not come back.
        unsafe {
            let place = libc::mmap(wanted, bytes, none, flags, -1, 0);
            if place == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            if place != wanted {
                // Kernels before 4.17 treat the address as a hint.
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            // An old size of zero makes a second mapping of shared pages. The
            // first one is used until the end.
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            if libc::mremap(self.memory.at(0).cast(), 0, bytes, flags, wanted) == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let rights = libc::PROT_READ | libc::PROT_EXEC;
            if libc::mprotect(wanted, PAGE_BYTES as usize, rights) != 0 {
                return Err(io::Error::last_os_error());
            }
            let enter = resident(&raw const bespoke_resident_enter);
            asm!("jmp {}", in(reg) enter, options(noreturn))
        }
    }
}

/// Returns the address of a label at the code's final position.
fn resident(label: *const u8) -> u64 {
    // SAFETY: all labels lie in one piece of code.
    BASE + unsafe { label.offset_from_unsigned(&raw const bespoke_resident_start) } as u64
}

/// Returns XCR0; 0 if the CPU or the kernel does not support XSAVE.
fn enabled_components() -> u64 {
    const OSXSAVE: u32 = 1 << 27;
    if std::arch::x86_64::__cpuid(1).ecx & OSXSAVE == 0 {
        return 0;
    }
    let (low, high): (u32, u32);
    // SAFETY: the kernel has enabled the instruction.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack))
    };
    u64::from(low) | u64::from(high) << 32
}
