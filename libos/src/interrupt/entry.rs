//! Where a monitor makes an interrupted image go on, and the way back: every register, extended state included.
//!
//! ```text
//! monitor: statistics page <- rip, vector, error code, address; rip := bespoke_interrupt
//!   -> all registers to a context on the boot stack, which nobody uses after the start
//!   -> super::arrive: the context to where it may stay, super::handle on the stack below it
//!   -> resume: all registers back
//! ```
//! Neither direction may be interrupted or fault: this is no code that may be interrupted. There is no `iret`, for our
//! monitors give the machine no descriptor tables; the last two registers come from memory of which there is one.

use super::Context;
use bespoke_abi::stats::{Interrupt, StatsPage};
use core::arch::global_asm;
use core::mem::offset_of;

/// The states that are saved: x87, SSE, AVX and AVX-512, of which the boot stack and threads' stacks have room.
const STATES: u32 = 0xe7;
/// Bytes of those states in the standard format of `xsave`.
pub const EXTENDED_BYTES: usize = 2688;
/// Where the header of that format lies; it must be zero before `xsave` writes its part of it.
const HEADER: usize = 512;

unsafe extern "C" {
    /// Continues what was interrupted in `context`.
    pub fn bespoke_resume(context: *const Context) -> !;
    /// Calls [`super::handle`] with `context`, on the stack below it.
    pub fn bespoke_handle_below(context: *mut Context) -> !;
}

global_asm!(
    ".pushsection .text.bespoke_interrupt, \"ax\", @progbits",
    ".globl bespoke_interrupt, bespoke_resume, bespoke_handle_below",
    "bespoke_interrupt:",
    "mov [{context} + {general} + 7 * 8], rsp",
    "lea rsp, [bespoke_boot_stack + {stack}]",
    "pushfq",
    "pop qword ptr [{context} + {flags}]",
    // No direction, alignment check or single step of the program's.
    "push 2",
    "popfq",
    "mov [{context} + {general} + 0 * 8], rax",
    "mov [{context} + {general} + 1 * 8], rdx",
    "mov [{context} + {general} + 2 * 8], rcx",
    "mov [{context} + {general} + 3 * 8], rbx",
    "mov [{context} + {general} + 4 * 8], rsi",
    "mov [{context} + {general} + 5 * 8], rdi",
    "mov [{context} + {general} + 6 * 8], rbp",
    "mov [{context} + {general} + 8 * 8], r8",
    "mov [{context} + {general} + 9 * 8], r9",
    "mov [{context} + {general} + 10 * 8], r10",
    "mov [{context} + {general} + 11 * 8], r11",
    "mov [{context} + {general} + 12 * 8], r12",
    "mov [{context} + {general} + 13 * 8], r13",
    "mov [{context} + {general} + 14 * 8], r14",
    "mov [{context} + {general} + 15 * 8], r15",
    // Once: whether there is `xsave`, from CPUID.1:ECX.OSXSAVE.
    "cmp byte ptr [bespoke_extended], 0",
    "jne 1f",
    "mov eax, 1",
    "xor ecx, ecx",
    "cpuid",
    "shr ecx, 27",
    "and ecx, 1",
    "inc ecx",
    "mov [bespoke_extended], cl",
    "1:",
    "cmp byte ptr [bespoke_extended], 1",
    "ja 2f",
    "fxsave64 [{context}]",
    "jmp 3f",
    "2:",
    "xor eax, eax",
    "mov edi, offset {context} + {header}",
    "mov ecx, 8",
    "rep stosq",
    "mov eax, {states}",
    "xor edx, edx",
    "xsave64 [{context}]",
    "3:",
    // What a function may rely on (psABI 3.2.1), whatever the program set.
    "fninit",
    "push 0x1f80",
    "ldmxcsr [rsp]",
    "lea rsp, [bespoke_boot_stack + {stack}]",
    "xor ebp, ebp",
    "mov edi, offset {context}",
    "mov rsi, [BESPOKE_STATS + {rip}]",
    "call {arrive}",
    "ud2",
    "bespoke_handle_below:",
    "mov rsp, rdi",
    "xor ebp, ebp",
    "call {handle}",
    "ud2",
    "bespoke_resume:",
    "cmp byte ptr [bespoke_extended], 1",
    "ja 4f",
    "fxrstor64 [rdi]",
    "jmp 5f",
    "4:",
    "mov eax, {states}",
    "xor edx, edx",
    "xrstor64 [rdi]",
    "5:",
    "mov rax, [rdi + {context_rip}]",
    "mov [bespoke_target], rax",
    "mov rax, [rdi + {general} + 7 * 8]",
    "mov [bespoke_target + 8], rax",
    "push qword ptr [rdi + {flags}]",
    "mov rax, [rdi + {general} + 0 * 8]",
    "mov rdx, [rdi + {general} + 1 * 8]",
    "mov rcx, [rdi + {general} + 2 * 8]",
    "mov rbx, [rdi + {general} + 3 * 8]",
    "mov rsi, [rdi + {general} + 4 * 8]",
    "mov rbp, [rdi + {general} + 6 * 8]",
    "mov r8, [rdi + {general} + 8 * 8]",
    "mov r9, [rdi + {general} + 9 * 8]",
    "mov r10, [rdi + {general} + 10 * 8]",
    "mov r11, [rdi + {general} + 11 * 8]",
    "mov r12, [rdi + {general} + 12 * 8]",
    "mov r13, [rdi + {general} + 13 * 8]",
    "mov r14, [rdi + {general} + 14 * 8]",
    "mov r15, [rdi + {general} + 15 * 8]",
    "mov rdi, [rdi + {general} + 5 * 8]",
    "popfq",
    "mov rsp, [bespoke_target + 8]",
    "jmp qword ptr [bespoke_target]",
    ".popsection",
    ".pushsection .bss.bespoke_interrupt, \"aw\", @nobits",
    ".balign 16",
    "bespoke_target: .skip 16",
    // 0: not known; 1: `fxsave`; 2: `xsave`.
    "bespoke_extended: .skip 1",
    ".popsection",
    // The bottom of the boot stack; `arrive` needs little of its top.
    context = sym crate::entry::bespoke_boot_stack,
    stack = const crate::entry::STACK_BYTES,
    header = const HEADER,
    states = const STATES,
    rip = const offset_of!(StatsPage, interrupt) + offset_of!(Interrupt, rip),
    general = const offset_of!(Context, general),
    flags = const offset_of!(Context, flags),
    context_rip = const offset_of!(Context, rip),
    arrive = sym super::arrive,
    handle = sym super::handle,
);
