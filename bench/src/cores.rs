//! Binding threads to cores. Owns nothing.

use std::io;

/// Binds the calling thread, and what it starts, to one core. Makes one system call, and allocates nothing.
///
/// # Errors
///
/// What Linux says: there is no such core, or the process may not use it.
pub fn bind_to_core(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: `cpu_set_t` is plain bits, the core is one of them, and the pointer is valid for its size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
