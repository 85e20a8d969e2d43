//! What the monitor hands to a PVH kernel (Xen's `hvm_start_info`, version 1), in the first 2 MiB.
//! Owns nothing; must never follow an address that the boot tables do not map.

use super::give_up;

const MAGIC: u32 = 0x336e_c578;
const RAM: u32 = 1;

/// `struct hvm_start_info`.
#[repr(C)]
pub struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    firmware_tables: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Module {
    /// Physical address.
    pub start: u64,
    /// Length.
    pub bytes: u64,
    command_line: u64,
    reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemoryEntry {
    /// Physical address.
    pub start: u64,
    /// Length.
    pub bytes: u64,
    kind: u32,
    reserved: u32,
}

impl MemoryEntry {
    /// Whether it is memory for us.
    pub fn is_ram(&self) -> bool {
        self.kind == RAM
    }
}

/// A slice of `count` at `address`; gives up when the boot tables, up to `mapped_end`, do not map it.
///
/// # Safety
///
/// What lies there is of this type and nobody writes to it.
unsafe fn table<T>(address: u64, count: usize, mapped_end: usize) -> &'static [T] {
    if count == 0 {
        return &[];
    }
    let bytes = size_of::<T>().saturating_mul(count);
    let end = (address as usize).saturating_add(bytes);
    if address == 0 || end > mapped_end || !(address as usize).is_multiple_of(align_of::<T>()) {
        give_up("the monitor's start information lies beyond the image");
    }
    // SAFETY: mapped, aligned, and the caller's promise.
    unsafe { core::slice::from_raw_parts(address as *const T, count) }
}

impl StartInfo {
    /// The information at `address`, once it is known to be that; the boot tables end at `mapped_end`.
    ///
    /// # Safety
    ///
    /// A PVH monitor passed the address.
    pub unsafe fn at(address: usize, mapped_end: usize) -> &'static Self {
        // SAFETY: the caller's promise.
        let info = unsafe { &table::<Self>(address as u64, 1, mapped_end)[0] };
        if info.magic != MAGIC || info.version < 1 {
            give_up(
                "the monitor passed no PVH start information of version 1; a newer monitor does",
            );
        }
        info
    }

    /// What was given beside the image (`-initrd`).
    pub fn modules(&self, mapped_end: usize) -> &'static [Module] {
        // SAFETY: a PVH monitor put the list there.
        unsafe { table(self.modules, self.module_count as usize, mapped_end) }
    }

    /// The memory map.
    pub fn memory_map(&self, mapped_end: usize) -> &'static [MemoryEntry] {
        // SAFETY: as above.
        unsafe {
            table(
                self.memory_map,
                self.memory_map_entries as usize,
                mapped_end,
            )
        }
    }

    /// The command line, without its NUL.
    pub fn command_line(&self, mapped_end: usize) -> &'static [u8] {
        if self.command_line == 0 {
            return &[];
        }
        let most = mapped_end.saturating_sub(self.command_line as usize);
        // SAFETY: as above; bytes up to the end of what is mapped.
        let bytes = unsafe { table::<u8>(self.command_line, most, mapped_end) };
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        &bytes[..end]
    }
}
