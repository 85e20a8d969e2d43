//! Virtio devices on a PCI bus: finds the registers of a function (virtio 1.2, section
//! 4.1) in its configuration space.
//! The device wrote that space. So every step through it is bounded, and the caller checks each
//! returned place against its memory.

mod registers;

pub use registers::PciRegisters;

use core::fmt;

const VENDOR: u32 = 0x1af4;
/// Devices from before virtio 1.0 that also support it. The subsystem's number is their kind.
const TRANSITIONAL: core::ops::RangeInclusive<u32> = 0x1000..=0x103f;
const MODERN: core::ops::RangeInclusive<u32> = 0x1040..=0x107f;

const COMMAND: u8 = 0x04;
const HAS_LIST: u32 = 1 << (16 + 4);
const MEMORY: u32 = 1 << 1;
const MASTER: u32 = 1 << 2;
const NO_LINE_INTERRUPT: u32 = 1 << 10;
const HEADER: u8 = 0x0c;
const BARS: u8 = 0x10;
const BAR_COUNT: u8 = 6;
const SUBSYSTEM: u8 = 0x2c;
const LIST: u8 = 0x34;
/// Lowest start of a list, which limits the number of entries: more entries form a cycle.
const LIST_START: u8 = 0x40;
const MOST_CAPABILITIES: usize = (256 - LIST_START as usize) / 4;

const VENDOR_CAPABILITY: u32 = 0x09;
const MSIX_CAPABILITY: u32 = 0x11;
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;

const COMMON: u32 = 1;
const NOTIFY: u32 = 2;
const DEVICE: u32 = 4;

/// The configuration space of one function: words at multiples of 4.
pub trait Configuration {
    /// Reads a word; all ones if no function responds.
    fn read(&mut self, offset: u8) -> u32;
    /// Writes a word.
    fn write(&mut self, offset: u8, value: u32);
}

/// A region within a base address register's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the register, below six.
    pub bar: u8,
    /// Offset in bytes.
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// Where the structures of a virtio function lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structures {
    /// The common registers.
    pub common: Place,
    /// The notification region.
    pub notify: Place,
    /// Bytes between the notification addresses of consecutive queues.
    pub notify_multiplier: u32,
    /// The device-specific configuration, if there is any.
    pub device: Option<Place>,
    /// The interrupt table, with at least one entry.
    pub interrupts: Place,
    /// Offset in the configuration space of the interrupt enable bits.
    switch: u8,
}

/// Why a function cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its capability list has a cycle or leaves the configuration space.
    List,
    /// It has no virtio 1.0 registers.
    Old,
    /// It does not support message-signalled interrupts.
    NoMessages,
    /// It names a base address register that does not exist or maps ports.
    Bar(u8),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("its list of capabilities is damaged"),
            Self::Old => f.write_str("it is of the old kind; with QEMU leave out disable-modern"),
            Self::NoMessages => f.write_str("it has no MSI-X; with QEMU leave out vectors=0"),
            Self::Bar(bar) => write!(f, "its base address register {bar} maps no memory"),
        }
    }
}

/// Whether a function responds.
pub fn is_present(space: &mut impl Configuration) -> bool {
    let vendor = space.read(0) & 0xffff;
    vendor != 0xffff && vendor != 0
}

/// Returns whether the device has further functions, and the bus
/// behind a function that is a bridge.
pub fn topology(space: &mut impl Configuration) -> (bool, Option<u8>) {
    const BRIDGE: u32 = 1;
    const BUSES: u8 = 0x18;
    let header = space.read(HEADER) >> 16 & 0xff;
    let behind = (header & 0x7f == BRIDGE).then(|| (space.read(BUSES) >> 8) as u8);
    (header & 0x80 != 0, behind)
}

/// Returns the virtio identifier of the function's kind, or `None` for
/// functions that are not virtio devices.
pub fn kind(space: &mut impl Configuration) -> Option<u32> {
    let (vendor, device) = (space.read(0) & 0xffff, space.read(0) >> 16);
    if vendor != VENDOR {
        return None;
    }
    if MODERN.contains(&device) {
        return Some(device - MODERN.start());
    }
    TRANSITIONAL
        .contains(&device)
        .then(|| space.read(SUBSYSTEM) >> 16)
}

