//! Stacks of threads, from the `stack` component, each with a guard below that is really closed.
//!
//! The C library's thread functions are compiled to call this module where they would map, protect
//! and unmap memory (`libc/overlay/config.mak`). Closing a page of a running guest is dear (65 us
//! and more), so a stack that is given up is kept with its guard for the next thread of that size.
//! Owns the list of stacks; must never write into a stack that was given up: its thread may
//! still run on it until it has switched away.

use crate::memory;
use crate::platform::boot_info;
use crate::single::Single;
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;
use core::alloc::Layout;
use core::ptr::NonNull;

struct Stack {
    start: NonNull<u8>,
    bytes: usize,
    /// What its thread knows of it starts here: less than the whole for one that was made for a
    /// larger request.
    base: usize,
    /// Closed bytes from `base` on.
    guard_bytes: usize,
    in_use: bool,
}

static STACKS: Single<Vec<Stack>> = Single::new(Vec::new());

/// Stacks without a thread are kept up to this part of the image's memory.
const KEPT_PART: u64 = 16;

/// Room for the C library's thread structure and thread-specific data besides the program's
/// thread-local storage: it expects zeros there. Its own sum is below 1,500 bytes.
const THREAD_BYTES: usize = 4096;

/// `MAP_FAILED`.
const FAILED: usize = usize::MAX;

unsafe extern "Rust" {
    safe fn bespoke_stack_allocate(layout: Layout) -> Option<NonNull<u8>>;
    fn bespoke_stack_free(start: NonNull<u8>, layout: Layout);
    safe fn bespoke_stack_frees() -> bool;
}

/// Most bytes a program gets for the stack of a thread: a quarter of the main one, which the recipe
/// sizes, and no less than musl gives who asks for nothing.
#[unsafe(no_mangle)]
extern "C" fn bespoke_stack_limit() -> usize {
    const MUSL_DEFAULT_BYTES: usize = 128 << 10;
    (boot_info().stack.bytes as usize / 4).max(MUSL_DEFAULT_BYTES)
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, PAGE_BYTES).ok()
}

/// In place of `mmap`: a stack of `bytes` bytes, zero where the C library puts thread data.
#[unsafe(no_mangle)]
extern "C" fn bespoke_stack_map(
    _hint: usize,
    bytes: usize,
    _protection: i32,
    _flags: i32,
    _descriptor: i32,
    _offset: i64,
) -> usize {
    let Some(base) = STACKS.with(|stacks| provide(stacks, bytes)) else {
        return FAILED;
    };
    let cleared = (crate::linux_stack::thread_local_bytes() + THREAD_BYTES).min(bytes);
    // SAFETY: the stack reaches `bytes` from its base on, and nobody runs on it.
    unsafe { ((base + bytes - cleared) as *mut u8).write_bytes(0, cleared) };
    base
}

/// A kept stack of that size, a new one, or, when memory is exhausted, a part of a kept one.
fn provide(stacks: &mut Vec<Stack>, bytes: usize) -> Option<usize> {
    reuse(stacks, |kept| kept == bytes, bytes)
        .or_else(|| make(stacks, bytes))
        .or_else(|| reuse(stacks, |kept| kept >= bytes, bytes))
        .or_else(|| {
            release_kept(stacks, 0, None);
            make(stacks, bytes)
        })
}

fn reuse(stacks: &mut [Stack], fits: impl Fn(usize) -> bool, bytes: usize) -> Option<usize> {
    let vacant = |stack: &&mut Stack| !stack.in_use && fits(stack.bytes);
    let stack = stacks.iter_mut().find(vacant)?;
    let base = stack.start.as_ptr() as usize + stack.bytes - bytes;
    if base != stack.base {
        open_guard(stack);
        stack.base = base;
    }
    stack.in_use = true;
    Some(base)
}

fn make(stacks: &mut Vec<Stack>, bytes: usize) -> Option<usize> {
    stacks.try_reserve(1).ok()?;
    let start = bespoke_stack_allocate(layout(bytes)?)?;
    let base = start.as_ptr() as usize;
    stacks.push(Stack {
        start,
        bytes,
        base,
        guard_bytes: 0,
        in_use: true,
    });
    Some(base)
}

/// In place of `mprotect`: opens all from `address` on, so what lies below is the guard.
#[unsafe(no_mangle)]
extern "C" fn bespoke_stack_protect(address: usize, _bytes: usize, _protection: i32) -> i32 {
    let closed = STACKS.with(|stacks| {
        let holds = |stack: &&mut Stack| {
            stack.in_use
                && (stack.base..stack.start.as_ptr() as usize + stack.bytes).contains(&address)
        };
        let stack = stacks.iter_mut().find(holds)?;
        let guard_bytes = address - stack.base;
        if stack.guard_bytes == guard_bytes {
            return Some(());
        }
        open_guard(stack);
        // SAFETY: the lowest pages of a stack on which nobody runs yet.
        let closed = unsafe { memory::guard(stack.base, guard_bytes, true) };
        closed.then(|| stack.guard_bytes = guard_bytes)
    });
    if closed.is_some() { 0 } else { -1 }
}

fn open_guard(stack: &mut Stack) {
    if stack.guard_bytes > 0 {
        // SAFETY: makes memory of ours usable.
        unsafe { memory::guard(stack.base, stack.guard_bytes, false) };
        stack.guard_bytes = 0;
    }
}

/// In place of `munmap`: the stack may go to another thread.
#[unsafe(no_mangle)]
extern "C" fn bespoke_stack_unmap(base: usize, _bytes: usize) -> i32 {
    STACKS.with(|stacks| {
        let known = |stack: &&mut Stack| stack.in_use && stack.base == base;
        if let Some(stack) = stacks.iter_mut().find(known) {
            stack.in_use = false;
        }
        let kept_bytes = boot_info().total_bytes / KEPT_PART;
        release_kept(stacks, kept_bytes as usize, Some(base));
    });
    0
}

/// Gives stacks without a thread back to the heap, if that can use them again, until no more than
/// `kept_bytes` are kept. `spared` stays: the caller may run on it.
fn release_kept(stacks: &mut Vec<Stack>, kept_bytes: usize, spared: Option<usize>) {
    if !bespoke_stack_frees() {
        return;
    }
    let kept = stacks.iter().filter(|stack| !stack.in_use);
    let mut kept: usize = kept.map(|stack| stack.bytes).sum();
    stacks.retain_mut(|stack| {
        let stays = stack.in_use || kept <= kept_bytes || spared == Some(stack.base);
        if let (false, Some(layout)) = (stays, layout(stack.bytes)) {
            kept -= stack.bytes;
            open_guard(stack);
            // SAFETY: allocated with this layout; no thread is on it.
            unsafe { bespoke_stack_free(stack.start, layout) };
        }
        stays
    });
}

/// In place of `__unmapself`: a detached thread gives up its stack and ends.
#[unsafe(no_mangle)]
extern "C" fn bespoke_unmap_self(start: usize, bytes: usize) -> ! {
    bespoke_stack_unmap(start, bytes);
    super::exit_thread(0)
}
