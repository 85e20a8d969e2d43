//! The demultiplexer: maps both ends of a flow to its socket, in constant time.
//! The table has no entries of sockets that are closed.
//!
//! It uses open addressing with linear probing. An entry is the hash and the slot of the socket, so
//! a lookup touches one cache line before it touches the socket.
//! Deletion shifts entries back.

use crate::memory::{Memory, Vec};
use crate::packet::Flow;
use crate::random::mix;
use crate::{Error, Result};
use smoltcp::wire::{IpAddress, IpEndpoint};

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    /// [`EMPTY`]: none.
    slot: u32,
}

const EMPTY: Entry = Entry {
    hash: 0,
    slot: u32::MAX,
};

/// Slots of sockets by flow.
pub(crate) struct FlowTable {
    entries: Vec<Entry>,
    used: usize,
    seed: u64,
}

impl FlowTable {
    /// Makes an empty table. `seed` prevents peers from choosing flows that collide.
    pub(crate) fn new(seed: u64, memory: Memory) -> Self {
        Self {
            entries: Vec::new_in(memory),
            used: 0,
            seed,
        }
    }

    fn hash(&self, flow: &Flow) -> u32 {
        let ports = u64::from(flow.local.port) << 16 | u64::from(flow.remote.port);
        let mut hash = self.seed ^ ports;
        for IpEndpoint { addr, .. } in [flow.local, flow.remote] {
            hash = match addr {
                IpAddress::Ipv4(address) => mix(hash ^ u64::from(address.to_bits())),
                IpAddress::Ipv6(address) => {
                    let bits = address.to_bits();
                    mix(mix(hash ^ bits as u64) ^ (bits >> 64) as u64)
                }
            };
        }
        hash as u32
    }

    fn mask(&self) -> usize {
        self.entries.len().wrapping_sub(1)
    }

