//! System calls on memory; the work is in `crate::memory`.

use super::{Arguments, Outcome, errno};
use crate::memory;
use linux_raw_sys::general::{
    __NR_brk, __NR_madvise, __NR_mlock, __NR_mlock2, __NR_mlockall, __NR_mmap, __NR_mprotect,
    __NR_mremap, __NR_msync, __NR_munlock, __NR_munlockall, __NR_munmap, MAP_ANONYMOUS,
    MAP_PRIVATE, MAP_TYPE, MLOCK_ONFAULT, PROT_READ, PROT_WRITE,
};

/// Answers calls on memory.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let [a, b, c, d, e, f] = arguments;
    Some(match number as u32 {
        __NR_mmap if d as u32 & MAP_ANONYMOUS == 0 => map_file(b, c, d, e as i32, f),
        __NR_mmap => memory::mmap(a, b, c, d),
        __NR_munmap => memory::munmap(a, b),
        __NR_mremap => memory::mremap(a, b, c, d),
        __NR_mprotect => memory::mprotect(a, b, c),
        __NR_madvise => memory::madvise(a, b, c),
        __NR_brk => memory::brk(a),
        __NR_mlockall if !matches!(a as u32, 1..=3 | 5..=7) => Err(errno::EINVAL),
        __NR_mlock2 if c as u32 & !MLOCK_ONFAULT != 0 => Err(errno::EINVAL),
        // Memory never leaves the image: locked and in step by nature.
        __NR_mlock | __NR_mlock2 | __NR_munlock | __NR_mlockall | __NR_munlockall | __NR_msync => {
            Ok(0)
        }
        _ => return None,
    })
}

/// `mmap` of a file: a private copy. Shared file mappings to write to do not exist here (ENODEV), as on
/// Linux for file systems without them; programs fall back to reading and writing.
fn map_file(
    bytes: usize,
    protection: usize,
    flags: usize,
    descriptor: i32,
    offset: usize,
) -> Outcome {
    // One that is only read shows the file as it is now, which is all a program can rely on.
    let is_read = protection as u32 & PROT_WRITE == 0;
    if flags as u32 & MAP_TYPE != MAP_PRIVATE && !is_read {
        return Err(errno::ENODEV);
    }
    if !offset.is_multiple_of(bespoke_abi::PAGE_BYTES) {
        return Err(errno::EINVAL);
    }
    let start = memory::mmap(
        0,
        bytes,
        (PROT_READ | PROT_WRITE) as usize,
        flags | MAP_ANONYMOUS as usize,
    )?;
    // SAFETY: just mapped, `bytes` long, unknown to anybody else.
    let buffer = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, bytes) };
    let copied = crate::root::read_file(descriptor, buffer, offset);
    let copied = copied.and_then(|_| memory::mprotect(start, bytes, protection));
    if let Err(error) = copied {
        memory::munmap(start, bytes)?;
        return Err(error);
    }
    Ok(start)
}
