//! Blocks with checksums. A payload is returned only if it is exactly
//! what was written at that position.

use crate::reader::Damage;
use std::io::{self, ErrorKind, Read, Write};

/// The first block: [`crate::Facts`].
pub(crate) const FACTS: u8 = 1;
/// A block of events.
pub(crate) const EVENTS: u8 = 2;
/// The last block: [`crate::Ending`].
pub(crate) const ENDING: u8 = 3;

/// Longest payload, in bytes. Longer ones are neither written nor accepted.
pub(crate) const MOST_PAYLOAD_BYTES: usize = 1 << 20;
const HEAD_BYTES: usize = 9;

fn checksum(position: u32, head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&position.to_le_bytes());
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

/// Writes the block at `position`; the first position is 0.
pub(crate) fn write(
    out: &mut impl Write,
    position: u32,
    kind: u8,
    payload: &[u8],
) -> io::Result<()> {
    assert!(
        payload.len() <= MOST_PAYLOAD_BYTES,
        "a block of {} bytes",
        payload.len()
    );
    let mut block = Vec::with_capacity(HEAD_BYTES + payload.len());
    block.push(kind);
    block.extend((payload.len() as u32).to_le_bytes());
    block.extend(checksum(position, &block, payload).to_le_bytes());
    block.extend(payload);
    out.write_all(&block)
}

/// Reads blocks one after the other.
pub(crate) struct Blocks<R> {
    input: R,
    position: u32,
    /// Bytes of the file read so far, as whole blocks.
    pub at_byte: u64,
}

impl<R: Read> Blocks<R> {
    /// Makes a reader for the blocks of `input`, which starts `at_byte` bytes into the file.
    pub(crate) fn new(input: R, at_byte: u64) -> Self {
        Self {
            input,
            position: 0,
            at_byte,
        }
    }

    /// Reads the next block: returns its kind and stores its payload in `payload`.
    pub(crate) fn next(&mut self, payload: &mut Vec<u8>) -> Result<u8, Damage> {
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let [kind, a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MOST_PAYLOAD_BYTES {
            return Err(self.damage(format!("a block claims {length} bytes")));
        }
        payload.resize(length, 0);
        self.fill(payload)?;
        if checksum(self.position, &head[..5], payload) != u32::from_le_bytes(crc) {
            return Err(self.damage("the checksum does not match"));
        }
        self.position = self.position.wrapping_add(1);
        self.at_byte += (HEAD_BYTES + length) as u64;
        Ok(kind)
    }

    /// Whether the input is at its end.
    pub(crate) fn is_at_end(&mut self) -> bool {
        matches!(self.input.read(&mut [0]), Ok(0))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Damage> {
        self.input
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => self.damage("the file ends here"),
                _ => self.damage(format!("it cannot be read: {error}")),
            })
    }

    /// Describes damage in the block that begins here.
    pub(crate) fn damage(&self, reason: impl Into<String>) -> Damage {
        Damage {
            at_byte: self.at_byte,
            reason: reason.into(),
        }
    }
}
