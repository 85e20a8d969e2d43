//! How threads begin and end: `clone` as the C library's `pthread_create` uses it, and `exit`.
//! Owns nothing. Must never free a stack that a thread still runs on.

use super::context::{self, Entry};
use super::{SCHEDULER, run_others};
use crate::calls::errno;
use crate::memory::{self, Rights};
use crate::{platform, signals};
use linux_raw_sys::general::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_THREAD,
    CLONE_VM,
};

/// What `clone` is asked for.
#[derive(Clone, Copy)]
pub struct Request {
    /// The thread's function.
    pub function: usize,
    /// Its argument.
    pub argument: usize,
    /// Top of its stack.
    pub stack: usize,
    /// `CLONE_*`.
    pub flags: u32,
    /// Where the parent finds the thread's number.
    pub parent_tid: usize,
    /// Its FS base.
    pub thread_pointer: usize,
    /// Where the child finds its number, and what is cleared when it ends.
    pub child_tid: usize,
}

/// Starts a thread; answers its number. It runs when the caller next gives the processor away.
///
/// # Errors
///
/// `ENOSYS` for a new process, which an image cannot have; `EAGAIN` when memory is exhausted.
///
/// # Safety
///
/// The request is a program's: an unused stack, a function, words where the flags ask for them.
pub unsafe fn clone(request: Request) -> Result<usize, isize> {
    let flags = request.flags;
    if flags & (CLONE_VM | CLONE_THREAD) != CLONE_VM | CLONE_THREAD {
        return Err(errno::ENOSYS);
    }
    let entry = Entry {
        arrive,
        function: request.function,
        argument: request.argument,
        leave,
    };
    // SAFETY: the caller's promise.
    let stack_pointer = unsafe { context::prepare(request.stack, entry) };
    let tid = SCHEDULER.with(|scheduler| {
        let parent = scheduler.running();
        let (pointer, blocked, name) = (parent.thread_pointer, parent.blocked, parent.name);
        let rank = parent.rank.inherited();
        let id = scheduler.start(|thread| {
            thread.stack_pointer = stack_pointer;
            thread.thread_pointer = if flags & CLONE_SETTLS != 0 {
                request.thread_pointer
            } else {
                pointer
            };
            if flags & CLONE_CHILD_CLEARTID != 0 {
                thread.clear_tid = request.child_tid;
            }
            (thread.blocked, thread.name, thread.rank) = (blocked, name, rank);
        });
        id.map(|id| scheduler.table.get(id).tid)
    });
    let tid = tid.ok_or(errno::EAGAIN)?;
    platform::begin_interrupts();
    for (flag, address) in [
        (CLONE_PARENT_SETTID, request.parent_tid),
        (CLONE_CHILD_SETTID, request.child_tid),
    ] {
        if flags & flag != 0 && memory::allows(address, size_of::<u32>(), Rights::Write) {
            // SAFETY: the caller's promise.
            unsafe { (address as *mut u32).write(tid) };
        }
    }
    Ok(tid as usize)
}

extern "C" fn arrive() {
    signals::deliver_pending();
}

extern "C" fn leave(code: i32) -> ! {
    exit_thread(code as u8)
}

/// Ends the running thread; with the last one ends the image.
pub fn exit_thread(code: u8) -> ! {
    let (clear_tid, last) = SCHEDULER.with(|scheduler| {
        let last = scheduler.table.used() == 1;
        (scheduler.running().clear_tid, last)
    });
    if last {
        crate::exit(code);
    }
    crate::calls::groups::thread_ends();
    if clear_tid != 0 && memory::allows(clear_tid, size_of::<u32>(), Rights::Write) {
        // SAFETY: the program asked for this word to be cleared now.
        unsafe { (clear_tid as *mut u32).write_volatile(0) };
        super::futex_wake(clear_tid, u32::MAX, 1);
    }
    signals::forget_thread(super::tid());
    SCHEDULER.with(|scheduler| scheduler.table.remove(scheduler.current));
    // The stack is used until the switch; nobody can get it before.
    loop {
        run_others();
    }
}