    /// Returns the slot for which `is_it` holds, among the slots whose flow may be `flow`.
    #[inline]
    pub(crate) fn find(&self, flow: &Flow, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let hash = self.hash(flow);
        let mut at = hash as usize & self.mask();
        loop {
            let entry = self.entries[at];
            if entry.slot == EMPTY.slot {
                return None;
            }
            if entry.hash == hash && is_it(entry.slot) {
                return Some(entry.slot);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// Adds a flow that is not in the table.
    pub(crate) fn insert(&mut self, flow: &Flow, slot: u32) -> Result<()> {
        if (self.used + 1) * 4 > self.entries.len() * 3 {
            self.grow()?;
        }
        let hash = self.hash(flow);
        self.place(Entry { hash, slot });
        self.used += 1;
        Ok(())
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.mask();
        let mut at = entry.hash as usize & mask;
        while self.entries[at].slot != EMPTY.slot {
            at = (at + 1) & mask;
        }
        self.entries[at] = entry;
    }

    fn grow(&mut self) -> Result<()> {
        let capacity = (self.entries.len() * 2).max(32);
        let mut entries = Vec::new_in(*self.entries.allocator());
        entries
            .try_reserve_exact(capacity)
            .map_err(|_| Error::NoMemory)?;
        entries.resize(capacity, EMPTY);
        let old = core::mem::replace(&mut self.entries, entries);
        for entry in old.iter().filter(|entry| entry.slot != EMPTY.slot) {
            self.place(*entry);
        }
        Ok(())
    }

    /// Removes the entry of `slot` under `flow`, if there is one.
    pub(crate) fn remove(&mut self, flow: &Flow, slot: u32) {
        if self.used == 0 {
            return;
        }
        let mask = self.mask();
        let mut hole = self.hash(flow) as usize & mask;
        loop {
            let entry = self.entries[hole];
            if entry.slot == EMPTY.slot {
                return;
            }
            if entry.slot == slot {
                break;
            }
            hole = (hole + 1) & mask;
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry.slot == EMPTY.slot {
                break;
            }
            // An entry may move back into the hole unless its home lies behind the hole.
            let home = entry.hash as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use smoltcp::wire::Ipv4Address;
    use std::collections::HashMap;

    fn flow(number: u32) -> Flow {
        let address = |bits| IpAddress::Ipv4(Ipv4Address::from_bits(bits));
        Flow {
            local: IpEndpoint::new(address(1), 80),
            remote: IpEndpoint::new(address(number >> 4), number as u16 & 15),
        }
    }

    #[test]
    fn finds_what_was_inserted_and_not_removed() {
        let mut table = FlowTable::new(7, &Global);
        let mut model = HashMap::new();
        let mut state = 1_u32;
        for _ in 0..50_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (state >> 8) % 300;
            match model.remove(&number) {
                Some(slot) => table.remove(&flow(number), slot),
                None => {
                    table.insert(&flow(number), number).unwrap();
                    model.insert(number, number);
                }
            }
            let probe = (state >> 16) % 300;
            let found = table.find(&flow(probe), |slot| slot == probe);
            assert_eq!(found, model.get(&probe).copied());
            assert_eq!(table.used, model.len());
        }
    }

    #[test]
    fn the_table_is_never_fuller_than_three_quarters() {
        let mut table = FlowTable::new(7, &Global);
        assert_eq!(table.find(&flow(1), |_| true), None);
        table.remove(&flow(1), 1);
        for (count, entries) in [(1, 32), (24, 32), (25, 64), (48, 64), (49, 128)] {
            while table.used < count {
                let number = table.used as u32;
                table.insert(&flow(number), number).unwrap();
            }
            assert_eq!(table.entries.len(), entries, "{count}");
        }
        // A flow is removed only for its own socket.
        table.remove(&flow(3), 4);
        assert_eq!(table.find(&flow(3), |_| true), Some(3));
    }

    /// Any difference between two flows changes their hashes.
    #[test]
    fn every_part_of_a_flow_is_in_its_hash() {
        let table = FlowTable::new(0x1234_5678_9abc_def5, &Global);
        let four = |bits: u32| IpAddress::Ipv4(Ipv4Address::from_bits(bits));
        let six = |bits: u128| IpAddress::Ipv6(smoltcp::wire::Ipv6Address::from_bits(bits));
        let (here, there) = (four(0x0a00_0001), four(0x0a00_0002));
        let makers: [&dyn Fn(u32) -> Flow; 8] = [
            &|n| ends((here, n as u16), (there, 80)),
            &|n| ends((here, 80), (there, n as u16)),
            &|n| ends((four(n), 80), (there, 80)),
            &|n| ends((here, 80), (four(n << 12), 80)),
            &|n| ends((six(n.into()), 80), (six(1), 80)),
            &|n| ends((six(1), 80), (six(u128::from(n) << 64), 80)),
            &|n| ends((six(1), 80), (six(u128::from(n) << 100), 80)),
            &|n| ends((six(u128::from(n) << 40), 80), (six(1), 80)),
        ];
        fn ends(local: (IpAddress, u16), remote: (IpAddress, u16)) -> Flow {
            Flow {
                local: IpEndpoint::new(local.0, local.1),
                remote: IpEndpoint::new(remote.0, remote.1),
            }
        }
        for (number, make) in makers.iter().enumerate() {
            let hashes: std::collections::HashSet<u32> =
                (0..20_000).map(|n| table.hash(&make(n))).collect();
            assert!(hashes.len() > 19_990, "{number}: {}", hashes.len());
        }
        let (one, other) = (ends((here, 1), (there, 2)), ends((here, 2), (there, 1)));
        assert_ne!(table.hash(&one), table.hash(&other));
        assert_ne!(table.hash(&one), FlowTable::new(8, &Global).hash(&one));
    }

    /// Flows whose homes are the last places of the table continue at its start.
    #[test]
    fn a_run_that_wraps_around_is_closed_when_one_goes() {
        for seed in 0..200 {
            let mut table = FlowTable::new(seed, &Global);
            for number in 0..24 {
                table.insert(&flow(number), number).unwrap();
            }
            for gone in 0..24 {
                table.remove(&flow(gone), gone);
                for number in 0..24 {
                    let found = table.find(&flow(number), |slot| slot == number);
                    assert_eq!(found, (number > gone).then_some(number), "{seed} {gone}");
                }
            }
            assert!(table.entries.iter().all(|entry| entry.slot == EMPTY.slot));
        }
    }
}
