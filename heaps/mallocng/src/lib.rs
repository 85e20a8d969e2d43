//! musl's own allocator, mallocng, on our page source.
//!
//! It suits applications that rely on musl's hardening, and is the baseline for musl's behaviour.
//! Its C is compiled from musl's unmodified tarball (`source.toml`); `c/glue.h` is ours and leaves
//! it no access to the system's memory.
//! It is one instance in C globals. Every component that names this heap shares it, and all its
//! pages are counted on the account of the component that started first.
//!
//! Metadata lies out of band, a freed block's header is invalidated, and the assertions of
//! mallocng end in [`bespoke_heap::report_corruption`].
#![no_std]

#[cfg(feature = "c")]
mod ffi;
#[cfg(feature = "c")]
mod heap;
mod info;

#[cfg(feature = "c")]
pub use heap::{AppHeap, Heap};
pub use info::INFO;
