//! Who gets which memory of a stock machine. Pure arithmetic; owns nothing.
//!
//! An image uses one run of RAM, the one that holds it, up to its end or to what the monitor put into it. A machine
//! with more, beyond the hole for devices below 4 GiB, is refused: who gives memory is to know that it is used.

use super::start_info::{MemoryEntry, Module};
use bespoke_abi::PAGE_BYTES;
use core::fmt;
use core::ops::Range;

const MIB: u64 = 1 << 20;

/// Physical ranges, whole pages each, which are the virtual ones, too.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The main stack; the page below it stays unmapped.
    pub stack: Range<usize>,
    /// Strings of the boot information.
    pub strings: Range<usize>,
    /// Queues and buffers of devices that the platform drives itself.
    pub devices: Range<usize>,
    /// What the image may hand out.
    pub ram: Range<usize>,
    /// The archive, as given.
    pub archive: Range<usize>,
    /// Where the run of RAM ends that holds the image.
    pub memory_end: usize,
    /// All RAM of the machine.
    pub total_bytes: u64,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The image does not fit.
    TooSmall { needed_bytes: u64, has_bytes: u64 },
    /// A good part of the RAM is out of reach.
    InPieces { total_bytes: u64, usable_bytes: u64 },
    /// More than an archive was given, or not where it can be used.
    Modules { start: u64, bytes: u64 },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooSmall {
                needed_bytes,
                has_bytes,
            } => write!(
                f,
                "the image needs {} MiB, the machine has {}; give it more",
                needed_bytes.div_ceil(MIB),
                has_bytes / MIB
            ),
            Self::InPieces {
                total_bytes,
                usable_bytes,
            } => write!(
                f,
                "of the machine's {} MiB an image can use those below its devices, {} MiB; give it no more",
                total_bytes.div_ceil(MIB),
                usable_bytes.div_ceil(MIB)
            ),
            Self::Modules { start, bytes } => write!(
                f,
                "what was given beside the image ({bytes} bytes at {start:#x}) is not one archive in its memory"
            ),
        }
    }
}

