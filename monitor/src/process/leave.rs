//! State that a process hands over to the kernel before its own memory is unmapped: the vDSO,
//! and the C library's registrations.

use crate::memory::PAGE_BYTES;
use std::arch::asm;
use std::io;
use std::ops::Range;

/// Returns the kernel's own mappings, if it forbids unmapping them
/// (`CONFIG_MSEAL_SYSTEM_MAPPINGS`): the vDSO's code and the data of its clocks.
pub(super) fn sealed() -> io::Result<Vec<Range<u64>>> {
    // SAFETY: reads the auxiliary vector. The call gives pages of code the rights that they have, which is refused where
    // their mapping is sealed, and nowhere else. Where no vDSO is, nothing is there to be changed.
    let result = unsafe {
        let vdso = libc::getauxval(libc::AT_SYSINFO_EHDR) as *mut libc::c_void;
        let rights = libc::PROT_READ | libc::PROT_EXEC;
        libc::mprotect(vdso, PAGE_BYTES as usize, rights)
    };
    if result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EPERM) {
        return Ok(Vec::new());
    }
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    Ok(maps.lines().filter_map(system_mapping).collect())
}

/// Returns the range in a line of `/proc/self/maps`, if it is the vDSO or its data.
fn system_mapping(line: &str) -> Option<Range<u64>> {
    let (range, rest) = line.split_once(' ')?;
    let name = rest.rsplit(' ').next()?;
    let (start, end) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let is_system = name == "[vdso]" || name.starts_with("[vvar");
    is_system.then_some(number(start)?..number(end)?)
}

/// Unregisters the C library's area of restartable sequences (rseq(2)). Otherwise the kernel would
/// kill the process when the area is gone.
pub(super) fn restartable_sequences() -> io::Result<()> {
    /// The initial size of the area, which the C library registers unless the kernel needs more.
    const LEAST_BYTES: u64 = 32;
    const UNREGISTER: u64 = 1;
    /// `RSEQ_SIG` of glibc on x86-64.
    const SIGNATURE: u64 = 0x5305_3053;
    const AT_RSEQ_FEATURE_SIZE: u64 = 27;
    const AT_RSEQ_ALIGN: u64 = 28;
    let (offset, bytes, thread): (*const isize, *const u32, usize);
    // SAFETY: addresses of two variables of the C library (null before glibc 2.35), and of its thread block.
    unsafe {
        asm!(
            ".weak __rseq_offset", ".weak __rseq_size",
            "mov {offset}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            "mov {bytes}, qword ptr [rip + __rseq_size@GOTPCREL]",
            "mov {thread}, fs:0",
            offset = out(reg) offset, bytes = out(reg) bytes, thread = out(reg) thread,
            options(readonly, nostack, preserves_flags)
        );
    }
    // SAFETY: variables that the C library does not change any more, where it has them.
    let (Some(offset), Some(1..)) = (unsafe { (offset.as_ref(), bytes.as_ref()) }) else {
        return Ok(());
    };
    // SAFETY: reads the auxiliary vector.
    let (feature_bytes, align) = unsafe {
        (
            libc::getauxval(AT_RSEQ_FEATURE_SIZE),
            libc::getauxval(AT_RSEQ_ALIGN).max(1),
        )
    };
    let area = thread.wrapping_add_signed(*offset);
    for bytes in [LEAST_BYTES, feature_bytes.next_multiple_of(align)] {
        // SAFETY: ends what the C library began, whose area stays where it is.
        if unsafe { libc::syscall(libc::SYS_rseq, area, bytes, UNREGISTER, SIGNATURE) } == 0 {
            return Ok(());
        }
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::{Range, sealed, system_mapping};

    #[test]
    fn lines_of_the_kernels_mappings_are_known() {
        let line =
            "7f1efbf2e000-7f1efbf30000 r-xp 00000000 00:00 0                          [vdso]";
        assert_eq!(
            system_mapping(line),
            Some(0x7f1e_fbf2_e000..0x7f1e_fbf3_0000)
        );
        let line = "7f1efbf2c000-7f1efbf2e000 r--p 00000000 00:00 0                          [vvar_vclock]";
        assert_eq!(
            system_mapping(line),
            Some(0x7f1e_fbf2_c000..0x7f1e_fbf2_e000)
        );
        for line in [
            "7f1ef000-7f1f000 rw-p 00000000 00:00 0 [stack]",
            "7f1ef000-7f1f000 r--p 00000000 00:00 0 ",
            "",
        ] {
            assert_eq!(system_mapping(line), None, "{line}");
        }
    }

    /// Does what a kernel with sealed mappings does.
    #[test]
    fn a_sealed_vdso_is_kept() {
        const SYS_MSEAL: i64 = 462;
        const TOO_OLD: i32 = 2;
        let maps = std::fs::read_to_string("/proc/self/maps").expect("our maps");
        let systems: Vec<_> = maps.lines().filter_map(system_mapping).collect();
        assert!(sealed().expect("our maps").is_empty() && !systems.is_empty());
        // SAFETY: the child makes system calls and allocates, which the C library allows after a fork, and ends.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                let seal = |range: &Range<u64>| {
                    libc::syscall(SYS_MSEAL, range.start, range.end - range.start, 0) == 0
                };
                let can_seal = systems.iter().all(seal);
                let kept = sealed().unwrap_or_default();
                libc::_exit(if can_seal {
                    i32::from(kept != systems)
                } else {
                    TOO_OLD
                });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            status
        };
        if libc::WEXITSTATUS(status) == TOO_OLD {
            eprintln!("skipped: this kernel cannot seal mappings");
            return;
        }
        assert_eq!(status, 0);
    }
}
