//! What the monitor hands to a PVH kernel (Xen's `hvm_start_info`, version 1). Owns nothing; must never follow an
//! address that the boot tables do not map.

use super::physical::{Physical, Plain};
use core::fmt;

const MAGIC: u32 = 0x336e_c578;
const RAM: u32 = 1;

/// `struct hvm_start_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Header {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEntry {
    /// Physical address.
    pub start: u64,
    /// Length.
    pub bytes: u64,
    kind: u32,
    reserved: u32,
}

// SAFETY: integers alone, without room between them.
unsafe impl Plain for Header {}
// SAFETY: as above.
unsafe impl Plain for Module {}
// SAFETY: as above.
unsafe impl Plain for MemoryEntry {}

impl MemoryEntry {
    /// Whether it is memory for us.
    pub fn is_ram(&self) -> bool {
        self.kind == RAM
    }

    /// RAM of `bytes` bytes from `start`.
    #[cfg(test)]
    pub fn ram(start: u64, bytes: u64) -> Self {
        Self {
            start,
            bytes,
            kind: RAM,
            reserved: 0,
        }
    }
}

#[cfg(test)]
impl Module {
    /// `bytes` bytes from `start`.
    pub fn at(start: u64, bytes: u64) -> Self {
        Self {
            start,
            bytes,
            command_line: 0,
            reserved: 0,
        }
    }
}

/// Why the information is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Not that of PVH, or of its first version, which had no memory map.
    Foreign { magic: u32, version: u32 },
    /// A part of it is not where it can be read.
    Beyond { part: &'static str, address: u64 },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { magic, version } => write!(
                f,
                "the monitor passed no PVH start information of version 1 (magic {magic:#x}, version {version}); \
                 a newer monitor does"
            ),
            Self::Beyond { part, address } => write!(
                f,
                "the monitor put the {part} of its start information to {address:#x}, beyond the image; \
                 QEMU and Firecracker put it below"
            ),
        }
    }
}

/// What the monitor handed over, once it is known to be that.
pub struct StartInfo {
    header: Header,
    memory: Physical,
}

impl StartInfo {
    /// The information at `address` of `memory`.
    pub fn read(memory: Physical, address: u64) -> Result<Self, Unusable> {
        let part = "head";
        let header: Header = memory
            .read(address)
            .ok_or(Unusable::Beyond { part, address })?;
        let Header { magic, version, .. } = header;
        if magic != MAGIC || version < 1 {
            return Err(Unusable::Foreign { magic, version });
        }
        Ok(Self { header, memory })
    }

    fn list<T: Plain>(
        &self,
        part: &'static str,
        address: u64,
        count: u32,
    ) -> Result<impl Iterator<Item = T> + use<T>, Unusable> {
        // Nothing is at 0, where lists without entries may be said to be.
        let listed = match count {
            0 => self.memory.read_all(self.memory.start(), 0),
            _ => self.memory.read_all(address, count),
        };
        listed.ok_or(Unusable::Beyond { part, address })
    }

    /// What was given beside the image (`-initrd`).
    pub fn modules(&self) -> Result<impl Iterator<Item = Module> + use<>, Unusable> {
        self.list("modules", self.header.modules, self.header.module_count)
    }

    /// The memory map.
    pub fn memory_map(&self) -> Result<impl Iterator<Item = MemoryEntry> + use<>, Unusable> {
        let Header {
            memory_map,
            memory_map_entries,
            ..
        } = self.header;
        self.list("memory map", memory_map, memory_map_entries)
    }

    /// Whether there is firmware with tables (ACPI), as on machines with PCI buses.
    pub fn has_firmware(&self) -> bool {
        self.header.firmware_tables != 0
    }

