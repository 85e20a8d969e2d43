//! Calls by which a process becomes another user, and what it may do: users, groups, capabilities.
//!
//! A process begins as root with every capability but that of raising limits. What it gives up it has no more: calls here and
//! elsewhere ask [`has`], and from then on each call on files is looked at before it is made (`crate::files::permissions`).
//! Owns capabilities and supplementary groups.

use super::call_group;
use crate::calls::identity::{EFFECTIVE, Ids, OF_FILES, PID, REAL, SAVED, ids, set_ids};
use crate::calls::observers::{self, Place, Proceed};
use crate::calls::{Arguments, Outcome, checked, errno, target};
use crate::files::{Guest, Subject};
use crate::filesystem;
use crate::memory::Rights;
use crate::single::Single;
use crate::threads;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    __NR_capget, __NR_capset, __NR_getgroups, __NR_getresgid, __NR_getresuid, __NR_setfsgid,
    __NR_setfsuid, __NR_setgid, __NR_setgroups, __NR_setregid, __NR_setresgid, __NR_setresuid,
    __NR_setreuid, __NR_setuid, NGROUPS_MAX,
};

/// Highest capability (`CAP_CHECKPOINT_RESTORE`).
pub const LAST_CAPABILITY: u32 = 40;
/// `CAP_CHOWN` and so on.
pub const CHOWN: u32 = 0;
/// Reading, writing and searching whatever the mode says.
pub const DAC_OVERRIDE: u32 = 1;
/// Reading and searching whatever the mode says.
pub const DAC_READ_SEARCH: u32 = 2;
/// Doing what a file's owner may.
pub const FOWNER: u32 = 3;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
/// Changes of the bounding and the inheritable set.
pub const SETPCAP: u32 = 8;
/// Ports below 1024.
pub const NET_BIND_SERVICE: u32 = 10;
/// Names of the machine.
pub const SYS_ADMIN: u32 = 21;
/// Better priorities.
pub const SYS_NICE: u32 = 23;
/// Files of devices.
pub const MKNOD: u32 = 27;
/// Those that go with the user of access to files.
const OF_FILE_SYSTEMS: u64 = bit(CHOWN)
    | bit(DAC_OVERRIDE)
    | bit(DAC_READ_SEARCH)
    | bit(FOWNER)
    | bit(4)
    | bit(9)
    | bit(MKNOD)
    | bit(32);
const SYS_RESOURCE: u32 = 24;
const EVERY: u64 = (1 << (LAST_CAPABILITY + 1)) - 1;
const FIRST: u64 = EVERY & !bit(SYS_RESOURCE);

const fn bit(capability: u32) -> u64 {
    1 << capability
}

/// Sets of capabilities.
struct State {
    effective: u64,
    permitted: u64,
    inheritable: u64,
    bounding: u64,
    /// The permitted set stays when the last id of root goes (`PR_SET_KEEPCAPS`).
    keeps: bool,
    groups: Vec<u32>,
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static STATE: Single<State> = unsafe {
    Single::new(State {
        effective: FIRST,
        permitted: FIRST,
        inheritable: 0,
        bounding: FIRST,
        keeps: false,
        groups: Vec::new(),
    })
};

/// Whether the process has a capability now.
pub fn has(capability: u32) -> bool {
    STATE.with(|state| state.effective & bit(capability) != 0)
}

/// Whether a capability could be had again by running another program.
pub fn is_in_bounds(capability: u32) -> bool {
    STATE.with(|state| state.bounding & bit(capability) != 0)
}

/// `PR_CAPBSET_DROP`
pub fn drop_from_bounds(capability: u32) -> Outcome {
    if !has(SETPCAP) {
        return Err(errno::EPERM);
    }
    STATE.with(|state| state.bounding &= !bit(capability));
    Ok(0)
}

/// `PR_GET_KEEPCAPS`
pub fn keeps() -> bool {
    STATE.with(|state| state.keeps)
}

/// `PR_SET_KEEPCAPS`
pub fn set_keeps(keeps: bool) {
    STATE.with(|state| state.keeps = keeps);
}

/// Answers calls on identity.
///
/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, ..] = arguments;
    let ids = ids();
    // SAFETY: pointers are the program's own, checked in each.
    unsafe {
        Some(match number as u32 {
            __NR_getresuid => store_ids([a, b, c], &ids.users),
            __NR_getresgid => store_ids([a, b, c], &ids.groups),
            __NR_setuid => set_one(ids.users, a, SETUID).map(become_user),
            __NR_setgid => set_one(ids.groups, a, SETGID).map(become_group),
            __NR_setreuid => set_two(ids.users, [a, b], SETUID).map(become_user),
            __NR_setregid => set_two(ids.groups, [a, b], SETGID).map(become_group),
            __NR_setresuid => set_three(ids.users, [a, b, c], SETUID).map(become_user),
            __NR_setresgid => set_three(ids.groups, [a, b, c], SETGID).map(become_group),
            // They answer what it was, and nothing tells of a failure.
            __NR_setfsuid => {
                become_user(set_of_files(ids.users, a, SETUID));
                Ok(ids.users[OF_FILES] as usize)
            }
            __NR_setfsgid => {
                become_group(set_of_files(ids.groups, a, SETGID));
                Ok(ids.groups[OF_FILES] as usize)
            }
            __NR_getgroups => groups(a as i32, b),
            __NR_setgroups => set_groups(a, b),
            __NR_capget => capabilities(a, b),
            __NR_capset => set_capabilities(a, b),
            _ => return None,
        })
    }
}

