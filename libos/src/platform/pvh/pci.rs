//! The PCI buses of a stock machine, by the ports that all have (0xcf8, 0xcfc): which virtio devices are there, and
//! their registers. Owns the ports; must never map registers of a device over memory.

use super::devices::{Candidate, is_of_use};
use super::interrupts::message;
use super::tables::Tables;
use super::{give_up, port};
use bespoke_virtio::Registers;
use bespoke_virtio::pci::{
    Addresses, Configuration, PciRegisters, Place, Structures, Unfit, address, is_present, kind,
    structures, switch_on, topology,
};

const SELECT: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

const SLOTS: u8 = 32;
const FUNCTIONS: u8 = 8;
const BUSES: usize = 256;

/// Between RAM and the interrupt controllers, where QEMU has nothing of its own.
const FREE: (u32, u32) = (0xfd00_0000, 0xfe00_0000);

/// One function of a device.
struct Function(u32);

impl Function {
    fn at(bus: usize, slot: u8, function: u8) -> Self {
        Self(ENABLE | (bus as u32) << 16 | u32::from(slot) << 11 | u32::from(function) << 8)
    }
}

impl Configuration for Function {
    fn read(&mut self, offset: u8) -> u32 {
        port::write32(SELECT, self.0 | u32::from(offset));
        port::read32(DATA)
    }

    fn write(&mut self, offset: u8, value: u32) {
        port::write32(SELECT, self.0 | u32::from(offset));
        port::write32(DATA, value);
    }
}

/// Shows `visit` every virtio device that is of use here, ready to be set up.
pub fn each(tables: &mut Tables, mut visit: impl FnMut(Candidate)) {
    let mut addresses = Addresses::new(FREE.0, FREE.1);
    // Bridges lead to buses of higher numbers, so that this ends.
    let mut is_there = [false; BUSES];
    is_there[0] = true;
    for bus in 0..BUSES {
        let slots = if is_there[bus] { SLOTS } else { 0 };
        for slot in 0..slots {
            let mut functions = 1;
            for number in 0..FUNCTIONS {
                let mut function = Function::at(bus, slot, number);
                if number >= functions || !is_present(&mut function) {
                    continue;
                }
                let (has_more, behind) = topology(&mut function);
                if has_more {
                    functions = FUNCTIONS;
                }
                if let Some(behind) = behind {
                    is_there[usize::from(behind)] |= usize::from(behind) > bus;
                } else if let Some(kind) = kind(&mut function).filter(|kind| is_of_use(*kind)) {
                    let found = open(&mut function, kind, tables, &mut addresses);
                    visit(found.unwrap_or_else(|unfit| {
                        give_up(format_args!(
                            "the virtio device {bus:02x}:{slot:02x}.{number} cannot be driven: {unfit}"
                        ))
                    }));
                }
            }
        }
    }
}

/// Maps the structures of a virtio device and lets it interrupt.
fn open(
    function: &mut Function,
    kind: u32,
    tables: &mut Tables,
    addresses: &mut Addresses,
) -> Result<Candidate, Unfit> {
    let structures = structures(function)?;
    let mut map = |place: Place| -> Result<usize, Unfit> {
        let start = address(function, place.bar, addresses)?;
        let start = start.saturating_add(place.offset.into());
        tables.map_registers(&[start], place.bytes);
        Ok(start as usize)
    };
    let common = map(structures.common)?;
    let notify = map(structures.notify)?;
    let interrupts = map(structures.interrupts)?;
    let configuration = structures.device.map(&mut map).transpose()?;
    switch_on(function, &structures);
    let Structures {
        notify: Place { bytes, .. },
        notify_multiplier,
        ..
    } = structures;
    for (index, word) in message().into_iter().enumerate() {
        // SAFETY: the first entry of the device's table of interrupts, just mapped.
        unsafe { (interrupts as *mut u32).add(index).write_volatile(word) }
    }
    // SAFETY: just mapped where the device says that they are; base addresses are multiples of 16, offsets of 4.
    let registers = unsafe { PciRegisters::new(common, notify, bytes, notify_multiplier) };
    Ok(Candidate {
        registers: Registers::over_pci(registers),
        kind,
        address: common as u64,
        acknowledge: None,
        configuration,
    })
}
