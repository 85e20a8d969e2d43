//! Reads from the machine's memory how an image on a stock monitor ended. The contents are
//! untrusted, because the guest wrote them.

use crate::image::Image;
use crate::layout::Layout;
use crate::memory::{Mapping, PAGE_BYTES};
use crate::outcome::Exit;
use crate::report::{CrashReport, Fatal, Fault, FaultAccess, Registers, Subject, vector};
use bespoke_abi::boot::{BOOT_MAGIC, BootInfo, PLATFORM_PVH, Span};
use bespoke_abi::hypercall::{EXIT, FATAL, FAULT, FaultRecord, Request, STOCK_TABLES};

/// How the image ended.
pub(crate) enum Ending {
    /// It ended normally or crashed.
    Exit(Exit),
    /// It lacks memory: the bytes it needs.
    Memory(u64),
    /// It cannot start on this machine.
    Machine(String),
    /// No record: the machine ended before the image wrote one.
    Nothing,
}

/// Reads how `image` ended from `memory`, which begins at physical address 0,
/// as the image's own addresses do.
pub(crate) fn ending(image: &Image, memory: &Mapping) -> Ending {
    let read = |address: u64, bytes: &mut [u8]| copy(memory, address, bytes);
    let mut request = [0; size_of::<Request>()];
    if !read(image.note.request, &mut request) {
        return Ending::Nothing;
    }
    let (words, _) = request.as_chunks::<8>();
    let word = |index: usize| u64::from_le_bytes(words[index]);
    let (operation, arguments, registers) = (word(0), [1, 2, 3, 4].map(word), word(5));
    if operation == EXIT {
        return Ending::Exit(Exit::Code(arguments[0] as u8));
    }
    let layout = layout(image, memory);
    let subject = Subject {
        image,
        layout: &layout,
        read: &read,
    };
    let report = match operation {
        FATAL => {
            let fatal = Fatal::read(read, arguments);
            if let Some(bytes) = fatal.needed_bytes() {
                return Ending::Memory(bytes);
            }
            if let Some(reason) = fatal.machine() {
                return Ending::Machine(reason.into());
            }
            let record = Record::read(memory, registers).filter(|_| registers != 0);
            let registers = record.map(|record| record.registers());
            CrashReport::fatal(&subject, fatal, registers)
        }
        FAULT => {
            if let Some(record) = Record::read(memory, arguments[0]) {
                CrashReport::fault(&subject, record.fault(&layout).explained(arguments[1]))
            } else {
                let reason = format!("fault record at {:#x} is not in memory", arguments[0]);
                CrashReport::malformed(&subject, reason, None)
            }
        }
        _ => return Ending::Nothing,
    };
    Ending::Exit(Exit::Crash(Box::new(report)))
}

fn copy(memory: &Mapping, address: u64, bytes: &mut [u8]) -> bool {
    if address < memory.bytes() as u64 {
        return copy_physical(memory, address, bytes);
    }
    let (mut at, mut rest) = (address, bytes);
    while !rest.is_empty() {
        let count = rest.len().min((PAGE_BYTES - at % PAGE_BYTES) as usize);
        let (part, behind) = rest.split_at_mut(count);
        if !physical(memory, at).is_some_and(|place| copy_physical(memory, place, part)) {
            return false;
        }
        (at, rest) = (at + count as u64, behind);
    }
    true
}

/// Translates an address beyond memory by the image's page tables.
fn physical(memory: &Mapping, address: u64) -> Option<u64> {
    const PRESENT: u64 = 1;
    const LARGE: u64 = 1 << 7;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    const LEVELS: u32 = 4;
    let word = |place: u64| {
        let mut bytes = [0; 8];
        copy_physical(memory, place, &mut bytes).then(|| u64::from_le_bytes(bytes))
    };
    let mut table = word(STOCK_TABLES)?;
    for level in (0..LEVELS).rev() {
        let index = address >> (12 + 9 * level) & 511;
        let entry = word(table + 8 * index)?;
        if entry & PRESENT == 0 || level > 0 && entry & LARGE != 0 {
            return None;
        }
        table = entry & ADDRESS;
    }
    Some(table + address % PAGE_BYTES)
}

fn copy_physical(memory: &Mapping, address: u64, bytes: &mut [u8]) -> bool {
    let end = address.checked_add(bytes.len() as u64);
    if end.is_none_or(|end| end > memory.bytes() as u64) {
        return false;
    }
    // SAFETY: inside the mapping (just checked); nothing of ours lies there.
    unsafe {
        bytes
            .as_mut_ptr()
            .copy_from(memory.at(address as usize), bytes.len())
    };
    true
}

/// The words of a [`FaultRecord`], in their order.
struct Record([u64; size_of::<FaultRecord>() / 8]);

impl Record {
    fn read(memory: &Mapping, address: u64) -> Option<Self> {
        let mut bytes = [0; size_of::<FaultRecord>()];
        if !copy(memory, address, &mut bytes) {
            return None;
        }
        let (words, _) = bytes.as_chunks::<8>();
        Some(Self(std::array::from_fn(|index| {
            u64::from_le_bytes(words[index])
        })))
    }

    fn registers(&self) -> Registers {
        let [_, _, _, rip, rflags, fs_base, general @ ..] = self.0;
        Registers {
            general,
            rip,
            rflags,
            fs_base,
        }
    }

    fn fault(&self, layout: &Layout) -> Fault {
        const PRESENT: u64 = 1;
        let [number, error_code, address, ..] = self.0;
        let is_page_fault = number == u64::from(vector::PAGE);
        Fault {
            vector: u8::try_from(number).ok(),
            address: is_page_fault.then_some(address),
            access: is_page_fault.then(|| FaultAccess::from_error_code(error_code)),
            // The image's own tables close its pages: unmapped RAM is a page that it closed.
            closed: is_page_fault && error_code & PRESENT == 0 && layout.ram.contains(&address),
            registers: Some(self.registers()),
            ..Fault::default()
        }
    }
}

/// Returns the layout of memory, from the image's boot information in its data.
fn layout(image: &Image, memory: &Mapping) -> Layout {
    let total = memory.bytes() as u64;
    let fits = |span: &Span| {
        span.start
            .checked_add(span.bytes)
            .is_some_and(|end| end <= total)
    };
    let found = image.segments.iter().find_map(|segment| {
        let end = segment.pages.end.min(total);
        let mut places = (segment.pages.start..end).step_by(align_of::<BootInfo>());
        places.find_map(|address| {
            let room = address.checked_add(size_of::<BootInfo>() as u64)? <= end;
            let info = memory.at(address as usize).cast::<BootInfo>();
            // SAFETY: inside the mapping where there is room, aligned, and plain data.
            let is_one =
                room && unsafe { (&raw const (*info).magic).read_volatile() } == BOOT_MAGIC;
            // SAFETY: as above.
            let info = is_one.then(|| unsafe { info.read_volatile() })?;
            let usable = info.version == bespoke_abi::VERSION
                && info.platform == PLATFORM_PVH
                && fits(&info.ram)
                && fits(&info.stack);
            usable.then_some((info.stack, info.ram))
        })
    });
    let range = |span: Span| span.start..span.start + span.bytes;
    let (stack, ram) = found.map_or((0..0, 0..0), |(stack, ram)| (range(stack), range(ram)));
    Layout::stock(&image.segments, stack, ram, total / PAGE_BYTES * PAGE_BYTES)
}
