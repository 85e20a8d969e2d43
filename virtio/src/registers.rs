//! The registers of a virtio device, whichever transport they lie behind, and the one way to set a device up: every
//! write blind, one read at the end.

use crate::Queue;
use crate::mmio::Mmio;
#[cfg(feature = "pci")]
use crate::pci::PciRegisters;
use core::fmt;
use core::ptr::NonNull;

pub(crate) const ACKNOWLEDGE: u32 = 1;
pub(crate) const DRIVER: u32 = 2;
pub(crate) const DRIVER_OK: u32 = 4;
pub(crate) const FEATURES_OK: u32 = 8;

/// The device did not accept the set-up: its status at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it says.
    pub status: u32,
}

impl Refused {
    pub(crate) fn unless(status: u32, ready: u32) -> Result<(), Self> {
        if status == ready {
            Ok(())
        } else {
            Err(Self { status })
        }
    }
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

#[derive(Clone, Copy, Debug)]
enum Transport {
    Mmio(Mmio),
    #[cfg(feature = "pci")]
    Pci(PciRegisters),
}

/// The registers of one device.
#[derive(Debug)]
pub struct Registers(Transport);

impl Registers {
    /// The device behind `address`, over MMIO; `None` for null.
    ///
    /// # Safety
    ///
    /// A virtio device's registers lie there, for ever, and nobody else uses them.
    pub unsafe fn new(address: usize) -> Option<Self> {
        let place = NonNull::new(address as *mut u32)?;
        Some(Self(Transport::Mmio(Mmio(place))))
    }

    /// A device on a PCI bus.
    #[cfg(feature = "pci")]
    pub fn over_pci(registers: PciRegisters) -> Self {
        Self(Transport::Pci(registers))
    }

    /// The features the device offers.
    pub fn offered(&mut self) -> u64 {
        match self.0 {
            Transport::Mmio(registers) => registers.offered(),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.offered(),
        }
    }

    /// Most entries of queue `index`; 0 when there is no such queue.
    pub fn queue_entries(&mut self, index: u32) -> u32 {
        match self.0 {
            Transport::Mmio(registers) => registers.queue_entries(index),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.queue_entries(index),
        }
    }

    /// Sets the device up with the features the driver accepts and its queues, in order.
    ///
    /// # Errors
    ///
    /// [`Refused`], when the device does not come up.
    pub fn start(&mut self, features: u64, queues: &[&Queue]) -> Result<(), Refused> {
        match self.0 {
            Transport::Mmio(registers) => registers.start(features, queues),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.start(features, queues),
        }
    }

    /// Tells the device that queue `index` has something for it.
    #[inline]
    pub fn notify(&mut self, index: u32) {
        match self.0 {
            Transport::Mmio(registers) => registers.notify(index),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.notify(index),
        }
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
