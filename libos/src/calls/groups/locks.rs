//! Locks that threads own: words that hold their owner's number and lend its waiters' priority (`FUTEX_LOCK_PI` and the
//! like), lists of locks that outlive their owner (`get_robust_list`), and `FUTEX_WAKE_OP`.
//!
//! One processor runs one process without priorities, so nothing is lent: a lock goes to the thread that has waited
//! longest. Owns nothing; who waits belongs to `crate::threads`.

use super::call_group;
use crate::calls::process::ROBUST_LIST_BYTES;
use crate::calls::time::load;
use crate::calls::waiting::FUTEX;
use crate::calls::{Arguments, Outcome, errno, pointer, target};
use crate::memory::{self, Rights};
use crate::signals;
use crate::threads::{self, Cause};
use crate::time::{monotonic_ns, wall_ns};
use linux_raw_sys::general::{
    __NR_get_robust_list, FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMD_MASK,
    FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_OP_ADD, FUTEX_OP_ANDN, FUTEX_OP_CMP_EQ, FUTEX_OP_CMP_GE,
    FUTEX_OP_CMP_GT, FUTEX_OP_CMP_LE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_NE, FUTEX_OP_OR, FUTEX_OP_SET,
    FUTEX_OP_XOR, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI,
    FUTEX_WAITERS, FUTEX_WAKE_OP,
};

/// Answers calls on locks.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    // SAFETY: pointers are the program's own, checked in each.
    unsafe {
        if number == FUTEX {
            return Some(futex(arguments));
        }
        Some(match number as u32 {
            __NR_get_robust_list => robust_list(a, b, c),
            _ => return None,
        })
    }
}

unsafe fn robust_list(tid: usize, list: usize, bytes: usize) -> Outcome {
    let tid = match tid as u32 {
        0 => threads::tid(),
        tid => tid,
    };
    let head = threads::with_thread(tid, |thread| thread.robust_list).ok_or(errno::ESRCH)?;
    // SAFETY: the program's own words.
    unsafe {
        target::<usize>(bytes)?.write(ROBUST_LIST_BYTES);
        target::<usize>(list)?.write(head);
    }
    Ok(0)
}

unsafe fn futex(arguments: Arguments) -> Outcome {
    let [address, operation, _, timeout, ..] = arguments;
    let (command, operation) = (operation as u32 & FUTEX_CMD_MASK as u32, operation as u32);
    let is_of_wall = operation & FUTEX_CLOCK_REALTIME != 0;
    // Only one of them asks for a clock.
    if is_of_wall && command != FUTEX_LOCK_PI2 {
        return Err(errno::ENOSYS);
    }
    // SAFETY: the caller's promise.
    unsafe {
        match command {
            FUTEX_LOCK_PI => lock(address, deadline(timeout, true)?),
            FUTEX_LOCK_PI2 => lock(address, deadline(timeout, is_of_wall)?),
            FUTEX_TRYLOCK_PI => match take(address)? {
                Taken::Own => Ok(0),
                Taken::Other => Err(errno::EAGAIN),
            },
            FUTEX_UNLOCK_PI => unlock(address),
            FUTEX_WAKE_OP => wake_and_change(arguments),
            _ => Err(errno::ENOSYS),
        }
    }
}

/// The monotonic time until which a lock is waited for.
unsafe fn deadline(timeout: usize, is_of_wall: bool) -> Result<Option<u64>, isize> {
    if timeout == 0 {
        return Ok(None);
    }
    // SAFETY: the program's own timeout.
    let ns = unsafe { load(timeout)? };
    Ok(Some(match is_of_wall {
        true => monotonic_ns().saturating_add(ns.saturating_sub(wall_ns())),
        false => ns,
    }))
}

/// Who has a lock after an attempt to take it.
enum Taken {
    Own,
    Other,
}

