//! Takes the records of a traced image out of its ring while it runs.
//!
//! Owns the thread that does, for one run. Must never believe the ring: the image can write all of it. What
//! cannot be passed on is an error of the run's trace, never of the run: the image goes on unrecorded.

use crate::memory::Mapping;
use bespoke_abi::trace::{RING_ENTRIES, Record, TraceRing, Unpacker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::thread::JoinHandle;
use std::time::Duration;

/// Entries taken at once, at most.
const BATCH_ENTRIES: usize = 2048;
/// Between two looks at the ring. Waking takes the image's core where it has no other, so it is done seldom, but before
/// the ring is full.
const LONGEST_NAP: Duration = Duration::from_millis(5);
const SHORTEST_NAP: Duration = Duration::from_micros(20);

/// Takes records, in order.
pub type TraceSink = Box<dyn FnMut(&[Record]) -> io::Result<()> + Send>;

/// What is to be recorded, and who takes it.
pub struct TraceRequest {
    /// Bit k: the component in slot k of the statistics page.
    pub components: u64,
    /// Most entries that wait in the ring, one or two a record; the image waits for room beyond that. At most, and by
    /// default, [`RING_ENTRIES`].
    pub ring_entries: usize,
    /// Called on a thread of its own. After an error it is not called again.
    pub sink: TraceSink,
}

/// What became of a run's trace.
#[derive(Debug)]
pub struct Traced {
    /// Records passed on.
    pub records: u64,
    /// Times the image waited for room.
    pub waits: u64,
    /// Why the trace ends before the run does.
    pub error: Option<io::Error>,
}

/// The ring of one image.
#[derive(Clone)]
pub(crate) struct Ring {
    memory: Arc<Mapping>,
    offset: usize,
}

/// Bytes of a ring.
pub(crate) const RING_BYTES: u64 = size_of::<TraceRing>() as u64;

impl Ring {
    /// The ring `offset` bytes into `memory`, set up for `request`. The image has not started.
    pub(crate) fn new(memory: Arc<Mapping>, offset: usize, request: &TraceRequest) -> Self {
        assert!(
            offset.is_multiple_of(align_of::<TraceRing>())
                && offset + size_of::<TraceRing>() <= memory.bytes()
        );
        let ring = Self { memory, offset };
        let limit = request.ring_entries.clamp(1, RING_ENTRIES);
        ring.get().limit.set(limit as u64);
        ring.get().selected.set(request.components);
        ring
    }

    fn get(&self) -> &TraceRing {
        // SAFETY: inside the mapping and aligned (checked in `new`); all that changes are atomics, and every
        // bit pattern is valid.
        unsafe { &*self.memory.at(self.offset).cast::<TraceRing>() }
    }

    /// Takes what waits, up to a batch, and returns how many entries that is; an error when the ring cannot be right.
    fn take(&self, tail: u64, unpacker: &mut Unpacker, batch: &mut Vec<Record>) -> io::Result<u64> {
        let ring = self.get();
        let waiting = ring.head.0.load(Acquire).wrapping_sub(tail);
        if waiting > RING_ENTRIES as u64 {
            let what = format!("the image damaged its trace ring: {waiting} entries wait");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let end = tail + waiting.min(BATCH_ENTRIES as u64);
        batch.clear();
        for index in tail..end {
            let words = &ring.entries[index as usize % RING_ENTRIES];
            batch.extend(unpacker.take(std::array::from_fn(|word| words[word].load(Relaxed))));
        }
        ring.tail.0.store(end, Release);
        Ok(end - tail)
    }

    /// Passes records on until `ended` and nothing waits, or until that fails.
    fn drain(&self, sink: &mut TraceSink, ended: &AtomicBool, records: &mut u64) -> io::Result<()> {
        let limit = self.get().limit.get().min(RING_ENTRIES as u64);
        let mut nap = SHORTEST_NAP;
        let mut unpacker = Unpacker::default();
        let mut batch = Vec::with_capacity(BATCH_ENTRIES);
        let mut tail = 0;
        loop {
            // Before the look, so that what the image wrote last is seen.
            let is_last = ended.load(Acquire);
            let before = tail;
            loop {
                let taken = self.take(tail, &mut unpacker, &mut batch)?;
                tail += taken;
                sink(&batch)?;
                *records += batch.len() as u64;
                if taken < BATCH_ENTRIES as u64 {
                    break;
                }
            }
            let came = tail - before;
            if is_last && came == 0 {
                return Ok(());
            }
            nap = next_nap(nap, came, limit);
            std::thread::park_timeout(nap);
        }
    }

    /// Lets an image whose trace failed go on: it records nothing more and waits for nobody.
    fn give_up(&self) {
        let ring = self.get();
        ring.selected.set(0);
        ring.limit.set(u64::MAX);
    }
}

/// How long to sleep when `came` entries came during a nap of `nap` and the passing on: until the ring, of which `limit`
/// may be used, is a quarter full at that rate, and never twice as long at once, as rates change.
fn next_nap(nap: Duration, came: u64, limit: u64) -> Duration {
    let wanted = nap.as_nanos() as u64 * (limit / 4).max(1) / came.max(1);
    Duration::from_nanos(wanted)
        .min(nap * 2)
        .clamp(SHORTEST_NAP, LONGEST_NAP)
}

/// The thread that drains a ring.
pub(crate) struct Drain {
    ring: Ring,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<(u64, io::Result<()>)>,
}

impl Drain {
    /// Starts to drain `ring`.
    pub(crate) fn start(ring: Ring, mut sink: TraceSink) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (own, seen) = (ring.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut records = 0;
            let result = own.drain(&mut sink, &seen, &mut records);
            if result.is_err() {
                own.give_up();
            }
            (records, result)
        });
        Self {
            ring,
            ended,
            thread,
        }
    }

    /// Takes the rest, once the image has ended.
    pub(crate) fn finish(self) -> Traced {
        self.ended.store(true, Release);
        self.thread.thread().unpark();
        let waits = self.ring.get().waits.get();
        let (records, error) = match self.thread.join() {
            Ok((records, result)) => (records, result.err()),
            Err(_) => (0, Some(io::Error::other("the thread that records failed"))),
        };
        Traced {
            records,
            waits,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn ring(limit: usize) -> Ring {
        let memory = Arc::new(Mapping::shared(RING_BYTES as usize).unwrap());
        let request = TraceRequest {
            components: 1,
            ring_entries: limit,
            sink: Box::new(|_| Ok(())),
        };
        Ring::new(memory, 0, &request)
    }

    fn write(ring: &Ring, head: u64, record: Record) {
        let place = &ring.get().entries[head as usize % RING_ENTRIES];
        for (place, word) in place.iter().zip(record.lower()) {
            place.store(word, Relaxed);
        }
        ring.get().head.0.store(head + 1, Release);
    }

    #[test]
    fn every_record_arrives_once_in_order_through_a_small_ring() {
        let ring = ring(8);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let drain = Drain::start(
            ring.clone(),
            Box::new(move |records| {
                sink.lock().unwrap().extend(records.iter().map(|r| r.size));
                Ok(())
            }),
        );
        for head in 0..100_000 {
            while head - ring.get().tail.0.load(Acquire) >= ring.get().limit.get() {
                std::thread::yield_now();
            }
            let record = Record {
                size: head * 3,
                ..Record::default()
            };
            write(&ring, head, record);
        }
        let traced = drain.finish();
        assert!(traced.error.is_none() && traced.records == 100_000);
        let seen = seen.lock().unwrap();
        assert!(
            seen.iter()
                .enumerate()
                .all(|(at, &size)| size == at as u64 * 3)
        );
    }

    #[test]
    fn naps_end_when_the_ring_is_a_quarter_full() {
        let limit = RING_ENTRIES as u64;
        let settle = |records_a_second: f64| {
            (0..20).fold(SHORTEST_NAP, |nap, _| {
                next_nap(nap, (nap.as_secs_f64() * records_a_second) as u64, limit)
            })
        };
        assert_eq!(settle(0.0), LONGEST_NAP);
        assert_eq!(settle(1e12), SHORTEST_NAP);
        let in_quarters = settle(4e6).as_secs_f64() * 4e6 / (limit / 4) as f64;
        assert!((0.9..1.1).contains(&in_quarters), "{in_quarters}");
        // One that begins to hurry is looked at soon.
        assert!(next_nap(LONGEST_NAP, limit, limit) < LONGEST_NAP / 3);
    }

    #[test]
    fn an_image_that_ruins_its_ring_is_told_of_and_not_waited_for() {
        let ring = ring(RING_ENTRIES);
        let drain = Drain::start(ring.clone(), Box::new(|_| Ok(())));
        ring.get().head.0.store(1 << 40, Release);
        let traced = drain.finish();
        let error = traced.error.expect("an error").to_string();
        assert!(error.contains("damaged its trace ring"), "{error}");
        assert_eq!(ring.get().selected.get(), 0);
    }

    #[test]
    fn a_limit_that_the_image_changed_ends_no_trace() {
        let ring = ring(RING_ENTRIES);
        ring.get().limit.set(u64::MAX);
        let drain = Drain::start(ring.clone(), Box::new(|_| Ok(())));
        write(&ring, 0, Record::default());
        let traced = drain.finish();
        assert!(traced.error.is_none() && traced.records == 1, "{traced:?}");
    }

    #[test]
    fn a_sink_that_fails_lets_the_image_go_on() {
        let ring = ring(4);
        let drain = Drain::start(
            ring.clone(),
            Box::new(|records| match records.is_empty() {
                true => Ok(()),
                false => Err(io::Error::other("disk full")),
            }),
        );
        write(&ring, 0, Record::default());
        let traced = drain.finish();
        assert_eq!(
            traced.error.map(|e| e.to_string()).as_deref(),
            Some("disk full")
        );
        assert_eq!(ring.get().limit.get(), u64::MAX);
    }
}
