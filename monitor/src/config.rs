//! The configuration of a run. Plain data.

use crate::net::Network;
use crate::stats::StatsView;
use crate::trace::TraceRequest;
use std::ffi::OsString;
use std::path::PathBuf;

/// Which monitor runs the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// Our own virtual machine on `/dev/kvm`.
    Kvm,
    /// Like `Kvm`, with console and entropy through virtio devices instead of hypercalls.
    KvmVirtio,
    /// A Linux process under seccomp.
    Process,
    /// The installed QEMU.
    Qemu(Qemu),
    /// The installed Firecracker.
    Firecracker,
}

impl Monitor {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::KvmVirtio => "kvm-virtio",
            Self::Process => "process",
            Self::Qemu(Qemu {
                accelerator: Accelerator::Kvm,
                ..
            }) => "qemu-kvm",
            Self::Qemu(_) => "qemu-tcg",
            Self::Firecracker => "firecracker",
        }
    }
}

/// QEMU's machine type and accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qemu {
    /// The machine.
    pub machine: Machine,
    /// The accelerator of its CPU.
    pub accelerator: Accelerator,
}

/// A machine type of QEMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Machine {
    /// `microvm`: devices over MMIO, no PCI.
    #[default]
    Microvm,
    /// `q35`: a PC with PCI Express.
    Q35,
}

/// The accelerator of the machine's CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// The kernel's KVM.
    Kvm,
    /// QEMU's own translation (TCG), which needs no host support.
    #[default]
    Tcg,
}

/// A host file or folder that is placed into the guest's file system before the start.
#[derive(Clone, Debug)]
pub struct ImportFile {
    /// The file or folder on the host.
    pub host: PathBuf,
    /// Its path in the guest; relative paths start at `/`.
    pub guest: String,
    /// `host` is a folder, which is imported recursively; symbolic links stay links.
    pub folder: bool,
    /// Normalises times and permissions, so that equal contents give equal
    /// bytes. If unset, they are kept.
    pub canonical: bool,
}

/// A guest file or folder that is written to the host when the image ends.
#[derive(Clone, Debug)]
pub struct ExportFile {
    /// The file or folder in the guest.
    pub guest: String,
    /// Its path on the host. Once complete, it replaces what is there.
    pub host: PathBuf,
}

/// Initial contents of the guest's file system.
#[derive(Clone, Debug, Default)]
pub enum Archive {
    /// Nothing.
    #[default]
    None,
    /// A ustar archive.
    Bytes(Vec<u8>),
    /// These files, packed by the monitor.
    Files(Vec<ImportFile>),
}

/// Called once, directly before the guest starts, with live access to its statistics page.
pub type StartHook = Box<dyn FnOnce(StatsView)>;

/// One run of one image.
pub struct RunConfig {
    /// The ELF image.
    pub image: PathBuf,
    /// The monitor that runs it.
    pub monitor: Monitor,
    /// Memory for the whole image, in bytes; rounded down to pages.
    pub memory_bytes: u64,
    /// Arguments; the first is the program name.
    pub arguments: Vec<OsString>,
    /// `NAME=value` strings.
    pub environment: Vec<OsString>,
    /// Files given to the guest.
    pub archive: Archive,
    /// Files and folders taken from the guest.
    pub exports: Vec<ExportFile>,
    /// Export after a failure, too, and not only after exit code 0.
    pub export_always: bool,
    /// Most bytes that they may have together; `None`: [`RunConfig::EXPORT_SHARE`] of the memory.
    pub export_limit: Option<u64>,
    /// The network.
    pub net: Network,
    /// Print each system call on the console.
    pub trace_calls: bool,
    /// Record allocations; the image must be built for that.
    pub trace: Option<TraceRequest>,
    /// Time stamp counter at the caller's first instruction. 0: use the time of the call.
    pub monitor_start_tsc: u64,
    /// See [`StartHook`].
    pub on_start: Option<StartHook>,
}

impl core::fmt::Debug for RunConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RunConfig").finish_non_exhaustive()
    }
}

impl RunConfig {
    /// Limit of all exports as a multiple of the image's memory, unless
    /// [`RunConfig::export_limit`] sets another.
    /// Files lie in that memory, so only holes and files that are written twice can exceed it.
    pub const EXPORT_SHARE: u64 = 2;

    /// Makes a run of `image` on `monitor` with 256 MiB and defaults otherwise.
    pub fn new(image: impl Into<PathBuf>, monitor: Monitor) -> Self {
        let image = image.into();
        let name = image.file_name().unwrap_or_default().to_os_string();
        Self {
            image,
            monitor,
            memory_bytes: 256 << 20,
            arguments: vec![name],
            environment: Vec::new(),
            archive: Archive::None,
            exports: Vec::new(),
            export_always: false,
            export_limit: None,
            net: Network::None,
            trace_calls: false,
            trace: None,
            monitor_start_tsc: 0,
            on_start: None,
        }
    }
}
