//! The fault handler inside a guest process. Owns the alternate stack; must never use thread-local
//! storage (the guest owns the FS base, so not even libc's `errno`), allocate, or trust that it will return.
//!
//! It writes what it saw to the control page, tells the parent, and waits: the parent reads the guest's memory
//! meanwhile and answers whether to go on at the rescue entry.

use super::control::Control;
use super::{ANSWER, NOTICE, RESCUE, WAKE};
use crate::signals::PASSED_ON;
use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::io;
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
const REG_RSP: usize = libc::REG_RSP as usize;
const REG_RIP: usize = libc::REG_RIP as usize;
const REG_EFL: usize = libc::REG_EFL as usize;
const ALIGNMENT_CHECK: i32 = 1 << 18;
/// Interrupts on, all else clear.
const CLEAN_FLAGS: i64 = 0x202;

static CONTROL: AtomicPtr<Control> = AtomicPtr::new(std::ptr::null_mut());
static RESCUE_ENTRY: AtomicU64 = AtomicU64::new(0);
static RESCUE_STACK: AtomicU64 = AtomicU64::new(0);
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

/// Leaves the signals that the parent passes on to the parent, and lets [`WAKE`] end a sleep.
pub(super) fn leave_signals() -> io::Result<()> {
    extern "C" fn wake(_signal: c_int) {}
    // SAFETY: zero is a valid start; the handler touches nothing, not even its argument.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_IGN;
        for signal in PASSED_ON {
            if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        action.sa_sigaction = wake as *const () as usize;
        // Not SA_RESTART: what sleeps is to come back.
        action.sa_flags = libc::SA_ONSTACK;
        if libc::sigaction(WAKE, &action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
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
    // Linux keeps the guest's alignment-check flag in handlers, and compiled code does not align.
    // SAFETY: changes that flag alone.
    unsafe { asm!("pushfq", "and dword ptr [rsp], {}", "popfq", const !ALIGNMENT_CHECK) };
    // SAFETY: the kernel passes both, valid for the handler; the control page is never unmapped by us.
    let (info, context, control) = unsafe {
        (
            &*info.cast::<[u32; 8]>(),
            &mut *context.cast::<libc::ucontext_t>(),
            &*CONTROL.load(Relaxed),
        )
    };
    /// `si_syscall` in words from the start of `siginfo_t`.
    const SI_SYSCALL: usize = 6;
    let refused = if signal == libc::SIGSYS {
        info[SI_SYSCALL]
    } else {
        0
    };
    control.refused_call.store(refused, SeqCst);
    let saved = &mut context.uc_mcontext.gregs;
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
