//! The `kvm` monitor: a virtual machine that starts at CPL 3 and holds no ring-0 code.
//!
//! Everything that can fail does so before the guest is entered.
//! [`run`] returns only an [`Outcome`] or an error, whatever the guest does.
//!
//! There is no interrupt table, so every fault shuts the machine down with its state
//! intact. This state is the crash report.
//! KVM on AMD hardware resets the CPU instead; the report then says that it has no details.

mod far;
mod fault;
mod interrupt;
mod memory;
mod operand;
mod rescue;
mod service;
mod slots;
mod tables;
mod vcpu;
mod virtio;
mod wait;

use crate::boot::Machine;
use crate::layout::Layout;
use crate::memory::Mapping;
use crate::outcome::{Exit, Outcome};
use crate::report::{CrashReport, Fatal, Subject};
use crate::signals::HostSignals;
use crate::stats::StatsView;
use crate::ticker::Ticker;
use crate::trace::{Drain, Ring};
use crate::{Monitor, MonitorError, Prepared, clock};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::boot::PLATFORM_KVM;
use bespoke_abi::devices::{NET_AT_EXITS, NET_VIRTIO, NetInfo};
use bespoke_abi::hypercall::PORT;
use bespoke_abi::note::EAGER;
use bespoke_abi::stats::BootPoint;
use far::Far;
use kvm_bindings::{KVM_API_VERSION, kvm_regs, kvm_sregs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use memory::GuestMemory;
use service::Served;
use slots::Slots;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use virtio::Devices;
#[cfg(feature = "fuzz")]
pub use virtio::hostile::drive as drive_hostile;

/// Returns the device to use: `BESPOKE_KVM_DEVICE`, else `/dev/kvm`.
pub fn device() -> PathBuf {
    std::env::var_os("BESPOKE_KVM_DEVICE").map_or_else(|| PathBuf::from("/dev/kvm"), PathBuf::from)
}

/// Checks whether a virtual machine can be created here.
///
/// # Errors
///
/// [`MonitorError::KvmUnavailable`] with the step that failed.
pub fn probe() -> Result<(), MonitorError> {
    create_vm().and_then(|(_, vm)| {
        vm.create_vcpu(0)
            .map(|_| ())
            .map_err(|error| unavailable("create a CPU on", error))
    })
}

/// Measures the kernel's own time to make a machine of 8 MiB with one identified CPU, into which
/// nothing is loaded. This is a lower bound for any monitor on this kernel.
/// The time to destroy the machine is not counted.
///
/// # Errors
///
/// [`MonitorError::KvmUnavailable`], or [`MonitorError::Host`] when the machine gets no memory.
pub fn floor() -> Result<Duration, MonitorError> {
    const BYTES: usize = 8 << 20;
    let memory = Mapping::private(BYTES)?;
    let start = Instant::now();
    let (kvm, vm) = create_vm()?;
    let slot = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: BYTES as u64,
        userspace_addr: memory.at(0) as u64,
    };
    // SAFETY: the mapping outlives the machine, which has no guest to run in it.
    unsafe { vm.set_user_memory_region(slot) }.map_err(refused("give the machine its memory"))?;
    let vcpu = vm
        .create_vcpu(0)
        .map_err(|error| unavailable("create a CPU on", error))?;
    vcpu::identify(&kvm, &vcpu).map_err(refused("set the CPU's identification"))?;
    Ok(start.elapsed())
}

fn unavailable(step: &'static str, error: kvm_ioctls::Error) -> MonitorError {
    MonitorError::KvmUnavailable {
        device: device(),
        step,
        source: error.into(),
    }
}

fn refused(step: &'static str) -> impl Fn(kvm_ioctls::Error) -> MonitorError {
    move |error| MonitorError::Host {
        step,
        source: io::Error::from(error),
    }
}

fn create_vm() -> Result<(Kvm, VmFd), MonitorError> {
    let path = CString::new(device().into_os_string().into_vec())
        .map_err(|_| unavailable("open", kvm_ioctls::Error::new(libc::EINVAL)))?;
    let kvm = Kvm::new_with_path(path).map_err(|error| unavailable("open", error))?;
    if kvm.get_api_version() != KVM_API_VERSION as i32 {
        return Err(unavailable(
            "find the KVM interface behind",
            kvm_ioctls::Error::new(libc::ENOTTY),
        ));
    }
    let vm = kvm
        .create_vm()
        .map_err(|error| unavailable("create a machine on", error))?;
    Ok((kvm, vm))
}

