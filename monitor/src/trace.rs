//! Reads the records of a traced image from its ring while it runs, in a thread of its own.
//!
//! The ring is untrusted: the image can write all of it.
//! A failure ends the run's trace but never the run: the image continues without recording.

use crate::memory::Mapping;
use bespoke_abi::trace::{CAPACITY_BYTES, MOST_EVENT_BYTES, TraceRing};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest interval between checks of the ring. Waking up may take the image's only core, so it is
/// seldom, but before the ring is full.
const LONGEST_NAP: Duration = Duration::from_millis(5);
const SHORTEST_NAP: Duration = Duration::from_micros(20);

/// Receives events, in order, as the image encoded them
/// ([`bespoke_abi::trace::Decoder`]): whole events, if any.
pub type TraceSink = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

/// The components to record, and the receiver.
pub struct TraceRequest {
    /// Bit k: the component in slot k of the statistics page.
    pub components: u64,
    /// Most bytes of events that wait in the ring; beyond that the image waits for room.
    /// The maximum and default is [`CAPACITY_BYTES`], the minimum is room for one event.
    pub ring_bytes: usize,
    /// Called on a thread of its own. After an error it is not called again.
    pub sink: TraceSink,
}

impl core::fmt::Debug for TraceRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TraceRequest").finish_non_exhaustive()
    }
}

/// The result of a run's trace.
#[derive(Debug)]
pub struct Traced {
    /// Events recorded, as the image counts them.
    pub events: u64,
    /// Times the image waited for room.
    pub waits: u64,
    /// Why the trace ended before the run.
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
    /// Makes the ring `offset` bytes into `memory`, set up for
    /// `request`. The image has not started.
    pub(crate) fn new(memory: Arc<Mapping>, offset: usize, request: &TraceRequest) -> Self {
        assert!(
            offset.is_multiple_of(align_of::<TraceRing>())
                && offset + size_of::<TraceRing>() <= memory.bytes()
        );
        let ring = Self { memory, offset };
        let limit = request.ring_bytes.clamp(MOST_EVENT_BYTES, CAPACITY_BYTES);
        ring.get().limit.set(limit as u64);
        ring.get().selected.set(request.components);
        ring
    }

    fn get(&self) -> &TraceRing {
        // SAFETY: inside the mapping and aligned (checked in `new`); all that changes are atomics, and every
        // bit pattern is valid.
        unsafe { &*self.memory.at(self.offset).cast::<TraceRing>() }
    }

    /// Takes the waiting bytes and returns their number; an error when the ring is inconsistent.
    fn take(&self, taken: u64, batch: &mut Vec<u8>) -> io::Result<u64> {
        let ring = self.get();
        let waiting = ring.written.bytes.load(Acquire).wrapping_sub(taken);
        if waiting > CAPACITY_BYTES as u64 {
            let what = format!("the image damaged its trace ring: {waiting} bytes wait");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        batch.clear();
        if waiting > 0 {
            // Whole words, without the surrounding bytes in the first and the last.
            let (first, end) = (taken / 8, (taken + waiting).div_ceil(8));
            for index in first..end {
                let word = &ring.words[index as usize % ring.words.len()];
                batch.extend_from_slice(&word.load(Relaxed).to_le_bytes());
            }
            batch.truncate((taken % 8 + waiting) as usize);
            batch.drain(..(taken % 8) as usize);
        }
        ring.taken.bytes.store(taken + waiting, Release);
        Ok(waiting)
    }

    /// Passes events on until `ended` and nothing waits, or until an error.
    fn drain(&self, sink: &mut TraceSink, ended: &AtomicBool) -> io::Result<()> {
        let limit = self.get().limit.get().min(CAPACITY_BYTES as u64);
        let mut nap = SHORTEST_NAP;
        let mut batch = Vec::with_capacity(CAPACITY_BYTES + 16);
        let mut taken = 0;
        loop {
            // Read before the check, so that the image's last events are seen.
            let is_last = ended.load(Acquire);
            let came = self.take(taken, &mut batch)?;
            taken += came;
            sink(&batch)?;
            if is_last && came == 0 {
                return Ok(());
            }
            nap = next_nap(nap, came, limit);
            std::thread::park_timeout(nap);
        }
    }

    /// Lets an image whose trace failed continue: it records nothing more and does not wait.
    fn give_up(&self) {
        let ring = self.get();
        ring.selected.set(0);
        ring.limit.set(u64::MAX);
    }
}

/// Returns how long to sleep when `came` bytes came during a nap of `nap` and the passing on.
/// At that rate the ring, of which `limit` may be used, is a quarter full afterwards. The time
/// never more than doubles at once, because rates change.
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
    thread: JoinHandle<io::Result<()>>,
}