/// Locates the structures of a virtio function. The first of each kind counts (section 4.1.4).
///
/// # Errors
///
/// [`Unfit`]
pub fn structures(space: &mut impl Configuration) -> Result<Structures, Unfit> {
    if space.read(COMMAND) & HAS_LIST == 0 {
        return Err(Unfit::Old);
    }
    let (mut common, mut notify, mut device, mut interrupts) = (None, None, None, None);
    let mut at = space.read(LIST) as u8;
    for _ in 0..=MOST_CAPABILITIES {
        if at == 0 {
            let common = common.ok_or(Unfit::Old)?;
            let (notify, notify_multiplier) = notify.ok_or(Unfit::Old)?;
            let (interrupts, switch) = interrupts.ok_or(Unfit::NoMessages)?;
            let common: Place = common;
            let notify: Place = notify;
            let is_aligned = common.offset.is_multiple_of(4) && notify.offset.is_multiple_of(4);
            if !is_aligned || common.bytes < PciRegisters::COMMON_BYTES {
                return Err(Unfit::List);
            }
            return Ok(Structures {
                common,
                notify,
                notify_multiplier,
                device,
                interrupts,
                switch,
            });
        }
        let at_word = at & !3;
        if at_word < LIST_START {
            return Err(Unfit::List);
        }
        let head = space.read(at_word);
        match (head & 0xff, head >> 24) {
            (VENDOR_CAPABILITY, COMMON) if common.is_none() => common = place(space, at_word)?,
            (VENDOR_CAPABILITY, NOTIFY) if notify.is_none() => {
                let multiplier = at_word.checked_add(16).ok_or(Unfit::List)?;
                notify = place(space, at_word)?.map(|place| (place, space.read(multiplier)));
            }
            (VENDOR_CAPABILITY, DEVICE) if device.is_none() => device = place(space, at_word)?,
            (MSIX_CAPABILITY, _) if interrupts.is_none() => {
                const BYTES_OF_ONE: u32 = 16;
                let word = space.read(at_word.checked_add(4).ok_or(Unfit::List)?);
                let table = Place {
                    bar: (word & 7) as u8,
                    offset: word & !7,
                    bytes: BYTES_OF_ONE,
                };
                interrupts = Some((table, at_word));
            }
            _ => {}
        }
        at = (head >> 8) as u8;
    }
    Err(Unfit::List)
}

/// Reads the place in a virtio capability; `None` for reserved base address
/// registers, which must be skipped.
fn place(space: &mut impl Configuration, at: u8) -> Result<Option<Place>, Unfit> {
    let mut word = |more: u8| Ok(space.read(at.checked_add(more).ok_or(Unfit::List)?));
    let (bar, offset, bytes) = (word(4)? as u8, word(8)?, word(12)?);
    let place = Place { bar, offset, bytes };
    Ok((bar < BAR_COUNT).then_some(place))
}

/// Assigns addresses to base address registers that the firmware left unassigned.
#[derive(Debug)]
pub struct Addresses {
    next: u32,
    end: u32,
}

impl Addresses {
    /// Makes an allocator of the addresses `start..end`, which nothing else uses.
    pub fn new(start: u32, end: u32) -> Self {
        Self { next: start, end }
    }

    fn take(&mut self, bytes: u32) -> Option<u32> {
        let start = self.next.checked_next_multiple_of(bytes)?;
        let next = start.checked_add(bytes)?;
        (next <= self.end).then(|| {
            self.next = next;
            start
        })
    }
}

/// Returns the physical address that base address register `bar` maps. If it has
/// none, assigns one of `addresses`.
///
/// # Errors
///
/// [`Unfit::Bar`]
pub fn address(
    space: &mut impl Configuration,
    bar: u8,
    addresses: &mut Addresses,
) -> Result<u64, Unfit> {
    const PORTS: u32 = 1;
    const WIDTH: u32 = 6;
    const WIDE: u32 = 4;
    const FLAGS: u32 = 15;
    if bar >= BAR_COUNT {
        return Err(Unfit::Bar(bar));
    }
    let register = BARS + bar * 4;
    let low = space.read(register);
    let is_wide = low & WIDTH == WIDE;
    if low & PORTS != 0 || is_wide && bar == BAR_COUNT - 1 {
        return Err(Unfit::Bar(bar));
    }
    let high = if is_wide { space.read(register + 4) } else { 0 };
    let address = u64::from(low & !FLAGS) | u64::from(high) << 32;
    if address != 0 {
        return Ok(address);
    }
    // The zero bits after a write of all ones give its length; the
    // function must not respond meanwhile.
    let command = space.read(COMMAND) & 0xffff;
    space.write(COMMAND, command & !MEMORY);
    space.write(register, !0);
    let kept = space.read(register) & !FLAGS;
    let given = match kept {
        0 => None,
        _ => addresses.take(1 << kept.trailing_zeros()),
    };
    space.write(register, given.unwrap_or(0));
    given.map(u64::from).ok_or(Unfit::Bar(bar))
}

/// Enables a function: it responds, accesses memory, and interrupts
/// only by the messages of its table.
pub fn switch_on(space: &mut impl Configuration, structures: &Structures) {
    let command = space.read(COMMAND) & 0xffff;
    space.write(COMMAND, command | MEMORY | MASTER | NO_LINE_INTERRUPT);
    let word = space.read(structures.switch);
    space.write(structures.switch, (word | MSIX_ENABLE) & !MSIX_MASK_ALL);
}

#[cfg(test)]
mod tests;
