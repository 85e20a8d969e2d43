//! mimalloc on our page source.
//!
//! It is built for throughput: it is the fastest general heap here, and the largest in
//! text and in its first growth step.
//! Its C is compiled from the sources in a crate (`source.toml`). `c/prim.c` is our
//! operating-system layer, `c/mimalloc.c` the configuration. They give it no access to the system's
//! memory, threads, environment or output.
//! It is one instance in C globals. Every component that names this heap shares it, and all its
//! pages are counted on the account of the component that started first.
//!
//! It is version 2, because its segment size is a compile-time constant that goes down to 512 KiB,
//! with no other table than 8 KiB per 31 GiB of addresses.
//! Version 3 reserves a map of all addresses, and an arena of at least
//! 128 slices, before the first block.
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
