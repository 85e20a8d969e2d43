//! One checker for all heaps: a shadow model and adversarial sequences.
//!
//! It serves every crate under `heaps/`, the page source, and authors of new heaps.
//! It contains the model of live blocks ([`Shadow`]), the operations ([`Op`]), the adversarial
//! cases ([`cases`]), the forked child that each case runs in ([`isolate`]) and the reduction of a
//! failing sequence to a short one ([`shrink`]).
//! Expected results come from the model and never from the heap under test.
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
//! The macro makes one `#[test]` for each case and interface (`rust::lifo`, `c::lifo`, ...).
//! A case that does not apply to a heap prints the reason and passes;
//! `cargo test -- --nocapture` shows it.
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
