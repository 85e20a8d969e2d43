//! The registers of a virtio device over MMIO (virtio 1.2, section 4.2.2), and the one way to set
//! a device up: every write blind, one read at the end.

use crate::{Queue, feature};
use core::fmt;
use core::ptr::NonNull;

const DRIVER_FEATURES: usize = 0x20;
const DRIVER_FEATURES_SELECT: usize = 0x24;
const QUEUE_SELECT: usize = 0x30;
const QUEUE_SIZE: usize = 0x38;
const QUEUE_READY: usize = 0x44;
const QUEUE_NOTIFY: usize = 0x50;
const STATUS: usize = 0x70;
const QUEUE_ADDRESSES: [usize; 3] = [0x80, 0x90, 0xa0];

const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;

/// The device did not accept the set-up: its status at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it says.
    pub status: u32,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the device refused its set-up with status {:#x}",
            self.status
        )
    }
}

impl core::error::Error for Refused {}

/// The registers of one device.
#[derive(Debug)]
pub struct Registers(NonNull<u32>);

impl Registers {
    /// The device behind `address`; `None` for null.
    ///
    /// # Safety
    ///
    /// A virtio device's registers lie there, for ever, and nobody else uses them.
    pub unsafe fn new(address: usize) -> Option<Self> {
        NonNull::new(address as *mut u32).map(Self)
    }

    fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: a register of the device (`Registers::new`); offsets are those above.
        unsafe { self.0.byte_add(offset).write_volatile(value) }
    }

    /// Sets the device up with the features the driver accepts and its queues, in order.
    ///
    /// # Errors
    ///
    /// [`Refused`], when the device does not come up.
    pub fn start(&mut self, features: u64, queues: &[&Queue]) -> Result<(), Refused> {
        let features = features | feature::VERSION_1;
        self.write(STATUS, 0);
        self.write(STATUS, ACKNOWLEDGE | DRIVER);
        for half in 0..2 {
            self.write(DRIVER_FEATURES_SELECT, half);
            self.write(DRIVER_FEATURES, (features >> (32 * half)) as u32);
        }
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        for (index, queue) in queues.iter().enumerate() {
            self.write(QUEUE_SELECT, index as u32);
            self.write(QUEUE_SIZE, queue.entries().into());
            for (register, address) in QUEUE_ADDRESSES.into_iter().zip(queue.addresses()) {
                self.write(register, address as u32);
                self.write(register + 4, (address >> 32) as u32);
            }
            self.write(QUEUE_READY, 1);
        }
        let ready = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
        self.write(STATUS, ready);
        // SAFETY: as in `write`.
        let status = unsafe { self.0.byte_add(STATUS).read_volatile() };
        if status == ready {
            Ok(())
        } else {
            Err(Refused { status })
        }
    }

    /// Tells the device that queue `index` has something for it.
    #[inline]
    pub fn notify(&mut self, index: u32) {
        self.write(QUEUE_NOTIFY, index);
    }

    /// What notifies queue `index` alone: parts of a driver that do not know each other.
    pub fn notifier(&mut self, index: u32) -> Notifier {
        Notifier {
            registers: Self(self.0),
            index,
        }
    }
}

/// Notifies one queue of a device.
#[derive(Debug)]
pub struct Notifier {
    registers: Registers,
    index: u32,
}

impl Notifier {
    /// Tells the device that the queue has something for it.
    #[inline]
    pub fn notify(&mut self) {
        self.registers.notify(self.index);
    }
}