    /// The command line, without its NUL.
    pub fn command_line(&self) -> Result<&'static [u8], Unusable> {
        let (part, address) = ("command line", self.header.command_line);
        if address == 0 {
            return Ok(&[]);
        }
        self.memory
            .string(address)
            .ok_or(Unusable::Beyond { part, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const START: u64 = 0x1000;

    /// Physical memory from [`START`] on, for ever.
    fn memory(bytes: &[u8]) -> Physical {
        let bytes: &'static [u8] = Vec::leak(bytes.to_vec());
        // SAFETY: leaked, and nobody has it but us.
        unsafe { Physical::new(START..START + bytes.len() as u64, bytes.as_ptr()) }
    }

    fn put(bytes: &mut [u8], address: u64, words: &[u32]) {
        let at = (address - START) as usize;
        for (place, word) in bytes[at..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// As QEMU's microvm and its firmware hand it over with `-initrd`: 64-bit words on odd multiples of 4.
    fn as_of_qemu() -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        let (modules, line, map) = (0x117c, 0x1200, 0x1244);
        #[rustfmt::skip]
        put(&mut bytes, START, &[MAGIC, 1, 0, 1, modules, 0, line, 0, 0, 0, map, 0, 2, 0]);
        put(
            &mut bytes,
            modules.into(),
            &[0x3ff_d000, 0, 0x2800, 0, 0, 0, 0x6500_0000, 6],
        );
        #[rustfmt::skip]
        put(&mut bytes, map.into(), &[0, 0, 0x9_fc00, 0, 1, 0, 0x9_fc00, 0, 0x400, 0, 2, 0]);
        let at = (u64::from(line) - START) as usize;
        bytes[at..at + 9].copy_from_slice(b"arg=hello");
        bytes
    }

    #[test]
    fn lists_need_not_be_aligned() {
        let info = StartInfo::read(memory(&as_of_qemu()), START).unwrap();
        let modules: Vec<_> = info.modules().unwrap().collect();
        assert_eq!((modules[0].start, modules[0].bytes), (0x3ff_d000, 0x2800));
        let map: Vec<_> = info.memory_map().unwrap().collect();
        assert_eq!(map[0], MemoryEntry::ram(0, 0x9_fc00));
        assert!(!map[1].is_ram() && map.len() == 2);
        assert_eq!(info.command_line(), Ok(&b"arg=hello"[..]));
    }

    #[test]
    fn what_is_absent_is_empty() {
        let mut bytes = vec![0; 0x40];
        put(&mut bytes, START, &[MAGIC, 1]);
        let info = StartInfo::read(memory(&bytes), START).unwrap();
        assert_eq!(info.modules().unwrap().count(), 0);
        assert_eq!(info.memory_map().unwrap().count(), 0);
        assert_eq!(info.command_line(), Ok(&b""[..]));
    }

    #[test]
    fn other_information_is_named() {
        for (magic, version) in [(MAGIC, 0), (MAGIC + 1, 1), (0, 0)] {
            let mut bytes = vec![0; 0x40];
            put(&mut bytes, START, &[magic, version]);
            let error = StartInfo::read(memory(&bytes), START).err();
            assert_eq!(error, Some(Unusable::Foreign { magic, version }));
        }
        for address in [0, START - 1, START + 0x3a, START + 0x40, u64::MAX] {
            let error = StartInfo::read(memory(&[0; 0x40]), address).err();
            let part = "head";
            assert_eq!(error, Some(Unusable::Beyond { part, address }));
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut bytes = as_of_qemu();
        bytes[0x200..].fill(b'x');
        let info = StartInfo::read(memory(&bytes), START).unwrap();
        let (part, address) = ("command line", 0x1200);
        assert_eq!(info.command_line(), Err(Unusable::Beyond { part, address }));
    }

    proptest! {
        /// Whatever the monitor says, nothing beyond the memory is read: each answer is an error or comes from it.
        #[test]
        fn no_information_leads_outside(
            addresses in prop::collection::vec(prop_oneof![any::<u64>(), START - 8..START + 0x400], 3),
            counts in prop::collection::vec(prop_oneof![any::<u32>(), 0..40_u32], 2),
        ) {
            let mut bytes = as_of_qemu();
            for (at, address) in [16, 24, 40].into_iter().zip(&addresses) {
                bytes[at..at + 8].copy_from_slice(&address.to_le_bytes());
            }
            for (at, count) in [12, 48].into_iter().zip(&counts) {
                bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
            }
            let end = START + bytes.len() as u64;
            let fits = |address: u64, count: u32, bytes: u64| {
                count == 0 || address >= START && address.checked_add(u64::from(count) * bytes).is_some_and(|last| last <= end)
            };
            let info = StartInfo::read(memory(&bytes), START).unwrap();
            prop_assert_eq!(info.modules().is_ok(), fits(addresses[0], counts[0], 32));
            prop_assert_eq!(info.memory_map().is_ok(), fits(addresses[2], counts[1], 24));
            prop_assert_eq!(info.modules().map_or(counts[0] as usize, Iterator::count), counts[0] as usize);
            prop_assert_eq!(info.memory_map().map_or(counts[1] as usize, Iterator::count), counts[1] as usize);
            if let Ok(line) = info.command_line() {
                prop_assert!(line.len() < 0x400);
            }
        }
    }
}
