//! The pipes through which a process writes its exports. With direct access to the
//! files it could fill the host's disk.

use super::Exports;
use super::list::Refused;
use crate::MonitorError;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

impl Exports {
    /// Makes a pipe for each export.
    pub(crate) fn make_pipes(&self) -> Result<(), MonitorError> {
        const PIPE_BYTES: i32 = 1 << 20;
        for export in &self.list {
            let mut ends = [0; 2];
            // SAFETY: fills two descriptors, owned from here on.
            let (reader, writer) = unsafe {
                if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
                    return Err(MonitorError::host("create a pipe"));
                }
                (File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
            };
            // SAFETY: no structure is passed. A refusal leaves a smaller pipe.
            unsafe { libc::fcntl(ends[0], libc::F_SETPIPE_SZ, PIPE_BYTES) };
            *export.reader.borrow_mut() = Some(reader);
            *export.writer.borrow_mut() = Some(writer);
        }
        Ok(())
    }

    /// Returns the guest's ends of the pipes, in the order of the exports.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let writers = self.list.iter().map(|export| &export.writer);
        writers
            .filter_map(|writer| writer.borrow().as_ref().map(AsRawFd::as_raw_fd))
            .collect()
    }

    /// Closes the guest's ends, after a child has inherited them.
    pub(crate) fn close_writers(&self) {
        for export in &self.list {
            export.writer.borrow_mut().take();
        }
    }

    /// Returns our ends of the open pipes, with the number of the export.
    pub(crate) fn readers(&self) -> Vec<(usize, i32)> {
        let readers = self.list.iter().map(|export| &export.reader).enumerate();
        readers
            .filter_map(|(n, reader)| Some((n, reader.borrow().as_ref()?.as_raw_fd())))
            .collect()
    }

    /// Reads the contents of the pipe of export `number`, blocking;
    /// returns whether there may be more.
    pub(crate) fn take(&self, number: usize) -> bool {
        let export = &self.list[number];
        let mut open = export.reader.borrow_mut();
        let Some(reader) = open.as_mut() else {
            return false;
        };
        let mut chunk = [0; 1 << 16];
        let taken = match reader.read(&mut chunk) {
            Ok(0) => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(Refused::Failed(error))),
            Ok(count) => match self.left_bytes.get().checked_sub(count as u64) {
                None => Some(Err(Refused::OverLimit)),
                Some(left) => {
                    self.left_bytes.set(left);
                    let written = (&export.spool.file).write_all(&chunk[..count]);
                    Some(written.map_err(Refused::Failed))
                }
            },
        };
        match taken {
            Some(Ok(())) => return true,
            Some(Err(refused)) => export.end(refused),
            None => {}
        }
        // A guest that continues to write gets EPIPE.
        open.take();
        false
    }

    /// Reads the rest from all pipes, after the guest has ended. A helper process that was started
    /// meanwhile may still hold the other ends.
    pub(crate) fn take_rest(&self) {
        for (number, fd) in self.readers() {
            // SAFETY: no structure is passed.
            unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
            while self.take(number) {}
        }
    }
}