/// A machine that runs or is ready to run.
struct Vm<'a> {
    prepared: Prepared<'a>,
    layout: Layout,
    memory: GuestMemory,
    vcpu: VcpuFd,
    /// Dropped after `vcpu`, as `memory` is: without a CPU nothing can enter the machine.
    far: Far,
    slots: Slots,
    /// State at entry, from which a rescue starts again.
    sregs: kvm_sregs,
    devices: Option<Devices>,
    signals: Option<HostSignals>,
    stats: StatsView,
    /// Interrupts the guest, once that is requested.
    ticker: Option<Ticker>,
    deadline: Option<Instant>,
}

/// Why the run loop ended.
enum Stop {
    Exit(u8),
    Fatal(Fatal),
    Malformed(String),
    Fault(fault::Cause),
    /// The deadline of a rescue passed.
    Timeout,
}

/// Runs the image in a virtual machine.
pub(crate) fn run(mut prepared: Prepared) -> Result<Outcome, MonitorError> {
    let layout = Layout::new(
        &prepared.image.segments,
        prepared.image.note.stack_bytes,
        prepared.boot.bytes(),
        prepared.config.memory_bytes,
        true,
        prepared.link.is_some() || has_consoles(&prepared),
    )?;
    let (kvm, vm) = create_vm()?;
    let memory = GuestMemory::new(&prepared.image, &layout)?;
    let base = memory.mapping.at(0);
    let mut vcpu = vm
        .create_vcpu(0)
        .map_err(|error| unavailable("create a CPU on", error))?;
    let mut features =
        vcpu::identify(&kvm, &vcpu).map_err(refused("set the CPU's identification"))?;
    let eager = prepared.image.note.flags & EAGER != 0;
    let slots = Slots::new(vm, &memory, &layout, eager)?;
    memory.populate(&prepared.image, &layout);
    // SAFETY: `base` is the zeroed memory of this layout, and nothing runs in it yet.
    let tables = unsafe { tables::write(&prepared.image.segments, &layout, base) };
    for segment in &prepared.image.segments {
        // SAFETY: the layout holds every segment, with its file bytes no longer than its memory.
        unsafe {
            prepared.image.load(
                segment,
                memory.mapping.at((segment.address - IMAGE_BASE) as usize),
            )?
        };
    }
    let sregs =
        vcpu::long_mode(&vcpu, &tables, &mut features).map_err(refused("set the CPU's state"))?;
    let tsc_offset = vcpu::align_tsc(&vcpu);
    let tsc_khz = vcpu
        .get_tsc_khz()
        .map_or_else(|_| clock::tsc_khz(), u64::from);
    let (net, mut devices) = connect(&mut prepared, &mut vcpu, &slots, &layout)?;
    let machine = Machine {
        platform: PLATFORM_KVM,
        tsc_khz,
        tsc_offset,
        physical_offset: IMAGE_BASE,
        no_fsgsbase: !features.fsgsbase,
        // A shutdown there resets the CPU.
        faults_end: Path::new("/sys/module/kvm_amd").exists(),
        net,
        devices: devices
            .as_mut()
            .map_or_else(Default::default, Devices::announce),
        ring: Default::default(),
    };
    // SAFETY: as for the tables.
    unsafe {
        prepared
            .boot
            .write(prepared.config, &layout, &machine, base)
    };
    vcpu::start_at(
        &kvm,
        &mut vcpu,
        &sregs,
        prepared.image.entry,
        layout.boot.start,
    )
    .map_err(refused("set the CPU's registers"))?;
    let far = Far::new(&layout, tables.cr3);
    let stats = StatsView::new(
        memory.mapping.clone(),
        (prepared.image.note.stats - IMAGE_BASE) as usize,
    );
    let stamp = |point, tsc: u64| stats.page().stamp(point, tsc.wrapping_add(tsc_offset));
    stamp(BootPoint::MonitorStart, prepared.monitor_start_tsc);
    stamp(BootPoint::MachineReady, clock::tsc());
    let signals = HostSignals::pass_on(&prepared.image.note, &stats)?;
    if let Some(hook) = prepared.on_start.take() {
        hook(stats.clone());
    }
    let ring = prepared.image.trace_ring.unwrap_or(IMAGE_BASE) - IMAGE_BASE;
    let drain = prepared.trace.take().map(|request| {
        let ring = Ring::new(memory.mapping.clone(), ring as usize, &request);
        Drain::start(ring, request.sink)
    });
    stamp(BootPoint::Enter, clock::tsc());
    let mut machine = Vm {
        prepared,
        layout,
        memory,
        vcpu,
        far,
        slots,
        sregs,
        devices,
        signals,
        stats: stats.clone(),
        ticker: None,
        deadline: None,
    };
    crate::signals::end_runs_of(&mut machine.vcpu);
    let exit = machine.serve().and_then(|stop| machine.conclude(stop));
    crate::signals::end_no_runs();
    // No kick after the run: it could end the sleep of another run.
    machine.ticker = None;
    let trace = drain.map(Drain::finish);
    let exit = exit?;
    let stats = stats.snapshot();
    let whole = stats.as_ref().map_or(0, |page| page.exported.get());
    let has_succeeded = matches!(exit, Exit::Code(0));
    let exports = machine.prepared.exports.finish(whole, has_succeeded);
    Ok(Outcome {
        exit,
        stats,
        tsc_khz,
        exports,
        trace,
    })
}