impl Drain {
    /// Starts to drain `ring`.
    pub(crate) fn start(ring: Ring, mut sink: TraceSink) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (own, seen) = (ring.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let result = own.drain(&mut sink, &seen);
            if result.is_err() {
                own.give_up();
            }
            result
        });
        Self {
            ring,
            ended,
            thread,
        }
    }

    /// Takes the rest after the image has ended.
    pub(crate) fn finish(self) -> Traced {
        self.ended.store(true, Release);
        self.thread.thread().unpark();
        let error = match self.thread.join() {
            Ok(result) => result.err(),
            Err(_) => Some(io::Error::other("the thread that records failed")),
        };
        let written = &self.ring.get().written;
        Traced {
            events: written.events.get(),
            waits: written.waits.get(),
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
            ring_bytes: limit,
            sink: Box::new(|_| Ok(())),
        };
        Ring::new(memory, 0, &request)
    }

    /// Writes an event of the one byte `value`, whatever it may mean.
    fn write(ring: &Ring, written: u64, value: u8) {
        let ring = ring.get();
        let word = &ring.words[written as usize / 8 % ring.words.len()];
        let mut bytes = word.load(Relaxed).to_le_bytes();
        bytes[written as usize % 8] = value;
        word.store(u64::from_le_bytes(bytes), Relaxed);
        ring.written.events.add(1);
        ring.written.bytes.store(written + 1, Release);
    }

    #[test]
    fn every_byte_arrives_once_in_order_through_a_ring_of_any_size() {
        for limit in [MOST_EVENT_BYTES, CAPACITY_BYTES] {
            let ring = ring(limit);
            let seen = Arc::new(Mutex::new(Vec::<u8>::new()));
            let sink = seen.clone();
            let drain = Drain::start(
                ring.clone(),
                Box::new(move |bytes| {
                    sink.lock().unwrap().extend(bytes);
                    Ok(())
                }),
            );
            let count = 3 * CAPACITY_BYTES as u64 + 5;
            for at in 0..count {
                while at - ring.get().taken.bytes.load(Acquire) >= ring.get().limit.get() {
                    std::thread::yield_now();
                }
                write(&ring, at, (at * 7 % 251) as u8);
            }
            let traced = drain.finish();
            assert!(
                traced.error.is_none() && traced.events == count,
                "{traced:?}"
            );
            let seen = seen.lock().unwrap();
            assert_eq!(seen.len() as u64, count);
            let expected = (0..count).map(|at| (at * 7 % 251) as u8);
            assert!(seen.iter().copied().eq(expected));
        }
    }

    #[test]
    fn naps_end_when_the_ring_is_a_quarter_full() {
        let limit = CAPACITY_BYTES as u64;
        let settle = |bytes_a_second: f64| {
            (0..20).fold(SHORTEST_NAP, |nap, _| {
                next_nap(nap, (nap.as_secs_f64() * bytes_a_second) as u64, limit)
            })
        };
        assert_eq!(settle(0.0), LONGEST_NAP);
        assert_eq!(settle(1e12), SHORTEST_NAP);
        let in_quarters = settle(4e7).as_secs_f64() * 4e7 / (limit / 4) as f64;
        assert!((0.9..1.1).contains(&in_quarters), "{in_quarters}");
        // An image that suddenly writes fast is checked soon.
        assert!(next_nap(LONGEST_NAP, limit, limit) < LONGEST_NAP / 3);
    }

    #[test]
    fn an_image_that_ruins_its_ring_is_told_of_and_not_waited_for() {
        let ring = ring(CAPACITY_BYTES);
        let drain = Drain::start(ring.clone(), Box::new(|_| Ok(())));
        ring.get().written.bytes.store(1 << 40, Release);
        let traced = drain.finish();
        let error = traced.error.expect("an error").to_string();
        assert!(error.contains("damaged its trace ring"), "{error}");
        assert_eq!(ring.get().selected.get(), 0);
    }

    #[test]
    fn a_limit_that_the_image_changed_ends_no_trace() {
        let ring = ring(CAPACITY_BYTES);
        ring.get().limit.set(u64::MAX);
        let drain = Drain::start(ring.clone(), Box::new(|_| Ok(())));
        write(&ring, 0, 1);
        let traced = drain.finish();
        assert!(traced.error.is_none() && traced.events == 1, "{traced:?}");
    }

    #[test]
    fn a_sink_that_fails_lets_the_image_go_on() {
        let ring = ring(MOST_EVENT_BYTES);
        let drain = Drain::start(
            ring.clone(),
            Box::new(|bytes| match bytes.is_empty() {
                true => Ok(()),
                false => Err(io::Error::other("disk full")),
            }),
        );
        write(&ring, 0, 1);
        let traced = drain.finish();
        assert_eq!(
            traced.error.map(|e| e.to_string()).as_deref(),
            Some("disk full")
        );
        assert_eq!(ring.get().limit.get(), u64::MAX);
    }
}
