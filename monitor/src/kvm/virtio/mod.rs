//! The virtio devices of a virtual machine (virtio 1.2, over MMIO).
//!
//! Owns the window of their registers and serves their queues on the CPU's own thread, while the guest stands
//! still: when it notifies a queue and when it waits. So nothing here is shared, a page that the guest
//! closes cannot close under our hands, and server and device never compete for one core. The price is that
//! an image hears of a frame only when it asks, by a notification or a wait.
//!
//! Must never believe a ring: a queue that breaks the rules stops its device until the driver resets it.

mod console;
mod entropy;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod hostile;
mod net;
mod transport;
mod view;

use super::memory::GuestMemory;
use crate::layout::DEVICES_BASE;
use crate::memory::PAGE_BYTES;
use bespoke_abi::devices::{MAX_DEVICES, MmioDevice, NetInfo};
use console::Console;
use entropy::Entropy;
use net::Net;
use std::ops::Range;
use std::os::fd::RawFd;
use transport::{Effect, QUEUE_ENTRIES, Transport};
use view::View;
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Error, Queue, QueueT};

/// What a device does with its queues.
trait Device {
    /// The driver is ready and has accepted these features.
    fn start(&mut self, accepted: u64);

    /// Moves what can be moved without blocking.
    fn serve(&mut self, queues: &mut [Queue], memory: &GuestMemory) -> Result<(), Error>;
}

struct Slot<D: ?Sized = dyn Device> {
    transport: Transport,
    device: D,
}

impl<D: Device + ?Sized> Slot<D> {
    fn write(&mut self, offset: u64, data: &[u8], memory: &GuestMemory) {
        match self.transport.write(offset, data, &View(memory)) {
            Effect::Start => self.device.start(self.transport.accepted()),
            Effect::Notify => self.serve(memory),
            Effect::None | Effect::Reset => {}
        }
    }

    fn serve(&mut self, memory: &GuestMemory) {
        let Some(queues) = self.transport.queues() else {
            return;
        };
        if self.device.serve(queues, memory).is_err() {
            self.transport.break_down();
        }
    }
}

/// See the module.
pub(super) struct Devices {
    net: Slot<Net>,
    console: Slot<Console>,
    entropy: Slot<Entropy>,
    /// Guest-physical: a page of registers each, in this order.
    window: Range<u64>,
    /// The last wait was short: the next is likely to be, too.
    pub(super) is_quick: bool,
}

impl Devices {
    /// The devices of a machine with this link to a network, behind the registers at `window`.
    pub(super) fn new(link: RawFd, info: &NetInfo, window: Range<u64>) -> Self {
        let (device, transport) = Net::new(link, info);
        Self {
            net: Slot { transport, device },
            console: Slot {
                transport: Console::transport(),
                device: Console,
            },
            entropy: Slot {
                transport: Entropy::transport(),
                device: Entropy,
            },
            window,
            is_quick: false,
        }
    }

    /// What the boot information says of them.
    pub(super) fn announce(&self) -> [MmioDevice; MAX_DEVICES] {
        let transports = [
            &self.net.transport,
            &self.console.transport,
            &self.entropy.transport,
        ];
        let mut list = [MmioDevice::default(); MAX_DEVICES];
        for (index, (entry, transport)) in list.iter_mut().zip(transports).enumerate() {
            *entry = MmioDevice {
                address: DEVICES_BASE + index as u64 * PAGE_BYTES,
                features: transport.offered(),
                kind: transport.kind(),
                queue_entries: QUEUE_ENTRIES.into(),
            };
        }
        list
    }

    /// The guest-physical addresses of registers whose writes may come late: all but notifications and status.
    pub(super) fn settings(&self) -> impl Iterator<Item = Range<u64>> {
        let pages = self.window.clone().step_by(PAGE_BYTES as usize);
        pages.flat_map(|page| transport::SETTINGS.map(|part| page + part.start..page + part.end))
    }

    /// Answers a read of registers; whether `physical` is one of ours.
    pub(super) fn read(&self, physical: u64, data: &mut [u8]) -> bool {
        let Some((index, offset)) = self.locate(physical) else {
            return false;
        };
        match index {
            0 => self.net.transport.read(offset, data),
            1 => self.console.transport.read(offset, data),
            _ => self.entropy.transport.read(offset, data),
        }
        true
    }

    /// Takes a write to registers; whether `physical` is one of ours.
    pub(super) fn write(&mut self, physical: u64, data: &[u8], memory: &GuestMemory) -> bool {
        let Some((index, offset)) = self.locate(physical) else {
            return false;
        };
        match index {
            0 => self.net.write(offset, data, memory),
            1 => self.console.write(offset, data, memory),
            _ => self.entropy.write(offset, data, memory),
        }
        true
    }

    fn locate(&self, physical: u64) -> Option<(u64, u64)> {
        let is_ours = self.window.contains(&physical);
        let offset = physical.wrapping_sub(self.window.start);
        is_ours.then_some((offset / PAGE_BYTES, offset % PAGE_BYTES))
    }

    /// Serves all queues.
    pub(super) fn serve(&mut self, memory: &GuestMemory) {
        self.net.serve(memory);
        self.console.serve(memory);
        self.entropy.serve(memory);
    }

    /// Whether the network has something that its driver does not know of; told once.
    pub(super) fn has_news(&mut self, memory: &GuestMemory) -> bool {
        let event_idx = self.net.transport.accepted() & (1 << VIRTIO_RING_F_EVENT_IDX) != 0;
        let queues = self.net.transport.queues().unwrap_or_default();
        self.net.device.reported.has_news(queues, event_idx, memory)
    }

    /// The link's descriptor and what to wait for on it, as `poll` takes it.
    pub(super) fn awaited(&self) -> (RawFd, i16) {
        self.net.device.awaited()
    }
}

/// How much of the used rings the driver has been told of.
#[derive(Default)]
struct Reported([u16; 2]);

impl Reported {
    /// Whether a driver that sleeps is to be woken, by the rule of interrupts: with event indices when the used
    /// ring has passed the driver's mark, else when anything was used.
    fn has_news(&mut self, queues: &mut [Queue], event_idx: bool, memory: &GuestMemory) -> bool {
        let mut news = false;
        for (queue, reported) in queues.iter_mut().zip(&mut self.0) {
            let used = queue.next_used();
            let is_new = std::mem::replace(reported, used) != used;
            // A ring that cannot be read stops its device when it is served next.
            news |=
                is_new && (!event_idx || queue.needs_notification(&View(memory)).unwrap_or(true));
        }
        news
    }
}
