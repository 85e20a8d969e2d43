//! A device's registers on a PCI bus (virtio 1.2, section 4.1.4.3).

use crate::registers::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, Refused};
use crate::{Queue, feature};

const FEATURES_SELECT: usize = 0x00;
const FEATURES: usize = 0x04;
const DRIVER_FEATURES_SELECT: usize = 0x08;
const DRIVER_FEATURES: usize = 0x0c;
const CONFIGURATION_VECTOR: usize = 0x10;
const STATUS: usize = 0x14;
const QUEUE_SELECT: usize = 0x16;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_VECTOR: usize = 0x1a;
const QUEUE_ENABLE: usize = 0x1c;
const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
const QUEUE_ADDRESSES: [usize; 3] = [0x20, 0x28, 0x30];

/// Number of queues with a known notification address. No driver in this crate has more.
const QUEUES: usize = 2;
/// The one interrupt of all queues. Configuration changes have none.
const VECTOR: u16 = 0;
const NO_VECTOR: u16 = 0xffff;
/// Number of polls after which a reset counts as failed.
const LOOKS: u32 = 100_000;

/// The registers of one device: valid forever and used by no other code.
#[derive(Clone, Copy, Debug)]
pub struct PciRegisters {
    common: usize,
    /// Notification address of each queue; 0: none.
    notify: [usize; QUEUES],
}

impl PciRegisters {
    /// Length of the common registers in bytes.
    pub const COMMON_BYTES: u32 = 0x38;

    /// Makes the registers of a device. Its common registers lie at `common`. Its `notify_bytes`
    /// bytes of notification addresses lie at `notify`, `multiplier` bytes apart.
    ///
    /// # Safety
    ///
    /// They lie there forever, and no other code uses them. `common` is
    /// a multiple of 4, `notify` of 2.
    pub unsafe fn new(common: usize, notify: usize, notify_bytes: u32, multiplier: u32) -> Self {
        let mut registers = Self {
            common,
            notify: [0; QUEUES],
        };
        for index in 0..QUEUES {
            registers.write16(QUEUE_SELECT, index as u16);
            let offset = u64::from(registers.read16(QUEUE_NOTIFY_OFFSET)) * u64::from(multiplier);
            if offset + 2 <= u64::from(notify_bytes) && offset.is_multiple_of(2) {
                registers.notify[index] = notify + offset as usize;
            }
        }
        registers
    }

    fn write16(self, offset: usize, value: u16) {
        // SAFETY: a register of the device (`PciRegisters::new`); offsets are those above.
        unsafe { ((self.common + offset) as *mut u16).write_volatile(value) }
    }

    fn read16(self, offset: usize) -> u16 {
        // SAFETY: as in `write16`.
        unsafe { ((self.common + offset) as *const u16).read_volatile() }
    }

    fn write32(self, offset: usize, value: u32) {
        // SAFETY: as in `write16`.
        unsafe { ((self.common + offset) as *mut u32).write_volatile(value) }
    }

    fn set_status(self, status: u32) {
        // SAFETY: as in `write16`.
        unsafe { ((self.common + STATUS) as *mut u8).write_volatile(status as u8) }
    }

    fn status(self) -> u32 {
        // SAFETY: as in `write16`.
        unsafe { ((self.common + STATUS) as *const u8).read_volatile() }.into()
    }

    pub(crate) fn offered(self) -> u64 {
        let half = |half: u32| {
            self.write32(FEATURES_SELECT, half);
            // SAFETY: as in `write16`.
            u64::from(unsafe { ((self.common + FEATURES) as *const u32).read_volatile() })
        };
        half(0) | half(1) << 32
    }

    pub(crate) fn queue_entries(self, index: u32) -> u32 {
        self.write16(QUEUE_SELECT, index as u16);
        self.read16(QUEUE_SIZE).into()
    }

    pub(crate) fn start(self, features: u64, queues: &[&Queue]) -> Result<(), Refused> {
        let features = features | feature::VERSION_1;
        self.set_status(0);
        // Section 4.1.4.3.2: the reset is over when the status says so.
        let is_reset = (0..LOOKS).any(|_| self.status() == 0);
        let are_reachable = queues.len() <= QUEUES
            && self
                .notify
                .iter()
                .take(queues.len())
                .all(|place| *place != 0);
        if !is_reset || !are_reachable {
            return Err(Refused {
                status: self.status(),
            });
        }
        self.set_status(ACKNOWLEDGE | DRIVER);
        for half in 0..2 {
            self.write32(DRIVER_FEATURES_SELECT, half);
            self.write32(DRIVER_FEATURES, (features >> (32 * half)) as u32);
        }
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.write16(CONFIGURATION_VECTOR, NO_VECTOR);
        for (index, queue) in queues.iter().enumerate() {
            self.write16(QUEUE_SELECT, index as u16);
            self.write16(QUEUE_SIZE, queue.entries());
            self.write16(QUEUE_VECTOR, VECTOR);
            for (register, address) in QUEUE_ADDRESSES.into_iter().zip(queue.addresses()) {
                self.write32(register, address as u32);
                self.write32(register + 4, (address >> 32) as u32);
            }
            self.write16(QUEUE_ENABLE, 1);
        }
        let ready = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
        self.set_status(ready);
        Refused::unless(self.status(), ready)
    }

    #[inline]
    pub(crate) fn notify(self, index: u32) {
        let place = self.notify[index as usize % QUEUES];
        if place != 0 {
            // SAFETY: where the device takes notifications (`PciRegisters::new`).
            unsafe { (place as *mut u16).write_volatile(index as u16) }
        }
    }
}
