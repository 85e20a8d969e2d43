//! Decides when memory goes back to the host. A page in use is never returned.
//!
//! Automatic: when a free run has [`HIGH_PAGES`] dirty pages, all but the
//! first [`LOW_PAGES`] are given back.
//! The distance between the two marks is the hysteresis.
//! A program that frees and reallocates less than that never pays for it. A program with wider
//! swings pays for one call, and one clearing by the host, per 12 MiB freed.

use super::State;
use crate::pages::Run;
use crate::pages::table::FreeRun;
use bespoke_abi::PAGE_BYTES;

/// Number of dirty pages in one free run at which the source returns memory (16 MiB).
const HIGH_PAGES: u32 = 4096;
/// Number of dirty pages it then keeps, at the low end, which serves the next requests (4 MiB).
const LOW_PAGES: u32 = 1024;

impl State {
    /// Returns the run, after giving its memory back if the policy requires it.
    pub(super) fn reclaim(&mut self, run: FreeRun) -> FreeRun {
        if run.dirty_pages() < HIGH_PAGES || self.give_back_failed {
            return run;
        }
        self.give_back_run(run, LOW_PAGES)
    }

    /// Gives the run's dirty pages back to the host, except for the first `keep`.
    fn give_back_run(&mut self, run: FreeRun, keep: u32) -> FreeRun {
        let Some(hook) = self.give_back else {
            return run;
        };
        let from = run.dirty_low + keep.min(run.dirty_pages());
        let pages = run.dirty_high.saturating_sub(from);
        if pages == 0 {
            return run;
        }
        if !hook(self.address_of(from), pages as usize * PAGE_BYTES) {
            self.give_back_failed = true;
            return run;
        }
        self.give_back_failed = false;
        self.stats
            .iter()
            .for_each(|stats| stats.given_back.add(u64::from(pages)));
        FreeRun {
            dirty_high: from,
            ..run
        }
    }

    /// See `PageSource::discard`.
    pub(in crate::pages) fn discard(&mut self, run: Run) -> bool {
        let Some(hook) = self.give_back else {
            return false;
        };
        let dropped = hook(run.start.addr().get(), run.pages * PAGE_BYTES);
        if dropped {
            self.stats
                .iter()
                .for_each(|stats| stats.given_back.add(run.pages as u64));
        }
        dropped
    }

    /// See `PageSource::give_back`.
    pub(in crate::pages) fn give_back_all(&mut self) -> usize {
        self.release_singles();
        let before = self.stats.map_or(0, |stats| stats.given_back.get());
        while let Some(run) = self
            .bins
            .search(&self.table, 1, |run| run.dirty_pages() > 0)
        {
            self.bins.remove(&self.table, &run);
            let clean = self.give_back_run(run, 0);
            self.bins.insert(&self.table, &clean);
            if self.give_back_failed || clean.dirty_pages() > 0 {
                break;
            }
        }
        let whole = self.wilderness_run();
        if whole.dirty_pages() > 0 {
            self.dirty_end = self.give_back_run(whole, 0).dirty_high;
        }
        (self.stats.map_or(0, |stats| stats.given_back.get()) - before) as usize
    }
}
