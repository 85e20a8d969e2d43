//! The virtio devices of a stock machine: found on the command line, as Firecracker and QEMU's microvm tell them.
//! Owns what tells them apart; a device of no use here is left alone.

use super::command_line::{self, MmioWindow};
use super::tables::Tables;
use super::{give_up, interrupts};
use bespoke_abi::devices::{MAX_DEVICES, MmioDevice, NET_DHCP, NET_VIRTIO, NetInfo};
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
const CONFIGURATION: usize = 0x100;
const WINDOW_BYTES: usize = 0x200;

const FEATURE_MTU: u64 = 1 << 3;
const FEATURE_MAC: u64 = 1 << 5;
const ETHERNET_MTU: u16 = 1500;
/// Of a device that names none: locally administered.
const OWN_MAC: [u8; 6] = [0x02, 0x62, 0x65, 0x73, 0x70, 0x6b];

/// Bytes of memory the consoles and the entropy source take.
pub const NEEDED_BYTES: usize = 2 * Console::NEEDED_BYTES + Entropy::NEEDED_BYTES + 256;

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
    pub consoles: [Option<Console>; 2],
    pub console_acknowledge: Option<Acknowledge>,
    pub entropy: Option<Entropy>,
}

/// A device that was found: how it is driven.
struct Candidate {
    registers: Registers,
    device: MmioDevice,
    acknowledge: Option<Acknowledge>,
    /// Where its configuration is.
    configuration: usize,
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
    if found.net.kind == NET_VIRTIO {
        for value in command_line::values(line, b"net=") {
            if command_line::network(value, &mut found.net).is_err() {
                give_up(format_args!(
                    "net= on the command line is not KEY=VALUE,... of address, gateway and dns"
                ));
            }
        }
        if !command_line::has_address(&found.net) {
            found.net.flags |= NET_DHCP;
        }
    }
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
        configuration: base + CONFIGURATION,
    })
}

impl Found {
    fn add(&mut self, candidate: Candidate, memory: &mut DeviceMemory) {
        let Candidate {
            registers,
            device,
            acknowledge,
            configuration,
        } = candidate;
        match device.kind {
            NETWORK if self.net.kind != NET_VIRTIO => {
                self.net = network(&device, configuration);
                self.net_acknowledge = acknowledge;
                self.list[0] = device;
            }
            CONSOLE => {
                let Some(place) = self.consoles.iter_mut().find(|place| place.is_none()) else {
                    return;
                };
                let is_first = self.console_acknowledge.is_none();
                *place = Console::new(registers, device.features, memory).ok();
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

/// What the device says of itself (section 5.1.4).
fn network(device: &MmioDevice, configuration: usize) -> NetInfo {
    // SAFETY: registers of the device, byte by byte.
    let byte = |at: usize| unsafe { ((configuration + at) as *const u8).read_volatile() };
    let mac = match device.features & FEATURE_MAC {
        0 => OWN_MAC,
        _ => [0, 1, 2, 3, 4, 5].map(byte),
    };
    let mtu = match device.features & FEATURE_MTU {
        0 => ETHERNET_MTU,
        _ => u16::from_le_bytes([byte(10), byte(11)]),
    };
    NetInfo {
        kind: NET_VIRTIO,
        mac,
        mtu,
        ..Default::default()
    }
}