/// Takes a lock that nobody owns; tells the owner of another one that somebody waits.
unsafe fn take(address: usize) -> Result<Taken, isize> {
    let word = word(address)?;
    let own = threads::tid();
    // SAFETY: a checked word.
    let value = unsafe { word.read_volatile() };
    let owner = value & FUTEX_TID_MASK;
    if owner == own {
        return Err(errno::EDEADLK);
    }
    if owner == 0 {
        // SAFETY: as above.
        unsafe { word.write_volatile(own | value & FUTEX_OWNER_DIED) };
        return Ok(Taken::Own);
    }
    // SAFETY: as above.
    unsafe { word.write_volatile(value | FUTEX_WAITERS) };
    if threads::exists(owner) {
        Ok(Taken::Other)
    } else {
        Err(errno::ESRCH)
    }
}

fn word(address: usize) -> Result<*mut u32, isize> {
    if !(address as *const u32).is_aligned() {
        return Err(errno::EINVAL);
    }
    target(address)
}

/// Waits for a lock. Signals do not end that, but their handlers run.
unsafe fn lock(address: usize, deadline_ns: Option<u64>) -> Outcome {
    loop {
        // SAFETY: the caller's promise.
        if let Taken::Own = unsafe { take(address)? } {
            return Ok(0);
        }
        // A waiter of no bits: only `unlock` finds it.
        let cause = threads::futex_wait(address, 0, deadline_ns);
        // SAFETY: the word may be gone by now.
        let value = unsafe { pointer::<u32>(address)?.read_volatile() };
        if value & FUTEX_TID_MASK == threads::tid() {
            return Ok(0);
        }
        match cause {
            Cause::Expired => return Err(errno::ETIMEDOUT),
            Cause::Interrupted => {
                signals::deliver_pending();
            }
            Cause::Woken => {}
        }
    }
}

/// Gives a lock to the thread that has waited longest, or to nobody.
unsafe fn unlock(address: usize) -> Outcome {
    // As Linux, which looks at the owner before the alignment.
    let place: *mut u32 = target(address)?;
    // SAFETY: a checked word.
    let value = unsafe { place.read_unaligned() };
    if value & FUTEX_TID_MASK != threads::tid() {
        return Err(errno::EPERM);
    }
    hand_over(word(address)?, 0);
    Ok(0)
}

/// Makes the thread that has waited longest for `word` its owner, with `mark` besides.
fn hand_over(word: *mut u32, mark: u32) {
    let value = match threads::futex_heir(word as usize) {
        Some(tid) => tid | FUTEX_WAITERS | mark,
        None => 0,
    };
    // SAFETY: a checked word.
    unsafe { word.write_volatile(value) };
}

/// `FUTEX_WAKE_OP`: changes the second word, wakes waiters of the first, and those of the second if it had a certain value.
unsafe fn wake_and_change([address, _, value, second, other, code]: Arguments) -> Outcome {
    let limit = |value: usize| usize::try_from(value as i32).unwrap_or(0).max(1);
    if !(address as *const u32).is_aligned() {
        return Err(errno::EINVAL);
    }
    pointer::<u32>(address)?;
    let place = word(other)?;
    let signed = |shift: u32| (((code as u32) << shift) as i32) >> 20;
    let (mut operand, comparand) = (signed(8), signed(20));
    let (operation, comparison) = (code as u32 >> 28 & 7, code as u32 >> 24 & 0xf);
    // FUTEX_OP_OPARG_SHIFT
    if code as u32 >> 31 != 0 {
        operand = 1i32.wrapping_shl(operand as u32 & 31);
    }
    // SAFETY: a checked word.
    let before = unsafe { place.read_volatile() } as i32;
    let after = match operation {
        FUTEX_OP_SET => operand,
        FUTEX_OP_ADD => before.wrapping_add(operand),
        FUTEX_OP_OR => before | operand,
        FUTEX_OP_ANDN => before & !operand,
        FUTEX_OP_XOR => before ^ operand,
        _ => return Err(errno::ENOSYS),
    };
    // SAFETY: as above.
    unsafe { place.write_volatile(after as u32) };
    let is_met = match comparison {
        FUTEX_OP_CMP_EQ => before == comparand,
        FUTEX_OP_CMP_NE => before != comparand,
        FUTEX_OP_CMP_LT => before < comparand,
        FUTEX_OP_CMP_LE => before <= comparand,
        FUTEX_OP_CMP_GT => before > comparand,
        FUTEX_OP_CMP_GE => before >= comparand,
        _ => return Err(errno::ENOSYS),
    };
    let mut woken = threads::futex_wake(address, FUTEX_BITSET_MATCH_ANY, limit(value));
    if is_met {
        woken += threads::futex_wake(other, FUTEX_BITSET_MATCH_ANY, limit(second));
    }
    Ok(woken)
}