/// Whether the image's console and entropy are devices.
fn has_consoles(prepared: &Prepared) -> bool {
    prepared.config.monitor == Monitor::KvmVirtio
}

/// Makes the devices of the machine, if it has any. A network device needs its peer first.
fn connect(
    prepared: &mut Prepared,
    vcpu: &mut VcpuFd,
    slots: &Slots,
    layout: &Layout,
) -> Result<(NetInfo, Option<Devices>), MonitorError> {
    let has_consoles = has_consoles(prepared);
    let mut net = None;
    if let Some(link) = &mut prepared.link {
        link.serve()?;
        net = link
            .descriptor()
            .map(|descriptor| (descriptor, link.info(0)));
    }
    if net.is_none() && !has_consoles {
        return Ok((NetInfo::default(), None));
    }
    let link = net.as_ref().map(|(descriptor, info)| (*descriptor, info));
    let devices = Devices::new(link, has_consoles, layout.devices.clone());
    if vcpu.map_coalesced_mmio_ring().is_ok() {
        devices
            .settings()
            .for_each(|registers| slots.collect_writes(registers));
    }
    let info = net.map_or_else(NetInfo::default, |(_, info)| NetInfo {
        kind: NET_VIRTIO,
        flags: info.flags | NET_AT_EXITS,
        ..info
    });
    Ok((info, Some(devices)))
}

