//! Limits of resources (getrlimit(2)): what the program set, for whoever enforces them.
//! Owns the table. Descriptors are counted by the file system, file sizes checked there, and memory by `memory`;
//! other limits are kept and read back, because nothing an image has could exceed them.

use crate::calls::errno;
use crate::files::MAX_DESCRIPTORS;
use crate::filesystem;
use crate::single::Single;
use linux_raw_sys::general::{
    RLIM_NLIMITS, RLIMIT_FSIZE, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_NOFILE, RLIMIT_RTPRIO,
    RLIMIT_STACK,
};

/// No limit (`RLIM_INFINITY`).
pub const UNLIMITED: u64 = u64::MAX;
/// Bytes of message queues (`mq_bytes_max`), as Linux begins.
const QUEUE_BYTES: u64 = 819_200;

/// A soft and a hard limit: `struct rlimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// What holds.
    pub soft: u64,
    /// What the soft one may be raised to.
    pub hard: u64,
}

const NONE: Limit = both(UNLIMITED);

const fn both(value: u64) -> Limit {
    Limit {
        soft: value,
        hard: value,
    }
}

const fn first() -> [Limit; RLIM_NLIMITS as usize] {
    let mut limits = [NONE; RLIM_NLIMITS as usize];
    limits[RLIMIT_NOFILE as usize] = both(MAX_DESCRIPTORS as u64);
    limits[RLIMIT_MSGQUEUE as usize] = both(QUEUE_BYTES);
    limits[RLIMIT_NICE as usize] = both(0);
    limits[RLIMIT_RTPRIO as usize] = both(0);
    limits
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static LIMITS: Single<[Limit; RLIM_NLIMITS as usize]> = unsafe { Single::new(first()) };

/// The limits of `resource` (`RLIMIT_*`).
///
/// # Errors
///
/// `EINVAL` for a resource that does not exist.
pub fn get(resource: usize) -> Result<Limit, isize> {
    let limit = LIMITS.with(|limits| limits.get(resource).copied());
    let mut limit = limit.ok_or(errno::EINVAL)?;
    // The main stack has the size that the recipe gave it, until the program says otherwise.
    if resource as u32 == RLIMIT_STACK && limit.soft == UNLIMITED {
        limit.soft = crate::stack_bytes() as u64;
    }
    Ok(limit)
}

/// Sets the limits of `resource`. A hard limit can only be lowered, as by a process without `CAP_SYS_RESOURCE`.
///
/// # Errors
///
/// `EINVAL`, `EPERM`.
pub fn set(resource: usize, limit: Limit) -> Result<(), isize> {
    let before = get(resource)?;
    if limit.soft > limit.hard {
        return Err(errno::EINVAL);
    }
    if limit.hard > before.hard {
        return Err(errno::EPERM);
    }
    match resource as u32 {
        RLIMIT_NOFILE => filesystem::with(|root| root.set_descriptor_limit(limit.soft as usize)),
        RLIMIT_FSIZE => filesystem::with(|root| root.set_size_limit(limit.soft)),
        _ => {}
    }
    LIMITS.with(|limits| limits[resource] = limit);
    Ok(())
}
