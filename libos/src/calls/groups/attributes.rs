//! Attributes of the process that programs set and read back: `prctl`, `personality`, and names of the machine.
//! Owns what was set. What an image cannot have is refused, as by a kernel that was built without it.

use super::call_group;
use super::identity::{self, LAST_CAPABILITY, SYS_ADMIN};
use crate::calls::machine::{FIELD_BYTES, OWN_NAMES};
use crate::calls::{Arguments, Outcome, checked, errno, target};
use crate::memory::{self, Rights};
use crate::single::Single;
use crate::threads::{self, NAME_BYTES};
use linux_raw_sys::general::{__NR_personality, __NR_prctl, __NR_setdomainname, __NR_sethostname};
use linux_raw_sys::prctl::*;

/// Highest signal number.
const SIGNALS: usize = 64;
/// The timer slack of a new process, in nanoseconds.
const SLACK_NS: u64 = 50_000;

struct State {
    dumpable: bool,
    parent_death_signal: u32,
    no_new_privileges: bool,
    reaps: bool,
    no_huge_pages: bool,
    slack_ns: u64,
    personality: u32,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        dumpable: true,
        parent_death_signal: 0,
        no_new_privileges: false,
        reaps: false,
        no_huge_pages: false,
        slack_ns: SLACK_NS,
        personality: 0,
    })
};

/// Answers calls on attributes.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, e, _] = arguments;
    // SAFETY: addresses are the program's own, checked in each.
    unsafe {
        Some(match number as u32 {
            __NR_prctl => attribute(a, [b, c, d, e]),
            __NR_personality => personality(a as u32),
            __NR_sethostname => set_name(0, a, b),
            __NR_setdomainname => set_name(1, a, b),
            _ => return None,
        })
    }
}

/// `personality`: Linux's own, of which the program may choose where it is mapped: that differs from start to start anyway.
fn personality(wanted: u32) -> Outcome {
    const ASK: u32 = u32::MAX;
    const NO_RANDOM_ADDRESSES: u32 = 0x0004_0000;
    const COMPATIBLE_LAYOUT: u32 = 0x0020_0000;
    STATE.with(|state| {
        let before = state.personality as usize;
        match wanted {
            ASK => Ok(before),
            wanted if wanted & !(NO_RANDOM_ADDRESSES | COMPATIBLE_LAYOUT) == 0 => {
                state.personality = wanted;
                Ok(before)
            }
            _ => Err(errno::EINVAL),
        }
    })
}

/// `sethostname`, `setdomainname`: what `uname` tells from now on.
unsafe fn set_name(which: usize, address: usize, bytes: usize) -> Outcome {
    if !identity::has(SYS_ADMIN) {
        return Err(errno::EPERM);
    }
    let bytes = bytes as i32 as usize;
    if bytes >= FIELD_BYTES {
        return Err(errno::EINVAL);
    }
    let mut name = [0; FIELD_BYTES];
    if bytes > 0 {
        let source: *const u8 = checked(address, bytes, Rights::Read)?;
        // SAFETY: checked memory of the program's, less than there is room for.
        unsafe { name.as_mut_ptr().copy_from_nonoverlapping(source, bytes) };
    }
    OWN_NAMES.with(|names| names[which] = Some(name));
    Ok(0)
}

