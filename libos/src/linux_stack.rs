//! The initial stack of a Linux program: argc, argv, environment, auxiliary vector
//! (System V psABI for x86-64, section 3.4.1). Strings stay where the monitor put them.

use crate::platform::for_each_string;
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::BootInfo;
use core::ops::Range;
use linux_raw_sys::auxvec::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_HWCAP2, AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM,
    AT_RANDOM, AT_SECURE, AT_UID,
};

/// Start of the loaded ELF file: what the auxiliary vector needs of its header.
#[repr(C)]
struct ElfHeader {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    program_headers: u64,
    section_headers: u64,
    flags: u32,
    header_bytes: u16,
    program_header_bytes: u16,
    program_header_count: u16,
}

/// One program header.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    virtual_address: u64,
    physical_address: u64,
    file_bytes: u64,
    memory_bytes: u64,
    alignment: u64,
}

/// `PT_LOAD`.
const LOADED: u32 = 1;
/// `PT_TLS`.
const THREAD_LOCAL: u32 = 7;

unsafe extern "C" {
    /// From the linker: the ELF header is loaded at the start of the image.
    static __ehdr_start: ElfHeader;
}

/// `AT_PLATFORM`.
const PLATFORM: &core::ffi::CStr = c"x86_64";

/// `AT_HWCAP`: bits of CPUID leaf 1, edx, that every x86-64 CPU has (psABI, table 3.1) and `rdtsc`: fpu, tsc, cx8, cmov, mmx,
/// fxsr, sse, sse2. Asking the CPU for more would be an exit of a virtual machine at each start.
const HARDWARE: u64 = 1 << 0 | 1 << 4 | 1 << 8 | 1 << 15 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26;
/// `AT_MINSIGSTKSZ`: what the library OS takes of an alternate stack before a handler runs, all registers of the CPU among it,
/// in whole pages.
const HANDLER_BYTES: u64 = 2 * PAGE_BYTES as u64;

/// What is the same for every program, at the vector's end.
static CONSTANT: [(u32, u64); 13] = [
    (AT_PAGESZ, PAGE_BYTES as u64),
    (AT_UID, 0),
    (AT_EUID, 0),
    (AT_GID, 0),
    (AT_EGID, 0),
    (AT_SECURE, 0),
    (AT_HWCAP, HARDWARE),
    // Neither of its bits: `monitor` and `mwait` are not for programs, and FS bases are set by calls.
    (AT_HWCAP2, 0),
    (AT_BASE, 0),
    (AT_FLAGS, 0),
    (AT_MINSIGSTKSZ, HANDLER_BYTES),
    (AT_CLKTCK, 100),
    (AT_NULL, 0),
];

/// Writes the stack below `top` and returns the stack pointer, 16-byte aligned.
///
/// # Safety
///
/// The memory below `top` is an unused stack of at least a page beyond the pointers to
/// arguments and environment.
#[cfg_attr(
    test,
    expect(dead_code, reason = "the entry is not part of host tests")
)]
pub unsafe fn build(top: usize, info: &'static BootInfo) -> usize {
    // SAFETY: the linker script puts the header there.
    let header = unsafe { &__ehdr_start };
    let mut program = 0;
    for_each_string(info.arguments, info.argument_count.min(1), |_, text| {
        program = text.as_ptr() as u64
    });
    let auxiliary = [
        (AT_PHDR, &raw const *header as u64 + header.program_headers),
        (AT_PHENT, header.program_header_bytes.into()),
        (AT_PHNUM, header.program_header_count.into()),
        (AT_ENTRY, header.entry),
        (AT_RANDOM, &raw const info.seed as u64),
        (AT_EXECFN, program),
        (AT_PLATFORM, PLATFORM.as_ptr() as u64),
    ];
    let words = 1
        + info.argument_count as usize
        + 1
        + info.environment_count as usize
        + 1
        + 2 * (auxiliary.len() + CONSTANT.len());
    let start = (top - words * 8) & !15;
    let mut next = start as *mut u64;
    let mut push = |word: u64| {
        // SAFETY: `words` counted every push, and the caller promised the room.
        unsafe {
            next.write(word);
            next = next.add(1);
        }
    };
    push(info.argument_count.into());
    for_each_string(info.arguments, info.argument_count, |_, text| {
        push(text.as_ptr() as u64)
    });
    push(0);
    for_each_string(info.environment, info.environment_count, |_, text| {
        push(text.as_ptr() as u64)
    });
    push(0);
    for &(kind, value) in auxiliary.iter().chain(&CONSTANT) {
        push(kind.into());
        push(value);
    }
    start
}

fn program_headers() -> &'static [ProgramHeader] {
    // SAFETY: the linker script puts the header there, and the program headers into the image.
    unsafe {
        let header = &raw const __ehdr_start;
        let first = header
            .cast::<u8>()
            .add((*header).program_headers as usize)
            .cast::<ProgramHeader>();
        core::slice::from_raw_parts(first, (*header).program_header_count.into())
    }
}

/// The image's segments, whole pages each: where they lie, whether they may be written, and executed.
pub fn segments() -> impl Iterator<Item = (Range<usize>, bool, bool)> {
    const EXECUTABLE: u32 = 1;
    const WRITABLE: u32 = 2;
    let loaded = program_headers()
        .iter()
        .filter(|header| header.kind == LOADED);
    loaded.map(|header| {
        let (start, bytes) = (
            header.virtual_address as usize,
            header.memory_bytes as usize,
        );
        let pages = start / PAGE_BYTES * PAGE_BYTES..(start + bytes).next_multiple_of(PAGE_BYTES);
        (
            pages,
            header.flags & WRITABLE != 0,
            header.flags & EXECUTABLE != 0,
        )
    })
}

/// Bytes of the program's thread-local storage with its alignment.
pub fn thread_local_bytes() -> usize {
    let headers = program_headers();
    let thread_local = headers.iter().find(|header| header.kind == THREAD_LOCAL);
    thread_local.map_or(0, |header| {
        (header.memory_bytes + header.alignment) as usize
    })
}
