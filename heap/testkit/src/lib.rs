//! One checker for all heaps: a shadow model and adversarial sequences.
//!
//! For: every crate under `heaps/`, the page source, and whoever writes a new heap.
//! Owns: the model of what is live ([`Shadow`]), the operations ([`Op`]), the adversaries
//! ([`cases`]), the forked child each case runs in ([`isolate`]) and the reduction of a
//! failing sequence to a short one ([`shrink`]).
//! Must never: ask the heap under test what the right answer is.
//!
//! A heap crate needs two lines:
//!
//! ```toml
//! [dev-dependencies]
//! bespoke-heap-testkit.workspace = true
//! ```
//! ```text
//! // tests/contract.rs
//! bespoke_heap_testkit::heap_tests!(heap_tlsf::Heap, heap_tlsf::AppHeap);
//! ```
//!
//! The macro makes one `#[test]` per case and interface (`rust::lifo`, `c::lifo`, ...). A case that
//! makes no sense for a heap prints why and passes; `cargo test -- --nocapture` shows it.
#![allow(clippy::print_stdout, reason = "the output of tests")]

pub mod archive;
pub mod arena;
pub mod capabilities;
pub mod cases;
pub mod effect;
mod interpret;
pub mod isolate;
mod macros;
mod random;
pub mod run;
pub mod script;
mod shadow;
pub mod shrink;
pub mod subject;

pub use arena::Arena;
pub use interpret::Interpreter;
pub use random::Random;
pub use script::{Expect, Op};
pub use shadow::Shadow;
pub use subject::{CInterface, RustInterface, Subject};
