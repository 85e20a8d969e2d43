//! The pages below the image that stay in a guest process: code that is entered last, and signal handlers.
//!
//! ```text
//!   0x100000  code       r-x   resident.s
//!   0x101000  control    rw-   shared with the parent: Control
//!   0x102000  nothing          guard
//!   0x103000  stack      rw-   of signal handlers
//!   0x113000  orders     r--   what the code is to do, and the system call filter
//! ```
//!
//! Owns these pages of the child. All else of the process, from the parent's heap to the vDSO, is unmapped by
//! the code, after which no Rust of ours can run: what a guest finds there is the monitor's code alone, and what it could
//! write itself. Registers are cleared for the same reason.

use super::bpf::Instruction;
use super::control::Control;
use super::leave;
use super::{ANSWER, NOTICE, RESCUE};
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
/// Where pointers of system calls may lead: here and into the image.
pub(super) const START: u64 = BASE;
/// Interrupts on, all else clear.
const CLEAN_FLAGS: u64 = 0x202;
const ALIGNMENT_CHECK: i32 = 1 << 18;
/// Steps of [`super::control::STEPS`], from 1.
const STEP_FILTER: u32 = 8;
const STEP_UNMAP: u32 = 11;
const STEP_CLEAR: u32 = 12;
const ARCH_SET_GS: u32 = 0x1001;
const ARCH_SET_FS: u32 = 0x1002;
/// `si_syscall` in a `siginfo_t`.
const SI_SYSCALL: usize = 24;
const UC_REGISTERS: usize = offset_of!(libc::ucontext_t, uc_mcontext);
/// x87, SSE, AVX and AVX-512. Linux clears all other registers for a process, and nobody here has used them.
const CLEARED_COMPONENTS: u64 = 0xe7;
const MAX_RANGES: usize = 8;
/// End of the addresses of a process: the last page is never mapped.
const TASK_END: u64 = (1 << 47) - PAGE_BYTES;

global_asm!(
    include_str!("resident.s"),
    STACK_TOP = const STACK + STACK_BYTES,
    ORDERS = const ORDERS,
    CONTROL = const CONTROL,
    UNMAP_COUNT = const offset_of!(Orders, unmap_count),
    UNMAP = const offset_of!(Orders, unmap),
    FILTER = const offset_of!(Orders, filter),
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
    SIGNAL = const offset_of!(Control, signal),
    STEP_FILTER = const STEP_FILTER,
    STEP_UNMAP = const STEP_UNMAP,
    STEP_CLEAR = const STEP_CLEAR,
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
    ARCH_SET_FS = const ARCH_SET_FS,
    ARCH_SET_GS = const ARCH_SET_GS,
    SECCOMP_SET_MODE_FILTER = const libc::SECCOMP_SET_MODE_FILTER,
    SYS_READ = const libc::SYS_read,
    SYS_WRITE = const libc::SYS_write,
    SYS_MUNMAP = const libc::SYS_munmap,
    SYS_RT_SIGRETURN = const libc::SYS_rt_sigreturn,
    SYS_ARCH_PRCTL = const libc::SYS_arch_prctl,
    SYS_EXIT_GROUP = const libc::SYS_exit_group,
    SYS_SECCOMP = const libc::SYS_seccomp,
);

unsafe extern "C" {
    static bespoke_resident_start: u8;
    static bespoke_resident_enter: u8;
    static bespoke_resident_fault: u8;
    static bespoke_resident_kick: u8;
    static bespoke_resident_return: u8;
    static bespoke_resident_end: u8;
}

/// What [`Resident::enter`] is to do.
pub(super) struct Entry<'a> {
    pub entry: u64,
    pub boot: u64,
    pub rescue_entry: u64,
    pub rescue_stack: u64,
    /// Address of the image's statistics page.
    pub stats: u64,
    /// Where an interrupted image goes on; 0: it cannot be interrupted.
    pub interrupt_entry: u64,
    /// Code that may be interrupted.
    pub interruptible: Range<u64>,
    /// All code of the image.
    pub text: Range<u64>,
    /// Where the time of the entry is noted.
    pub enter_stamp: u64,
    pub has_fsgsbase: bool,
    /// What stays mapped besides the resident pages.
    pub kept: &'a [Range<u64>],
    pub filter: &'a [Instruction],
}

/// `struct sock_fprog`, on a machine whose low bytes come first.
#[repr(C)]
struct Program {
    instructions: u64,
    at: u64,
}

/// Zero, but for these fields.
#[repr(C, align(64))]
struct Orders {
    /// An XSAVE area: legacy region and header (Intel SDM volume 1, 13.4), in initial state.
    x87_control: u16,
    until_mxcsr: [u8; 22],
    mxcsr: u32,
    rest_of_xsave: [u8; 484 + 64],
    /// 0: the CPU has no `xrstor`.
    xsave_mask: u64,
    entry: u64,
    boot: u64,
    rescue_entry: u64,
    rescue_stack: u64,
    stats: u64,
    interrupt_entry: u64,
    interruptible: Range<u64>,
    text: Range<u64>,
    enter_stamp: u64,
    has_fsgsbase: u64,
    unmap_count: u64,
    unmap: [[u64; 2]; MAX_RANGES],
    filter: Program,
}

/// The pages, in this process.
pub(super) struct Resident {
    orders_bytes: u64,
}

/// Handlers of signals in the resident code.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Interrupts the image, if it handles the fault, or reports it to the parent.
    Fault,
    /// Interrupts the image where it may be interrupted, and ends a sleep.
    Kick,
}

