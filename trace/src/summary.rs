//! Summarises a trace in one pass, with a model of the live blocks. Bytes are requested bytes.

use crate::series::Series;
use crate::{Action, Event};
use std::collections::HashMap;

/// Buckets by the logarithm to base 2, rounded down; bucket 0 holds 0 and 1.
pub type Buckets = [u64; 64];

fn bucket(value: u64) -> usize {
    value.max(1).ilog2() as usize
}

/// Counts of one component.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Allocations that were granted.
    pub allocations: u64,
    /// Frees.
    pub frees: u64,
    /// Reallocations that were granted.
    pub resizes: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Frees and reallocations of blocks that the trace does not know.
    pub unknown: u64,
    /// Bytes requested, over all grants.
    pub requested_bytes: u64,
    /// Bytes live now.
    pub live_bytes: u64,
    /// Largest value of `live_bytes`.
    pub peak_bytes: u64,
    /// Blocks live now.
    pub live_blocks: u64,
    /// Largest value of `live_blocks`.
    pub peak_blocks: u64,
}

/// Counts of one call site.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Index of its component.
    pub component: u8,
    /// Its return address.
    pub address: u32,
    /// Allocations and reallocations granted.
    pub grants: u64,
    /// Bytes they requested.
    pub requested_bytes: u64,
    /// Bytes of them that are live at the end.
    pub live_bytes: u64,
}

#[derive(Debug)]
struct Live {
    component: u8,
    site: usize,
    size: u64,
    born_event: u64,
    born_clock: u64,
}

/// The summary of a trace.
#[derive(Debug)]
pub struct Summary {
    /// Events read.
    pub events: u64,
    /// Clock of the last event, in cycles.
    pub cycles: u64,
    /// By component, in the order of the trace's facts.
    pub components: Vec<Counts>,
    /// Requests granted, by size in bytes.
    pub sizes: Buckets,
    /// Bytes granted, by size in bytes.
    pub size_bytes: Buckets,
    /// Freed blocks by lifetime in events; a reallocation does not end a lifetime.
    pub lives_in_events: Buckets,
    /// Freed blocks by lifetime in cycles.
    pub lives_in_cycles: Buckets,
    /// Blocks that were never freed.
    pub immortal: u64,
    /// Counts by call site.
    pub sites: Vec<Site>,
    /// Live bytes of all components over cycles.
    pub live: Series,
    live_bytes: u64,
    /// Largest number of live bytes of all components at once.
    pub peak_bytes: u64,
    blocks: HashMap<u64, Live>,
    site_numbers: HashMap<(u8, u32), usize>,
}

impl Summary {
    /// Summarises `events`.
    pub fn of(events: impl Iterator<Item = Event>) -> Self {
        let mut summary = Self {
            events: 0,
            cycles: 0,
            components: Vec::new(),
            sizes: [0; 64],
            size_bytes: [0; 64],
            lives_in_events: [0; 64],
            lives_in_cycles: [0; 64],
            immortal: 0,
            sites: Vec::new(),
            live: Series::new(),
            live_bytes: 0,
            peak_bytes: 0,
            blocks: HashMap::new(),
            site_numbers: HashMap::new(),
        };
        events.for_each(|event| summary.add(&event));
        summary.immortal = summary.blocks.len() as u64;
        for live in summary.blocks.values() {
            summary.sites[live.site].live_bytes += live.size;
        }
        summary
    }

    fn add(&mut self, event: &Event) {
        let component = usize::from(event.component);
        if self.components.len() <= component {
            self.components.resize(component + 1, Counts::default());
        }
        match event.action {
            Action::Allocate { size, new, .. } => match new {
                Some(new) => {
                    self.components[component].allocations += 1;
                    self.grant(event, new, size, None);
                }
                None => self.components[component].refused += 1,
            },
            Action::Free { old } => {
                self.components[component].frees += 1;
                if let Some(live) = self.end(component, old) {
                    self.lives_in_events[bucket(self.events - live.born_event)] += 1;
                    self.lives_in_cycles[bucket(event.clock - live.born_clock)] += 1;
                }
            }
            Action::Resize { old, size, new } => match new {
                Some(new) => {
                    self.components[component].resizes += 1;
                    let before = self.end(component, old);
                    self.grant(event, new, size, before);
                }
                None => self.components[component].refused += 1,
            },
        }
        self.live.set(event.clock, self.live_bytes);
        self.peak_bytes = self.peak_bytes.max(self.live_bytes);
        self.cycles = event.clock;
        self.events += 1;
    }

    fn grant(&mut self, event: &Event, new: u64, size: u64, before: Option<Live>) {
        self.sizes[bucket(size)] += 1;
        self.size_bytes[bucket(size)] += size;
        self.live_bytes += size;
        let counts = &mut self.components[usize::from(event.component)];
        counts.requested_bytes += size;
        counts.live_bytes += size;
        counts.peak_bytes = counts.peak_bytes.max(counts.live_bytes);
        counts.live_blocks += 1;
        counts.peak_blocks = counts.peak_blocks.max(counts.live_blocks);
        let key = (event.component, event.site);
        let site = *self.site_numbers.entry(key).or_insert(self.sites.len());
        if site == self.sites.len() {
            self.sites.push(Site {
                component: event.component,
                address: event.site,
                ..Site::default()
            });
        }
        self.sites[site].grants += 1;
        self.sites[site].requested_bytes += size;
        let (born_event, born_clock) = before.map_or((self.events, event.clock), |before| {
            (before.born_event, before.born_clock)
        });
        let live = Live {
            component: event.component,
            site,
            size,
            born_event,
            born_clock,
        };
        self.blocks.insert(new, live);
    }

    fn end(&mut self, component: usize, block: Option<u64>) -> Option<Live> {
        let live = block.and_then(|block| self.blocks.remove(&block));
        match &live {
            Some(live) => {
                let counts = &mut self.components[usize::from(live.component)];
                counts.live_bytes -= live.size;
                counts.live_blocks -= 1;
                self.live_bytes -= live.size;
            }
            None => self.components[component].unknown += 1,
        }
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(clock: u64, action: Action) -> Event {
        Event {
            component: 0,
            align_log2: 4,
            site: 7,
            clock,
            action,
        }
    }

    #[test]
    fn a_reallocation_is_one_life_and_what_is_unknown_is_told() {
        let allocate = |size, new| Action::Allocate {
            size,
            zeroed: false,
            new,
        };
        let events = [
            event(0, allocate(100, Some(0))),
            event(64, allocate(50, Some(1))),
            event(
                128,
                Action::Resize {
                    old: Some(0),
                    size: 300,
                    new: Some(2),
                },
            ),
            event(192, allocate(1 << 40, None)),
            event(1024, Action::Free { old: Some(2) }),
            event(1024, Action::Free { old: None }),
        ];
        let summary = Summary::of(events.into_iter());
        let counts = &summary.components[0];
        assert_eq!(
            (counts.allocations, counts.frees, counts.resizes),
            (2, 2, 1)
        );
        assert_eq!((counts.refused, counts.unknown), (1, 1));
        assert_eq!(
            (counts.requested_bytes, counts.live_bytes, counts.peak_bytes),
            (450, 50, 350)
        );
        assert_eq!(
            (counts.live_blocks, counts.peak_blocks, summary.immortal),
            (1, 2, 1)
        );
        assert_eq!(
            (summary.lives_in_events[2], summary.lives_in_cycles[10]),
            (1, 1)
        );
        assert_eq!((summary.sites.len(), summary.sites[0].live_bytes), (1, 50));
        assert_eq!(summary.peak_bytes, 350);
    }
}
