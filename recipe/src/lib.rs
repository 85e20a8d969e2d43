//! What is asked for: which app, with which heaps, measured by which workloads.
//!
//! Data and their checks. This crate reads recipes and lock files; it never starts a tool, reaches for the network or
//! writes anything but a lock file.
//!
//! | module | holds |
//! |---|---|
//! | [`app`] | recipes: `apps/NAME/recipe.toml` and `libc/recipe.toml` |
//! | [`serve`], [`workload`] | what a recipe says of a server, and of what is measured |
//! | [`registry`] | the list of heaps |
//! | [`heap_spec`] | a heap with its parameters: `tlsf:sl=4` |
//! | [`composition`] | a heap spec for every component of an image |
//! | [`lock`] | the heaps that a search chose for an app, on disk |
//! | [`paths`] | where Bespoke's sources and its cache are |
//! | [`size`] | sizes as people write and read them |
//!
//! ```
//! use bespoke_recipe::composition::{Component, Composition, HeapArgument, Preference};
//!
//! let arguments = [HeapArgument::from("tlsf:sl=4"), HeapArgument::from("stack=buddy")];
//! let composition = Composition::choose(&Preference::default(), &arguments)?;
//! assert_eq!(composition.to_string(), "app=tlsf:sl=4 libos=tlsf stack=buddy boot=region");
//! assert_eq!(composition.heap(Component::Stack).map(|heap| heap.name()), Some("buddy"));
//! # Ok::<(), bespoke_recipe::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod app;
pub mod composition;
mod error;
pub mod heap_spec;
pub mod lock;
pub mod paths;
pub mod registry;
pub mod serve;
pub mod size;
pub mod workload;

pub use error::{Error, FileError, nearest, suggestion};
