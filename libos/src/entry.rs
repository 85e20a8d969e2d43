//! The first instructions of an image, up to the C library's `_start`, and the rescue entry.
//!
//! ```text
//! bespoke_entry -> start: platform, pages, heaps, files, main stack -> _start -> main
//! bespoke_pvh_user_entry -> bespoke_entry, on stock monitors
//! bespoke_rescue (after a fault, on its own stack) -> exports -> exit
//! ```
//! Owns the boot and rescue stacks; must never return to the monitor but by a hypercall.

use crate::platform::pvh;
use crate::{PAGES, filesystem, linux_stack, memory, platform, stats, time};
use bespoke_abi::VERSION;
use bespoke_abi::boot::{BootInfo, FLAG_USED_RAM};
use bespoke_abi::note::{IMAGE_NOTE_BYTES, TYPE_IMAGE};
use bespoke_abi::stats::BootPoint;
use bespoke_heap::{Contents, PageSource};
use core::arch::{asm, global_asm};

/// Enough for `start` and for the rescue, which unwind nothing and recurse nowhere.
pub const STACK_BYTES: usize = 16 << 10;

unsafe extern "C" {
    /// The stack of the start, and of what is brief afterwards: [`crate::interrupt`].
    pub static bespoke_boot_stack: u8;
}

global_asm!(
    ".pushsection .text.bespoke_entry, \"ax\", @progbits",
    ".globl bespoke_entry",
    "bespoke_entry:",
    "rdtsc",
    "shl rdx, 32",
    "lea rsi, [rax + rdx]",
    "lea rsp, [bespoke_boot_stack + {stack}]",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    // From the stub on a stock monitor, rdi = the monitor's start information.
    ".globl bespoke_pvh_user_entry, bespoke_pvh_user_fault",
    "bespoke_pvh_user_entry:",
    // Whether the memory is there in which everything else lies: on a stack where it always is.
    "mov esp, {low_stack}",
    "xor ebp, ebp",
    "mov rbx, rdi",
    "call {pvh_check}",
    "mov rdi, rbx",
    "lea rsp, [bespoke_boot_stack + {stack}]",
    "call {pvh_start}",
    "mov rdi, rax",
    "jmp bespoke_entry",
    "bespoke_pvh_user_fault:",
    "xor ebp, ebp",
    "call {pvh_fault}",
    ".globl bespoke_rescue",
    "bespoke_rescue:",
    "xor ebp, ebp",
    "call {rescue}",
    "ud2",
    ".popsection",
    ".pushsection .bespoke_stacks, \"aw\", @nobits",
    ".balign 64",
    ".globl bespoke_boot_stack",
    "bespoke_boot_stack: .skip {stack}",
    "bespoke_rescue_stack: .skip {stack}",
    "bespoke_rescue_stack_top:",
    ".popsection",
    ".pushsection .note.bespoke, \"a\", @note",
    ".balign 4",
    ".long 8, {note_bytes}, {note_type}",
    ".asciz \"Bespoke\"",
    ".long {version}, bespoke_note_flags",
    ".quad BESPOKE_STATS, bespoke_rescue, bespoke_rescue_stack_top, bespoke_stack_bytes, {request}",
    ".quad bespoke_interrupt, bespoke_interruptible_start, bespoke_interruptible_end",
    ".quad bespoke_shared_start, bespoke_shared_end",
    ".popsection",
    stack = const STACK_BYTES,
    start = sym start,
    rescue = sym rescue,
    pvh_check = sym pvh::check,
    pvh_start = sym pvh::start,
    low_stack = const pvh::LOW_STACK_TOP,
    pvh_fault = sym pvh::fault,
    request = sym platform::REQUEST,
    note_bytes = const IMAGE_NOTE_BYTES,
    note_type = const TYPE_IMAGE,
    version = const VERSION,
);

unsafe extern "Rust" {
    safe fn bespoke_start_heaps(source: &'static PageSource);
}

unsafe extern "C" {
    fn _start() -> !;
}

/// Brings the image up on the boot stack and enters the C library.
unsafe extern "C" fn start(info: *const BootInfo, first_instruction: u64) -> ! {
    stats().stamp(BootPoint::FirstInstruction, first_instruction);
    // SAFETY: `info` is what the monitor passed to the entry.
    unsafe { platform::start(info) };
    let info = platform::boot_info();
    let (ram, bytes) = (info.ram.start as usize, info.ram.bytes as usize);
    let holds = match info.flags & FLAG_USED_RAM {
        0 => Contents::Zero,
        _ => Contents::Any,
    };
    // SAFETY: the monitor promises that this memory is mapped, zero unless it says otherwise, and ours.
    unsafe { PAGES.start(ram, bytes, holds, &stats().pages, Some(give_back)) };
    PAGES.set_spare(memory::release_all);
    stats().stamp(BootPoint::Pages, time::tsc());
    bespoke_start_heaps(&PAGES);
    stats().stamp(BootPoint::Heaps, time::tsc());
    filesystem::start(info);
    // SAFETY: the monitor promises an unused stack there.
    let pointer =
        unsafe { linux_stack::build((info.stack.start + info.stack.bytes) as usize, info) };
    stats().stamp(BootPoint::Files, time::tsc());
    // SAFETY: the C library's entry, on the stack it expects (psABI 3.4.1): rdx is the function
    // to register with atexit, none.
    unsafe {
        asm!("mov rsp, {pointer}", "xor ebp, ebp", "xor edx, edx", "jmp {entry}",
            pointer = in(reg) pointer, entry = sym _start, options(noreturn))
    }
}

fn give_back(start: usize, bytes: usize) -> bool {
    // SAFETY: the page source calls this for free pages.
    unsafe { platform::give_back(start, bytes) }
}

/// After a fault: the application is gone, its files are still here.
unsafe extern "C" fn rescue() -> ! {
    filesystem::export_all();
    platform::exit(1)
}
