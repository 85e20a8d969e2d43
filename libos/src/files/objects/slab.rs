//! Numbered things whose numbers are used again. Owns the things; must never allocate without
//! being able to fail, nor move a number while its thing lives.

use crate::files::error::{Errno, Result};
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

enum Slot<T> {
    Used(T),
    /// The next free slot.
    Free(Option<u32>),
}

/// See the module.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
}

impl<T> Slab<T> {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: None,
        }
    }

    /// Keeps `value`; answers its number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn insert(&mut self, value: T) -> Result<u32> {
        if let Some(index) = self.free {
            let slot = &mut self.slots[index as usize];
            if let Slot::Free(next) = *slot {
                self.free = next;
            }
            *slot = Slot::Used(value);
            return Ok(index);
        }
        self.slots.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        self.slots.push(Slot::Used(value));
        Ok(self.slots.len() as u32 - 1)
    }

    /// Takes the thing out; its number may be used again.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        if matches!(slot, Slot::Free(_)) {
            return None;
        }
        match core::mem::replace(slot, Slot::Free(self.free)) {
            Slot::Used(value) => {
                self.free = Some(index);
                Some(value)
            }
            Slot::Free(_) => None,
        }
    }

    /// The first number in use from `index` on.
    pub fn next_from(&self, index: u32) -> Option<u32> {
        let mut slots = self.slots.iter().skip(index as usize);
        let found = slots.position(|slot| matches!(slot, Slot::Used(_)))?;
        Some(index + found as u32)
    }

    /// The thing with a number, if there is one.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots.get_mut(index as usize)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// The things.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        })
    }

    /// The numbers in use.
    pub fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let used = |(index, slot): (usize, &Slot<T>)| match slot {
            Slot::Used(_) => Some(index as u32),
            Slot::Free(_) => None,
        };
        self.slots.iter().enumerate().filter_map(used)
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, index: u32) -> &T {
        match &self.slots.as_slice()[index as usize] {
            Slot::Used(value) => value,
            Slot::Free(_) => panic!("number {index} is not in use"),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline(always)]
    fn index_mut(&mut self, index: u32) -> &mut T {
        match &mut self.slots.as_mut_slice()[index as usize] {
            Slot::Used(value) => value,
            Slot::Free(_) => panic!("number {index} is not in use"),
        }
    }
}
