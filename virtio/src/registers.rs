//! The registers of a virtio device behind any transport, and the single function that sets a
//! device up: it only writes, and reads once at the end.

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

/// The device did not accept the set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its status at the end.
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
    /// Makes the registers of the device at `address`, over MMIO; returns `None` for null.
    ///
    /// # Safety
    ///
    /// The registers of a virtio device lie at `address` forever, and no other code uses them.
    pub unsafe fn new(address: usize) -> Option<Self> {
        let place = NonNull::new(address as *mut u32)?;
        Some(Self(Transport::Mmio(Mmio(place))))
    }

    /// A device on a PCI bus.
    #[cfg(feature = "pci")]
    pub fn over_pci(registers: PciRegisters) -> Self {
        Self(Transport::Pci(registers))
    }

    /// Reads the features that the device offers.
    pub fn offered(&mut self) -> u64 {
        match self.0 {
            Transport::Mmio(registers) => registers.offered(),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.offered(),
        }
    }

    /// Reads the largest number of entries of queue `index`; 0 when there is no such queue.
    pub fn queue_entries(&mut self, index: u32) -> u32 {
        match self.0 {
            Transport::Mmio(registers) => registers.queue_entries(index),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.queue_entries(index),
        }
    }

    /// Sets the device up with its queues, in order, and the features that the driver accepts.
    ///
    /// # Errors
    ///
    /// [`Refused`], when the device does not accept them.
    pub fn start(&mut self, features: u64, queues: &[&Queue]) -> Result<(), Refused> {
        match self.0 {
            Transport::Mmio(registers) => registers.start(features, queues),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.start(features, queues),
        }
    }

    /// Notifies the device of new buffers in queue `index`.
    #[inline]
    pub fn notify(&mut self, index: u32) {
        match self.0 {
            Transport::Mmio(registers) => registers.notify(index),
            #[cfg(feature = "pci")]
            Transport::Pci(registers) => registers.notify(index),
        }
    }

    /// Returns a notifier for queue `index` alone, for parts of a driver that
    /// are independent of each other.
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
    /// Notifies the device of new buffers in the queue.
    #[inline]
    pub fn notify(&mut self) {
        self.registers.notify(self.index);
    }
}
