//! Virtio devices on a PCI bus: where the registers of a function lie (virtio 1.2, section 4.1), found in its
//! configuration space. The device wrote that space: every step through it is bounded, and an answer is a place that
//! the caller checks against its memory. Owns nothing.

mod registers;

pub use registers::PciRegisters;

use core::fmt;

const VENDOR: u32 = 0x1af4;
/// Devices of before virtio 1.0 that speak it, too: their kind is the subsystem's number.
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
/// Where lists may begin, and so how many entries fit: more are a circle.
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
    /// Reads a word; all ones where nothing answers.
    fn read(&mut self, offset: u8) -> u32;
    /// Writes a word.
    fn write(&mut self, offset: u8, value: u32);
}

/// A part of what a base address register maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the six registers.
    pub bar: u8,
    /// Where in it.
    pub offset: u32,
    /// Length.
    pub bytes: u32,
}

/// Where the structures of a virtio function lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structures {
    /// Registers that all kinds have.
    pub common: Place,
    /// Where queues are notified.
    pub notify: Place,
    /// Bytes from one queue's notification to the next one's.
    pub notify_multiplier: u32,
    /// What the device says of itself, if it does.
    pub device: Option<Place>,
    /// The table of interrupts, of which there is at least one.
    pub interrupts: Place,
    /// Where in the configuration space interrupts are switched on.
    switch: u8,
}

/// Why a function cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its list of capabilities leads in a circle or out of its space.
    List,
    /// It has no registers of virtio 1.0.
    Old,
    /// It cannot interrupt by message.
    NoMessages,
    /// A base address register that it names is none, or of ports.
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

/// Whether a function answers there.
pub fn is_present(space: &mut impl Configuration) -> bool {
    let vendor = space.read(0) & 0xffff;
    vendor != 0xffff && vendor != 0
}

/// Whether the device has further functions, and the bus behind a function that is a bridge.
pub fn topology(space: &mut impl Configuration) -> (bool, Option<u8>) {
    const BRIDGE: u32 = 1;
    const BUSES: u8 = 0x18;
    let header = space.read(HEADER) >> 16 & 0xff;
    let behind = (header & 0x7f == BRIDGE).then(|| (space.read(BUSES) >> 8) as u8);
    (header & 0x80 != 0, behind)
}

/// The virtio identifier of a function's kind; `None` for functions that are no virtio device.
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

/// Where the structures of a virtio function lie. Of several of one kind the first counts (section 4.1.4).
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

/// The place that a virtio capability tells; `None` for reserved base address registers, which are to be passed over.
fn place(space: &mut impl Configuration, at: u8) -> Result<Option<Place>, Unfit> {
    let mut word = |more: u8| Ok(space.read(at.checked_add(more).ok_or(Unfit::List)?));
    let (bar, offset, bytes) = (word(4)? as u8, word(8)?, word(12)?);
    let place = Place { bar, offset, bytes };
    Ok((bar < BAR_COUNT).then_some(place))
}

/// Gives out addresses for base address registers that the firmware left without one.
#[derive(Debug)]
pub struct Addresses {
    next: u32,
    end: u32,
}

impl Addresses {
    /// Those of `start..end`, where nothing else answers.
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

/// The physical address that base address register `bar` maps; it is given one of `addresses` where it has none.
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
    // Its length is what it does not keep of all ones; nothing may answer meanwhile.
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

/// Lets a function answer, reach memory, and interrupt by the messages of its table alone.
pub fn switch_on(space: &mut impl Configuration, structures: &Structures) {
    let command = space.read(COMMAND) & 0xffff;
    space.write(COMMAND, command | MEMORY | MASTER | NO_LINE_INTERRUPT);
    let word = space.read(structures.switch);
    space.write(structures.switch, (word | MSIX_ENABLE) & !MSIX_MASK_ALL);
}

#[cfg(test)]
mod tests;
