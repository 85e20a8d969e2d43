//! The registers of one virtio device (virtio 1.2, section 4.2.2): negotiation and queue addresses.
//! Queues are available only after the driver has reported that it is ready.
//!
//! There are no interrupts: the image polls, and sleeps with a hypercall that knows its devices.

use super::view::View;
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio as register;
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Queue, QueueT};

/// Entries of every queue.
pub(super) const QUEUE_ENTRIES: u16 = 256;
/// Features of every device.
pub(super) const COMMON_FEATURES: u64 = 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX;
/// Registers whose writes have no immediate effect.
pub(super) const SETTINGS: [std::ops::Range<u64>; 2] = [
    register::VIRTIO_MMIO_DEVICE_FEATURES_SEL as u64..register::VIRTIO_MMIO_QUEUE_NOTIFY as u64,
    register::VIRTIO_MMIO_STATUS as u64..register::VIRTIO_MMIO_CONFIG as u64,
];
/// "virt".
const MAGIC: u32 = u32::from_le_bytes(*b"virt");
/// Not a legacy device.
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"BSPK");

/// Effect of a register write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// None beyond the register itself.
    None,
    /// The driver is ready: the queues are live.
    Start,
    /// The driver resets the device: the queues are gone.
    Reset,
    /// The driver notifies a queue.
    Notify,
}

/// See the module.
pub(super) struct Transport {
    kind: u32,
    offered: u64,
    accepted: u64,
    config: Vec<u8>,
    queues: Vec<Queue>,
    status: u32,
    /// The half of each feature word, and the queue, that the driver has selected.
    offered_half: u32,
    accepted_half: u32,
    selected: u32,
}

impl Transport {
    /// Makes the registers of a device with this virtio identifier, with
    /// `features` besides [`COMMON_FEATURES`].
    pub(super) fn new(kind: u32, features: u64, config: Vec<u8>, queues: usize) -> Self {
        let queue = || Queue::new(QUEUE_ENTRIES).expect("a power of two");
        Self {
            kind,
            offered: features | COMMON_FEATURES,
            accepted: 0,
            config,
            queues: (0..queues).map(|_| queue()).collect(),
            status: 0,
            offered_half: 0,
            accepted_half: 0,
            selected: 0,
        }
    }

    pub(super) fn kind(&self) -> u32 {
        self.kind
    }

    pub(super) fn offered(&self) -> u64 {
        self.offered
    }

    /// Returns the features that both sides support.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Returns the queues while they are live.
    pub(super) fn queues(&mut self) -> Option<&mut [Queue]> {
        let live = self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0
            && self.status & VIRTIO_CONFIG_S_NEEDS_RESET == 0;
        live.then_some(&mut self.queues)
    }

    /// Stops the device after a violation by the driver, until it is reset.
    pub(super) fn break_down(&mut self) {
        self.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    }

    /// Serves a read of `data.len()` bytes at `offset`.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(at) = offset.checked_sub(u64::from(register::VIRTIO_MMIO_CONFIG)) {
            let rest = self.config.get(at as usize..).unwrap_or_default();
            let bytes = rest.len().min(data.len());
            data[..bytes].copy_from_slice(&rest[..bytes]);
        } else if data.len() == size_of::<u32>() {
            data.copy_from_slice(&self.register(offset as u32).to_le_bytes());
        }
    }

    fn register(&self, offset: u32) -> u32 {
        let queue = self.queues.get(self.selected as usize);
        match offset {
            register::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            register::VIRTIO_MMIO_VERSION => VERSION,
            register::VIRTIO_MMIO_DEVICE_ID => self.kind,
            register::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            register::VIRTIO_MMIO_DEVICE_FEATURES => half(self.offered, self.offered_half),
            register::VIRTIO_MMIO_QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.max_size().into()),
            register::VIRTIO_MMIO_QUEUE_READY => queue.map_or(0, |queue| queue.ready().into()),
            register::VIRTIO_MMIO_STATUS => self.status,
            // No shared memory.
            register::VIRTIO_MMIO_SHM_LEN_LOW..=register::VIRTIO_MMIO_SHM_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    /// Serves a write at `offset`; ignores everything but single-register writes.
    pub(super) fn write(&mut self, offset: u64, data: &[u8], memory: &View) -> Effect {
        let (Ok(offset), Ok(bytes)) = (u32::try_from(offset), data.try_into()) else {
            return Effect::None;
        };
        let value = u32::from_le_bytes(bytes);
        match offset {
            register::VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.offered_half = value,
            register::VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.accepted_half = value,
            register::VIRTIO_MMIO_DRIVER_FEATURES => self.accept(value),
            register::VIRTIO_MMIO_QUEUE_SEL => self.selected = value,
            register::VIRTIO_MMIO_QUEUE_NOTIFY => return Effect::Notify,
            register::VIRTIO_MMIO_STATUS => return self.set_status(value, memory),
            _ => self.place_queue(offset, value),
        }
        Effect::None
    }

    fn accept(&mut self, value: u32) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK == 0 && self.accepted_half < 2 {
            let shift = 32 * self.accepted_half;
            self.accepted &= !(u64::from(u32::MAX) << shift);
            self.accepted |= u64::from(value) << shift;
        }
    }

    /// Sets the address of the selected queue. Ignored once the driver is
    /// ready: live queues do not move.
    fn place_queue(&mut self, offset: u32, value: u32) {
        let is_live = self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0;
        let queue = match self.queues.get_mut(self.selected as usize) {
            Some(queue) if !is_live => queue,
            _ => return,
        };
        match offset {
            register::VIRTIO_MMIO_QUEUE_NUM => queue.set_size(value.min(u16::MAX.into()) as u16),
            register::VIRTIO_MMIO_QUEUE_READY => queue.set_ready(value == 1),
            register::VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            register::VIRTIO_MMIO_QUEUE_DESC_HIGH => {
                queue.set_desc_table_address(None, Some(value))
            }
            register::VIRTIO_MMIO_QUEUE_AVAIL_LOW => {
                queue.set_avail_ring_address(Some(value), None)
            }
            register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => {
                queue.set_avail_ring_address(None, Some(value))
            }
            register::VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
            register::VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    fn set_status(&mut self, value: u32, memory: &View) -> Effect {
        if value == 0 {
            self.queues.iter_mut().for_each(Queue::reset);
            (self.status, self.accepted, self.selected) = (0, 0, 0);
            (self.offered_half, self.accepted_half) = (0, 0);
            return Effect::Reset;
        }
        let mut value = value | self.status & VIRTIO_CONFIG_S_NEEDS_RESET;
        let acceptable =
            self.accepted & !self.offered == 0 && self.accepted & (1 << VIRTIO_F_VERSION_1) != 0;
        if !acceptable {
            value &= !(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
        }
        let was_live = self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0;
        self.status = value;
        if was_live || value & VIRTIO_CONFIG_S_DRIVER_OK == 0 {
            return Effect::None;
        }
        let event_idx = self.accepted & (1 << VIRTIO_RING_F_EVENT_IDX) != 0;
        for queue in &mut self.queues {
            queue.set_event_idx(event_idx);
        }
        if value & VIRTIO_CONFIG_S_FEATURES_OK == 0
            || !self.queues.iter().all(|queue| queue.is_valid(memory))
        {
            self.break_down();
            return Effect::None;
        }
        Effect::Start
    }
}

fn half(features: u64, half: u32) -> u32 {
    match half {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
