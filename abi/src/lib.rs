//! The interface between an image and its monitor.
//!
//! Both sides compile this crate: the library OS as guest code, the monitor as host code.
//! Everything here is plain `repr(C)` data, little-endian, 64 bit.
//! A change to any layout raises [`VERSION`]; a monitor refuses an image of another version.
//!
//! Error policy: a hypercall returns a Linux-style result (`>= 0` success, `-errno` failure).
//! The monitor never trusts a value that the guest wrote: it checks every address
//! against guest memory before use.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod devices;
pub mod export;
pub mod hypercall;
pub mod note;
pub mod stats;
pub mod trace;

/// Version of every layout in this crate. The image's note carries the version it was built with.
pub const VERSION: u32 = 8;

/// Bytes in a page, the unit of the page source and of memory protection.
pub const PAGE_BYTES: usize = 4096;

/// Bytes of RAM that an image hands out before it touches the rest.
/// The page source's table lies behind them, so the first allocations have the same
/// addresses for every size of RAM.
pub const HEAD_BYTES: usize = 1 << 20;

/// RAM below this size has no head: its table is small and comes first.
pub const LEAST_HEADED_BYTES: usize = 16 * HEAD_BYTES;

/// Bytes of the page source's table for each page of RAM.
pub const PAGE_ENTRY_BYTES: usize = 16;

/// Guest-virtual address at which every image is linked.
/// The monitor maps nothing in the first MiB, so null dereferences fault. The second MiB may hold
/// device registers or the monitor's own code.
pub const IMAGE_BASE: u64 = 0x20_0000;
