//! Who the process is: user and group ids, its group and session.
//! Owns the supplementary groups and whether the process leads a session. There is one user, root: an id is
//! "changed" to 0 or refused, because an image that claimed to be another user would still be allowed everything.

use super::{Arguments, Outcome, checked, errno, target};
use crate::memory::Rights;
use crate::single::Single;
use crate::threads::{self, MAIN_TID};
use alloc::vec::Vec;
use linux_raw_sys::general::{
    __NR_getegid, __NR_geteuid, __NR_getgid, __NR_getgroups, __NR_getpgid, __NR_getpgrp,
    __NR_getpid, __NR_getppid, __NR_getresgid, __NR_getresuid, __NR_getsid, __NR_gettid,
    __NR_getuid, __NR_setfsgid, __NR_setfsuid, __NR_setgid, __NR_setgroups, __NR_setpgid,
    __NR_setregid, __NR_setresgid, __NR_setresuid, __NR_setreuid, __NR_setsid, __NR_setuid,
    NGROUPS_MAX,
};

/// The image is process 1, as its first thread is thread 1.
pub const PID: usize = MAIN_TID as usize;

struct State {
    groups: Vec<u32>,
    leads_session: bool,
}

static STATE: Single<State> = Single::new(State {
    groups: Vec::new(),
    leads_session: false,
});

/// Answers calls on identity.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    // SAFETY: pointers are the program's own, checked against null in each.
    unsafe {
        Some(match number as u32 {
            __NR_getpid | __NR_getpgrp => Ok(PID),
            __NR_gettid => Ok(threads::tid() as usize),
            __NR_getppid | __NR_getuid | __NR_geteuid | __NR_getgid | __NR_getegid => Ok(0),
            __NR_getpgid | __NR_getsid => process(a).map(|()| PID),
            __NR_setpgid => set_group(a as i32, b as i32),
            __NR_setsid => start_session(),
            __NR_getresuid | __NR_getresgid => all_ids([a, b, c]),
            // -1 names nobody here, and leaves an id alone below.
            __NR_setuid | __NR_setgid if a as u32 == u32::MAX => Err(errno::EINVAL),
            __NR_setuid | __NR_setgid => become_root(&[a]),
            __NR_setreuid | __NR_setregid => become_root(&[a, b]),
            __NR_setresuid | __NR_setresgid => become_root(&[a, b, c]),
            // They answer what it was, and nothing tells of a failure.
            __NR_setfsuid | __NR_setfsgid => Ok(0),
            __NR_getgroups => groups(a as i32, b),
            __NR_setgroups => set_groups(a, b),
            _ => return None,
        })
    }
}

/// Whether `pid` is this process, or one of its threads.
///
/// # Errors
///
/// `ESRCH`.
pub fn process(pid: usize) -> Result<(), isize> {
    let pid = pid as i32;
    if pid == 0 || pid > 0 && threads::exists(pid as u32) {
        Ok(())
    } else {
        Err(errno::ESRCH)
    }
}

fn set_group(pid: i32, group: i32) -> Outcome {
    let own = PID as i32;
    // No group means that of the process's own number.
    if group < 0 || group == 0 && pid < 0 {
        return Err(errno::EINVAL);
    }
    match pid {
        0 => {}
        _ if pid == own => {}
        // A thread is no process.
        _ if pid > 0 && threads::exists(pid as u32) => return Err(errno::EINVAL),
        _ => return Err(errno::ESRCH),
    }
    let leads = STATE.with(|state| state.leads_session);
    if leads || group != 0 && group != own {
        Err(errno::EPERM)
    } else {
        Ok(0)
    }
}

fn start_session() -> Outcome {
    if STATE.with(|state| core::mem::replace(&mut state.leads_session, true)) {
        Err(errno::EPERM)
    } else {
        Ok(PID)
    }
}

unsafe fn all_ids(addresses: [usize; 3]) -> Outcome {
    for address in addresses {
        // SAFETY: the program's own word; null was refused.
        unsafe { target::<u32>(address)?.write(0) };
    }
    Ok(0)
}

fn become_root(ids: &[usize]) -> Outcome {
    if ids.iter().all(|&id| matches!(id as u32, 0 | u32::MAX)) {
        Ok(0)
    } else {
        Err(errno::EPERM)
    }
}

unsafe fn groups(room: i32, address: usize) -> Outcome {
    let room = usize::try_from(room).map_err(|_| errno::EINVAL)?;
    STATE.with(|state| {
        let count = state.groups.len();
        if room == 0 || count == 0 {
            return Ok(count);
        }
        if room < count {
            return Err(errno::EINVAL);
        }
        let target = checked::<u32>(address, count * size_of::<u32>(), Rights::Write)?;
        // SAFETY: the program's own array, with room for `count`; null was refused.
        unsafe { target.copy_from_nonoverlapping(state.groups.as_ptr(), count) };
        Ok(count)
    })
}

unsafe fn set_groups(count: usize, address: usize) -> Outcome {
    let count = count as u32 as usize;
    if count > NGROUPS_MAX as usize {
        return Err(errno::EINVAL);
    }
    STATE.with(|state| {
        if count == 0 {
            state.groups.clear();
            return Ok(0);
        }
        let source = checked::<u32>(address, count * size_of::<u32>(), Rights::Read)?;
        let mut groups = Vec::new();
        groups.try_reserve_exact(count).map_err(|_| errno::ENOMEM)?;
        for index in 0..count {
            // SAFETY: the program's own array of `count`; null was refused.
            let group = unsafe { source.add(index).read_unaligned() };
            // In order, as Linux keeps them; a sort would be larger than all of this file.
            let place = groups.partition_point(|&other| other <= group);
            groups.insert(place, group);
        }
        state.groups = groups;
        Ok(0)
    })
}
