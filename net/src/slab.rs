//! The table of sockets, and the handles that refer to them.
//! A handle of a closed socket never refers to the next socket in its slot.

use crate::memory::{Memory, Vec, push};
use crate::{Error, Result};

/// Identifies a socket as long as the application holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(crate) slot: u32,
    generation: u32,
}

impl SocketId {
    /// Returns a small number, unique among open sockets, for use as an index.
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
    /// The next free slot, if this one is free.
    next_free: u32,
}

const NONE: u32 = u32::MAX;

/// Values by slot.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: u32,
}

impl<T> Slab<T> {
    /// An empty table.
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            places: Vec::new_in(memory),
            free: NONE,
        }
    }

    /// Stores a value in a free slot.
    pub(crate) fn insert(&mut self, value: T) -> Result<u32> {
        if self.free == NONE {
            let slot = u32::try_from(self.places.len()).map_err(|_| Error::NoMemory)?;
            let place = Place {
                generation: 0,
                value: Some(value),
                next_free: NONE,
            };
            push(&mut self.places, place)?;
            return Ok(slot);
        }
        let slot = self.free;
        let place = &mut self.places[slot as usize];
        self.free = place.next_free;
        place.value = Some(value);
        Ok(slot)
    }

    /// Removes the value. Handles to it become invalid.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let place = self.places.get_mut(slot as usize)?;
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        place.next_free = self.free;
        self.free = slot;
        Some(value)
    }

    /// Returns the value in `slot`.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.places.get(slot as usize)?.value.as_ref()
    }

    /// Returns the value in `slot`.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.places.get_mut(slot as usize)?.value.as_mut()
    }

    /// Returns the handle of the value that is now in `slot`.
    pub(crate) fn id(&self, slot: u32) -> SocketId {
        let generation = self
            .places
            .get(slot as usize)
            .map_or(0, |place| place.generation);
        SocketId { slot, generation }
    }

    /// Returns the slot of a valid handle.
    pub(crate) fn slot(&self, id: SocketId) -> Result<u32> {
        match self.places.get(id.slot as usize) {
            Some(place) if place.generation == id.generation && place.value.is_some() => {
                Ok(id.slot)
            }
            _ => Err(Error::BadDescriptor),
        }
    }

    /// Iterates over all values with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let values = self.places.iter().enumerate();
        values.filter_map(|(slot, place)| Some((slot as u32, place.value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use std::vec::Vec;

    #[test]
    fn a_handle_never_reaches_the_successor_of_its_socket() {
        let mut slab = Slab::new(&Global);
        let slots: Vec<u32> = (0..3).map(|value| slab.insert(value).unwrap()).collect();
        assert_eq!(slots, [0, 1, 2]);
        let old = slots.iter().map(|slot| slab.id(*slot)).collect::<Vec<_>>();
        assert_eq!(old[2].index(), 2);
        assert_eq!(slab.remove(1), Some(1));
        assert_eq!(slab.remove(1), None);
        assert_eq!(slab.slot(old[1]), Err(Error::BadDescriptor));
        // A free slot has no valid handle.
        assert_eq!(slab.slot(slab.id(1)), Err(Error::BadDescriptor));
        assert_eq!(slab.remove(0), Some(0));
        // The slot that was freed last is used first.
        assert_eq!(slab.insert(10), Ok(0));
        assert_eq!(slab.insert(11), Ok(1));
        assert_eq!(slab.insert(12), Ok(3));
        for (id, slot) in [
            (old[0], Err(Error::BadDescriptor)),
            (old[1], Err(Error::BadDescriptor)),
            (old[2], Ok(2)),
            (slab.id(0), Ok(0)),
            (slab.id(3), Ok(3)),
            (slab.id(4), Err(Error::BadDescriptor)),
        ] {
            assert_eq!(slab.slot(id), slot);
        }
        assert_eq!((slab.get(1), slab.get(4)), (Some(&11), None));
        *slab.get_mut(1).unwrap() = 21;
        assert_eq!(slab.get_mut(4), None);
        slab.remove(2);
        let all: Vec<(u32, i32)> = slab.iter().map(|(slot, value)| (slot, *value)).collect();
        assert_eq!(all, [(0, 10), (1, 21), (3, 12)]);
    }
}
