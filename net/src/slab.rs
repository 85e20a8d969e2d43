//! The table of sockets, and the handles that name them.
//! Owns every socket; a handle of a socket that was closed never reaches its successor.

use crate::memory::{Memory, Vec, push};
use crate::{Error, Result};

/// Names a socket for as long as the application holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(crate) slot: u32,
    generation: u32,
}

impl SocketId {
    /// A small number that no other open socket has, for tables.
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
    /// The next free place after this one, when this one is free.
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

    /// Puts a value in a free slot.
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

    /// Takes the value out; handles to it are void from now on.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let place = self.places.get_mut(slot as usize)?;
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        place.next_free = self.free;
        self.free = slot;
        Some(value)
    }

    /// The value in `slot`.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.places.get(slot as usize)?.value.as_ref()
    }

    /// The value in `slot`.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.places.get_mut(slot as usize)?.value.as_mut()
    }

    /// The handle of what is in `slot` now.
    pub(crate) fn id(&self, slot: u32) -> SocketId {
        let generation = self
            .places
            .get(slot as usize)
            .map_or(0, |place| place.generation);
        SocketId { slot, generation }
    }

    /// The slot of a handle that is still good.
    pub(crate) fn slot(&self, id: SocketId) -> Result<u32> {
        match self.places.get(id.slot as usize) {
            Some(place) if place.generation == id.generation && place.value.is_some() => {
                Ok(id.slot)
            }
            _ => Err(Error::BadDescriptor),
        }
    }

    /// All values with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let values = self.places.iter().enumerate();
        values.filter_map(|(slot, place)| Some((slot as u32, place.value.as_ref()?)))
    }
}