/// Answers `prctl`.
///
/// # Safety
///
/// Addresses are the program's own.
unsafe fn attribute(operation: usize, [a, b, c, d]: [usize; 4]) -> Outcome {
    let nothing_else = |arguments: &[usize]| {
        if arguments.iter().all(|&argument| argument == 0) {
            Ok(())
        } else {
            Err(errno::EINVAL)
        }
    };
    let get = |read: fn(&State) -> usize| STATE.with(|state| read(state));
    let set = |write: &dyn Fn(&mut State)| STATE.with(|state| write(state));
    let switch = |value: usize| match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(errno::EINVAL),
    };
    match operation as u32 {
        PR_SET_NAME => {
            let room = memory::reach(a, NAME_BYTES - 1, Rights::Read);
            let mut name = [0; NAME_BYTES];
            for (index, byte) in name[..NAME_BYTES - 1].iter_mut().enumerate() {
                if index == room {
                    return Err(errno::EFAULT);
                }
                // SAFETY: checked to be readable so far.
                *byte = unsafe { (a as *const u8).add(index).read() };
                if *byte == 0 {
                    break;
                }
            }
            threads::with_running(|thread| thread.name = name);
            return Ok(0);
        }
        PR_GET_NAME => {
            let name = threads::with_running(|thread| thread.name);
            // SAFETY: the program's own buffer of that size; null was refused.
            unsafe { target::<[u8; NAME_BYTES]>(a)?.write(name) };
            return Ok(0);
        }
        PR_GET_PDEATHSIG => {
            let signal = get(|state| state.parent_death_signal as usize);
            // SAFETY: the program's own word; null was refused.
            unsafe { target::<u32>(a)?.write(signal as u32) };
        }
        PR_SET_PDEATHSIG if a > SIGNALS => return Err(errno::EINVAL),
        // Process 1 has no parent whose death could be told.
        PR_SET_PDEATHSIG => set(&|state| state.parent_death_signal = a as u32),
        PR_GET_DUMPABLE => return Ok(get(|state| state.dumpable.into())),
        PR_SET_DUMPABLE => {
            let on = switch(a)?;
            set(&|state| state.dumpable = on);
        }
        PR_GET_KEEPCAPS => return Ok(identity::keeps().into()),
        PR_SET_KEEPCAPS => {
            let on = switch(a)?;
            identity::set_keeps(on);
        }
        PR_GET_NO_NEW_PRIVS => {
            nothing_else(&[a, b, c, d])?;
            return Ok(get(|state| state.no_new_privileges.into()));
        }
        PR_SET_NO_NEW_PRIVS => {
            nothing_else(&[b, c, d])?;
            if a != 1 {
                return Err(errno::EINVAL);
            }
            set(&|state| state.no_new_privileges = true);
        }
        PR_GET_CHILD_SUBREAPER => {
            let reaps = get(|state| state.reaps.into());
            // SAFETY: the program's own word; null was refused.
            unsafe { target::<u32>(a)?.write(reaps as u32) };
        }
        PR_SET_CHILD_SUBREAPER => set(&|state| state.reaps = a != 0),
        PR_GET_THP_DISABLE => {
            nothing_else(&[a, b, c, d])?;
            return Ok(get(|state| state.no_huge_pages.into()));
        }
        PR_SET_THP_DISABLE => {
            nothing_else(&[b, c, d])?;
            set(&|state| state.no_huge_pages = a != 0);
        }
        PR_GET_TIMERSLACK => return Ok(get(|state| state.slack_ns as usize)),
        PR_SET_TIMERSLACK => {
            let slack = if (a as isize) <= 0 {
                SLACK_NS
            } else {
                a as u64
            };
            set(&|state| state.slack_ns = slack);
        }
        PR_GET_TIMING => return Ok(PR_TIMING_STATISTICAL as usize),
        PR_SET_TIMING if a as u32 != PR_TIMING_STATISTICAL => return Err(errno::EINVAL),
        PR_SET_TIMING => {}
        PR_GET_TSC => {
            // SAFETY: the program's own word; null was refused.
            unsafe { target::<u32>(a)?.write(PR_TSC_ENABLE) };
        }
        PR_SET_TSC if a as u32 != PR_TSC_ENABLE => return Err(errno::EINVAL),
        PR_SET_TSC => {}
        PR_GET_SECCOMP | PR_GET_SECUREBITS => return Ok(0),
        PR_CAPBSET_READ | PR_CAPBSET_DROP if a > LAST_CAPABILITY as usize => {
            return Err(errno::EINVAL);
        }
        PR_CAPBSET_READ => return Ok(identity::is_in_bounds(a as u32).into()),
        PR_CAPBSET_DROP => return identity::drop_from_bounds(a as u32),
        PR_MCE_KILL_GET => {
            nothing_else(&[a, b, c, d])?;
            return Ok(PR_MCE_KILL_DEFAULT as usize);
        }
        PR_TASK_PERF_EVENTS_DISABLE | PR_TASK_PERF_EVENTS_ENABLE => {}
        _ => return Err(errno::EINVAL),
    }
    Ok(0)
}

call_group!(bespoke_calls_attributes, plain: Some(call), files: None);
