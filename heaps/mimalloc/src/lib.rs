//! mimalloc on our page source.
//!
//! For: throughput; the fastest general heap here, and the largest in text and in its first
//! step. Its C is compiled from the sources a crate carries (`source.toml`); `c/prim.c` is our
//! operating-system layer, `c/mimalloc.c` the configuration.
//! Owns: one instance in C globals. Every component that names this heap shares it; all its pages
//! are counted on the account of the component that started first.
//! Must never: reach the system for memory, threads, environment or output.
//!
//! Version 2 and not 3: its segment is a compile-time constant that goes down to 512 KiB with no
//! further table than 8 KiB per 31 GiB of addresses; version 3 reserves a map of all addresses
//! and an arena of at least 128 slices before the first block.
#![no_std]

#[cfg(feature = "c")]
mod ffi;
#[cfg(feature = "c")]
mod heap;
mod info;

#[cfg(feature = "c")]
pub use ffi::SEGMENT_BYTES;
#[cfg(feature = "c")]
pub use heap::{AppHeap, Heap};
pub use info::INFO;
