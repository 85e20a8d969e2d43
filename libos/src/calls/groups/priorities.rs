//! Nice values of threads, and their priorities for disks: kept for each and read back, without an effect.

use super::call_group;
use super::identity::{SYS_NICE, has};
use crate::calls::{Arguments, Outcome, errno};
use crate::threads::{self, MAIN_TID, NICE_BASE, Rank};
use linux_raw_sys::general::{
    __NR_getpriority, __NR_ioprio_get, __NR_ioprio_set, __NR_setpriority, PRIO_PGRP, PRIO_PROCESS,
    PRIO_USER,
};

/// Answers calls on priorities.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    Some(match number as u32 {
        __NR_getpriority => best(a, b, 0, |rank| (NICE_BASE - i32::from(rank.nice)) as usize),
        __NR_setpriority => {
            let nice = (c as i32).clamp(-NICE_BASE, NICE_BASE - 1) as i8;
            let mut is_refused = false;
            let changed = change(a, b, 0, |rank| {
                if nice < rank.nice && !has(SYS_NICE) {
                    is_refused = true;
                } else {
                    rank.nice = nice;
                }
            });
            match is_refused {
                true => Err(errno::EACCES),
                false => changed,
            }
        }
        __NR_ioprio_get => disk_priority(a, b),
        __NR_ioprio_set => set_disk_priority(a, b, c),
        _ => return None,
    })
}

/// Works on the ranks that `which` and `who` name: of a thread, of the process by its group, of the process by its user.
/// `base` is the number of the first kind, as calls differ in it.
fn change(which: usize, who: usize, base: u32, mut work: impl FnMut(&mut Rank)) -> Outcome {
    let all = match (which as u32).wrapping_sub(base) {
        PRIO_PROCESS => false,
        PRIO_PGRP => {
            let is_own = matches!(who as u32, 0 | MAIN_TID);
            is_own.then_some(true).ok_or(errno::ESRCH)?
        }
        PRIO_USER if who as u32 == 0 => true,
        PRIO_USER => return Err(errno::ESRCH),
        _ => return Err(errno::EINVAL),
    };
    if all {
        threads::each(|thread| work(&mut thread.rank));
        return Ok(0);
    }
    let tid = match who as u32 {
        0 => threads::tid(),
        tid => tid,
    };
    threads::with_thread(tid, |thread| work(&mut thread.rank)).ok_or(errno::ESRCH)?;
    Ok(0)
}

/// The greatest value of those threads.
fn best(which: usize, who: usize, base: u32, value: impl Fn(&Rank) -> usize) -> Outcome {
    let mut best = 0;
    change(which, who, base, |rank| best = best.max(value(rank)))?;
    Ok(best)
}

/// The classes and levels of `ioprio_set`: class, then level, then hints between.
const CLASS_SHIFT: u32 = 13;
const LEVELS: u32 = 8;
/// Real time, best effort, idle.
const BEST_EFFORT: u32 = 2;
const CLASSES: u32 = 4;

fn disk_priority(which: usize, who: usize) -> Outcome {
    const OF_A_PROCESS: u32 = 1;
    if which as u32 == OF_A_PROCESS {
        return best(which, who, OF_A_PROCESS, |rank| rank.disk.into());
    }
    // Of several, the smallest number wins; where nobody asked for one, it follows from the nice value.
    let mut least = None;
    change(which, who, OF_A_PROCESS, |rank| {
        let own = match u32::from(rank.disk) {
            0 => BEST_EFFORT << CLASS_SHIFT | ((i32::from(rank.nice) + NICE_BASE) / 5) as u32,
            asked => asked,
        };
        least = Some(least.map_or(own, |least: u32| least.min(own)));
    })?;
    least.map(|least| least as usize).ok_or(errno::ESRCH)
}

fn set_disk_priority(which: usize, who: usize, value: usize) -> Outcome {
    let value = value as u32;
    let (class, level) = (value >> CLASS_SHIFT & 7, value & (LEVELS - 1));
    if class >= CLASSES || class == 0 && level != 0 {
        return Err(errno::EINVAL);
    }
    change(which, who, 1, |rank| rank.disk = value as u16)
}

call_group!(bespoke_calls_priorities, plain: Some(call), files: None);
