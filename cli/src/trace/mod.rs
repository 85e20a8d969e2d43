//! Allocation traces: recorded from a run, read, summed up. The format is `bespoke-trace`'s.

mod series;
mod sites;
mod summary;

pub use sites::Sites;
pub use summary::{Buckets, Summary};

use crate::error::Error;
use bespoke_monitor::open_regular;
use bespoke_trace::Reader;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// A trace file being read.
pub type FileReader = Reader<BufReader<File>>;

/// Opens the trace at `path`.
///
/// # Errors
///
/// When it cannot be read, is no trace, or is one of another version.
pub fn open(path: &Path) -> Result<FileReader, Error> {
    let file = open_regular(path).map_err(Error::file("read", path))?;
    let buffered = BufReader::with_capacity(256 << 10, file);
    Reader::open(buffered).map_err(|source| Error::Trace {
        path: path.to_path_buf(),
        source,
    })
}

/// Says on standard error what is wrong with a trace that was read to its end, if anything is.
pub fn warn(path: &Path, reader: &FileReader) {
    let events = reader.events();
    match reader.result() {
        Some(Err(damage)) => eprintln!(
            "bespoke: {} is {damage}; the {events} events before that are used",
            path.display()
        ),
        Some(Ok(ending)) if !ending.cut_short.is_empty() => eprintln!(
            "bespoke: {} ends before its run did: {}; its {events} events are used",
            path.display(),
            ending.cut_short
        ),
        _ => {}
    }
}
