//! What an image and its monitor agree on, and nothing else.
//!
//! Both sides compile this crate: the library OS as guest code, the monitor as host
//! code. Everything here is plain `repr(C)` data, little-endian, 64 bit. A change to
//! any layout raises [`VERSION`]; a monitor refuses an image of another version.
//!
//! Error policy, first: a hypercall returns a Linux-style result (`>= 0` success,
//! `-errno` failure). The monitor never trusts a value the guest wrote: every address
//! is checked against guest memory before use.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod devices;
pub mod export;
pub mod hypercall;
pub mod note;
pub mod stats;
pub mod trace;

/// Version of every layout in this crate; the image's note carries the one it was built with.
pub const VERSION: u32 = 8;

/// Bytes in a page, the unit of the page source and of memory protection.
pub const PAGE_BYTES: usize = 4096;

/// Bytes of RAM that an image hands out before it touches the rest: the page source's table lies behind
/// them, so that the first allocations lie at the same place whatever the size of RAM.
pub const HEAD_BYTES: usize = 1 << 20;

/// RAM with less than this has no head: its table, which is small, comes first.
pub const LEAST_HEADED_BYTES: usize = 16 * HEAD_BYTES;

/// Bytes of the page source's table for each page of RAM.
pub const PAGE_ENTRY_BYTES: usize = 16;

/// Guest-virtual address at which every image is linked. The monitor maps nothing in the first MiB, so null
/// dereferences fault; in the second it may put registers of devices, or code of its own.
pub const IMAGE_BASE: u64 = 0x20_0000;
