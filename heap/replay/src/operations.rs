//! Converts a trace into runnable operations: blocks become slots, and events
//! that cannot be replayed are skipped.
//! Requests that the application was refused are not replayed.

use bespoke_trace::{Action, Event};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Allocates a block into an empty slot.
    Allocate,
    /// Like `Allocate`, with memory that reads as zero.
    AllocateZeroed,
    /// Frees the slot's block.
    Free,
    /// Resizes the slot's block.
    Resize,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Kind of request.
    pub kind: Kind,
    /// Alignment: its logarithm to base 2.
    pub align_log2: u8,
    /// Slot of its block.
    pub slot: u32,
    /// Bytes; 0 for frees.
    pub size: usize,
}

/// Events that were skipped.
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
    /// The operations.
    pub list: Vec<Operation>,
    /// Slots they use.
    pub slots: usize,
    /// Events left out.
    pub skipped: Skipped,
}

impl Operations {
    /// Converts `events`, which belong to one component.
    /// The slot freed last is reused first, so the number of slots equals the
    /// largest number of live blocks.
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
