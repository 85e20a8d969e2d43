//! The one list of heaps. Adding a heap is a folder under `heaps/`, a dependency in
//! `Cargo.toml`, and a line here.

use crate::Error;
use bespoke_heap::{Heap, Info};

/// A heap an image can be built with.
pub struct Entry {
    /// What it says of itself.
    pub info: Info,
    /// By what its code is recognised in a link map besides `heap_NAME`: crates or C name prefixes.
    pub marks: &'static [&'static str],
}

/// Every heap, in the order `bespoke heaps` prints.
pub const HEAPS: &[Entry] = &[
    entry(<heap_region::Heap>::INFO, &[]),
    entry(<heap_buddy::Heap>::INFO, &[]),
    entry(<heap_tlsf::Heap>::INFO, &["rlsf"]),
    entry(<heap_tinyalloc::Heap>::INFO, &[]),
    entry(<heap_dlmalloc::Heap>::INFO, &["dlmalloc"]),
    entry(<heap_talc::Heap>::INFO, &["4talc"]),
    entry(heap_mallocng::INFO, &["mallocng"]),
    entry(heap_mimalloc::INFO, &["mimalloc"]),
];

const fn entry(info: Info, marks: &'static [&'static str]) -> Entry {
    Entry { info, marks }
}

/// The heap named `name`.
pub fn find(name: &str) -> Result<&'static Entry, Error> {
    let known = || HEAPS.iter().map(|entry| entry.info.name);
    HEAPS
        .iter()
        .find(|entry| entry.info.name == name)
        .ok_or_else(|| Error::unknown("heap", name, known(), "`bespoke heaps` lists them"))
}