impl Vm<'_> {
    /// Processes the register writes that KVM collected, in their order, before any later event.
    fn take_collected(&mut self) {
        let Some(devices) = &mut self.devices else {
            return;
        };
        // Without a ring, nothing was collected.
        while let Ok(Some(write)) = self.vcpu.coalesced_mmio_read() {
            let bytes = (write.len as usize).min(write.data.len());
            devices.write(write.phys_addr, &write.data[..bytes], &self.memory);
        }
    }

    /// Runs the guest and serves its hypercalls until it stops.
    fn serve(&mut self) -> Result<Stop, MonitorError> {
        loop {
            if service::passed(self.deadline) {
                return Ok(Stop::Timeout);
            }
            let exit = self.vcpu.run();
            let cause = match exit {
                Ok(VcpuExit::IoOut(PORT, &[a, b, c, d])) => {
                    let address = u64::from(u32::from_le_bytes([a, b, c, d]));
                    self.take_collected();
                    match service::serve(
                        &mut self.memory,
                        (&mut self.far, &mut self.slots),
                        &self.prepared.exports,
                        &mut self.devices,
                        self.signals.as_ref(),
                        self.deadline,
                        address,
                    ) {
                        Served::Continue => continue,
                        Served::Tick => {
                            self.begin_ticks()?;
                            continue;
                        }
                        Served::Exit(code) => return Ok(Stop::Exit(code)),
                        Served::Fatal(fatal) => return Ok(Stop::Fatal(fatal)),
                        Served::Malformed(reason) => return Ok(Stop::Malformed(reason)),
                    }
                }
                Ok(VcpuExit::IoOut(port, data)) => {
                    return Ok(Stop::Malformed(format!(
                        "{} bytes written to port {port:#x}",
                        data.len()
                    )));
                }
                Ok(VcpuExit::IoIn(port, _)) => {
                    return Ok(Stop::Malformed(format!("read from port {port:#x}")));
                }
                Ok(VcpuExit::Intr) => {
                    self.interrupted()?;
                    continue;
                }
                Ok(VcpuExit::Shutdown) => {
                    self.take_back()?;
                    fault::Cause::Shutdown
                }
                Ok(VcpuExit::MmioRead(physical, data))
                    if self.layout.devices.contains(&physical) =>
                {
                    let (target, bytes) = (data.as_mut_ptr(), data.len());
                    self.take_collected();
                    let mut answer = [0; 8];
                    let answer = &mut answer[..bytes.min(8)];
                    if let Some(devices) = &mut self.devices {
                        devices.read(physical, answer);
                    }
                    // SAFETY: the page that KVM shares with us, where `data` was, stays mapped with the vCPU.
                    unsafe { target.copy_from(answer.as_ptr(), answer.len()) };
                    continue;
                }
                Ok(VcpuExit::MmioWrite(physical, data))
                    if self.layout.devices.contains(&physical) =>
                {
                    let mut value = [0; 8];
                    let value = &mut value[..data.len().min(8)];
                    value.copy_from_slice(&data[..value.len()]);
                    self.take_collected();
                    if let Some(devices) = &mut self.devices {
                        devices.write(physical, value, &self.memory);
                    }
                    continue;
                }
                Ok(VcpuExit::MmioRead(physical, data)) => {
                    if let Some(host) = self.slots.reach(&self.memory, physical, data.len())? {
                        // SAFETY: `reach` checked the range; the guest does not run.
                        unsafe { data.as_mut_ptr().copy_from(host, data.len()) };
                        continue;
                    }
                    fault::Cause::Memory {
                        physical,
                        write: Some(false),
                    }
                }
                Ok(VcpuExit::MmioWrite(physical, data)) => {
                    if let Some(host) = self.slots.reach(&self.memory, physical, data.len())? {
                        // SAFETY: as above.
                        unsafe { host.copy_from(data.as_ptr(), data.len()) };
                        continue;
                    }
                    fault::Cause::Memory {
                        physical,
                        write: Some(true),
                    }
                }
                // KVM cannot perform the access itself: its emulator does not know the instruction.
                Ok(VcpuExit::InternalError) if self.slots.extend()? => continue,
                Ok(VcpuExit::MemoryFault { gpa, .. }) => fault::Cause::Memory {
                    physical: gpa,
                    write: None,
                },
                Ok(other) => fault::Cause::Stopped(format!("{other:?}")),
                Err(error) if error.errno() == libc::EINTR || error.errno() == libc::EAGAIN => {
                    self.interrupted()?;
                    continue;
                }
                // The error of older kernels when the host refuses a guest page.
                Err(error) if error.errno() == libc::EFAULT => fault::Cause::Closed,
                Err(error) => fault::Cause::Stopped(format!("KVM_RUN: {}", io::Error::from(error))),
            };
            if self.handles(&cause)? {
                continue;
            }
            return Ok(Stop::Fault(cause));
        }
    }

    fn conclude(&mut self, stop: Stop) -> Result<Exit, MonitorError> {
        let mut report = match stop {
            Stop::Exit(code) => return Ok(Exit::Code(code)),
            Stop::Fatal(fatal) => {
                if let Some(needed_bytes) = fatal.needed_bytes() {
                    let given_bytes = self.prepared.config.memory_bytes;
                    return Err(MonitorError::TooLittleMemory {
                        needed_bytes,
                        given_bytes,
                    });
                }
                let sregs = self
                    .vcpu
                    .get_sregs()
                    .map_err(refused("read the CPU's state"))?;
                let registers = vcpu::registers(&self.vcpu, &sregs)
                    .map_err(refused("read the CPU's registers"))?;
                self.report(|subject| CrashReport::fatal(subject, fatal, Some(registers)))
            }
            Stop::Malformed(reason) => {
                let sregs = self
                    .vcpu
                    .get_sregs()
                    .map_err(refused("read the CPU's state"))?;
                let registers = vcpu::registers(&self.vcpu, &sregs)
                    .map_err(refused("read the CPU's registers"))?;
                self.report(|subject| CrashReport::malformed(subject, reason, Some(registers)))
            }
            Stop::Fault(cause) => {
                let declined = self.stats.page().declined.get();
                let fault = fault::read(self, &cause)?.explained(declined);
                self.report(|subject| CrashReport::fault(subject, fault))
            }
            Stop::Timeout => unreachable!("a deadline is set by a rescue alone"),
        };
        if self.prepared.exports.survive_failure() {
            report.rescue = rescue::run(self)?;
        }
        Ok(Exit::Crash(report))
    }

    fn report(&self, build: impl FnOnce(&Subject) -> CrashReport) -> Box<CrashReport> {
        let read = |address, bytes: &mut [u8]| self.far.read(&self.memory, address, bytes);
        Box::new(build(&Subject {
            image: &self.prepared.image,
            layout: &self.layout,
            read: &read,
        }))
    }

    /// Sets the CPU to restart at `rip`, whatever state a fault left it in.
    fn restart(&mut self, rip: u64, rsp: u64, fs_base: u64) -> Result<(), MonitorError> {
        let step = refused("set the CPU's state for the rescue");
        self.vcpu
            .set_vcpu_events(&Default::default())
            .map_err(&step)?;
        let mut sregs = self.sregs;
        sregs.fs.base = fs_base;
        self.vcpu.set_sregs(&sregs).map_err(&step)?;
        self.vcpu
            .set_regs(&kvm_regs {
                rip,
                rsp,
                rflags: 2,
                ..Default::default()
            })
            .map_err(&step)
    }
}
