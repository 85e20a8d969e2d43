//! A trace made ready to be run: blocks become slots, and what cannot be repeated is left out.
//! Owns the operations; must never ask a heap for what the application did not get.

use bespoke_trace::{Action, Event};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block into an empty slot.
    Allocate,
    /// The same, that reads as zero.
    AllocateZeroed,
    /// The slot's block is freed.
    Free,
    /// The slot's block gets another size.
    Resize,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// Alignment: its logarithm to base 2.
    pub align_log2: u8,
    /// Where its block is kept.
    pub slot: u32,
    /// Bytes; 0 for frees.
    pub size: usize,
}

/// Events that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The traced heap had no memory for them.
    pub refused: u64,
    /// Their blocks are not known to the trace.
    pub unknown: u64,
}

/// Operations in their order.
#[derive(Debug, Default)]
pub struct Operations {
    /// Them.
    pub list: Vec<Operation>,
    /// Slots they use.
    pub slots: usize,
    /// Events left out.
    pub skipped: Skipped,
}

impl Operations {
    /// Those of `events`, which are of one component. A slot that is given up is the next to be used, so that
    /// there are as few as ever lived at once.
    pub fn of(events: impl Iterator<Item = Event>) -> Self {
        let mut operations = Self::default();
        let mut slots: HashMap<u64, u32> = HashMap::new();
        let mut free = Vec::new();
        for event in events {
            let (kind, size, slot) = match event.action {
                Action::Allocate { new: None, .. } | Action::Resize { new: None, .. } => {
                    operations.skipped.refused += 1;
                    continue;
                }
                Action::Allocate {
                    size,
                    zeroed,
                    new: Some(new),
                } => {
                    let slot = free.pop().unwrap_or_else(|| {
                        operations.slots += 1;
                        operations.slots as u32 - 1
                    });
                    slots.insert(new, slot);
                    let kind = match zeroed {
                        true => Kind::AllocateZeroed,
                        false => Kind::Allocate,
                    };
                    (kind, size, Some(slot))
                }
                Action::Free { old } => {
                    let slot = old.and_then(|old| slots.remove(&old));
                    free.extend(slot);
                    (Kind::Free, 0, slot)
                }
                Action::Resize {
                    old,
                    size,
                    new: Some(new),
                } => {
                    let slot = old.and_then(|old| slots.remove(&old));
                    slots.extend(slot.map(|slot| (new, slot)));
                    (Kind::Resize, size, slot)
                }
            };
            let Some(slot) = slot else {
                operations.skipped.unknown += 1;
                continue;
            };
            operations.list.push(Operation {
                kind,
                align_log2: event.align_log2.min(63),
                slot,
                size: usize::try_from(size).unwrap_or(usize::MAX),
            });
        }
        operations
    }
}
