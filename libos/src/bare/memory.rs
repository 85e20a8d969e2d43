//! Who gets which memory of a stock machine. Pure arithmetic; owns nothing.
//!
//! Used is the one run of RAM that holds the image, up to its end or to what the monitor put into it: a stock monitor
//! puts memory beyond its devices above 4 GiB, where an image does not look for it.

use super::give_up;
use super::start_info::{MemoryEntry, Module};
use bespoke_abi::PAGE_BYTES;
use core::ops::Range;

/// Physical ranges, whole pages each, which are the virtual ones, too.
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
    /// All RAM of the machine.
    pub total_bytes: u64,
}

/// Lays memory out behind `image_end`, a page's start.
pub fn plan(
    map: &[MemoryEntry],
    modules: &[Module],
    image_end: usize,
    [stack_bytes, string_bytes, device_bytes]: [usize; 3],
) -> Plan {
    let ram = || map.iter().filter(|entry| entry.is_ram());
    let holds_image = |entry: &&MemoryEntry| {
        entry.start < image_end as u64
            && (image_end as u64) <= entry.start.saturating_add(entry.bytes)
    };
    let Some(home) = ram().find(holds_image) else {
        give_up("the image does not fit into the machine's memory; give more with -m");
    };
    let mut end = (home.start + home.bytes) as usize / PAGE_BYTES * PAGE_BYTES;
    for module in modules
        .iter()
        .filter(|module| module.start as usize >= image_end)
    {
        end = end.min(module.start as usize / PAGE_BYTES * PAGE_BYTES);
    }
    let mut next = image_end;
    let mut take = |bytes: usize| {
        let start = next;
        next += bytes.next_multiple_of(PAGE_BYTES);
        start..next
    };
    // Strings first: the boot tables reach just beyond the image.
    let (strings, devices, _guard) = (take(string_bytes), take(device_bytes), take(PAGE_BYTES));
    let stack = take(stack_bytes);
    // One page of RAM: with less, no image can even say what it lacks.
    if next + PAGE_BYTES > end {
        give_up("the image does not fit into the machine's memory; give more with -m");
    }
    let archive = modules.first().map_or(0..0, |module| {
        module.start as usize..(module.start + module.bytes) as usize
    });
    Plan {
        stack,
        strings,
        devices,
        ram: next..end,
        archive,
        total_bytes: ram().map(|entry| entry.bytes).sum(),
    }
}