/// Whom calls on files are to ask for: the user and group of access to files, or with `is_real` those that the process
/// was started by, as `access` tells them.
fn subject(is_real: bool) -> Subject {
    let ids = ids();
    let place = if is_real { REAL } else { OF_FILES };
    let capabilities = STATE.with(|state| match is_real {
        false => state.effective,
        true if ids.users[REAL] == 0 => state.permitted,
        true => 0,
    });
    let has = |capability| capabilities & bit(capability) != 0;
    Subject {
        user: ids.users[place],
        group: ids.groups[place],
        is_in: is_supplementary,
        overrides: has(DAC_OVERRIDE),
        reads_all: has(DAC_READ_SEARCH) || has(DAC_OVERRIDE),
        owns_all: has(FOWNER),
        gives_away: has(CHOWN),
        binds_all: has(NET_BIND_SERVICE),
    }
}

fn is_supplementary(group: u32) -> bool {
    STATE.with(|state| state.groups.contains(&group))
}

/// Before and after each call of a process that may not do everything.
unsafe fn observe(number: usize, arguments: &Arguments, proceed: Proceed<'_>) -> isize {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    let (own, real) = (subject(false), subject(true));
    if !filesystem::is_started() {
        return proceed();
    }
    let made = filesystem::with(|root| root.forbids(guest, number, *arguments, &own, &real));
    match made {
        Err(error) => error.answer(),
        Ok(made) => {
            let answer = proceed();
            if answer >= 0 {
                filesystem::with(|root| root.give_away(guest, made, answer as usize, &own));
            }
            answer
        }
    }
}

/// -1 leaves an id alone, or names nobody.
const NOBODY: u32 = u32::MAX;

unsafe fn store_ids(addresses: [usize; 3], ids: &[u32; 4]) -> Outcome {
    for (address, id) in addresses.into_iter().zip(ids) {
        // SAFETY: the program's own word; null was refused.
        unsafe { target::<u32>(address)?.write(*id) };
    }
    Ok(0)
}

/// `setuid`, `setgid`
fn set_one(mut ids: [u32; 4], id: usize, capability: u32) -> Result<[u32; 4], isize> {
    let id = id as u32;
    if id == NOBODY {
        return Err(errno::EINVAL);
    }
    if has(capability) {
        return Ok([id; 4]);
    }
    if id != ids[REAL] && id != ids[SAVED] {
        return Err(errno::EPERM);
    }
    (ids[EFFECTIVE], ids[OF_FILES]) = (id, id);
    Ok(ids)
}

/// `setreuid`, `setregid`
fn set_two(
    before: [u32; 4],
    [real, effective]: [usize; 2],
    capability: u32,
) -> Result<[u32; 4], isize> {
    let (real, effective) = (real as u32, effective as u32);
    let may = |id: u32, own: &[u32]| id == NOBODY || own.contains(&id) || has(capability);
    if !may(real, &before[..SAVED]) || !may(effective, &before[..OF_FILES]) {
        return Err(errno::EPERM);
    }
    let mut ids = before;
    if real != NOBODY {
        ids[REAL] = real;
    }
    if effective != NOBODY {
        ids[EFFECTIVE] = effective;
    }
    if real != NOBODY || effective != NOBODY && effective != before[REAL] {
        ids[SAVED] = ids[EFFECTIVE];
    }
    ids[OF_FILES] = ids[EFFECTIVE];
    Ok(ids)
}

/// `setresuid`, `setresgid`
fn set_three(before: [u32; 4], wanted: [usize; 3], capability: u32) -> Result<[u32; 4], isize> {
    let mut ids = before;
    for (place, wanted) in wanted.into_iter().enumerate() {
        let wanted = wanted as u32;
        if wanted == NOBODY {
            continue;
        }
        if !before[..OF_FILES].contains(&wanted) && !has(capability) {
            return Err(errno::EPERM);
        }
        ids[place] = wanted;
    }
    ids[OF_FILES] = ids[EFFECTIVE];
    Ok(ids)
}

