//! Allocation traces as files: what the components of an image allocated, in order.
//!
//! ```text
//! file    magic (8 bytes), version (u32), blocks
//! block   kind (u8), length of the payload (u32), CRC-32 (u32), payload
//!         kinds: facts, once and first; events; ending, once and last
//! events  as the image wrote them, whole ones: `bespoke_abi::trace` says how
//! ```
//!
//! Numbers with a stated width are little endian; others have 7 bits a byte, lowest first.
//! The CRC covers the block's position in the file, its kind, length and payload. So a missing
//! or moved block is detected, too.
//!
//! The writer stores events without decoding them, because it takes time from the recorded run.
//! There, events name blocks of memory by address.
//! The reader converts each address to the number of a grant, counted over the whole trace.
//! The state of both continues from block to block, so a file is read up to
//! its first damage and no further.
//! No input makes this crate panic, and no length in a file is trusted
//! before that many bytes are there.
//! bytes, and no length that a file claims is believed before it is there.
//!
//! ```
//! use bespoke_abi::trace::{ALLOCATE, Encoder, MOST_EVENT_BYTES, Record};
//! use bespoke_trace::{Action, Ending, Facts, Reader, Writer};
//!
//! let facts = Facts { app: "hello".into(), components: vec!["app".into()], slots: vec![0], ..Facts::default() };
//! let mut file = Vec::new();
//! let mut writer = Writer::new(&mut file, &facts)?;
//!
//! let record = Record {
//!     operation: ALLOCATE,
//!     component: 0,
//!     align_log2: 4,
//!     site: 0,
//!     clock: 0,
//!     size: 100,
//!     old: 0,
//!     new: 0x4000,
//! };
//! let mut event = [0; MOST_EVENT_BYTES];
//! let length = Encoder::new().put(&mut event, &record);
//! writer.put(&event[..length])?;
//! writer.finish(Ending::default())?;
//!
//! let mut reader = Reader::open(&file[..]).expect("a trace");
//! let event = reader.next().expect("an event");
//! assert_eq!(event.action, Action::Allocate { size: 100, zeroed: false, new: Some(0) });
//! assert_eq!(reader.next(), None);
//! assert!(matches!(reader.result(), Some(Ok(_))), "the whole file was read");
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

mod block;
mod event;
mod facts;
mod identity;
mod number;
mod reader;
mod series;
mod summary;
mod writer;

pub use event::{Action, Event};
pub use facts::{Ending, Facts};
pub use reader::{Damage, OpenError, Reader};
pub use summary::{Buckets, Counts, Site, Summary};
pub use writer::Writer;

/// Version of the format. A reader refuses any other version.
pub const VERSION: u32 = 2;
/// Cycles of the time stamp counter in one unit of a stored clock.
pub const CLOCK_CYCLES: u64 = 1 << bespoke_abi::trace::CLOCK_SHIFT;

/// First bytes of every version.
const MAGIC: [u8; 8] = *b"BSPTRACE";
