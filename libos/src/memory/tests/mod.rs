//! Tests of the calls on memory: on memory of Linux's that is laid out as an image's is, with a page source of its own.
//!
//! All state is the image's, of which there is one. So each test has a process of its own.

mod bounds;
mod files;
mod model;
mod moves;
mod places;
mod shown;

use super::{Rights, access, munmap, release_all};
use crate::apart::apart;
use crate::calls::Outcome;
use crate::{pages, platform, stats};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::{BOOT_MAGIC, BootInfo, PLATFORM_PROCESS, Span};
use bespoke_heap::Contents;
use core::cell::Cell;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE,
};
use std::boxed::Box;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

const PAGE: usize = PAGE_BYTES;
const STACK_PAGES: usize = 16;
const RAM_PAGES: usize = 2048;
/// Where it all begins: below everything that Linux puts somewhere.
const START: usize = 0x1_0000_0000;
/// Where memory beyond RAM is looked for.
const FAR: Range<usize> = 0x2000_0000_0000..0x2100_0000_0000;
/// Where the stack begins and RAM ends.
static GUEST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Whether `address` is in the memory of these tests, so that what is known of memory counts there.
pub fn is_guests(address: usize) -> bool {
    let [start, end] = GUEST.each_ref().map(|bound| bound.load(Relaxed));
    (start..end).contains(&address) || start != 0 && FAR.contains(&address)
}

/// An image's memory.
struct Guest {
    stack: Range<usize>,
    ram: Range<usize>,
    /// By which the kernel is asked what a page may be used for.
    probe: File,
    /// Pages that the application cannot give up.
    kept_pages: Cell<u64>,
}

/// Runs `test` in a process of its own, with such memory.
fn in_own_process(test: fn(&Guest)) {
    apart(|| {
        let guest = Guest::new();
        test(&guest);
        guest.check_all_is_free();
    });
}

/// Zero memory of Linux's at this address.
fn linux_memory(start: usize, bytes: usize) -> usize {
    const MMAP: usize = 9;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    let result: isize;
    // SAFETY: new memory, where none is.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") MMAP as isize => result, in("rdi") start, in("rsi") bytes,
            in("rdx") READ_WRITE, in("r10") u64::from(flags), in("r8") -1_i64, in("r9") 0, out("rcx") _,
            out("r11") _, options(nostack));
    }
    assert_eq!(result, start as isize, "memory for a test");
    start
}

fn give_back(start: usize, bytes: usize) -> bool {
    // SAFETY: the page source says this of free pages.
    unsafe { platform::give_back(start, bytes) }
}

impl Guest {
    fn new() -> Self {
        // A page that is never mapped, the stack, a page of strings, then RAM.
        let page_count = 1 + STACK_PAGES + 1 + RAM_PAGES;
        let start = linux_memory(START, page_count * PAGE);
        let stack = start + PAGE..start + (1 + STACK_PAGES) * PAGE;
        let ram = stack.end + PAGE..start + page_count * PAGE;
        GUEST[0].store(stack.start, Relaxed);
        GUEST[1].store(ram.end, Relaxed);
        let span = |range: &Range<usize>| Span {
            start: range.start as u64,
            bytes: range.len() as u64,
        };
        // SAFETY: numbers: all zero is a value.
        let mut info: Box<BootInfo> = Box::new(unsafe { core::mem::zeroed() });
        info.magic = BOOT_MAGIC;
        info.version = bespoke_abi::VERSION;
        info.platform = PLATFORM_PROCESS;
        info.ram = span(&ram);
        info.stack = span(&stack);
        info.total_bytes = (RAM_PAGES * PAGE) as u64;
        info.tsc_khz = 2_000_000;
        info.tsc_base = crate::time::tsc();
        // SAFETY: leaked, so it stays; and the RAM is nobody else's, and zero.
        unsafe {
            platform::start(Box::leak(info));
            let (start, bytes) = (ram.start, ram.len());
            pages().start(
                start,
                bytes,
                Contents::Zero,
                &stats().pages,
                Some(give_back),
            );
        }
        pages().set_spare(release_all);
        let path = std::env::temp_dir().join(std::format!("bespoke-probe-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let probe = options.open(&path).expect("a file");
        std::fs::remove_file(&path).expect("its own file");
        Self {
            stack,
            ram,
            probe,
            kept_pages: Cell::new(0),
        }
    }

    /// What the kernel allows at `address`. The byte stays as it is.
    fn host_rights(&self, address: usize) -> Rights {
        let place = address as *mut u8;
        // SAFETY: the kernel answers an error where the byte may not be used so; nobody else uses it meanwhile.
        unsafe {
            let byte = core::slice::from_raw_parts(place, 1);
            if self.probe.write_at(byte, 0).is_err() {
                return Rights::None;
            }
            let byte = core::slice::from_raw_parts_mut(place, 1);
            match self.probe.read_at(byte, 0) {
                Ok(1) => Rights::Write,
                _ => Rights::Read,
            }
        }
    }

    /// When everything is unmapped, everything is free, open and counted as such.
    fn check_all_is_free(&self) {
        munmap(self.ram.start, self.ram.len()).expect("all of it");
        munmap(FAR.start, FAR.len()).expect("all of it");
        release_all();
        let files = stats().components[crate::components::FILES]
            .held_pages
            .get();
        if files == 0 {
            // The file system keeps pages closed that were mapped, and opens what it touches.
            let open_end = access::reach(self.ram.start, self.ram.end, Rights::Write);
            assert_eq!(open_end, self.ram.end);
        }
        let mapped = stats().components[crate::components::MMAP].held_pages.get();
        assert_eq!(mapped, self.kept_pages.get());
        assert_eq!(stats().pages.held.get(), files + mapped);
    }
}

/// `mremap` to where there is room.
fn mremap(start: usize, old_bytes: usize, new_bytes: usize, flags: usize) -> Outcome {
    super::mremap(start, old_bytes, new_bytes, flags, 0)
}

const READ: usize = PROT_READ as usize;
const READ_WRITE: usize = (PROT_READ | PROT_WRITE) as usize;
