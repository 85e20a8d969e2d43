//! musl's own allocator, mallocng, on our page source.
//!
//! For: applications that want musl's hardening, and as the baseline "what musl would do". Its C
//! is compiled from musl's unmodified tarball (`source.toml`); `c/glue.h` is ours.
//! Owns: one instance in C globals. Every component that names this heap shares it; all its pages
//! are counted on the account of the component that started first.
//! Must never: reach the system for memory; `c/glue.h` leaves it no way.
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
