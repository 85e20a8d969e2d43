//! The virtio devices of a stock machine: found on the command line, as Firecracker and QEMU's microvm tell them, and on
//! PCI buses where there are any. Owns what tells them apart; a device of no use here is left alone.

use super::command_line::{self, MmioWindow};
use super::tables::Tables;
use super::{give_up, interrupts};
#[cfg(feature = "net")]
use super::{network, pci};
#[cfg(feature = "net")]
use bespoke_abi::devices::{MAX_DEVICES, MmioDevice, NetInfo};
use bespoke_virtio::{Console, DeviceMemory, Entropy, Registers};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

const NETWORK: u32 = 1;
pub(super) const CONSOLE: u32 = 3;
pub(super) const ENTROPY: u32 = 4;

const MAGIC: usize = 0;
const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");
const VERSION: usize = 4;
const MODERN: u32 = 2;
const DEVICE: usize = 8;
const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
const ALL_INTERRUPTS: u32 = 3;
#[cfg(feature = "net")]
const CONFIGURATION: usize = 0x100;
const WINDOW_BYTES: u32 = 0x200;

/// Bytes of memory the consoles and the entropy source take.
pub const NEEDED_BYTES: usize =
    2 * (Console::NEEDED_BYTES + size_of::<Console>()) + Entropy::NEEDED_BYTES + 256;

static UP: AtomicBool = AtomicBool::new(false);

/// Whether interrupts of devices and of the timer end waits by now.
pub fn are_up() -> bool {
    UP.load(Relaxed)
}

/// Where a device's interrupt is acknowledged, so that it can come again.
#[derive(Clone, Copy)]
pub struct Acknowledge(usize);

impl Acknowledge {
    /// The device may interrupt again.
    pub fn now(self) {
        // SAFETY: a register of the device.
        unsafe { (self.0 as *mut u32).write_volatile(ALL_INTERRUPTS) }
    }
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// The network, and how its interrupt is acknowledged.
    #[cfg(feature = "net")]
    pub net: NetInfo,
    pub net_acknowledge: Option<Acknowledge>,
    #[cfg(feature = "net")]
    pub net_registers: Option<Registers>,
    /// Devices that the rest of the library OS drives.
    #[cfg(feature = "net")]
    pub list: [MmioDevice; MAX_DEVICES],
    pub consoles: [Option<&'static mut Console>; 2],
    pub console_acknowledge: Option<Acknowledge>,
    /// Not started.
    pub entropy: Option<Registers>,
}

/// A device that was found: how it is driven.
pub(super) struct Candidate {
    pub registers: Registers,
    pub kind: u32,
    /// Of its registers.
    #[cfg(feature = "net")]
    pub address: u64,
    pub acknowledge: Option<Acknowledge>,
    /// Where what is particular to its kind begins, if there is anything.
    #[cfg(feature = "net")]
    pub configuration: Option<usize>,
}

impl Candidate {
    /// A device of a monitor that has no interrupts.
    pub fn without_interrupt(registers: Registers, kind: u32) -> Self {
        Self {
            registers,
            kind,
            #[cfg(feature = "net")]
            address: 0,
            acknowledge: None,
            #[cfg(feature = "net")]
            configuration: None,
        }
    }
}

/// Whether there is a driver for devices of this kind.
pub(super) fn is_of_use(kind: u32) -> bool {
    matches!(kind, NETWORK | CONSOLE | ENTROPY)
}

/// Finds the devices of `line`, whose registers [`map`] has mapped, and those of PCI buses if the machine has firmware, which such buses need; starts
/// those the platform drives itself, in `memory`.
#[cfg_attr(
    not(feature = "net"),
    expect(
        unused_variables,
        reason = "an image without a network looks at no bus"
    )
)]
pub fn find(
    line: &[u8],
    has_firmware: bool,
    tables: &mut Tables,
    memory: &mut DeviceMemory,
) -> Found {
    let mut found = Found::default();
    for window in command_line::windows(line) {
        let Some(window) = window else {
            give_up(format_args!(
                "a virtio_mmio.device= on the command line is not SIZE@0xADDRESS:INTERRUPT"
            ));
        };
        if let Some(candidate) = probe(window) {
            interrupts::route(window.interrupt);
            found.add(candidate, memory);
        }
    }
    #[cfg(feature = "net")]
    {
        if has_firmware {
            pci::each(tables, |candidate| found.add(candidate, memory));
        }
        network::set_addresses(line, &mut found.net);
    }
    UP.store(true, Relaxed);
    found
}

/// Maps the registers of the devices of `line`.
pub fn map(line: &[u8], tables: &mut Tables) {
    for window in command_line::windows(line).flatten() {
        tables.map_registers(&[window.address], WINDOW_BYTES);
    }
}

/// Looks at registers over MMIO (virtio 1.2, section 4.2.2).
fn probe(window: MmioWindow) -> Option<Candidate> {
    let base = window.address as usize;
    // SAFETY: the monitor says that a device's registers are there; `map` mapped them.
    let read = |offset: usize| unsafe { ((base + offset) as *const u32).read_volatile() };
    let kind = read(DEVICE);
    if read(MAGIC) != MAGIC_VALUE || !is_of_use(kind) {
        return None;
    }
    if read(VERSION) != MODERN {
        give_up(format_args!(
            "a virtio device is of the old kind; with QEMU add -global virtio-mmio.force-legacy=false"
        ));
    }
    Some(Candidate {
        // SAFETY: as above; this is their only driver.
        registers: unsafe { Registers::new(base) }?,
        kind,
        #[cfg(feature = "net")]
        address: window.address,
        acknowledge: Some(Acknowledge(base + INTERRUPT_ACKNOWLEDGE)),
        #[cfg(feature = "net")]
        configuration: Some(base + CONFIGURATION),
    })
}

impl Found {
    /// Starts the driver of a device, if one more of its kind is of use.
    pub(super) fn add(&mut self, candidate: Candidate, memory: &mut DeviceMemory) {
        let Candidate {
            mut registers,
            kind,
            acknowledge,
            ..
        } = candidate;
        match kind {
            #[cfg(feature = "net")]
            NETWORK if self.net_registers.is_none() => {
                let features = registers.offered();
                self.net = network::of_device(features, candidate.configuration);
                self.net_acknowledge = acknowledge;
                self.list[0] = MmioDevice {
                    address: candidate.address,
                    features,
                    kind,
                    queue_entries: registers.queue_entries(0),
                };
                self.net_registers = Some(registers);
            }
            CONSOLE => {
                let Some(index) = self.consoles.iter().position(Option::is_none) else {
                    return;
                };
                let is_first = self.console_acknowledge.is_none();
                let features = registers.offered();
                let console = Console::new(registers, features, memory).ok();
                self.consoles[index] = console.and_then(|console| memory.keep(console));
                if is_first {
                    self.console_acknowledge = acknowledge;
                }
            }
            ENTROPY if self.entropy.is_none() => {
                self.entropy = Some(registers);
            }
            _ => {}
        }
    }
}
