//! Stacks of threads, each with a guard below that is really closed: small ones from the `stack` component, others at
//! addresses beyond RAM, where their pages become memory as they are touched.
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
use linux_raw_sys::general::{PROT_NONE, PROT_READ, PROT_WRITE};

struct Stack {
    start: NonNull<u8>,
    bytes: usize,
    /// What its thread knows of it starts here: less than the whole for one that was made for a
    /// larger request.
    base: usize,
    /// Closed bytes from `base` on.
    guard_bytes: usize,
    in_use: bool,
    /// It lies beyond RAM.
    is_far: bool,
}

impl Stack {
    /// Memory that it may hold after its thread is gone.
    fn kept_bytes(&self) -> usize {
        match self.is_far {
            true => MUSL_DEFAULT_BYTES,
            false => self.bytes,
        }
    }
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STACKS: Single<Vec<Stack>> = unsafe { Single::new(Vec::new()) };

/// Stacks without a thread are kept up to this part of the image's memory.
const KEPT_PART: u64 = 16;

/// Room for the C library's thread structure and thread-specific data besides the program's
/// thread-local storage: it expects zeros there. Its own sum is below 1,500 bytes.
const THREAD_BYTES: usize = 4096;

/// Up to this much is memory at once.
const MUSL_DEFAULT_BYTES: usize = 128 << 10;

/// Stacks that may be asked for in an image of less memory, too.
const MOST_BYTES: usize = 64 << 20;

/// Of a larger stack, this much is memory at once, and what the C library writes there.
const TOP_BYTES: usize = 32 << 10;

/// `MAP_FAILED`.
const FAILED: usize = usize::MAX;

unsafe extern "Rust" {
    safe fn bespoke_stack_allocate(layout: Layout) -> Option<NonNull<u8>>;
    fn bespoke_stack_free(start: NonNull<u8>, layout: Layout);
    safe fn bespoke_stack_frees() -> bool;
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
    let needed = crate::linux_stack::thread_local_bytes() + THREAD_BYTES;
    // What no memory could fill is a mistake.
    let most = MOST_BYTES.max(boot_info().total_bytes as usize);
    let far = (bytes > MUSL_DEFAULT_BYTES + needed + PAGE_BYTES && bytes <= most)
        .then(|| memory::stack(bytes, TOP_BYTES + needed))
        .flatten();
    let start = match far {
        Some(start) => NonNull::new(start as *mut u8)?,
        // As a last resort, too: all of it at once.
        None => bespoke_stack_allocate(layout(bytes)?)?,
    };
    let base = start.as_ptr() as usize;
    stacks.push(Stack {
        start,
        bytes,
        base,
        guard_bytes: 0,
        in_use: true,
        is_far: far.is_some(),
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
        let closed = close_guard(stack, guard_bytes);
        closed.then(|| stack.guard_bytes = guard_bytes)
    });
    if closed.is_some() { 0 } else { -1 }
}

/// Closes the lowest pages of a stack on which nobody runs yet; whether the monitor did.
fn close_guard(stack: &Stack, bytes: usize) -> bool {
    match stack.is_far {
        true => memory::mprotect(stack.base, bytes, PROT_NONE as usize).is_ok(),
        // SAFETY: nobody runs there.
        false => unsafe { memory::guard(stack.base, bytes, true) },
    }
}

fn open_guard(stack: &mut Stack) {
    let (base, bytes) = (stack.base, stack.guard_bytes);
    if stack.is_far && bytes > 0 {
        let rights = PROT_READ | PROT_WRITE;
        // Where there is no memory for it now, it comes as it is touched.
        let _ = memory::mprotect(base, bytes, rights as usize);
    } else if bytes > 0 {
        // SAFETY: makes memory of ours usable.
        unsafe { memory::guard(base, bytes, false) };
    }
    stack.guard_bytes = 0;
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
    let frees = bespoke_stack_frees();
    let kept = stacks.iter().filter(|stack| !stack.in_use);
    let mut kept: usize = kept.map(Stack::kept_bytes).sum();
    stacks.retain_mut(|stack| {
        let stays = stack.in_use
            || kept <= kept_bytes
            || spared == Some(stack.base)
            || !frees && !stack.is_far;
        if stays {
            return true;
        }
        kept -= stack.kept_bytes();
        if stack.is_far {
            // Where that fails, the addresses are lost, and the memory of some of its pages.
            let _ = memory::munmap(stack.start.as_ptr() as usize, stack.bytes);
        } else if let Some(layout) = layout(stack.bytes) {
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
