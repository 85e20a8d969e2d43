//! Events to bytes and back. Owns what both sides know by then: the shapes, the clock, the grants.

use crate::identity::AddressMap;
use crate::number::{put, take, take_byte};
use crate::{Action, CLOCK_CYCLES, Event};

const ALLOCATE: u8 = 0;
const ALLOCATE_ZEROED: u8 = 1;
const FREE: u8 = 2;
const RESIZE: u8 = 3;
/// Added to the above: a block was granted.
const HAS_NEW: u8 = 4;
/// Added to the above: the block before is known.
const HAS_OLD: u8 = 8;

/// What many events have in common.
#[derive(Clone, Copy)]
struct Shape {
    kind: u8,
    component: u8,
    align_log2: u8,
    site: u32,
}

impl Shape {
    fn of(event: &Event) -> Self {
        let has = |new: Option<u64>, old: Option<u64>| {
            let new = if new.is_some() { HAS_NEW } else { 0 };
            new | if old.is_some() { HAS_OLD } else { 0 }
        };
        let kind = match event.action {
            Action::Allocate { zeroed, new, .. } => u8::from(zeroed) | has(new, None),
            Action::Free { old } => FREE | has(None, old),
            Action::Resize { old, new, .. } => RESIZE | has(new, old),
        };
        Self {
            kind,
            component: event.component,
            align_log2: event.align_log2,
            site: event.site,
        }
    }

    fn key(&self) -> u64 {
        let bytes = u64::from(self.kind) << 48
            | u64::from(self.component) << 40
            | u64::from(self.align_log2) << 32;
        bytes | u64::from(self.site)
    }
}

/// The side that writes.
#[derive(Default)]
pub struct Encoder {
    shapes: AddressMap<u64>,
    ticks: u64,
    grants: u64,
}

impl Encoder {
    /// Appends `event`.
    ///
    /// # Panics
    ///
    /// When it grants any but the next block, or names one that was not granted.
    #[inline]
    pub fn put(&mut self, out: &mut Vec<u8>, event: &Event) {
        let shape = Shape::of(event);
        let next = self.shapes.len() as u64;
        let number = *self.shapes.entry(shape.key()).or_insert(next);
        put(out, number);
        if number == next {
            out.extend([shape.kind, shape.component, shape.align_log2]);
            put(out, shape.site.into());
        }
        let ticks = event.clock / CLOCK_CYCLES;
        put(out, ticks.saturating_sub(self.ticks));
        self.ticks = self.ticks.max(ticks);
        let (size, old) = match event.action {
            Action::Allocate { size, .. } => (Some(size), None),
            Action::Free { old } => (None, old),
            Action::Resize { old, size, .. } => (Some(size), old),
        };
        if let Some(size) = size {
            put(out, size);
        }
        if let Some(old) = old {
            assert!(old < self.grants, "block {old} of {}", self.grants);
            put(out, self.grants - 1 - old);
        }
        if let Some(new) = event.new_block() {
            assert_eq!(new, self.grants, "grants are numbered in order");
            self.grants += 1;
        }
    }
}

/// The side that reads.
#[derive(Default)]
pub struct Decoder {
    shapes: Vec<Shape>,
    ticks: u64,
    grants: u64,
}

impl Decoder {
    /// Takes an event from the front; `None` when these bytes are none.
    #[inline]
    pub fn take(&mut self, bytes: &mut &[u8]) -> Option<Event> {
        let number = usize::try_from(take(bytes)?).ok()?;
        if number == self.shapes.len() {
            let (kind, component, align_log2) =
                (take_byte(bytes)?, take_byte(bytes)?, take_byte(bytes)?);
            let site = u32::try_from(take(bytes)?).ok()?;
            self.shapes.push(Shape {
                kind,
                component,
                align_log2,
                site,
            });
        }
        let shape = *self.shapes.get(number)?;
        self.ticks = self.ticks.checked_add(take(bytes)?)?;
        let has_new = shape.kind & HAS_NEW != 0;
        let has_old = shape.kind & HAS_OLD != 0;
        let what = shape.kind & !(HAS_NEW | HAS_OLD);
        let size = if what == FREE { 0 } else { take(bytes)? };
        let old = match has_old {
            true => Some(self.grants.checked_sub(1)?.checked_sub(take(bytes)?)?),
            false => None,
        };
        let new = has_new.then_some(self.grants);
        self.grants += u64::from(has_new);
        let action = match (what, has_new, has_old) {
            (ALLOCATE | ALLOCATE_ZEROED, _, false) => Action::Allocate {
                size,
                zeroed: what == ALLOCATE_ZEROED,
                new,
            },
            (FREE, false, _) => Action::Free { old },
            (RESIZE, _, _) => Action::Resize { old, size, new },
            _ => return None,
        };
        Some(Event {
            component: shape.component,
            align_log2: shape.align_log2,
            site: shape.site,
            clock: self.ticks.checked_mul(CLOCK_CYCLES)?,
            action,
        })
    }
}
