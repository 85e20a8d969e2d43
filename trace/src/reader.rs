//! Reads a trace up to its end or its first damage. It never
//! guesses the contents of a damaged part.

use crate::block::{Blocks, ENDING, EVENTS, FACTS};
use crate::identity::Identities;
use crate::{CLOCK_CYCLES, Ending, Event, Facts, MAGIC, VERSION};
use bespoke_abi::trace::Decoder;
use std::fmt;
use std::io::{self, Read};

/// Why a file cannot be read as a trace at all.
#[derive(Debug)]
pub enum OpenError {
    /// It is not a trace file.
    NotATrace,
    /// It has another version of the format.
    Version(u32),
    /// Its first block, which everything else depends on, is damaged.
    Damaged(Damage),
    /// An input error.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace => write!(
                f,
                "not a trace file; `bespoke trace APP -o FILE` records one"
            ),
            Self::Version(found) => write!(
                f,
                "it is a trace of format version {found}, this is version {VERSION}; record it again"
            ),
            Self::Damaged(damage) => write!(f, "it cannot be read: {damage}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Position and reason of the first damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Bytes of the file before the damaged block.
    pub at_byte: u64,
    /// The damage.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "damaged or cut at byte {}: {}",
            self.at_byte, self.reason
        )
    }
}

/// An open trace.
pub struct Reader<R> {
    blocks: Blocks<R>,
    facts: Facts,
    decoder: Box<Decoder>,
    identities: Identities,
    payload: Vec<u8>,
    /// Bytes of `payload` that were read.
    used: usize,
    read: u64,
    /// Bytes of events in the blocks so far.
    read_bytes: u64,
    result: Option<Result<Ending, Damage>>,
}

impl<R> core::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Opens a trace; `input` should be buffered.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(mut input: R) -> Result<Self, OpenError> {
        let mut head = [0; 12];
        input
            .read_exact(&mut head)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => OpenError::NotATrace,
                _ => OpenError::Io(error),
            })?;
        let (magic, version) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(OpenError::NotATrace);
        }
        let version = version.try_into().map_or(0, u32::from_le_bytes);
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        let mut blocks = Blocks::new(input, head.len() as u64);
        let mut payload = Vec::new();
        let kind = blocks.next(&mut payload).map_err(OpenError::Damaged)?;
        let facts = Facts::decode(&payload).filter(|_| kind == FACTS);
        let facts = facts.ok_or_else(|| {
            OpenError::Damaged(blocks.damage("the first block does not hold the facts"))
        })?;
        Ok(Self {
            blocks,
            facts,
            decoder: Box::default(),
            identities: Identities::default(),
            payload: Vec::new(),
            used: 0,
            read: 0,
            read_bytes: 0,
            result: None,
        })
    }

    /// Returns the facts of the traced run.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Number of events read so far.
    pub fn events(&self) -> u64 {
        self.read
    }

    /// How the trace ended, once no event is left: complete, or with damage.
    pub fn result(&self) -> Option<&Result<Ending, Damage>> {
        self.result.as_ref()
    }

    /// Reads the next block of events. `None`: there is none, and `result` has the reason.
    fn next_block(&mut self) -> Option<()> {
        let ended = match self.try_next_block() {
            Ok(None) => return Some(()),
            Ok(Some(ending)) => Ok(ending),
            Err(damage) => Err(damage),
        };
        self.result = Some(ended);
        None
    }

    fn try_next_block(&mut self) -> Result<Option<Ending>, Damage> {
        let at_byte = self.blocks.at_byte;
        let damage = |reason: &str| Damage {
            at_byte,
            reason: reason.into(),
        };
        match self.blocks.next(&mut self.payload)? {
            EVENTS if self.payload.is_empty() => Err(damage("a block without events")),
            EVENTS => {
                self.used = 0;
                self.read_bytes += self.payload.len() as u64;
                Ok(None)
            }
            ENDING => match Ending::decode(&self.payload) {
                Some(ending) if ending.bytes == self.read_bytes => match self.blocks.is_at_end() {
                    true => Ok(Some(ending)),
                    false => Err(self.blocks.damage("something follows the end")),
                },
                Some(ending) => Err(damage(&format!(
                    "{} bytes of events were written, {} are here",
                    ending.bytes, self.read_bytes
                ))),
                None => Err(damage("the ending makes no sense")),
            },
            kind => Err(damage(&format!("no block is of kind {kind}"))),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Decodes the event at the front of `payload`. `None`: the bytes are not valid, or name a
    /// component that is not in the facts.
    fn event(&mut self) -> Option<Event> {
        let mut bytes = &self.payload[self.used..];
        let record = self.decoder.take(&mut bytes)?;
        self.used = self.payload.len() - bytes.len();
        let mut slots = self.facts.slots.iter();
        let component = slots.position(|&slot| slot == record.component)?;
        Some(Event {
            component: u8::try_from(component).ok()?,
            align_log2: record.align_log2,
            site: record.site,
            clock: record.clock.checked_mul(CLOCK_CYCLES)?,
            action: self.identities.action(&record)?,
        })
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.result.is_some() {
            return None;
        }
        if self.used == self.payload.len() {
            self.next_block()?;
        }
        let event = self.event();
        match event {
            Some(_) => self.read += 1,
            None => {
                let reason = format!("event {} makes no sense", self.read);
                self.result = Some(Err(self.blocks.damage(reason)));
            }
        }
        event
    }
}
