//! Guest drivers for virtio devices (virtio 1.2, modern only) over MMIO and PCI.
//!
//! The device is untrusted: it may write anything into the memory that it
//! shares with the driver, at any time.
//! Rules of this crate:
//! 1. Data that the device wrote is read once, checked, and used from a copy.
//! 2. A device that violates the rules of its queue is permanently broken: the driver returns
//!    [`Broken`] and requests nothing more.
//! 3. Registers are read only where necessary: on a virtual machine each read is an exit.
//!
//! A queue and its memory:
//!
//! ```
//! use bespoke_virtio::{DeviceMemory, Direction, Queue};
//! use core::ptr::NonNull;
//!
//! let memory = NonNull::from(vec![0u128; 256].leak()).cast::<u8>();
//! // SAFETY: leaked, and exclusively ours.
//! let mut memory = unsafe { DeviceMemory::new(memory, 256 * 16, 0) };
//! let mut queue = Queue::new(8, 0, &mut memory).expect("room for the rings");
//! let buffer = memory.take(64, 16).expect("room for a buffer");
//!
//! queue.offer(0, buffer.physical(0), 64, Direction::FromDevice);
//! assert!(queue.publish(), "the device wants to be told");
//! assert_eq!(queue.take_used(), Ok(None), "it has not answered");
//! ```
#![no_std]

#[cfg(test)]
extern crate std;

mod console;
mod entropy;
mod memory;
mod mmio;
#[cfg(feature = "pci")]
pub mod pci;
mod queue;
mod registers;
#[cfg(test)]
mod tests;

pub use console::Console;
pub use entropy::Entropy;
pub use memory::{DeviceMemory, Part};
pub use queue::{Direction, MOST_ENTRIES, Queue, Used};
pub use registers::{Notifier, Refused, Registers};

/// The device has violated the rules of a queue and must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Features of the transport and of queues (virtio 1.2, section 6).
pub mod feature {
    /// `VIRTIO_F_EVENT_IDX`: notifications by index.
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// `VIRTIO_F_VERSION_1`
    pub const VERSION_1: u64 = 1 << 32;
}
