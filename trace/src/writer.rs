//! Writes a trace, block by block. At any moment, a reader can tell how much of the file is valid.

use crate::block::{self, ENDING, EVENTS, FACTS};
use crate::{Ending, Facts, MAGIC, VERSION};
use std::io::{self, Write};

/// Least bytes of events in a block, by default.
const BLOCK_BYTES: usize = 32 << 10;

/// A trace being written.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    position: u32,
    block_bytes: usize,
    events: Vec<u8>,
    /// Bytes of events in blocks.
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a trace on `out`, which need not be buffered.
    ///
    /// # Errors
    ///
    /// The error of `out`.
    pub fn new(out: W, facts: &Facts) -> io::Result<Self> {
        Self::with_blocks_of(out, facts, BLOCK_BYTES)
    }

    /// Like [`Writer::new`], with blocks of at least `block_bytes` bytes.
    ///
    /// # Errors
    ///
    /// The error of `out`.
    pub fn with_blocks_of(mut out: W, facts: &Facts, block_bytes: usize) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        block::write(&mut out, 0, FACTS, &facts.encode())?;
        Ok(Self {
            out,
            position: 1,
            block_bytes,
            events: Vec::new(),
            written: 0,
        })
    }

    /// Appends `events`, which [`bespoke_abi::trace::Encoder`] encoded as the
    /// continuation of the previous ones.
    /// A truncated file loses at most one block: less than the minimum
    /// size plus the bytes of one call.
    ///
    /// # Errors
    ///
    /// The error of the file, when a block is full.
    ///
    /// # Panics
    ///
    /// When `events` and the minimum size of a block together exceed a MiB.
    pub fn put(&mut self, events: &[u8]) -> io::Result<()> {
        self.events.extend_from_slice(events);
        if self.events.len() >= self.block_bytes {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.events.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.events);
        self.write(EVENTS, &events)?;
        self.written += events.len() as u64;
        Ok(())
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        block::write(&mut self.out, self.position, kind, payload)?;
        self.position = self.position.wrapping_add(1);
        Ok(())
    }

    /// Ends the trace and fills in its number of bytes. Returns the underlying output.
    ///
    /// # Errors
    ///
    /// The error of the file.
    pub fn finish(mut self, ending: Ending) -> io::Result<W> {
        self.end_block()?;
        let ending = Ending {
            bytes: self.written,
            ..ending
        };
        self.write(ENDING, &ending.encode())?;
        self.out.flush()?;
        Ok(self.out)
    }
}
