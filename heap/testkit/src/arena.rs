//! Memory for one test: a page source over an anonymous mapping, as
//! the monitor gives one to an image.
//! It lives as long as the process, as the contract requires.

use bespoke_abi::PAGE_BYTES;
use bespoke_abi::stats::{ComponentStats, PageStats};
use bespoke_heap::{Component, Contents, GiveBack, Heap, PageSource};
use std::ops::Range;

/// A page source, its memory and its counters.
#[derive(Clone, Copy, Debug)]
pub struct Arena {
    /// The source under test, or under the heap under test.
    pub source: &'static PageSource,
    /// Its counters.
    pub stats: &'static PageStats,
    /// First byte of the mapping.
    pub start: usize,
    /// Length of the mapping in bytes.
    pub bytes: usize,
}

impl Arena {
    /// Makes an arena of `bytes` bytes (rounded up to a page) whose free pages go
    /// back to the kernel on request.
    pub fn new(bytes: usize) -> Self {
        Self::with_hook(bytes, Some(drop_pages))
    }

    /// Like [`Arena::new`], with another hook to return memory, or none.
    pub fn with_hook(bytes: usize, give_back: Option<GiveBack>) -> Self {
        let bytes = bytes.next_multiple_of(PAGE_BYTES).max(PAGE_BYTES);
        let start = map(bytes);
        // SAFETY: one thread at a time works with it.
        let source: &'static PageSource = Box::leak(Box::new(unsafe { PageSource::new() }));
        let stats: &'static PageStats = Box::leak(Box::new(PageStats::new()));
        // SAFETY: a fresh anonymous mapping: zero, untouched, never unmapped, used by no one else.
        unsafe { source.start(start, bytes, Contents::Zero, stats, give_back) };
        Self {
            source,
            stats,
            start,
            bytes,
        }
    }

    /// Address range of the mapping.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.bytes
    }

    /// Makes a component that takes its pages from here. It has not started.
    pub fn component<H: Heap>(&self) -> (&'static Component<H>, &'static ComponentStats) {
        let stats: &'static ComponentStats = Box::leak(Box::default());
        stats.label("test", H::INFO.name);
        // SAFETY: a heap of its own; one thread at a time works with it.
        let component = unsafe { Component::new(Box::leak(Box::default()), stats) };
        (Box::leak(Box::new(component)), stats)
    }

    /// Number of pages of the mapping that are resident.
    pub fn resident_pages(&self) -> usize {
        let mut map = vec![0u8; self.bytes / PAGE_BYTES];
        // SAFETY: the range is mapped, and the vector has a byte for each of its pages.
        let result = unsafe {
            libc::mincore(
                self.start as *mut libc::c_void,
                self.bytes,
                map.as_mut_ptr(),
            )
        };
        assert_eq!(result, 0, "mincore: {}", std::io::Error::last_os_error());
        map.iter().filter(|byte| **byte & 1 != 0).count()
    }
}

fn map(bytes: usize) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    assert_ne!(
        address,
        libc::MAP_FAILED,
        "mmap of {bytes} bytes: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the range was mapped just now; huge pages would blur what is resident.
    unsafe { libc::madvise(address, bytes, libc::MADV_NOHUGEPAGE) };
    address as usize
}

/// The give-back hook of an arena; does what the monitor does.
pub fn drop_pages(start: usize, bytes: usize) -> bool {
    // SAFETY: the page source passes only free pages of its own mapping.
    unsafe { libc::madvise(start as *mut libc::c_void, bytes, libc::MADV_DONTNEED) == 0 }
}
