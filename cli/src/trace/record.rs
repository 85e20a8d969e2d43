//! From the records of an image to a trace file, on the monitor's thread while the image runs.
//! Owns the file until the trace ends.

use crate::composition::Component;
use crate::error::Error;
use bespoke_abi::trace::{ALLOCATE, ALLOCATE_ZEROED, CLOCK_SHIFT, FREE, RESIZE, Record};
use bespoke_trace::{Action, Ending, Event, Facts, Identities, Writer};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// A trace that is being recorded.
pub struct Recorder {
    writer: Writer<File>,
    identities: Identities,
    /// From slots of the statistics page to indices of the trace's components.
    indices: [Option<u8>; 256],
    first_clock: Option<u64>,
}

impl Recorder {
    /// Begins the trace of `components` at `path`.
    pub fn create(path: &Path, facts: &Facts, components: &[Component]) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::file("create", path))?;
        let writer = Writer::new(file, facts).map_err(Error::file("write", path))?;
        let mut indices = [None; 256];
        for (index, component) in (0..).zip(components) {
            indices[usize::from(component.slot())] = Some(index);
        }
        Ok(Self {
            writer,
            identities: Identities::default(),
            indices,
            first_clock: None,
        })
    }

    /// Writes what the image recorded.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or a record makes no sense.
    pub fn take(&mut self, records: &[Record]) -> io::Result<()> {
        records.iter().try_for_each(|record| {
            let event = self.event(record).ok_or_else(|| {
                let what = format!("the image damaged its trace ring: {record:x?}");
                io::Error::new(ErrorKind::InvalidData, what)
            })?;
            self.writer.put(&event)
        })
    }

    fn event(&mut self, record: &Record) -> Option<Event> {
        let component = self.indices[usize::from(record.component)]?;
        let size = record.size;
        let first_clock = *self.first_clock.get_or_insert(record.clock);
        let action = match record.operation {
            ALLOCATE | ALLOCATE_ZEROED => Action::Allocate {
                size,
                zeroed: record.operation == ALLOCATE_ZEROED,
                new: (record.new != 0).then(|| self.identities.grant(record.new)),
            },
            FREE => Action::Free {
                old: self.identities.end(record.old),
            },
            RESIZE if record.new == 0 => Action::Resize {
                old: self.identities.find(record.old),
                size,
                new: None,
            },
            RESIZE => Action::Resize {
                old: self.identities.end(record.old),
                size,
                new: Some(self.identities.grant(record.new)),
            },
            _ => return None,
        };
        Some(Event {
            component,
            align_log2: record.align_log2,
            site: record.site,
            clock: record.clock.saturating_sub(first_clock) << CLOCK_SHIFT,
            action,
        })
    }

    /// Ends the trace; returns the number of its events.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn finish(self, ending: Ending) -> io::Result<u64> {
        let events = self.writer.events();
        self.writer.finish(ending)?;
        Ok(events)
    }
}