impl Resident {
    /// Maps the pages, with `control` at its place, and room for orders with this filter.
    pub(super) fn map(control: &Mapping, filter: &[Instruction]) -> io::Result<Self> {
        let orders_bytes = (size_of::<Orders>() + size_of_val(filter)) as u64;
        let orders_bytes = orders_bytes.next_multiple_of(PAGE_BYTES);
        let bytes = ORDERS + orders_bytes - BASE;
        if BASE + bytes > IMAGE_BASE {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_NORESERVE
            | libc::MAP_FIXED_NOREPLACE;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let code = &raw const bespoke_resident_start;
        // SAFETY: never replaces a mapping of the process; then all writes go to the new pages, where nothing lives
        // yet. The labels enclose the code.
        unsafe {
            let wanted = BASE as *mut libc::c_void;
            let memory = libc::mmap(wanted, bytes as usize, rights, flags, -1, 0);
            if memory == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            if memory != wanted {
                // Kernels before 4.17 take the address as a hint.
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            let code_bytes = (&raw const bespoke_resident_end).offset_from_unsigned(code);
            assert!(code_bytes as u64 <= PAGE_BYTES);
            code.copy_to_nonoverlapping(BASE as *mut u8, code_bytes);
            protect(BASE..CONTROL, libc::PROT_READ | libc::PROT_EXEC)?;
            protect(GUARD..STACK, libc::PROT_NONE)?;
            // An old size of zero makes a second mapping of shared pages: the first one serves until the end.
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            let target = CONTROL as *mut libc::c_void;
            let bytes = PAGE_BYTES as usize;
            if libc::mremap(control.at(0).cast(), 0, bytes, flags, target) == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let stack = libc::stack_t {
                ss_sp: STACK as *mut _,
                ss_flags: 0,
                ss_size: STACK_BYTES as usize,
            };
            if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { orders_bytes })
    }

    /// Handles `signal` in the resident code, with the signals of the mask `held` held back meanwhile.
    pub(super) fn handle(&self, signal: i32, handler: Handler, held: u64) -> io::Result<()> {
        /// `SA_RESTORER` of the kernel's interface.
        const RESTORER: u64 = 0x0400_0000;
        let function = match handler {
            Handler::Fault => &raw const bespoke_resident_fault,
            Handler::Kick => &raw const bespoke_resident_kick,
        };
        // `struct kernel_sigaction`: the C library's call would name its own way back. Without SA_RESTART, for what
        // sleeps is to come back.
        let flags = (libc::SA_SIGINFO | libc::SA_ONSTACK) as u64 | RESTORER;
        let restorer = resident(&raw const bespoke_resident_return);
        let action = [resident(function), flags, restorer, held];
        let mask_bytes = size_of::<u64>();
        // SAFETY: the kernel's structure; the handler's page is never unmapped and takes these arguments.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                0,
                mask_bytes,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Leaves the monitor's code and memory for the image. Failures on the way stand in the control page.
    pub(super) fn enter(self, entry: &Entry) -> io::Result<std::convert::Infallible> {
        let end = ORDERS + self.orders_bytes;
        let mut kept = leave::sealed()?;
        kept.extend_from_slice(entry.kept);
        kept.push(BASE..end);
        let unmapped = complement(kept);
        let enter = resident(&raw const bespoke_resident_enter);
        let filter_at = ORDERS + size_of::<Orders>() as u64;
        // SAFETY: `map` made room for the orders and a filter of this size, where nothing else lives, and zero is a valid
        // start. Field by field, for what lies between fields of a structure that is copied is anything. The
        // code needs nothing of this frame, and does not come back.
        unsafe {
            let orders = &mut *(ORDERS as *mut Orders);
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
            orders.text = entry.text.clone();
            orders.enter_stamp = entry.enter_stamp;
            orders.has_fsgsbase = entry.has_fsgsbase.into();
            orders.filter = store(entry.filter, filter_at);
            let places = orders.unmap.get_mut(..unmapped.len());
            let places = places.ok_or_else(|| io::Error::from_raw_os_error(libc::E2BIG))?;
            for (place, range) in places.iter_mut().zip(&unmapped) {
                *place = [range.start, range.end - range.start];
            }
            orders.unmap_count = unmapped.len() as u64;
            protect(ORDERS..end, libc::PROT_READ)?;
            leave::restartable_sequences()?;
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            asm!("jmp {}", in(reg) enter, options(noreturn))
        }
    }
}

/// Address of a label of the code where it is entered.
fn resident(label: *const u8) -> u64 {
    // SAFETY: all labels lie in one piece of code.
    BASE + unsafe { label.offset_from_unsigned(&raw const bespoke_resident_start) } as u64
}

/// # Safety
///
/// The pages are this module's.
unsafe fn protect(pages: Range<u64>, rights: i32) -> io::Result<()> {
    let bytes = (pages.end - pages.start) as usize;
    // SAFETY: the caller's promise.
    match unsafe { libc::mprotect(pages.start as *mut _, bytes, rights) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
///
/// So many instructions can be written there.
unsafe fn store(filter: &[Instruction], at: u64) -> Program {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(filter.as_ptr(), at as *mut _, filter.len()) };
    Program {
        instructions: filter.len() as u64,
        at,
    }
}

/// The addresses of a process without `kept`.
fn complement(mut kept: Vec<Range<u64>>) -> Vec<Range<u64>> {
    kept.sort_by_key(|range| range.start);
    let mut at = 0;
    let mut rest = Vec::new();
    for range in kept.into_iter().chain(std::iter::once(TASK_END..TASK_END)) {
        if at < range.start {
            rest.push(at..range.start);
        }
        at = at.max(range.end);
    }
    rest
}

/// XCR0; 0 where the CPU or the kernel has no XSAVE.
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
