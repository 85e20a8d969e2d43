//! The virtio devices of a virtual machine (virtio 1.2, over MMIO).
//!
//! It owns the window of their registers. It serves their queues on the CPU's own thread while the
//! guest is stopped: when it notifies a queue and when it waits.
//! So nothing here is shared, the guest cannot close a page during an access, and server
//! and guest never compete for a core.
//! The price is that an image learns of a frame only by a notification or a wait.
//!
//! Rings are untrusted: a queue that violates the rules stops its
//! device until the driver resets it.

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
use bespoke_abi::hypercall::{WAIT_CONSOLE, WAIT_NET};
use console::Console;
use entropy::Entropy;
use net::Net;
use std::ops::Range;
use std::os::fd::RawFd;
use transport::{Effect, QUEUE_ENTRIES, Transport};
use view::View;
use virtio_queue::{Error, Queue, QueueT};

/// The device-specific handling of queues.
trait Device {
    /// The driver is ready and has accepted these features.
    fn start(&mut self, accepted: u64);

    /// Moves data as far as possible without blocking.
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

/// The devices of a machine. A missing device has no registers.
pub(super) struct Devices {
    net: Option<Slot<Net>>,
    /// Standard input and output; standard error.
    consoles: Option<[Slot<Console>; 2]>,
    entropy: Option<Slot<Entropy>>,
    /// Guest-physical window: a page of registers for each device, in this order.
    window: Range<u64>,
    /// The last wait was short, so the next one probably is, too.
    pub(super) is_quick: bool,
}

impl Devices {
    /// Makes the devices of a machine: with this link to a network, if any, and optionally with
    /// consoles and entropy. Their registers lie at `window`.
    pub(super) fn new(
        link: Option<(RawFd, &NetInfo)>,
        with_consoles: bool,
        window: Range<u64>,
    ) -> Self {
        let net = link.map(|(link, info)| {
            let (device, transport) = Net::new(link, info);
            Slot { transport, device }
        });
        let console = |device| Slot {
            transport: Console::transport(),
            device,
        };
        let consoles = [Console::first(), Console::second()].map(console);
        let entropy = Slot {
            transport: Entropy::transport(),
            device: Entropy,
        };
        Self {
            net,
            consoles: with_consoles.then_some(consoles),
            entropy: with_consoles.then_some(entropy),
            window,
            is_quick: false,
        }
    }

    /// Returns the device behind page `index` of the window.
    fn slot(&mut self, index: u64) -> Option<&mut Slot> {
        match index {
            0 => self.net.as_mut().map(|slot| slot as &mut Slot),
            1 | 2 => self
                .consoles
                .as_mut()
                .map(|slots| &mut slots[index as usize - 1] as &mut Slot),
            _ => self.entropy.as_mut().map(|slot| slot as &mut Slot),
        }
    }

    /// Returns the devices in the form of the boot information.
    pub(super) fn announce(&mut self) -> [MmioDevice; MAX_DEVICES] {
        let mut list = [MmioDevice::default(); MAX_DEVICES];
        for (index, entry) in (0..).zip(&mut list) {
            if let Some(slot) = self.slot(index) {
                *entry = MmioDevice {
                    address: DEVICES_BASE + index * PAGE_BYTES,
                    features: slot.transport.offered(),
                    kind: slot.transport.kind(),
                    queue_entries: QUEUE_ENTRIES.into(),
                };
            }
        }
        list
    }

    /// Returns the guest-physical addresses of registers whose writes may be delayed:
    /// all but notifications and status.
    pub(super) fn settings(&self) -> impl Iterator<Item = Range<u64>> {
        let pages = self.window.clone().step_by(PAGE_BYTES as usize);
        pages.flat_map(|page| transport::SETTINGS.map(|part| page + part.start..page + part.end))
    }

    /// Serves a read of registers; returns zeros where there are none.
    pub(super) fn read(&mut self, physical: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some((slot, offset)) = self.locate(physical) {
            slot.transport.read(offset, data);
        }
    }

    /// Serves a write to registers.
    pub(super) fn write(&mut self, physical: u64, data: &[u8], memory: &GuestMemory) {
        if let Some((slot, offset)) = self.locate(physical) {
            slot.write(offset, data, memory);
        }
    }

    fn locate(&mut self, physical: u64) -> Option<(&mut Slot, u64)> {
        let is_ours = self.window.contains(&physical);
        let offset = physical.wrapping_sub(self.window.start);
        let slot = self.slot(offset / PAGE_BYTES).filter(|_| is_ours)?;
        Some((slot, offset % PAGE_BYTES))
    }

    /// Serves all queues. Returns which of `events` (bits `WAIT_*`) are
    /// new to their drivers, each once.
    pub(super) fn serve(&mut self, memory: &GuestMemory, events: u64) -> u64 {
        for index in 0..MAX_DEVICES as u64 {
            if let Some(slot) = self.slot(index) {
                slot.serve(memory);
            }
        }
        let mut news = 0;
        if let Some(net) = self.net.as_mut().filter(|_| events & WAIT_NET != 0) {
            let queues = net.transport.queues().unwrap_or_default();
            if net.device.reported.has_news(queues, memory) {
                news |= WAIT_NET;
            }
        }
        if let Some([first, _]) = self
            .consoles
            .as_mut()
            .filter(|_| events & WAIT_CONSOLE != 0)
        {
            let queues = first.transport.queues().unwrap_or_default();
            let receive = queues.get_mut(..1).unwrap_or_default();
            if first.device.reported.has_news(receive, memory) {
                news |= WAIT_CONSOLE;
            }
        }
        news
    }

    /// Returns the events (bits `WAIT_*`) that [`Self::serve`] reports to the image.
    pub(super) fn events(&self) -> u64 {
        let bit = |is_there, bit| if is_there { bit } else { 0 };
        bit(self.net.is_some(), WAIT_NET) | bit(self.has_consoles(), WAIT_CONSOLE)
    }

    /// Whether the console is a device.
    pub(super) fn has_consoles(&self) -> bool {
        self.consoles.is_some()
    }

    /// Whether to wait for standard input: not after the console has received its end.
    pub(super) fn awaits_input(&self) -> bool {
        self.consoles
            .as_ref()
            .is_none_or(|[first, _]| first.device.reads)
    }

    /// Returns the link's descriptor and its events for `poll`.
    pub(super) fn awaited(&self) -> (RawFd, i16) {
        self.net
            .as_ref()
            .map_or((-1, 0), |net| net.device.awaited())
    }
}

/// How much of the used rings the driver has been told of.
#[derive(Default)]
struct Reported([u16; 2]);

impl Reported {
    /// Whether to wake a sleeping driver, by the rule for interrupts: with event indices when the
    /// used ring has passed the driver's mark, else when any entry was used.
    fn has_news(&mut self, queues: &mut [Queue], memory: &GuestMemory) -> bool {
        let mut news = false;
        for (queue, reported) in queues.iter_mut().zip(&mut self.0) {
            let used = queue.next_used();
            let is_new = std::mem::replace(reported, used) != used;
            // A ring that cannot be read stops its device when it is served next. Without event
            // indices the driver is always woken.
            news |= is_new && queue.needs_notification(&View(memory)).unwrap_or(true);
        }
        news
    }
}
