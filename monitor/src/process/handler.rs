//! The fault handler inside a guest process. Owns the alternate stack; must never use thread-local
//! storage (the guest owns the FS base, so not even libc's `errno`), allocate, or trust that it will return.
//!
//! It writes what it saw to the control page, tells the parent, and waits: the parent reads the guest's memory
//! meanwhile and answers whether to go on at the rescue entry.

use super::control::Control;
use super::{ANSWER, NOTICE, RESCUE};
use crate::signals::PASSED_ON;
use crate::ticker::KICK;
use bespoke_abi::note::ImageNote;
use bespoke_abi::stats::{MISSED_INTERRUPT, StatsPage, VECTOR_TICK};
use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

const STACK_BYTES: usize = 64 << 10;
const SIGNALS: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];
const REG_ERR: usize = libc::REG_ERR as usize;
const REG_TRAPNO: usize = libc::REG_TRAPNO as usize;
const REG_CR2: usize = libc::REG_CR2 as usize;
const REG_RSP: usize = libc::REG_RSP as usize;
const REG_RIP: usize = libc::REG_RIP as usize;
const REG_EFL: usize = libc::REG_EFL as usize;
const ALIGNMENT_CHECK: i32 = 1 << 18;
/// Interrupts on, all else clear.
const CLEAN_FLAGS: i64 = 0x202;

static CONTROL: AtomicPtr<Control> = AtomicPtr::new(std::ptr::null_mut());
static RESCUE_ENTRY: AtomicU64 = AtomicU64::new(0);
static RESCUE_STACK: AtomicU64 = AtomicU64::new(0);
/// The image's note, set once, before its first instruction.
static NOTE: OnceLock<ImageNote> = OnceLock::new();
static TEXT_START: AtomicU64 = AtomicU64::new(0);
static TEXT_END: AtomicU64 = AtomicU64::new(0);
/// Address of the image's statistics page.
static STATS: AtomicU64 = AtomicU64::new(0);
static HAS_FSGSBASE: AtomicBool = AtomicBool::new(false);

/// Installs the handler in this process, for good.
pub(super) fn install(
    control: &Control,
    entry: u64,
    stack: u64,
    has_fsgsbase: bool,
) -> io::Result<()> {
    CONTROL.store(std::ptr::from_ref(control).cast_mut(), Relaxed);
    RESCUE_ENTRY.store(entry, Relaxed);
    RESCUE_STACK.store(stack, Relaxed);
    HAS_FSGSBASE.store(has_fsgsbase, Relaxed);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory for the alternate stack, never unmapped; the handler has the signature that
    // SA_SIGINFO asks for; zero is a valid start for both structures.
    unsafe {
        let memory = libc::mmap(
            std::ptr::null_mut(),
            STACK_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        );
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = libc::stack_t {
            ss_sp: memory,
            ss_flags: 0,
            ss_size: STACK_BYTES,
        };
        if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // A fault inside the handler ends the process: the parent sees the signal.
        for signal in SIGNALS {
            libc::sigaddset(&mut action.sa_mask, signal);
        }
        // It would end the handler's wait for an answer.
        libc::sigaddset(&mut action.sa_mask, KICK);
        for signal in SIGNALS {
            if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // An inherited mask must not hold faults back.
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &action.sa_mask, std::ptr::null_mut());
    }
    Ok(())
}

/// Lets [`KICK`] interrupt the image that `note` describes, whose code lies in `text`, from its first instruction on.
pub(super) fn let_interrupt(note: &ImageNote, text: Range<u64>) -> io::Result<()> {
    // This process has one image.
    let _ = NOTE.set(*note);
    TEXT_START.store(text.start, Relaxed);
    TEXT_END.store(text.end, Relaxed);
    STATS.store(note.stats, Relaxed);
    // SAFETY: zero is a valid start; the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = kick as *const () as usize;
        // Not SA_RESTART: what sleeps is to come back.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // The statistics page must be whole when a fault is looked at, and an interrupt leaves it to the image.
        if libc::sigaction(KICK, &action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::sigaddset(&mut action.sa_mask, KICK);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &action.sa_mask, std::ptr::null_mut());
    }
    Ok(())
}

