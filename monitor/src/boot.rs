//! Builds the boot information block: the structure, the strings behind it, then the archive.

use crate::clock;
use crate::layout::Layout;
use crate::{Monitor, MonitorError, RunConfig};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::boot::{
    BOOT_MAGIC, BootInfo, FLAG_EXPORT_ALWAYS, FLAG_FAULTS_END, FLAG_NO_FSGSBASE, FLAG_TRACE_CALLS,
    Span,
};
use bespoke_abi::devices::{MAX_DEVICES, MmioDevice, NetInfo, PacketRing};
use std::os::unix::ffi::OsStrExt;

const ARCHIVE_ALIGN: usize = 16;
const HEADER_BYTES: usize = size_of::<BootInfo>();
/// `AT_HWCAP2` bit: the kernel allows processes to use `wrfsbase`.
const HWCAP2_FSGSBASE: u64 = 1 << 1;

/// The block, complete except for the facts that are known only after the machine is built.
pub(crate) struct BootBlock<'a> {
    strings: Vec<u8>,
    arguments: Span,
    environment: Span,
    exports: Span,
    archive: &'a [u8],
}

/// Facts that depend on the monitor.
pub(crate) struct Machine {
    pub platform: u32,
    pub tsc_khz: u64,
    /// Guest counter minus host counter.
    pub tsc_offset: u64,
    pub physical_offset: u64,
    pub no_fsgsbase: bool,
    /// The guest cannot handle faults.
    pub faults_end: bool,
    pub net: NetInfo,
    pub devices: [MmioDevice; MAX_DEVICES],
    pub ring: PacketRing,
}

impl<'a> BootBlock<'a> {
    /// Collects the data for the guest from `config`. Spans count from the end of the structure.
    pub(crate) fn new(config: &RunConfig, archive: &'a [u8]) -> Result<Self, MonitorError> {
        let mut strings = Vec::new();
        let arguments = push(
            &mut strings,
            "argument",
            config.arguments.iter().map(|text| text.as_bytes()),
        )?;
        let environment = push(
            &mut strings,
            "environment string",
            config.environment.iter().map(|text| text.as_bytes()),
        )?;
        let exports = push(
            &mut strings,
            "guest path",
            config.exports.iter().map(|export| export.guest.as_bytes()),
        )?;
        Ok(Self {
            strings,
            arguments,
            environment,
            exports,
            archive,
        })
    }

    fn archive_offset(&self) -> usize {
        (HEADER_BYTES + self.strings.len()).next_multiple_of(ARCHIVE_ALIGN)
    }

    /// The files given to the image.
    pub(crate) fn archive(&self) -> &[u8] {
        self.archive
    }

    /// Length of the block in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.archive_offset() + self.archive.len()) as u64
    }

    /// Writes the block into guest memory.
    ///
    /// # Safety
    ///
    /// `base` is the memory at [`IMAGE_BASE`], valid for writes over all of `layout`.
    pub(crate) unsafe fn write(
        &self,
        config: &RunConfig,
        layout: &Layout,
        machine: &Machine,
        base: *mut u8,
    ) {
        let at = |span: Span| Span {
            start: layout.boot.start + HEADER_BYTES as u64 + span.start,
            ..span
        };
        let (wall_ns, tsc_base) = clock::wall();
        let (terminals, rows, columns) = terminals();
        let mut seed = [0; 32];
        // There the image gets its seed from the entropy device.
        if config.monitor != Monitor::KvmVirtio {
            // SAFETY: 32 bytes, never refused once the system has booted; the guest's hash tables, not
            // its keys, rest on it where it is.
            unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
        }
        let trace = if config.trace_calls {
            FLAG_TRACE_CALLS
        } else {
            0
        };
        let always = if config.export_always {
            FLAG_EXPORT_ALWAYS
        } else {
            0
        };
        let fsgsbase = if machine.no_fsgsbase {
            FLAG_NO_FSGSBASE
        } else {
            0
        };
        let faults = if machine.faults_end {
            FLAG_FAULTS_END
        } else {
            0
        };
        let info = BootInfo {
            magic: BOOT_MAGIC,
            version: bespoke_abi::VERSION,
            platform: machine.platform,
            flags: trace | always | fsgsbase | faults,
            terminals,
            terminal_rows: rows,
            terminal_columns: columns,
            argument_count: config.arguments.len() as u32,
            environment_count: config.environment.len() as u32,
            export_count: config.exports.len() as u32,
            ram: Span {
                start: layout.ram.start,
                bytes: layout.ram.end - layout.ram.start,
            },
            stack: Span {
                start: layout.stack.start,
                bytes: layout.stack.end - layout.stack.start,
            },
            total_bytes: config.memory_bytes,
            physical_offset: machine.physical_offset,
            tsc_khz: machine.tsc_khz,
            tsc_base: tsc_base.wrapping_add(machine.tsc_offset),
            wall_ns,
            seed,
            arguments: at(self.arguments),
            environment: at(self.environment),
            archive: Span {
                start: layout.boot.start + self.archive_offset() as u64,
                bytes: self.archive.len() as u64,
            },
            exports: at(self.exports),
            net: machine.net,
            devices: machine.devices,
            ring: machine.ring,
        };
        // SAFETY: the layout reserved `self.bytes()` bytes from `boot.start`, page aligned.
        unsafe {
            let block = base.add((layout.boot.start - IMAGE_BASE) as usize);
            block.cast::<BootInfo>().write(info);
            block
                .add(HEADER_BYTES)
                .copy_from_nonoverlapping(self.strings.as_ptr(), self.strings.len());
            block
                .add(self.archive_offset())
                .copy_from_nonoverlapping(self.archive.as_ptr(), self.archive.len());
        }
    }
}

fn push<'a>(
    strings: &mut Vec<u8>,
    what: &'static str,
    texts: impl Iterator<Item = &'a [u8]>,
) -> Result<Span, MonitorError> {
    let start = strings.len();
    for text in texts {
        if text.contains(&0) {
            let name = String::from_utf8_lossy(text).into_owned();
            return Err(MonitorError::BadName {
                what,
                name,
                reason: "contains a NUL byte",
            });
        }
        strings.extend_from_slice(text);
        strings.push(0);
    }
    Ok(Span {
        start: start as u64,
        bytes: (strings.len() - start) as u64,
    })
}

/// Returns which of descriptors 0, 1 and 2 are terminals, and the size of the first one.
pub(crate) fn terminals() -> (u32, u16, u16) {
    let (mut bits, mut rows, mut columns) = (0, 0, 0);
    for descriptor in 0..3 {
        let mut size = libc::winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: TIOCGWINSZ fills the structure; it fails on anything but a terminal.
        if unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &mut size) } == 0 {
            if bits == 0 {
                (rows, columns) = (size.ws_row, size.ws_col);
            }
            bits |= 1 << descriptor;
        }
    }
    (bits, rows, columns)
}

/// Whether this kernel allows processes to set their FS base.
pub(crate) fn fsgsbase_in_processes() -> bool {
    // SAFETY: reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & HWCAP2_FSGSBASE != 0 }
}
