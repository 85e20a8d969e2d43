//! The host side: starts images, serves them and reports on them.
//!
//! All monitors are behind one call, [`run`]:
//! - `kvm` is a virtual machine without any ring-0 code.
//! - `process` runs the same image as a Linux process under seccomp. Both give the guest the same
//!   memory layout, boot information and hypercalls.
//! - `qemu` starts a stock machine, where the image relies on its own ring-0 stub and library OS.
//! - `firecracker` writes Firecracker's configuration and starts it.
//!
//! Each run ends in an [`Outcome`].
//!
//! Rules:
//! 1. The guest is untrusted: every address is checked against its memory.
//! 2. Host operations that can fail do so before the guest's first instruction.
//! 3. A fault of the guest neither ends nor blocks the monitor: it results in a [`CrashReport`].
//! 4. The start path is counted in microseconds: one thread, and no allocation that grows with RAM.
//!
//! [`run`] with [`Monitor::Process`] forks: call it from a process with one thread.
//!
//! ```no_run
//! use bespoke_monitor::{Exit, Monitor, RunConfig, run};
//!
//! let mut config = RunConfig::new("hello.img", Monitor::Kvm);
//! config.memory_bytes = 64 << 20;
//! let outcome = run(config)?;
//! assert!(matches!(outcome.exit, Exit::Code(0)));
//! # Ok::<(), bespoke_monitor::MonitorError>(())
//! ```
//!
//! What an image or a user said is made safe to print:
//!
//! ```
//! assert_eq!(bespoke_monitor::printable("a\u{1b}[31mb"), r"a\u{1b}[31mb");
//! ```

mod archive;
mod boot;
mod clock;
mod config;
mod error;
mod exports;
mod firecracker;
mod image;
mod kvm;
mod layout;
mod memory;
mod net;
mod outcome;
mod printable;
mod process;
mod program;
mod qemu;
mod regular;
mod report;
mod signals;
mod stats;
mod stock;
mod ticker;
mod timer;
mod trace;

pub use archive::pack;
pub use clock::{tsc, tsc_khz};
pub use config::{
    Accelerator, Archive, ExportFile, ImportFile, Machine, Monitor, Qemu, RunConfig, StartHook,
};
pub use error::MonitorError;
pub use exports::{ExportResult, ExportState, Obstacle};
pub use firecracker::{
    by_hand as firecracker_by_hand, line as firecracker_line, version as firecracker_version,
};
#[cfg(feature = "fuzz")]
pub use kvm::drive_hostile;
pub use kvm::{device as kvm_device, floor as kvm_floor, probe as probe_kvm};
pub use net::{InterfaceNetwork, Network, PortForward, Protocol, listening};
pub use outcome::{Exit, Outcome};
pub use printable::{is_obeyed, printable};
pub use qemu::{by_hand as qemu_by_hand, version as qemu_version};
pub use regular::{open_regular, open_regular_with, read_regular};
pub use report::{Backtrace, CrashKind, CrashReport, Frame, Registers, Rescue, SourceLines};
pub use stats::StatsView;
pub use stock::encode;
pub use trace::{TraceRequest, TraceSink, Traced};

use bespoke_abi::note::NO_NETWORK;
use boot::BootBlock;
use exports::Exports;
use image::Image;
pub use image::{RunDefaults, run_defaults};
use net::Link;

/// The common starting point of both monitors: every step that needs no machine has succeeded.
struct Prepared<'a> {
    config: &'a RunConfig,
    image: Image,
    boot: BootBlock<'a>,
    exports: Exports,
    link: Option<Link>,
    on_start: Option<StartHook>,
    trace: Option<TraceRequest>,
    monitor_start_tsc: u64,
}

/// Runs an image to its end.
///
/// # Errors
///
/// The reason why the image did not start.
/// [`MonitorError::is_kvm_unavailable`] tells when [`Monitor::Process`] may work instead.
pub fn run(mut config: RunConfig) -> Result<Outcome, MonitorError> {
    let monitor_start_tsc = if config.monitor_start_tsc != 0 {
        config.monitor_start_tsc
    } else {
        tsc()
    };
    // A closed reader must be an error that the guest sees, not a signal that ends the monitor.
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let on_start = config.on_start.take();
    let trace = config.trace.take();
    let image = Image::open(&config.image)?;
    if trace.is_some() && image.trace_ring.is_none() {
        let path = config.image;
        return Err(MonitorError::NotTraced { path });
    }
    // First, so that a file that changes while it is read is detected.
    let limit = config.export_limit;
    let limit = limit.unwrap_or(config.memory_bytes.saturating_mul(RunConfig::EXPORT_SHARE));
    let exports = Exports::open(&config.exports, config.export_always, limit)?;
    let archive = archive::bytes(&config.archive, config.memory_bytes)?;
    exports.check_unchanged()?;
    let boot = BootBlock::new(&config, &archive)?;
    if config.net != Network::None && image.note.flags & NO_NETWORK != 0 {
        let path = config.image;
        return Err(MonitorError::NoNetwork { path });
    }
    if let Network::Veth(veth) = &config.net
        && config.monitor != Monitor::Process
    {
        let name = veth.name.clone();
        return Err(MonitorError::VethMonitor { name });
    }
    if config.monitor == Monitor::Firecracker {
        return firecracker::run(&config, &image, &exports, trace.is_some());
    }
    let link = Link::open(&config.net)?;
    let prepared = Prepared {
        config: &config,
        image,
        boot,
        exports,
        link,
        on_start,
        trace,
        monitor_start_tsc,
    };
    match config.monitor {
        Monitor::Kvm | Monitor::KvmVirtio => kvm::run(prepared),
        Monitor::Process => process::run(prepared),
        Monitor::Qemu(qemu) => qemu::run(prepared, qemu),
        Monitor::Firecracker => unreachable!("it was run above"),
    }
}
