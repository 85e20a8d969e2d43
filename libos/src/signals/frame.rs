//! Runs a handler: what it is told of the signal and of what was interrupted, and what it changed there.
//!
//! A handler is called as a function. Of a thread that was interrupted (`crate::interrupt`) all registers are known, and
//! the handler may change them; of one that made a system call the library OS knows the stack pointer, and a handler that
//! changes `rip` makes the thread go on there.

use super::queue::Info;
use crate::interrupt::Context;
use core::arch::naked_asm;

/// Bytes of `siginfo_t` and an upper bound of `ucontext_t` (x86-64).
pub const SIGINFO_BYTES: usize = 128;
const UCONTEXT_BYTES: usize = 968;
/// Words of a `ucontext_t` (x86-64): `uc_stack`, `uc_mcontext.gregs`, `fpregs`, `uc_sigmask`.
const STACK: usize = 2;
const REGISTERS: usize = 5;
const EXTENDED: usize = 28;
const MASK: usize = 37;
/// Places in `gregs` of the registers in the order of [`Context::general`].
const GENERAL: [usize; 16] = [13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7];
const RSP: usize = 15;
const RIP: usize = 16;
const FLAGS: usize = 17;
/// Code segment 0x33 and stack segment 0x2b, as Linux has them.
const SEGMENTS: (usize, u64) = (18, 0x002b_0000_0000_0033);
const ERROR: usize = 19;
const VECTOR: usize = 20;
const ADDRESS: usize = 22;

/// What a handler runs with.
pub struct Setting {
    /// The handler.
    pub handler: usize,
    /// Top of the stack it runs on; `None`: this one.
    pub stack: Option<usize>,
    /// `uc_stack`.
    pub alternate: [u64; 3],
    /// The mask that was in force.
    pub blocked: u64,
    /// Stack pointer of the call that is interrupted, where there is no context.
    pub stack_pointer: usize,
}

/// What a handler left behind.
pub struct Left {
    /// The mask that is to hold.
    pub blocked: u64,
    /// Where a thread that made a system call is to go on instead of returning from it.
    pub continuation: Option<usize>,
}

/// Runs a handler; changes `context` as it did.
///
/// # Safety
///
/// The handler is a function of the program for signals, the stack an unused one, and nothing is borrowed.
pub unsafe fn run(setting: &Setting, info: Info, mut context: Option<&mut Context>) -> Left {
    let mut siginfo = [0u64; SIGINFO_BYTES / 8];
    siginfo[..4].copy_from_slice(&info.0);
    let mut ucontext = [0u64; UCONTEXT_BYTES / 8];
    ucontext[STACK..STACK + 3].copy_from_slice(&setting.alternate);
    ucontext[MASK] = setting.blocked;
    let entry = crate::calls::bespoke_syscall as *const () as u64;
    let registers = &mut ucontext[REGISTERS..];
    registers[SEGMENTS.0] = SEGMENTS.1;
    match &context {
        Some(context) => {
            for (&place, &value) in GENERAL.iter().zip(&context.general) {
                registers[place] = value;
            }
            (registers[RIP], registers[FLAGS]) = (context.rip, context.flags);
            (registers[ERROR], registers[VECTOR]) = (context.error_code, context.vector);
            registers[ADDRESS] = context.address;
            ucontext[EXTENDED] = context.extended.as_ptr() as u64;
        }
        None => (registers[RSP], registers[RIP]) = (setting.stack_pointer as u64, entry),
    }
    let (signal, info, words) = (info.signal(), siginfo.as_mut_ptr(), ucontext.as_mut_ptr());
    // SAFETY: the caller's promise; extra arguments are harmless to a handler that takes one (psABI).
    unsafe {
        match setting.stack {
            Some(stack) => call_on(stack & !15, setting.handler, signal, info, words),
            None => {
                let handler: extern "C" fn(u32, *mut u64, *mut u64) =
                    core::mem::transmute(setting.handler);
                handler(signal, info, words);
            }
        }
    }
    let ucontext = core::hint::black_box(ucontext);
    let registers = &ucontext[REGISTERS..];
    if let Some(context) = &mut context {
        for (&place, value) in GENERAL.iter().zip(&mut context.general) {
            *value = registers[place];
        }
        (context.rip, context.flags) = (registers[RIP], registers[FLAGS]);
    }
    let is_moved = context.is_none() && registers[RIP] != entry;
    Left {
        blocked: ucontext[MASK],
        continuation: is_moved.then_some(registers[RIP] as usize),
    }
}

/// Calls `handler` on the stack below `stack`, which is aligned.
#[unsafe(naked)]
unsafe extern "C" fn call_on(
    stack: usize,
    handler: usize,
    signal: u32,
    info: *mut u64,
    context: *mut u64,
) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov rsp, rdi",
        "mov rax, rsi",
        "mov edi, edx",
        "mov rsi, rcx",
        "mov rdx, r8",
        "call rax",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}
