//! From addresses to numbers of grants. Owns the blocks that are live.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// For keys that are addresses or made of them: one multiplication, and the high bits brought down.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// A map from addresses.
pub type AddressMap<T> = HashMap<u64, T, BuildHasherDefault<AddressHasher>>;

/// Numbers blocks by their grants.
#[derive(Default)]
pub struct Identities {
    live: AddressMap<u64>,
    grants: u64,
}

impl Identities {
    /// A block was granted at `address`.
    pub fn grant(&mut self, address: u64) -> u64 {
        let number = self.grants;
        self.grants += 1;
        self.live.insert(address, number);
        number
    }

    /// The block at `address`, which is no more; `None` when none was granted there.
    pub fn end(&mut self, address: u64) -> Option<u64> {
        self.live.remove(&address)
    }

    /// The block at `address`, which lives on.
    pub fn find(&self, address: u64) -> Option<u64> {
        self.live.get(&address).copied()
    }
}
