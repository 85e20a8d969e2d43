//! Converts addresses to numbers of grants, by tracking the live blocks.

use crate::Action;
use bespoke_abi::trace::{ALLOCATE, ALLOCATE_ZEROED, FREE, RESIZE, Record};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A hasher for keys that are addresses or derived from them: one multiplication,
/// then the high bits are folded down.
#[derive(Default)]
struct AddressHasher(u64);

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

type AddressMap<T> = HashMap<u64, T, BuildHasherDefault<AddressHasher>>;

/// Numbers blocks in the order of their grants.
#[derive(Default)]
pub(crate) struct Identities {
    live: AddressMap<u64>,
    grants: u64,
}

impl Identities {
    /// Returns the operation of `record`, or `None` if the record is not valid.
    pub(crate) fn action(&mut self, record: &Record) -> Option<Action> {
        let Record { size, old, new, .. } = *record;
        Some(match record.operation {
            ALLOCATE | ALLOCATE_ZEROED => Action::Allocate {
                size,
                zeroed: record.operation == ALLOCATE_ZEROED,
                new: (new != 0).then(|| self.grant(new)),
            },
            FREE => Action::Free {
                old: self.live.remove(&old),
            },
            // The block stays live.
            RESIZE if new == 0 => Action::Resize {
                old: self.live.get(&old).copied(),
                size,
                new: None,
            },
            RESIZE => Action::Resize {
                old: self.live.remove(&old),
                size,
                new: Some(self.grant(new)),
            },
            _ => return None,
        })
    }

    fn grant(&mut self, address: u64) -> u64 {
        let number = self.grants;
        self.grants += 1;
        self.live.insert(address, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::AddressHasher;
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    /// A hash table takes the position from the low bits and compares by the high bits.
    /// So blocks in a row, in pages, or far apart must differ in both.
    #[test]
    fn addresses_in_steps_are_spread() {
        const BLOCKS: u64 = 4096;
        let hasher = BuildHasherDefault::<AddressHasher>::default();
        for step in [1, 8, 16, 48, 4096, 1 << 20, 1 << 32] {
            let hashes = (0..BLOCKS).map(|block| hasher.hash_one(0x20_0000 + block * step));
            let hashes: Vec<u64> = hashes.collect();
            let low: HashSet<u64> = hashes.iter().map(|hash| hash % BLOCKS).collect();
            let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(
                low.len() as u64 > BLOCKS / 3,
                "{step}: {} places",
                low.len()
            );
            assert!(high.len() > 100, "{step}: {} of 128", high.len());
        }
        let parts = [hasher.hash_one((1u64, 2u64)), hasher.hash_one((2u64, 1u64))];
        assert_ne!(parts[0], parts[1], "the order of parts counts");
        assert_ne!(hasher.hash_one([1u8, 2]), hasher.hash_one([1u8, 3]));
    }
}
