//! Allocation traces as files: what the components of an image allocated, in order.
//!
//! ```text
//! file    magic (8 bytes), version (u32), blocks
//! block   kind (u8), length of the payload (u32), CRC-32 (u32), payload
//!         kinds: facts, once and first; events; ending, once and last
//! events  number of events, then each:
//!           shape     what was done, in which component, from where, how aligned: a number in order of first
//!                     use; the next free number introduces a shape, which follows
//!           clock     64 cycles each since the event before
//!           size      of allocations and reallocations
//!           age       of frees and reallocations: grants since the one that made the block
//! ```
//!
//! Numbers are little endian where they say their width, else 7 bits a byte, lowest first. The CRC covers the
//! block's position in the file, kind, length and payload, so that a block that is missing or moved shows, too.
//!
//! A block of memory is known by the number of its grant, counted over the whole trace: a grant need not say it, and
//! a block that does not live long has a small age. The state runs on from block to block, so a file is
//! read up to its first damage and no further. Nothing here panics on any bytes, and no length that a file
//! claims is believed before it is there.
#![forbid(unsafe_code)]

mod block;
mod code;
mod event;
mod facts;
mod identity;
mod number;
mod reader;
mod writer;

pub use event::{Action, Event};
pub use facts::{Ending, Facts};
pub use identity::Identities;
pub use reader::{Damage, OpenError, Reader};
pub use writer::Writer;

/// Version of the format: a reader refuses any other.
pub const VERSION: u32 = 1;
/// Cycles of the time stamp counter in one unit of a stored clock.
pub const CLOCK_CYCLES: u64 = 64;

/// First bytes of every version.
const MAGIC: [u8; 8] = *b"BSPTRACE";
