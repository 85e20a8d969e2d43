//! Gives the machine its memory in two parts: what every image touches at once, and the rest
//! when the guest first accesses it.
//!
//! The kernel's time for a memory slot is proportional to its size, because it keeps a word per
//! page: measured 32 us for 8 MiB, 116 us for 256 MiB.
//! Most of that is for pages that a small program never touches.
//! An image with a heap that spreads over all RAM at start gets all of it at once.
//!
//! An access behind the first part causes an exit. The monitor then makes the second slot and
//! performs the access as the exit describes it, and the guest continues.
//! No address outside of the guest's memory or in a closed page is served.

use super::{GuestMemory, refused};
use crate::MonitorError;
use crate::layout::Layout;
use crate::memory::{HUGE_BYTES, Mapping};
use bespoke_abi::IMAGE_BASE;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{IoEventAddress, VmFd};

/// Distance of the end of the first part from the memory for the page source's table and the boot.
const FIRST_RAM_BYTES: u64 = 4 << 20;

/// The machine, and the memory that it does not have yet.
pub(super) struct Slots {
    vm: VmFd,
    rest: Option<kvm_userspace_memory_region>,
    bytes: u64,
}

impl Slots {
    /// Gives `vm` the first part of `memory`, or all of it when the image is `eager`.
    pub(super) fn new(
        vm: VmFd,
        memory: &GuestMemory,
        layout: &Layout,
        eager: bool,
    ) -> Result<Self, MonitorError> {
        let bytes = memory.mapping.bytes() as u64;
        let first = if eager {
            bytes
        } else {
            (layout.eager_end() + FIRST_RAM_BYTES - IMAGE_BASE)
                .next_multiple_of(HUGE_BYTES)
                .min(bytes)
        };
        let part = |slot, start: u64, end: u64| kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: start,
            memory_size: end - start,
            userspace_addr: memory.mapping.at(start as usize) as u64,
        };
        let slots = Self {
            vm,
            rest: (first < bytes).then(|| part(1, first, bytes)),
            bytes,
        };
        slots.set(part(0, 0, first))?;
        Ok(slots)
    }

    fn set(&self, region: kvm_userspace_memory_region) -> Result<(), MonitorError> {
        // SAFETY: the region is part of the guest's mapping, which lives as long as the machine:
        // `Vm` drops the vCPU before its memory goes, and nothing enters a machine without a vCPU.
        unsafe { self.vm.set_user_memory_region(region) }
            .map_err(refused("give the machine its memory"))
    }

    /// Gives the machine memory for tables at a guest-physical address; returns whether it could.
    pub(super) fn add_tables(&self, start: u64, memory: &Mapping) -> bool {
        const SLOT: u32 = 2;
        let region = kvm_userspace_memory_region {
            slot: SLOT,
            flags: 0,
            guest_phys_addr: start,
            memory_size: memory.bytes() as u64,
            userspace_addr: memory.at(0) as u64,
        };
        self.set(region).is_ok()
    }

    /// Lets KVM collect writes to these guest-physical addresses without an exit, if it can. The
    /// ring is read at the next exit.
    pub(super) fn collect_writes(&self, addresses: std::ops::Range<u64>) {
        let start = IoEventAddress::Mmio(addresses.start);
        // A KVM without this feature exits for each write, which only costs time.
        let _ = self
            .vm
            .register_coalesced_mmio(start, (addresses.end - addresses.start) as u32);
    }

    /// Gives the machine the rest of its memory; returns whether there was any.
    pub(super) fn extend(&mut self) -> Result<bool, MonitorError> {
        match self.rest.take() {
            Some(rest) => self.set(rest).map(|()| true),
            None => Ok(false),
        }
    }

    /// Returns the host address of `bytes` bytes at a guest-physical address that lies in the
    /// second part and is open to the guest. Makes that part if necessary.
    pub(super) fn reach(
        &mut self,
        memory: &GuestMemory,
        physical: u64,
        bytes: usize,
    ) -> Result<Option<*mut u8>, MonitorError> {
        let end = physical.checked_add(bytes as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Ok(None);
        }
        let address = physical + IMAGE_BASE;
        let host = memory.open(address, bytes as u64);
        if host.is_some() {
            self.extend()?;
        }
        Ok(host)
    }
}
