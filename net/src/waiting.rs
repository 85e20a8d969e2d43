//! TIME_WAIT: the record of a connection that both sides have closed.
//! It needs no socket and no buffer.
//!
//! All records have the same lifetime, so the oldest is always first:
//! expiry is a queue and not a timer.
//! A record is dropped when there are too many or a new SYN arrives (RFC 6191), so
//! it never blocks a new connection.

use crate::fifo::Fifo;
use crate::flow::FlowTable;
use crate::memory::{Memory, Vec, push};
use crate::packet::Flow;
use smoltcp::time::{Duration, Instant};

/// Lifetime of a record: Linux's TIME_WAIT.
const LAST: Duration = Duration::from_secs(60);
/// Largest number of records.
const MOST: usize = 4096;

#[derive(Clone, Copy)]
struct Record {
    flow: Flow,
    /// The next sequence numbers of both sides.
    send_next: u32,
    receive_next: u32,
    /// Incremented when the slot is reused, to detect stale entries in the queue.
    generation: u32,
    used: bool,
}

/// The records.
pub(crate) struct Waiting {
    records: Vec<Record>,
    free: Vec<u32>,
    table: FlowTable,
    queue: Fifo<(u32, u32, i64)>,
}

/// Position of a record in the sequence space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub send_next: u32,
    pub receive_next: u32,
}

impl Waiting {
    /// Makes an empty table.
    pub(crate) fn new(seed: u64, memory: Memory) -> Self {
        Self {
            records: Vec::new_in(memory),
            free: Vec::new_in(memory),
            table: FlowTable::new(seed, memory),
            queue: Fifo::new(memory),
        }
    }

    fn slot(&self, flow: &Flow) -> Option<u32> {
        self.table
            .find(flow, |slot| self.records[slot as usize].flow == *flow)
    }

    /// Returns the record of a flow.
    pub(crate) fn find(&self, flow: &Flow) -> Option<Numbers> {
        let record = &self.records[self.slot(flow)? as usize];
        Some(Numbers {
            send_next: record.send_next,
            receive_next: record.receive_next,
        })
    }

    /// Whether `is_it` holds for the flow of any record.
    pub(crate) fn any(&self, is_it: impl Fn(&Flow) -> bool) -> bool {
        self.records
            .iter()
            .any(|record| record.used && is_it(&record.flow))
    }

