//! The virtio devices of a stock machine: found on the command line, as Firecracker and QEMU's microvm tell them.
//! Owns what tells them apart; a device of no use here is left alone.

use super::command_line::{self, MmioWindow};
#[cfg(feature = "net")]
use super::network;
use super::tables::Tables;
use super::{give_up, interrupts};
use bespoke_abi::devices::{MAX_DEVICES, MmioDevice, NetInfo};
use bespoke_virtio::{Console, DeviceMemory, Entropy, Registers};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

const NETWORK: u32 = 1;
const CONSOLE: u32 = 3;
const ENTROPY: u32 = 4;

const MAGIC: usize = 0;
const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");
const VERSION: usize = 4;
const MODERN: u32 = 2;
const DEVICE: usize = 8;
const FEATURES: usize = 0x10;
const FEATURES_SELECT: usize = 0x14;
const QUEUE_SELECT: usize = 0x30;
const QUEUE_MOST: usize = 0x34;
const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
const ALL_INTERRUPTS: u32 = 3;
/// Where what is particular to a kind of device begins.
#[cfg(feature = "net")]
pub const CONFIGURATION: usize = 0x100;
const WINDOW_BYTES: usize = 0x200;

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
    pub net: NetInfo,
    pub net_acknowledge: Option<Acknowledge>,
    /// Devices that the rest of the library OS drives.
    pub list: [MmioDevice; MAX_DEVICES],
    pub consoles: [Option<&'static mut Console>; 2],
    pub console_acknowledge: Option<Acknowledge>,
    pub entropy: Option<Entropy>,
}

/// A device that was found: how it is driven.
struct Candidate {
    registers: Registers,
    device: MmioDevice,
    acknowledge: Option<Acknowledge>,
}

/// Finds the devices of `line` and starts those the platform drives itself, in `memory`.
pub fn find(line: &[u8], tables: &mut Tables, memory: &mut DeviceMemory) -> Found {
    let mut found = Found::default();
    interrupts::start(tables);
    for value in command_line::values(line, b"virtio_mmio.device=") {
        let Some(window) = command_line::window(value) else {
            give_up(format_args!(
                "a virtio_mmio.device= on the command line is not SIZE@0xADDRESS:INTERRUPT"
            ));
        };
        if let Some(candidate) = probe(window, tables) {
            interrupts::route(window.interrupt);
            found.add(candidate, memory);
        }
    }
    #[cfg(feature = "net")]
    network::set_addresses(line, &mut found.net);
    UP.store(true, Relaxed);
    found
}

/// Looks at registers over MMIO (virtio 1.2, section 4.2.2).
fn probe(window: MmioWindow, tables: &mut Tables) -> Option<Candidate> {
    let base = window.address as usize;
    tables.map_registers(base..base + WINDOW_BYTES);
    // SAFETY: the monitor says that a device's registers are there; just mapped.
    let read = |offset: usize| unsafe { ((base + offset) as *const u32).read_volatile() };
    // SAFETY: as above; the registers written here choose what others show.
    let write =
        |offset: usize, value: u32| unsafe { ((base + offset) as *mut u32).write_volatile(value) };
    let kind = read(DEVICE);
    if read(MAGIC) != MAGIC_VALUE || !matches!(kind, NETWORK | CONSOLE | ENTROPY) {
        return None;
    }
    if read(VERSION) != MODERN {
        give_up(format_args!(
            "a virtio device is of the old kind; with QEMU add -global virtio-mmio.force-legacy=false"
        ));
    }
    let mut features = 0;
    for half in 0..2 {
        write(FEATURES_SELECT, half);
        features |= u64::from(read(FEATURES)) << (32 * half);
    }
    write(QUEUE_SELECT, 0);
    let queue_entries = read(QUEUE_MOST);
    // SAFETY: as above; this is their only driver.
    let registers = unsafe { Registers::new(base) }?;
    Some(Candidate {
        registers,
        device: MmioDevice {
            address: window.address,
            features,
            kind,
            queue_entries,
        },
        acknowledge: Some(Acknowledge(base + INTERRUPT_ACKNOWLEDGE)),
    })
}

impl Found {
    fn add(&mut self, candidate: Candidate, memory: &mut DeviceMemory) {
        let Candidate {
            registers,
            device,
            acknowledge,
        } = candidate;
        match device.kind {
            #[cfg(feature = "net")]
            NETWORK if self.net_acknowledge.is_none() => {
                self.net = network::of_device(&device);
                self.net_acknowledge = acknowledge;
                self.list[0] = device;
            }
            CONSOLE => {
                let Some(index) = self.consoles.iter().position(Option::is_none) else {
                    return;
                };
                let is_first = self.console_acknowledge.is_none();
                let console = Console::new(registers, device.features, memory).ok();
                self.consoles[index] = console.and_then(|console| memory.keep(console));
                if is_first {
                    self.console_acknowledge = acknowledge;
                }
            }
            ENTROPY if self.entropy.is_none() => {
                self.entropy = Entropy::new(registers, device.features, memory).ok();
            }
            _ => {}
        }
    }
}
