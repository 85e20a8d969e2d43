//! Writes a trace, block by block. Owns the file; must never leave it in a state that a reader takes
//! for more than it is.

use crate::block::{self, ENDING, EVENTS, FACTS};
use crate::code::Encoder;
use crate::number::put;
use crate::{Ending, Event, Facts, MAGIC, VERSION};
use std::io::{self, Write};

/// Bytes of events in a block, by default: what a cut loses at most.
const BLOCK_BYTES: usize = 32 << 10;

/// A trace being written.
pub struct Writer<W: Write> {
    out: W,
    position: u32,
    block_bytes: usize,
    encoder: Encoder,
    events: Vec<u8>,
    in_block: u64,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a trace on `out`, which need not be buffered.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn new(out: W, facts: &Facts) -> io::Result<Self> {
        Self::with_blocks_of(out, facts, BLOCK_BYTES)
    }

    /// As [`Writer::new`], with blocks of about `block_bytes` bytes.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn with_blocks_of(mut out: W, facts: &Facts, block_bytes: usize) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        block::write(&mut out, 0, FACTS, &facts.encode())?;
        Ok(Self {
            out,
            position: 1,
            block_bytes,
            encoder: Encoder::default(),
            events: Vec::with_capacity(block_bytes + 64),
            in_block: 0,
            written: 0,
        })
    }

    /// Appends `event`.
    ///
    /// # Errors
    ///
    /// What the file says, when a block is full.
    ///
    /// # Panics
    ///
    /// When it grants any but the next block, or names one that was not granted.
    #[inline]
    pub fn put(&mut self, event: &Event) -> io::Result<()> {
        self.encoder.put(&mut self.events, event);
        self.in_block += 1;
        if self.events.len() >= self.block_bytes {
            self.end_block()?;
        }
        Ok(())
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.written + self.in_block
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.in_block == 0 {
            return Ok(());
        }
        let mut payload = Vec::with_capacity(self.events.len() + 10);
        put(&mut payload, self.in_block);
        payload.append(&mut self.events);
        self.written += self.in_block;
        self.in_block = 0;
        self.write(EVENTS, &payload)
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        block::write(&mut self.out, self.position, kind, payload)?;
        self.position = self.position.wrapping_add(1);
        Ok(())
    }

    /// Ends the trace; its number of events is filled in. Returns what it was written to.
    ///
    /// # Errors
    ///
    /// What the file says.
    pub fn finish(mut self, ending: Ending) -> io::Result<W> {
        self.end_block()?;
        let ending = Ending {
            events: self.written,
            ..ending
        };
        self.write(ENDING, &ending.encode())?;
        self.out.flush()?;
        Ok(self.out)
    }
}