    /// Adds a record. Without memory the connection is forgotten, which is safe.
    pub(crate) fn add(&mut self, flow: Flow, numbers: Numbers, now: Instant) {
        self.remove(&flow);
        if self.queue.len() >= MOST {
            self.drop_oldest();
        }
        let mut record = Record {
            flow,
            send_next: numbers.send_next,
            receive_next: numbers.receive_next,
            generation: 0,
            used: true,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                record.generation = self.records[slot as usize].generation.wrapping_add(1);
                self.records[slot as usize] = record;
                slot
            }
            None => {
                let slot = self.records.len() as u32;
                // Reserve space to free every record, so that freeing cannot fail.
                let more = self.records.len() + 1 - self.free.len();
                if self.free.try_reserve(more).is_err() || push(&mut self.records, record).is_err()
                {
                    return;
                }
                slot
            }
        };
        let due = (now + LAST).total_micros();
        if self.table.insert(&flow, slot).is_err() {
            self.release(slot);
        } else if self.queue.push((slot, record.generation, due)).is_err() {
            self.table.remove(&flow, slot);
            self.release(slot);
        }
    }

    fn release(&mut self, slot: u32) {
        self.records[slot as usize].used = false;
        if self.free.len() < self.free.capacity() {
            self.free.push(slot);
        }
    }

    /// Removes the record of a flow.
    pub(crate) fn remove(&mut self, flow: &Flow) {
        if let Some(slot) = self.slot(flow) {
            self.table.remove(flow, slot);
            self.release(slot);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((slot, generation, _)) = self.queue.pop() {
            let record = self.records[slot as usize];
            if record.used && record.generation == generation {
                self.remove(&record.flow);
            }
        }
    }

    /// Removes expired records. Records never cause a wake-up: this runs when there is other work.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self
            .queue
            .front()
            .is_some_and(|(_, _, due)| due <= now.total_micros())
        {
            self.drop_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use smoltcp::wire::{IpAddress, IpEndpoint};

    fn flow(client: u32) -> Flow {
        let [_, a, b, c] = (client / 50_000).to_be_bytes();
        Flow {
            local: IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), 80),
            remote: IpEndpoint::new(IpAddress::v4(10, a, b, c), (client % 50_000) as u16),
        }
    }

    fn numbers(number: u32) -> Numbers {
        Numbers {
            send_next: number,
            receive_next: number + 1,
        }
    }

    fn found(waiting: &Waiting, client: u32) -> Option<u32> {
        waiting.find(&flow(client)).map(|numbers| numbers.send_next)
    }

    #[test]
    fn the_oldest_give_way_when_there_are_too_many() {
        const CLIENTS: u32 = 20 * MOST as u32;
        let mut waiting = Waiting::new(1, &Global);
        for client in 0..CLIENTS {
            waiting.add(flow(client), numbers(client), Instant::ZERO);
            assert_eq!(found(&waiting, client), Some(client));
        }
        for client in 0..CLIENTS {
            let is_kept = client >= CLIENTS - MOST as u32;
            assert_eq!(found(&waiting, client), is_kept.then_some(client));
        }
        assert!(waiting.records.len() <= MOST && waiting.queue.len() <= MOST);
        waiting.expire(Instant::ZERO + LAST);
        assert!(!waiting.any(|_| true));
        assert_eq!(waiting.queue.len(), 0);
    }

    #[test]
    fn a_port_used_again_and_again_has_one_record() {
        let mut waiting = Waiting::new(1, &Global);
        for number in 0..5 * MOST as u32 {
            waiting.add(flow(7), numbers(number), Instant::ZERO);
            assert_eq!(found(&waiting, 7), Some(number));
            if number % 3 == 0 {
                // A new SYN.
                waiting.remove(&flow(7));
                assert_eq!(found(&waiting, 7), None);
            }
        }
        assert!(waiting.records.len() <= 2 && waiting.queue.len() <= MOST);
        // The last record keeps its full lifetime, whatever stale entries its
        // predecessors left in the queue.
        let late = Instant::ZERO + LAST / 2;
        waiting.add(flow(7), numbers(1), late);
        waiting.expire(Instant::ZERO + LAST);
        assert_eq!(found(&waiting, 7), Some(1));
        waiting.expire(late + LAST);
        assert_eq!(found(&waiting, 7), None);
    }

    #[test]
    fn a_record_lasts_sixty_seconds() {
        let mut waiting = Waiting::new(1, &Global);
        let start = Instant::from_micros(5);
        waiting.add(flow(1), numbers(40), start);
        waiting.add(flow(2), numbers(50), start + Duration::from_micros(1));
        assert!(waiting.find(&flow(1)).is_some_and(|n| n.receive_next == 41));
        waiting.expire(Instant::from_micros(60_000_004));
        assert_eq!(found(&waiting, 1), Some(40));
        waiting.expire(Instant::from_micros(60_000_005));
        assert_eq!([found(&waiting, 1), found(&waiting, 2)], [None, Some(50)]);
        assert!(waiting.any(|other| *other == flow(2)) && !waiting.any(|other| *other == flow(1)));
        waiting.expire(Instant::from_micros(60_000_006));
        assert!(!waiting.any(|_| true));
        // A slot that is used again has a new record: the queue's old entry does not apply to it.
        waiting.add(flow(1), numbers(1), start);
        waiting.remove(&flow(1));
        waiting.add(flow(3), numbers(3), start + LAST);
        assert_eq!(waiting.records.len(), 2);
        waiting.expire(start + LAST);
        assert_eq!(found(&waiting, 3), Some(3));
    }
}
