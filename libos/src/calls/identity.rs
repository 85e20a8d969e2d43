//! Who the process is: its numbers, and the user and group that it says it is.
//! Owns the ids and whether the process leads a session; what changes ids is a call group (`groups::identity`).

use super::{Arguments, Outcome, errno};
use crate::single::Single;
use crate::threads::{self, MAIN_TID};
use linux_raw_sys::general::{
    __NR_getegid, __NR_geteuid, __NR_getgid, __NR_getpgid, __NR_getpgrp, __NR_getpid, __NR_getppid,
    __NR_getsid, __NR_gettid, __NR_getuid, __NR_setpgid, __NR_setsid,
};

/// The image is process 1, as its first thread is thread 1.
pub const PID: usize = MAIN_TID as usize;

/// Places of ids: real, effective, saved, and of access to files.
pub const REAL: usize = 0;
/// See [`REAL`].
pub const EFFECTIVE: usize = 1;
/// See [`REAL`].
pub const SAVED: usize = 2;
/// See [`REAL`].
pub const OF_FILES: usize = 3;

/// Ids of the process, root at first. Linux has them for each thread; the C library sets all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Users, by [`REAL`] and so on.
    pub users: [u32; 4],
    /// Groups.
    pub groups: [u32; 4],
}

struct State {
    ids: Ids,
    leads_session: bool,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        ids: Ids {
            users: [0; 4],
            groups: [0; 4],
        },
        leads_session: false,
    })
};

/// The ids.
pub fn ids() -> Ids {
    STATE.with(|state| state.ids)
}

/// Changes the ids.
pub fn set_ids(ids: Ids) {
    STATE.with(|state| state.ids = ids);
}

/// Answers calls on identity.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, ..] = arguments;
    Some(match number as u32 {
        __NR_getpid | __NR_getpgrp => Ok(PID),
        __NR_gettid => Ok(threads::tid() as usize),
        __NR_getppid => Ok(0),
        __NR_getuid => Ok(ids().users[REAL] as usize),
        __NR_geteuid => Ok(ids().users[EFFECTIVE] as usize),
        __NR_getgid => Ok(ids().groups[REAL] as usize),
        __NR_getegid => Ok(ids().groups[EFFECTIVE] as usize),
        __NR_getpgid | __NR_getsid => process(a).map(|()| PID),
        __NR_setpgid => set_group(a as i32, b as i32),
        __NR_setsid => start_session(),
        _ => return None,
    })
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
