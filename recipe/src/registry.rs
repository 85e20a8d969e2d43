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

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

/// The list, given to a macro: the crate of each heap, what it says of itself, and its [marks](Entry::marks). Whoever
/// expands it depends on every heap.
#[macro_export]
macro_rules! heaps {
    ($with:ident) => {
        $with! {
            heap_region, <heap_region::Heap>::INFO, [];
            heap_buddy, <heap_buddy::Heap>::INFO, [];
            heap_tlsf, <heap_tlsf::Heap>::INFO, ["rlsf"];
            heap_tinyalloc, <heap_tinyalloc::Heap>::INFO, [];
            heap_dlmalloc, <heap_dlmalloc::Heap>::INFO, ["dlmalloc"];
            heap_talc, <heap_talc::Heap>::INFO, ["4talc"];
            heap_mallocng, heap_mallocng::INFO, ["mallocng"];
            heap_mimalloc, heap_mimalloc::INFO, ["mimalloc"];
        }
    };
}

macro_rules! entries {
    ($($heap:ident, $info:expr, $marks:expr;)*) => {
        &[$(Entry { info: $info, marks: &$marks }),*]
    };
}

/// Every heap, in the order `bespoke heaps` prints.
pub const HEAPS: &[Entry] = heaps!(entries);

/// The heap named `name`.
pub fn find(name: &str) -> Result<&'static Entry, Error> {
    let known = || HEAPS.iter().map(|entry| entry.info.name);
    HEAPS
        .iter()
        .find(|entry| entry.info.name == name)
        .ok_or_else(|| Error::unknown("heap", name, known(), "`bespoke heaps` lists them"))
}