/// Lays memory out behind `image_end`, a page's start. Without a memory map an image can say no more than that it
/// does not fit.
pub fn plan(
    map: impl Iterator<Item = MemoryEntry>,
    mut modules: impl Iterator<Item = Module>,
    image_end: usize,
    [stack_bytes, string_bytes, device_bytes]: [usize; 3],
) -> Result<Plan, Unfit> {
    let mut next = image_end;
    let mut take = |bytes: usize| {
        let start = next;
        next += bytes.next_multiple_of(PAGE_BYTES);
        start..next
    };
    // Strings first: the boot tables reach just beyond the image.
    let (strings, devices, _guard) = (take(string_bytes), take(device_bytes), take(PAGE_BYTES));
    let stack = take(stack_bytes);
    let (mut total_bytes, mut has_bytes, mut last_start) = (0_u64, 0, 0);
    let mut home_end = None;
    for MemoryEntry { start, bytes, .. } in map.filter(MemoryEntry::is_ram) {
        let end = start.saturating_add(bytes);
        total_bytes = total_bytes.saturating_add(bytes);
        (has_bytes, last_start) = (end.max(has_bytes), start.max(last_start));
        if start < image_end as u64 && image_end as u64 <= end {
            home_end = Some(end);
        }
    }
    let too_small = |more: usize| Unfit::TooSmall {
        // One page of RAM: with less, no image can even say what it lacks.
        needed_bytes: (next + PAGE_BYTES).saturating_add(more) as u64,
        has_bytes,
    };
    let usable_bytes = home_end.ok_or_else(|| too_small(0))?;
    if last_start >= usable_bytes {
        return Err(Unfit::InPieces {
            total_bytes,
            usable_bytes,
        });
    }
    let mut end = usable_bytes as usize / PAGE_BYTES * PAGE_BYTES;
    let archive = match modules.next() {
        None => 0..0,
        Some(Module { start, bytes, .. }) => {
            let module_end = start.saturating_add(bytes);
            if start < image_end as u64 || module_end > usable_bytes || modules.next().is_some() {
                return Err(Unfit::Modules { start, bytes });
            }
            end = end.min(start as usize / PAGE_BYTES * PAGE_BYTES);
            start as usize..module_end as usize
        }
    };
    if next + PAGE_BYTES > end {
        return Err(too_small(archive.len()));
    }
    Ok(Plan {
        stack,
        strings,
        devices,
        ram: next..end,
        archive,
        memory_end: usable_bytes as usize,
        total_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    const END: usize = 0x24_5000;
    const PARTS: [usize; 3] = [0x4_0000, 100, 0x5000];
    const LOW: u64 = 0x9_fc00;

    fn lay_out(map: &[(u64, u64)], modules: &[(u64, u64)]) -> Result<Plan, Unfit> {
        let ram = |&(start, bytes): &(u64, u64)| MemoryEntry::ram(start, bytes);
        let module = |&(start, bytes): &(u64, u64)| Module::at(start, bytes);
        let map: Vec<_> = map.iter().map(ram).collect();
        plan(map.into_iter(), modules.iter().map(module), END, PARTS)
    }

    #[test]
    fn all_behind_the_image_is_given_out() {
        let plan = lay_out(&[(0, LOW), (0x10_0000, 0x3f0_0000)], &[]).unwrap();
        assert_eq!(plan.strings, END..END + 0x1000);
        assert_eq!(plan.devices, END + 0x1000..END + 0x6000);
        assert_eq!(plan.stack, END + 0x7000..END + 0x4_7000);
        assert_eq!(plan.ram, END + 0x4_7000..0x400_0000);
        assert_eq!((plan.archive, plan.total_bytes), (0..0, LOW + 0x3f0_0000));
    }

    #[test]
    fn an_archive_ends_the_ram() {
        let map = [(0x10_0000, 0x3f0_0000)];
        let plan = lay_out(&map, &[(0x3ff_d234, 0x2800)]).unwrap();
        assert_eq!(
            (plan.ram.end, plan.archive),
            (0x3ff_d000, 0x3ff_d234..0x3ff_fa34)
        );
        for modules in [
            &[(END as u64 - 1, 1)][..],
            &[(0x400_0000, 1)],
            &[(u64::MAX, 2)],
            &[(0x300_0000, 16), (0x200_0000, 16)],
        ] {
            let (start, bytes) = modules[0];
            assert_eq!(lay_out(&map, modules), Err(Unfit::Modules { start, bytes }));
        }
    }

    #[test]
    fn too_little_is_told_in_figures() {
        let error = lay_out(&[(0, LOW), (0x10_0000, 0x14_4fff)], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the image needs 3 MiB, the machine has 2; give it more"
        );
        let beside = lay_out(
            &[(0x10_0000, 0x1f0_0000)],
            &[(END as u64 + 0x1000, 0x100_0000)],
        );
        assert_eq!(
            beside.unwrap_err().to_string(),
            "the image needs 19 MiB, the machine has 32; give it more"
        );
        assert!(matches!(lay_out(&[], &[]), Err(Unfit::TooSmall { .. })));
    }

    #[test]
    fn memory_in_pieces_is_refused() {
        let error = lay_out(
            &[(0, LOW), (0x10_0000, 0xbff0_0000), (1 << 32, 1 << 30)],
            &[],
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "of the machine's 4096 MiB an image can use those below its devices, 3072 MiB; give it no more"
        );
    }

    proptest! {
        /// Whatever map and modules are told, the parts lie in RAM one after the other, or there is no plan.
        #[test]
        fn a_plan_fits_into_ram(
            map in prop::collection::vec((prop_oneof![any::<u64>(), 0..0x400_0000_u64], prop_oneof![any::<u64>(), 0..0x400_0000_u64]), 0..5),
            modules in prop::collection::vec((prop_oneof![any::<u64>(), 0..0x400_0000_u64], 0..0x10_0000_u64), 0..3),
        ) {
            let Ok(plan) = lay_out(&map, &modules) else { return Ok(()) };
            let in_ram = |range: &Range<usize>| map.iter().any(|&(start, bytes)| {
                start <= range.start as u64 && range.end as u64 <= start.saturating_add(bytes)
            });
            for part in [&plan.strings, &plan.devices, &plan.stack, &plan.ram] {
                prop_assert!(in_ram(part) && part.start % PAGE_BYTES == 0 && part.end % PAGE_BYTES == 0);
            }
            prop_assert!(plan.strings.start == END && plan.stack.end == plan.ram.start);
            if !modules.is_empty() {
                prop_assert!(in_ram(&plan.archive) && plan.archive.start >= plan.ram.end);
            }
        }
    }
}