/// `setfsuid`, `setfsgid`
fn set_of_files(mut ids: [u32; 4], id: usize, capability: u32) -> [u32; 4] {
    let id = id as u32;
    if id != NOBODY && (ids.contains(&id) || has(capability)) {
        ids[OF_FILES] = id;
    }
    ids
}

fn become_group(groups: [u32; 4]) -> usize {
    let before = ids();
    if groups != before.groups {
        observers::observe(Place::Rights, observe);
    }
    set_ids(Ids { groups, ..before });
    0
}

/// Another user has other capabilities, unless root goes on in the background.
fn become_user(users: [u32; 4]) -> usize {
    let before = ids().users;
    if users != before {
        observers::observe(Place::Rights, observe);
    }
    let is_root = |users: &[u32; 4]| users[..OF_FILES].contains(&0);
    STATE.with(|state| {
        if is_root(&before) && !is_root(&users) {
            if !state.keeps {
                state.permitted = 0;
            }
            state.effective = 0;
        }
        match (before[EFFECTIVE], users[EFFECTIVE]) {
            (0, 0) => {}
            (0, _) => state.effective = 0,
            (_, 0) => state.effective = state.permitted,
            _ => {}
        }
        if before[EFFECTIVE] == users[EFFECTIVE] {
            match (before[OF_FILES], users[OF_FILES]) {
                (0, 0) => {}
                (0, _) => state.effective &= !OF_FILE_SYSTEMS,
                (_, 0) => state.effective |= OF_FILE_SYSTEMS & state.permitted,
                _ => {}
            }
        }
    });
    set_ids(Ids { users, ..ids() });
    0
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
    if !has(SETGID) {
        return Err(errno::EPERM);
    }
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
            // In order, as Linux keeps them; a sort would be larger than all of this function.
            let place = groups.partition_point(|&other| other <= group);
            groups.insert(place, group);
        }
        state.groups = groups;
        Ok(0)
    })
}

/// Words of each set by version of the header, whose newest is written where another one is asked for.
fn words(header: *mut [u32; 2]) -> Result<usize, isize> {
    const NEWEST: u32 = 0x2008_0522;
    // SAFETY: checked by the caller.
    match unsafe { (*header)[0] } {
        0x1998_0330 => Ok(1),
        0x2007_1026 | NEWEST => Ok(2),
        _ => {
            // SAFETY: as above.
            unsafe { (*header)[0] = NEWEST };
            Err(errno::EINVAL)
        }
    }
}

unsafe fn capabilities(header: usize, address: usize) -> Outcome {
    let header: *mut [u32; 2] = target(header)?;
    let words = match (words(header), address) {
        (_, 0) => return Ok(0),
        (words, _) => words?,
    };
    // SAFETY: checked.
    let pid = unsafe { (*header)[1] } as i32;
    match pid {
        ..0 => return Err(errno::EINVAL),
        0 => {}
        pid if threads::exists(pid as u32) => {}
        _ => return Err(errno::ESRCH),
    }
    let place: *mut [u32; 3] = checked(address, words * size_of::<[u32; 3]>(), Rights::Write)?;
    STATE.with(|state| {
        for word in 0..words {
            let part = |set: u64| (set >> (32 * word)) as u32;
            let sets = [state.effective, state.permitted, state.inheritable].map(part);
            // SAFETY: checked, for as many words.
            unsafe { place.add(word).write_unaligned(sets) };
        }
    });
    Ok(0)
}

unsafe fn set_capabilities(header: usize, address: usize) -> Outcome {
    let header: *mut [u32; 2] = target(header)?;
    let words = words(header)?;
    // SAFETY: checked.
    let pid = unsafe { (*header)[1] } as usize;
    if pid != 0 && pid != PID && pid != threads::tid() as usize {
        return Err(errno::EPERM);
    }
    let place: *const [u32; 3] = checked(address, words * size_of::<[u32; 3]>(), Rights::Read)?;
    let mut sets = [0u64; 3];
    for word in 0..words {
        // SAFETY: checked, for as many words.
        let parts = unsafe { place.add(word).read_unaligned() };
        for (set, part) in sets.iter_mut().zip(parts) {
            *set |= u64::from(part) << (32 * word);
        }
    }
    let [effective, permitted, inheritable] = sets.map(|set| set & EVERY);
    let is_free = has(SETPCAP);
    STATE.with(|state| {
        let is_within = |set: u64, bounds: u64| set & !bounds == 0;
        let may = (is_free || is_within(inheritable, state.inheritable | state.permitted))
            && is_within(inheritable, state.inheritable | state.bounding)
            && is_within(permitted, state.permitted)
            && is_within(effective, permitted);
        if !may {
            return Err(errno::EPERM);
        }
        if effective != state.effective {
            observers::observe(Place::Rights, observe);
        }
        (state.effective, state.permitted, state.inheritable) = (effective, permitted, inheritable);
        Ok(0)
    })
}

call_group!(bespoke_calls_identity, plain: Some(call), files: None);
