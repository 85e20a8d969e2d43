//! Trace files on this machine: opened, and what is wrong with one that was read.

use crate::Error;
use bespoke_monitor::open_regular;
use bespoke_recipe::FileError;
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
pub fn open_trace(path: &Path) -> Result<FileReader, Error> {
    let file = open_regular(path).map_err(FileError::of("read", path))?;
    let buffered = BufReader::with_capacity(256 << 10, file);
    Reader::open(buffered).map_err(|source| Error::Trace {
        path: path.to_path_buf(),
        source,
    })
}

/// What is wrong with a trace that was read to its end, if anything is.
pub fn damage_of_trace(path: &Path, reader: &FileReader) -> Option<String> {
    let events = reader.events();
    match reader.result() {
        Some(Err(damage)) => Some(format!(
            "{} is {damage}; the {events} events before that are used",
            path.display()
        )),
        Some(Ok(ending)) if !ending.cut_short.is_empty() => Some(format!(
            "{} ends before its run did: {}; its {events} events are used",
            path.display(),
            ending.cut_short
        )),
        _ => None,
    }
}