/// Leaves the signals that the parent passes on to the parent.
pub(super) fn leave_signals() -> io::Result<()> {
    // SAFETY: zero is a valid start; the handler touches nothing, not even its argument.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_IGN;
        for signal in PASSED_ON {
            if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The statistics page of the image.
fn stats() -> &'static StatsPage {
    // SAFETY: mapped before the handlers are installed, for ever; every bit pattern is one.
    unsafe { &*(STATS.load(Relaxed) as *const StatsPage) }
}

fn can_interrupt() -> bool {
    NOTE.get().is_some_and(|note| note.interrupt_entry != 0)
}

fn may_interrupt(registers: &[i64; 23]) -> bool {
    let (rip, rsp) = (registers[REG_RIP] as u64, registers[REG_RSP] as *const u64);
    // SAFETY: asked for where only calls lead to, whose return address `rsp` leads to. Without it, there is nothing to go on
    // with, and the fault ends the process.
    let caller = || Some(unsafe { rsp.read_unaligned() });
    can_interrupt()
        && NOTE
            .get()
            .is_some_and(|note| note.may_interrupt(rip, caller))
}

/// Has the image go on at its interrupt entry when the handler returns.
fn interrupt(registers: &mut [i64; 23], vector: u64) {
    let record = &stats().interrupt;
    record.rip.set(registers[REG_RIP] as u64);
    record.vector.set(vector);
    record.error_code.set(registers[REG_ERR] as u64);
    record.address.set(registers[REG_CR2] as u64);
    registers[REG_RIP] = NOTE.get().map_or(0, |note| note.interrupt_entry) as i64;
}

/// Handler of [`KICK`]: interrupts the image where it may be.
extern "C" fn kick(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    allow_misalignment();
    // SAFETY: the kernel passes it, valid for the handler.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    if may_interrupt(registers) {
        interrupt(registers, VECTOR_TICK);
    } else if can_interrupt() && stats().wants_interrupt() {
        stats().host_signals.fetch_or(MISSED_INTERRUPT, SeqCst);
    }
}

/// Whether the image goes on with a handler of its own after the fault that `signal` reports.
fn handles(signal: c_int, registers: &[i64; 23]) -> bool {
    const MEMORY: u64 = bit(libc::SIGSEGV) | bit(libc::SIGBUS);
    let signals = match signal {
        libc::SIGSEGV | libc::SIGBUS => MEMORY,
        libc::SIGSYS => 0,
        signal => bit(signal),
    };
    let rip = registers[REG_RIP] as u64;
    let is_text = (TEXT_START.load(Relaxed)..TEXT_END.load(Relaxed)).contains(&rip);
    can_interrupt()
        && stats().handled.get() & signals != 0
        // Where there is no code: the library OS makes no wild jump.
        && (may_interrupt(registers) || !is_text)
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Linux keeps the guest's alignment-check flag in handlers, and compiled code does not align.
#[inline(always)]
fn allow_misalignment() {
    // SAFETY: changes that flag alone.
    unsafe { asm!("pushfq", "and dword ptr [rsp], {}", "popfq", const !ALIGNMENT_CHECK) };
}

/// A system call without libc, which would store `errno` through the guest's FS base.
///
/// # Safety
///
/// As for the call.
unsafe fn call(number: i64, a: u64, b: u64, c: u64) -> i64 {
    let result;
    // SAFETY: the system call convention of x86-64 Linux; the caller answers for the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    allow_misalignment();
    // SAFETY: the kernel passes both, valid for the handler; the control page is never unmapped by us.
    let (info, context, control) = unsafe {
        (
            &*info.cast::<[u32; 8]>(),
            &mut *context.cast::<libc::ucontext_t>(),
            &*CONTROL.load(Relaxed),
        )
    };
    let saved = &mut context.uc_mcontext.gregs;
    if handles(signal, saved) {
        let vector = saved[REG_TRAPNO] as u64;
        return interrupt(saved, vector);
    }
    /// `si_syscall` in words from the start of `siginfo_t`.
    const SI_SYSCALL: usize = 6;
    let refused = if signal == libc::SIGSYS {
        info[SI_SYSCALL]
    } else {
        0
    };
    control.refused_call.store(refused, SeqCst);
    for (slot, &value) in control.saved.iter().zip(saved.iter()) {
        slot.store(value as u64, SeqCst);
    }
    let fs_base: u64;
    if HAS_FSGSBASE.load(Relaxed) {
        // SAFETY: the kernel said that processes may.
        unsafe { asm!("rdfsbase {}", out(reg) fs_base, options(nomem, nostack)) };
        control.fs_base.store(fs_base, SeqCst);
    }
    control.signal.store(signal as u32, SeqCst);
    let mut answer = 0u8;
    // SAFETY: one byte each from and to this frame.
    let answered = unsafe {
        call(
            libc::SYS_write,
            NOTICE as u64,
            (&raw const answer) as u64,
            1,
        );
        call(libc::SYS_read, ANSWER as u64, (&raw mut answer) as u64, 1)
    };
    if answered != 1 || answer != RESCUE {
        // SAFETY: ends the process.
        unsafe { call(libc::SYS_exit_group, u64::from(128 + signal as u32), 0, 0) };
    }
    saved[REG_RIP] = RESCUE_ENTRY.load(Relaxed) as i64;
    saved[REG_RSP] = RESCUE_STACK.load(Relaxed) as i64;
    saved[REG_EFL] = CLEAN_FLAGS;
}
