//! The boot information that the monitor passes to the image at its first instruction.
//!
//! Entry state on every monitor:
//! - The image runs at CPL 3. A Linux process counts as CPL 3.
//! - `rdi` is the guest-virtual address of a [`BootInfo`].
//! - The direction flag is clear. SSE and AVX are enabled.
//! - FSGSBASE is enabled, or [`FLAG_NO_FSGSBASE`] is set.
//! - There is no usable stack: the image brings its own.
//! - All other registers are zero. The x87 and SSE control registers have their values after a
//!   process reset. On stock monitors these registers may hold anything.
//! - Memory in `ram_start..ram_end` is zero and has never been touched.

use crate::devices::{MAX_DEVICES, MmioDevice, NetInfo, PacketRing};

/// First field of a [`BootInfo`].
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"BESPOKE1");

/// The image runs in a virtual machine of our KVM monitor: hypercalls are `out` instructions.
pub const PLATFORM_KVM: u32 = 1;
/// The image runs as a Linux process: hypercalls are Linux system calls.
pub const PLATFORM_PROCESS: u32 = 2;
/// The image runs on a stock virtual machine, above its own ring-0 stub. There are no hypercalls,
/// and the image itself made the boot information.
pub const PLATFORM_PVH: u32 = 3;

/// `rdfsbase`/`wrfsbase` fault here; set the thread pointer through the platform.
pub const FLAG_NO_FSGSBASE: u32 = 1 << 0;
/// Print each system call on the console as it is made (`bespoke run --trace-calls`).
pub const FLAG_TRACE_CALLS: u32 = 1 << 1;
/// RAM holds what firmware left in it. Without this flag all of it is zero.
pub const FLAG_USED_RAM: u32 = 1 << 2;
/// Set by the image itself: memory of stacks may be populated on first touch, so a system call
/// first touches the stack it will use.
pub const FLAG_PROBE_STACK: u32 = 1 << 3;
/// Faults cannot be served: memory must be present before it is touched.
pub const FLAG_FAULTS_END: u32 = 1 << 4;
/// Write the exports whatever the exit code is. Without this flag, write them only for exit code 0.
pub const FLAG_EXPORT_ALWAYS: u32 = 1 << 8;

/// A run of bytes in guest-virtual memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Address of the first byte.
    pub start: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// The boot information page.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`].
    pub version: u32,
    /// [`PLATFORM_KVM`], [`PLATFORM_PROCESS`] or [`PLATFORM_PVH`].
    pub platform: u32,
    /// Bits named `FLAG_*`.
    pub flags: u32,
    /// Bit n set: standard descriptor n (0, 1, 2) is a terminal.
    pub terminals: u32,
    /// Terminal size, valid when `terminals` is not 0.
    pub terminal_rows: u16,
    /// See `terminal_rows`.
    pub terminal_columns: u16,
    /// Number of strings in `arguments`.
    pub argument_count: u32,
    /// Number of strings in `environment`.
    pub environment_count: u32,
    /// Number of strings in `exports`.
    pub export_count: u32,
    /// All memory that the image may hand out: page aligned, zero, untouched.
    pub ram: Span,
    /// The main stack: whole pages, zero, untouched, with an inaccessible page below.
    /// The monitor provides it, because protecting a page of a running guest is expensive (tens of
    /// microseconds, and milliseconds with gigabytes of RAM), while never mapping it costs nothing.
    pub stack: Span,
    /// Memory given to the whole image with `-m`, in bytes (as in "has M MiB").
    pub total_bytes: u64,
    /// Guest-virtual minus guest-physical address. Devices need it.
    pub physical_offset: u64,
    /// Time stamp counter frequency; 0 if the image must measure it itself.
    pub tsc_khz: u64,
    /// Time stamp counter value at which the wall clock read `wall_ns`.
    pub tsc_base: u64,
    /// Nanoseconds since the Unix epoch at `tsc_base`.
    pub wall_ns: u64,
    /// Random bytes from the host, fresh for each start.
    pub seed: [u8; 32],
    /// NUL-terminated argument strings, one after the other; the first is the program name.
    pub arguments: Span,
    /// NUL-terminated `NAME=value` strings.
    pub environment: Span,
    /// A POSIX ustar archive to unpack into the root file system; 16-byte aligned.
    /// The image owns this memory and may write to it (file contents stay in place). Empty: none.
    pub archive: Span,
    /// NUL-terminated guest paths to write out at exit.
    /// File or folder k goes to descriptor [`crate::hypercall::EXPORT_DESCRIPTOR`]` + k`,
    /// in a form of [`crate::export`].
    pub exports: Span,
    /// The network.
    pub net: NetInfo,
    /// MMIO devices. The first unused entry ends the list.
    pub devices: [MmioDevice; MAX_DEVICES],
    /// The ring of a [`crate::devices::NET_PACKET`].
    pub ring: PacketRing,
}

/// The fields fill the structure: padding would expose bytes of the monitor's memory to the image.
const _: () = {
    let words = size_of::<u64>() * 6 + size_of::<u32>() * 7 + size_of::<u16>() * 2;
    let parts = size_of::<Span>() * 6 + 32 + size_of::<[MmioDevice; MAX_DEVICES]>();
    let network = size_of::<NetInfo>() + size_of::<PacketRing>();
    assert!(size_of::<BootInfo>() == words + parts + network);
    assert!(size_of::<NetInfo>() == 3 * 4 + 2 + 6 + 3 * 4 + 2 * 16 + 2 + 6);
    assert!(size_of::<MmioDevice>() == 2 * 8 + 2 * 4);
    assert!(size_of::<PacketRing>() == 8 + 2 * 4);
    assert!(size_of::<Span>() == 2 * 8);
};
