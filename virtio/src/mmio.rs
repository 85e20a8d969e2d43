//! A device's registers over MMIO (virtio 1.2, section 4.2.2).

use crate::registers::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, Refused};
use crate::{Queue, feature};
use core::ptr::NonNull;

const FEATURES: usize = 0x10;
const FEATURES_SELECT: usize = 0x14;
const DRIVER_FEATURES: usize = 0x20;
const DRIVER_FEATURES_SELECT: usize = 0x24;
const QUEUE_SELECT: usize = 0x30;
const QUEUE_MOST: usize = 0x34;
const QUEUE_SIZE: usize = 0x38;
const QUEUE_READY: usize = 0x44;
const QUEUE_NOTIFY: usize = 0x50;
const STATUS: usize = 0x70;
const QUEUE_ADDRESSES: [usize; 3] = [0x80, 0x90, 0xa0];

/// The registers of one device: valid forever and used by no other code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mmio(pub(crate) NonNull<u32>);

impl Mmio {
    fn write(self, offset: usize, value: u32) {
        // SAFETY: a register of the device (`Registers::new`); offsets are those above.
        unsafe { self.0.byte_add(offset).write_volatile(value) }
    }

    fn read(self, offset: usize) -> u32 {
        // SAFETY: as in `write`.
        unsafe { self.0.byte_add(offset).read_volatile() }
    }

    pub(crate) fn offered(self) -> u64 {
        let half = |half: u32| {
            self.write(FEATURES_SELECT, half);
            u64::from(self.read(FEATURES))
        };
        half(0) | half(1) << 32
    }

    pub(crate) fn queue_entries(self, index: u32) -> u32 {
        self.write(QUEUE_SELECT, index);
        self.read(QUEUE_MOST)
    }

    pub(crate) fn start(self, features: u64, queues: &[&Queue]) -> Result<(), Refused> {
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
        Refused::unless(self.read(STATUS), ready)
    }

    #[inline]
    pub(crate) fn notify(self, index: u32) {
        self.write(QUEUE_NOTIFY, index);
    }
}
