//! The console and entropy devices of our own monitor, where it announces them instead of serving the console by
//! hypercall. Owns nothing once they are set up; must never let an image start whose seed did not come.

use super::devices::{CONSOLE, Candidate, ENTROPY, Found, NEEDED_BYTES};
use super::{STATE, random};
use crate::{platform, report};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::BootInfo;
use bespoke_abi::hypercall::FATAL_MACHINE;
use bespoke_virtio::{DeviceMemory, Registers};
use core::ptr::NonNull;

const MEMORY_BYTES: usize = NEEDED_BYTES.next_multiple_of(PAGE_BYTES);

/// Sets up what the boot information announces, in memory from the start of its RAM, and mixes the entropy device's
/// bytes into its seed.
///
/// # Safety
///
/// `place` is the boot information; nobody uses its RAM yet, or has a reference to it.
pub unsafe fn start(place: *mut BootInfo) {
    // SAFETY: the caller's promise.
    let mut info = unsafe { *place };
    let is_ours = |kind| matches!(kind, CONSOLE | ENTROPY);
    if !info.devices.iter().any(|device| is_ours(device.kind)) {
        return;
    }
    let has_bytes = info.ram.bytes as usize;
    if has_bytes <= MEMORY_BYTES {
        report::too_little_memory("the console", MEMORY_BYTES + PAGE_BYTES - has_bytes);
    }
    // SAFETY: RAM, not null, which is nobody else's from here on.
    let mut memory = unsafe {
        let start = NonNull::new_unchecked(info.ram.start as *mut u8);
        DeviceMemory::new(start, MEMORY_BYTES, info.physical_offset)
    };
    info.ram.start += MEMORY_BYTES as u64;
    info.ram.bytes -= MEMORY_BYTES as u64;
    let mut found = Found::default();
    for device in info.devices.iter().filter(|device| is_ours(device.kind)) {
        // SAFETY: the monitor says that they are there, and this is their only driver.
        if let Some(registers) = unsafe { Registers::new(device.address as usize) } {
            let candidate = Candidate::without_interrupt(registers, device.kind);
            found.add(candidate, &mut memory);
        }
    }
    let entropy = found.entropy;
    if !entropy.is_some_and(|device| random::mix_device(device, &mut memory, &mut info.seed)) {
        platform::fatal(FATAL_MACHINE, "the entropy device gives nothing", 0);
    }
    STATE.with(|state| [state.consoles.first, state.consoles.second] = found.consoles);
    // SAFETY: the caller's promise.
    unsafe { place.write(info) };
}
