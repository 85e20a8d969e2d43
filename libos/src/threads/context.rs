//! The context switch: what a thread keeps while others run, in the library OS.
//!
//! ```text
//! saved stack pointer -> mxcsr, x87 control word | r15 r14 r13 r12 rbx rbp | return address
//! ```
//! A switch is a function call, so everything else is the caller's to save (psABI 3.2.3). The
//! thread pointer is the scheduler's business. Owns nothing; must never run on a stack that is
//! still in use by another thread.

use core::arch::{global_asm, naked_asm};

/// Words of a saved context.
const WORDS: usize = 8;
/// Default control words: mxcsr 0x1f80 (all exceptions masked), x87 0x37f, as Linux starts threads.
const CONTROL_WORDS: u64 = 0x037f_0000_1f80;

/// Saves the running context, its stack pointer in `*save`, and continues the context at `load`.
/// Returns when somebody switches back.
///
/// # Safety
///
/// `load` was stored by an earlier switch or made by [`prepare`], and has not been continued
/// since; its stack is intact. `save` is valid for a write.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *mut usize, load: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

global_asm!(
    ".pushsection .text.bespoke_thread_entry, \"ax\", @progbits",
    ".globl bespoke_thread_entry",
    "bespoke_thread_entry:",
    ".cfi_startproc",
    // The outermost frame of a thread.
    ".cfi_undefined rip",
    "xor ebp, ebp",
    "call r12",
    "mov rdi, r13",
    "call rbx",
    "mov edi, eax",
    "call r14",
    "ud2",
    ".cfi_endproc",
    ".popsection",
);

unsafe extern "C" {
    fn bespoke_thread_entry();
}

/// The functions a new thread runs, one after the other.
#[derive(Clone, Copy)]
pub struct Entry {
    /// First, for the scheduler.
    pub arrive: extern "C" fn(),
    /// Then the thread's own function.
    pub function: usize,
    /// The argument of `function`.
    pub argument: usize,
    /// Last, with what `function` returned.
    pub leave: extern "C" fn(i32) -> !,
}

/// Writes a context that runs `entry` on the stack below `top`, and returns its stack pointer.
///
/// # Safety
///
/// The memory below `top` is an unused stack.
pub unsafe fn prepare(top: usize, entry: Entry) -> usize {
    let top = top & !15;
    // The entry must find the stack aligned before it calls.
    let start = top - WORDS * size_of::<u64>();
    let words: [u64; WORDS] = [
        CONTROL_WORDS,
        0,
        entry.leave as usize as u64,
        entry.argument as u64,
        entry.arrive as usize as u64,
        entry.function as u64,
        0,
        bespoke_thread_entry as *const () as u64,
    ];
    // SAFETY: the caller's promise.
    unsafe { (start as *mut [u64; WORDS]).write(words) };
    start
}

#[cfg(test)]
mod tests {
    use super::{Entry, prepare, switch};
    use std::cell::Cell;
    use std::vec::Vec;

    std::thread_local! {
        static CONTEXTS: [Cell<usize>; 2] = const { [Cell::new(0), Cell::new(0)] };
        static SEEN: Cell<u64> = const { Cell::new(0) };
    }

    fn yield_to(from: usize, to: usize) {
        let (save, load) = CONTEXTS.with(|contexts| (contexts[from].as_ptr(), contexts[to].get()));
        // SAFETY: `to` is suspended, by a switch or by `prepare`.
        unsafe { switch(save, load) };
    }

    extern "C" fn arrive() {
        SEEN.set(SEEN.get() * 10 + 1);
    }

    extern "C" fn work(argument: usize) -> i32 {
        assert_eq!(&raw const argument as usize % 8, 0);
        for _ in 0..2 {
            SEEN.set(SEEN.get() * 10 + argument as u64);
            yield_to(1, 0);
        }
        // A misaligned stack would fault in vector code.
        assert_eq!(
            std::format!("{:.2}", f64::from(SEEN.get() as u32) / 2.0),
            "687.50"
        );
        9
    }

    extern "C" fn leave(result: i32) -> ! {
        SEEN.set(SEEN.get() * 10 + result as u64);
        yield_to(1, 0);
        unreachable!("the test is over");
    }

    #[test]
    fn two_contexts_take_turns() {
        let mut stack = Vec::<u128>::with_capacity(16 << 10);
        let top = stack.as_mut_ptr() as usize + stack.capacity() * 16;
        let entry = Entry {
            arrive,
            function: work as *const () as usize,
            argument: 3,
            leave,
        };
        // SAFETY: the stack outlives the test.
        let context = unsafe { prepare(top, entry) };
        CONTEXTS.with(|contexts| contexts[1].set(context));
        yield_to(0, 1);
        assert_eq!(SEEN.get(), 13);
        SEEN.set(137);
        yield_to(0, 1);
        assert_eq!(SEEN.get(), 1373);
        SEEN.set(1375);
        yield_to(0, 1);
        assert_eq!(SEEN.get(), 13759);
    }
}
