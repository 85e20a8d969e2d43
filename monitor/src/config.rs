//! What the caller asks for. Plain data; owns no resource.

use crate::net::Network;
use crate::stats::StatsView;
use crate::trace::TraceRequest;
use std::ffi::OsString;
use std::path::PathBuf;

/// Which monitor runs the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// A virtual machine of our own on `/dev/kvm`.
    Kvm,
    /// The same, with its console and its randomness through virtio devices instead of hypercalls.
    KvmVirtio,
    /// A Linux process under seccomp.
    Process,
    /// QEMU, as it is installed.
    Qemu(Qemu),
    /// Firecracker, as it is installed.
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

/// Which machine QEMU is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qemu {
    /// The machine.
    pub machine: Machine,
    /// Who runs its CPU.
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

/// What runs the machine's CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// The kernel's KVM.
    Kvm,
    /// QEMU's own translation, which needs nothing of the host.
    #[default]
    Tcg,
}

/// A host file or folder placed into the guest's file system before the start.
#[derive(Clone, Debug)]
pub struct ImportFile {
    /// The file or folder on the host.
    pub host: PathBuf,
    /// Where the guest finds it; relative paths count from `/`.
    pub guest: String,
    /// `host` is a folder, taken with everything below it; symbolic links stay links.
    pub folder: bool,
    /// Times and permissions are made the same everywhere, so that equal contents are equal bytes;
    /// else they are kept.
    pub canonical: bool,
}

/// A guest file or folder written to the host when the image ends.
#[derive(Clone, Debug)]
pub struct ExportFile {
    /// The file or folder in the guest.
    pub guest: String,
    /// Where it goes on the host, replacing what is there once it is whole.
    pub host: PathBuf,
}

/// What the guest's first file system contains.
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

/// Called once, just before the guest starts, with live access to its statistics page.
pub type StartHook = Box<dyn FnOnce(StatsView)>;

/// One run of one image.
pub struct RunConfig {
    /// The ELF image.
    pub image: PathBuf,
    /// Which monitor.
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
    /// Take them after a failure, too, not only after exit code 0.
    pub export_always: bool,
    /// Bytes they may have together; `None`: [`RunConfig::EXPORT_SHARE`] of the memory.
    pub export_limit: Option<u64>,
    /// The network.
    pub net: Network,
    /// Name each system call on the console.
    pub trace_calls: bool,
    /// Record allocations; the image must be built for that.
    pub trace: Option<TraceRequest>,
    /// Time stamp counter at the caller's first instruction; 0 takes the time of the call.
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
    /// How many times its memory an image may write out, unless [`RunConfig::export_limit`] says otherwise. Files lie
    /// in its memory, so what is more is holes and files that are written twice.
    pub const EXPORT_SHARE: u64 = 2;

    /// A run of `image` on `monitor` with 256 MiB and nothing else set.
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
