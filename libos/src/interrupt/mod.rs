//! Interrupts: how the application loses the processor although it makes no system call, and how its faults become
//! signals.
//!
//! A monitor interrupts only code between `bespoke_interruptible_start` and `_end` (`libos/image.ld`): the application
//! and the C library, but never the library OS, a heap, or what these call. So nothing here is ever borrowed when an
//! interrupt comes, and it may do what a system call may: look at timers and devices, deliver signals, let others run.
//! An interrupt that would come elsewhere is made up for at the end of the next system call
//! ([`bespoke_abi::stats::MISSED_INTERRUPT`]).
//!
//! The context of an interrupted thread stays on its own stack, below the red zone, until the thread goes on. That of a
//! fault whose handler runs on an alternate stack stays there, for a stack that overflowed has no room.

#[cfg(not(test))]
mod entry;
mod fault;

use crate::signals::{self, Info};
use crate::{memory, stats, threads};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::VECTOR_TICK;

#[cfg(not(test))]
use entry::{EXTENDED_BYTES, bespoke_handle_below, bespoke_resume};

#[cfg(test)]
const EXTENDED_BYTES: usize = 2688;
#[cfg(test)]
unsafe fn bespoke_resume(_: *const Context) -> ! {
    unreachable!("host programs are not interrupted")
}
#[cfg(test)]
unsafe fn bespoke_handle_below(_: *mut Context) -> ! {
    unreachable!("host programs are not interrupted")
}

/// Bytes below the stack pointer that a function may use (psABI 3.2.2).
const RED_ZONE_BYTES: usize = 128;
/// What handling an interrupt takes of the stack it runs on, generously.
const NEEDED_BYTES: usize = 16 << 10;

/// All registers of interrupted code, and why it was interrupted.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Context {
    /// As `fxsave` or `xsave` stores it.
    pub extended: [u8; EXTENDED_BYTES],
    /// General registers in DWARF order: rax rdx rcx rbx rsi rdi rbp rsp r8 ... r15.
    pub general: [u64; 16],
    /// Where to go on.
    pub rip: u64,
    /// Flags.
    pub flags: u64,
    /// Exception vector, or [`VECTOR_TICK`].
    pub vector: u64,
    /// Error code of the exception.
    pub error_code: u64,
    /// Address of a page fault.
    pub address: u64,
}

impl Context {
    fn stack_pointer(&self) -> usize {
        self.general[7] as usize
    }
}

/// On the boot stack, right after an interrupt at `rip`: finds a place for `context` and goes on there.
///
/// # Safety
///
/// Called by the entry alone, with the context that it saved.
unsafe extern "C" fn arrive(context: &mut Context, rip: u64) -> ! {
    let record = &stats().interrupt;
    context.rip = rip;
    context.vector = record.vector.get();
    context.error_code = record.error_code.get();
    context.address = record.address.get();
    if fault::is_page_fault(context) && memory::touched(context.address as usize) {
        // There is memory now.
        // SAFETY: the context of what was interrupted.
        unsafe { bespoke_resume(context) }
    }
    // What `handle` takes of the stack must be there.
    memory::room(context.stack_pointer(), NEEDED_BYTES + size_of::<Context>());
    let Some(top) = place(context) else {
        // The same fault once more, and this time nobody handles it: the monitor reports it.
        stats().handled.set(0);
        stats().declined.set(fault::signal(context).0.into());
        context.rip = fault::again(context);
        // SAFETY: the context of what was interrupted.
        unsafe { bespoke_resume(context) }
    };
    let copy = ((top - size_of::<Context>()) & !(align_of::<Context>() - 1)) as *mut Context;
    // SAFETY: memory below the interrupted frame and its red zone, or the top of an alternate stack that nobody uses.
    unsafe {
        copy.copy_from_nonoverlapping(context, 1);
        bespoke_handle_below(copy)
    }
}

/// Below which address the context may lie; `None` for a fault that no handler can have.
fn place(context: &Context) -> Option<usize> {
    let stack_pointer = context.stack_pointer();
    let below = stack_pointer.saturating_sub(RED_ZONE_BYTES);
    if context.vector == VECTOR_TICK {
        return Some(below);
    }
    let (signal, ..) = fault::signal(context);
    if let Some(top) = signals::stack_for_fault(signal, stack_pointer)? {
        return Some(top);
    }
    // The page that cannot be used must not be among those that handling the fault takes.
    let taken =
        stack_pointer.saturating_sub(NEEDED_BYTES)..stack_pointer.saturating_add(PAGE_BYTES);
    let hits_stack = fault::is_page_fault(context) && taken.contains(&(context.address as usize));
    (!hits_stack).then_some(below)
}

/// On the stack below `context`: does what the interrupt is for, and goes back.
///
/// # Safety
///
/// Called by the entry alone, with a context in its place.
unsafe extern "C" fn handle(context: &mut Context) -> ! {
    if context.vector == VECTOR_TICK {
        threads::preempt();
    } else {
        let (signal, code, address) = fault::signal(context);
        let info = Info::fault(signal, code, address);
        signals::deliver_fault(info, context);
    }
    signals::deliver_interrupted(context);
    // SAFETY: this context, changed by handlers alone, which may.
    unsafe { bespoke_resume(context) }
}