/// Gives away the locks of a thread that ends, as far as its list names them or somebody waits for them.
fn thread_ends() {
    let (own, list) = threads::with_running(|thread| (thread.tid, thread.robust_list));
    if list != 0 {
        release_list(own, list);
    }
    let owner = |address| {
        let is_readable = memory::allows(address, size_of::<u32>(), Rights::Write);
        // SAFETY: a checked word.
        is_readable.then(|| unsafe { (address as *const u32).read_volatile() } & FUTEX_TID_MASK)
    };
    // The list has marked the words of its locks by now, so they have no owner.
    while let Some(address) = threads::futex_to_own(
        |address| matches!(owner(address), Some(tid) if tid == own || tid == 0),
    ) {
        hand_over(address as *mut u32, FUTEX_OWNER_DIED);
    }
}

/// Most locks of a list that are looked at (`ROBUST_LIST_LIMIT`).
const LONGEST: usize = 2048;

/// Marks the locks of a list as those of a thread that has ended. The list is the program's, and may be anything.
fn release_list(own: u32, head: usize) -> Option<()> {
    let [mut entry, offset, pending] = read::<[usize; 3]>(head)?;
    let mut is_lent = entry & 1 != 0;
    entry &= !1;
    let (pending, is_pending_lent) = (pending & !1, pending & 1 != 0);
    for _ in 0..LONGEST {
        if entry == head {
            break;
        }
        let next = read::<usize>(entry);
        if entry != pending {
            release(own, entry.wrapping_add(offset), is_lent, false)?;
        }
        let next = next?;
        (entry, is_lent) = (next & !1, next & 1 != 0);
    }
    if pending != 0 {
        release(own, pending.wrapping_add(offset), is_pending_lent, true)?;
    }
    Some(())
}

/// Marks a lock, if it is the own one, and wakes one that waits for it. `is_lent`: a word that its waiters are to own.
/// `is_pending`: the thread was about to take it or to give it up.
fn release(own: u32, address: usize, is_lent: bool, is_pending: bool) -> Option<()> {
    let word = word(address).ok()?;
    // SAFETY: a checked word.
    let value = unsafe { word.read_volatile() };
    let owner = value & FUTEX_TID_MASK;
    if is_pending && !is_lent && owner == 0 {
        threads::futex_wake(address, FUTEX_BITSET_MATCH_ANY, 1);
        return Some(());
    }
    if owner != own {
        return Some(());
    }
    // SAFETY: as above.
    unsafe { word.write_volatile(value & FUTEX_WAITERS | FUTEX_OWNER_DIED) };
    if !is_lent && value & FUTEX_WAITERS != 0 {
        threads::futex_wake(address, FUTEX_BITSET_MATCH_ANY, 1);
    }
    Some(())
}

fn read<T>(address: usize) -> Option<T> {
    let place = pointer::<T>(address).ok()?;
    // SAFETY: checked memory of the program's, plain numbers.
    Some(unsafe { place.read_unaligned() })
}

call_group!(bespoke_calls_locks, plain: Some(call), files: None, thread_ends: Some(thread_ends));
