//! Reads the guest's statistics page, while it runs and afterwards. Its contents are
//! untrusted, because the guest writes them.

use crate::memory::Mapping;
use bespoke_abi::stats::{MAX_COMPONENTS, STATS_MAGIC, StatsPage};
use std::sync::Arc;

/// The live page of a guest; stays readable after the guest has ended.
#[derive(Clone)]
pub struct StatsView {
    memory: Arc<Mapping>,
    offset: usize,
}

impl core::fmt::Debug for StatsView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StatsView").finish_non_exhaustive()
    }
}

impl StatsView {
    /// Makes a view of the page `offset` bytes into `memory`, which
    /// holds at least a page from there.
    pub(crate) fn new(memory: Arc<Mapping>, offset: usize) -> Self {
        assert!(
            offset.is_multiple_of(size_of::<StatsPage>())
                && offset + size_of::<StatsPage>() <= memory.bytes()
        );
        Self { memory, offset }
    }

    /// The page itself. Its counters change under the reader; its other fields may have any value.
    pub fn page(&self) -> &StatsPage {
        // SAFETY: inside the mapping and aligned (checked in `new`); every bit pattern is a valid
        // StatsPage; the counters are atomics, the rest the guest writes only before it starts or
        // when it destroys itself, and is then merely wrong.
        unsafe { &*self.memory.at(self.offset).cast::<StatsPage>() }
    }

    /// Returns a copy, or `None` when the guest has not started its heaps or
    /// has overwritten the page's magic.
    pub fn snapshot(&self) -> Option<Box<StatsPage>> {
        // SAFETY: as in `page`; a StatsPage is plain data.
        let mut copy = Box::new(unsafe { std::ptr::read_volatile(self.page()) });
        let count = copy.component_count.get_mut();
        *count = (*count).min(MAX_COMPONENTS as u32);
        (copy.magic.get() == STATS_MAGIC).then_some(copy)
    }
}
