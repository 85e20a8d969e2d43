//! What is in the cache: the images that were built, and everything that can be removed and made again.
//! Downloads are no part of it: making them again takes a network.

pub mod images;
mod items;
pub mod prune;

pub use items::{Item, Kind};
