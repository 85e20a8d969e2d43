//! Relays standard input, output and error between our descriptors and the
//! consoles of an image on a stock monitor.
//!
//! Input is read ahead of the image, up to the size of a pipe, because nothing
//! tells when the image wants some.
//! It is encoded as the image's console reads it (`libos/src/platform/pvh/console.rs`): ^D ends it,
//! ^V makes the next byte an ordinary one.
//! No byte that the image wrote before its end is lost.
//!
//! Output is read as it arrives, even while our own reader is slow, because QEMU's console drops
//! what its descriptor does not accept at once.
//! It is buffered here, up to [`MOST_WAITING_BYTES`].

use crate::MonitorError;
use crate::firecracker::Status;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The byte that ends the input of the image's console.
pub(crate) const END_OF_INPUT: u8 = 4;
const LITERAL_NEXT: u8 = 22;
const CHUNK_BYTES: usize = 64 << 10;
/// Most output of one stream that may wait for a slow reader, so that an
/// image cannot fill the host's memory.
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Most bytes of the monitor's messages, from their beginning, that are kept for an error.
const MOST_SAID_BYTES: usize = 4096;
const STANDARD_INPUT: RawFd = 0;

/// See the module.
pub(crate) struct Relay {
    input: File,
    /// Encoded input in flight.
    pending: Vec<u8>,
    /// Standard input has not ended.
    reads: bool,
    /// The image's standard output and standard error, until the monitor has ended.
    outputs: [Option<File>; 2],
    /// Output in flight to our descriptors of the same kind.
    waiting: [VecDeque<u8>; 2],
    /// The monitor's own standard error.
    messages: Option<File>,
    said: Vec<u8>,
    /// One of our readers has closed its end.
    broken: bool,
    /// Extracts the image's last line from its output.
    status: Option<Status>,
}

/// Which can proceed: input, room for it, output, error, messages, room for output, room for error.
pub(crate) struct Ready([bool; 7]);

impl Relay {
    /// Makes a relay between our standard descriptors and these pipe ends; `input` does not block.
    pub(crate) fn new(input: OwnedFd, outputs: [Option<OwnedFd>; 2], messages: OwnedFd) -> Self {
        Self {
            input: input.into(),
            pending: Vec::new(),
            reads: true,
            outputs: outputs.map(|output| output.map(File::from)),
            waiting: [VecDeque::new(), VecDeque::new()],
            messages: Some(messages.into()),
            said: Vec::new(),
            broken: false,
            status: None,
        }
    }

    /// Extracts the image's last line from its standard output.
    pub(crate) fn with_status(self, status: Status) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// Returns the exit code in that line, after everything has closed.
    pub(crate) fn status(&mut self) -> Option<u8> {
        match self.status.take()?.end() {
            Ok(code) => Some(code),
            Err(rest) => {
                // As for all output.
                let _ = write_all(1, &rest);
                None
            }
        }
    }

    /// Waits for an event, for at most `limit`, or until a signal comes.
    /// Returns `None` when the monitor has closed everything, as it does at its
    /// end, and nothing waits any more.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Result<Option<Ready>, MonitorError> {
        let entry = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let file = |file: &Option<File>| file.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let output = |index: usize| match self.waiting[index].len() {
            ..MOST_WAITING_BYTES => file(&self.outputs[index]),
            _ => -1,
        };
        let ours = |index: usize| match self.waiting[index].is_empty() {
            true => -1,
            false => our_descriptor(index),
        };
        let (wants, has) = (
            self.reads && self.pending.is_empty(),
            !self.pending.is_empty(),
        );
        let mut polled = [
            entry(if wants { STANDARD_INPUT } else { -1 }, libc::POLLIN),
            entry(if has { self.input.as_raw_fd() } else { -1 }, libc::POLLOUT),
            entry(output(0), libc::POLLIN),
            entry(output(1), libc::POLLIN),
            entry(file(&self.messages), libc::POLLIN),
            entry(ours(0), libc::POLLOUT),
            entry(ours(1), libc::POLLOUT),
        ];
        if polled[2..].iter().all(|entry| entry.fd < 0) {
            return Ok(None);
        }
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: limit.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let count = polled.len() as libc::nfds_t;
        // SAFETY: as many structures as the count says, and a time limit or none.
        let ready = unsafe { libc::ppoll(polled.as_mut_ptr(), count, limit, std::ptr::null()) };
        if ready < 0 {
            return match io::Error::last_os_error().kind() {
                ErrorKind::Interrupted => Ok(Some(Ready([false; 7]))),
                _ => Err(MonitorError::host("wait for the monitor")),
            };
        }
        Ok(Some(Ready(polled.map(|entry| entry.revents != 0))))
    }

    /// Moves the data that is ready.
    pub(crate) fn turn(&mut self, ready: Ready) {
        let Ready(
            [
                input,
                room,
                output,
                error,
                messages,
                output_room,
                error_room,
            ],
        ) = ready;
        if input {
            self.take_input();
        }
        if room {
            self.give_input();
        }
        for (index, came) in [output, error].into_iter().enumerate() {
            if came {
                self.take_output(index);
            }
        }
        for (index, has_room) in [output_room, error_room].into_iter().enumerate() {
            if has_room {
                self.give_output(index);
            }
        }
        if messages {
            self.listen();
        }
    }

    /// Whether a reader of the image's output has closed its end since the last call.
    pub(crate) fn was_broken(&mut self) -> bool {
        std::mem::take(&mut self.broken)
    }

    /// Returns the monitor's own messages in one line.
    pub(crate) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.said);
        text.lines().collect::<Vec<_>>().join("; ")
    }

    fn take_input(&mut self) {
        let mut bytes = [0; CHUNK_BYTES];
        // SAFETY: as many bytes as the array has. Not `Stdin`: it would read ahead, too, and keep it.
        let got = unsafe { libc::read(STANDARD_INPUT, bytes.as_mut_ptr().cast(), bytes.len()) };
        match got {
            1.. => self.pending = code(&bytes[..got as usize]),
            // A terminal of another job, or a closed descriptor, also counts as the end.
            _ if got == 0 || !is_passing(&io::Error::last_os_error()) => {
                self.reads = false;
                self.pending = vec![END_OF_INPUT];
            }
            _ => {}
        }
    }

    fn give_input(&mut self) {
        match self.input.write(&self.pending) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(error) if is_passing(&error) => {}
            // The monitor ends; its outputs show it.
            Err(_) => {
                self.pending.clear();
                self.reads = false;
            }
        }
    }

    /// Reads a chunk of stream `index`.
    fn take_output(&mut self, index: usize) {
        let mut bytes = [0; CHUNK_BYTES];
        let got = match &mut self.outputs[index] {
            Some(output) => output.read(&mut bytes),
            None => return,
        };
        match got {
            Ok(0) => self.outputs[index] = None,
            Ok(count) => match (&mut self.status, index) {
                (Some(status), 0) => self.waiting[0].extend(status.pass(&bytes[..count])),
                _ => self.waiting[index].extend(&bytes[..count]),
            },
            Err(error) if is_passing(&error) => {}
            Err(_) => self.outputs[index] = None,
        }
    }

    /// Writes to our descriptor of stream `index` what it accepts without blocking: a pipe with
    /// room accepts `PIPE_BUF` bytes.
    fn give_output(&mut self, index: usize) {
        let bytes = self.waiting[index].as_slices().0;
        let count = bytes.len().min(libc::PIPE_BUF);
        // SAFETY: so many bytes of the queue.
        let wrote = unsafe { libc::write(our_descriptor(index), bytes.as_ptr().cast(), count) };
        if wrote >= 0 {
            self.waiting[index].drain(..wrote as usize);
            return;
        }
        let error = io::Error::last_os_error();
        if is_passing(&error) {
            return;
        }
        // On a full disk only this part of a log is lost.
        self.waiting[index].clear();
        self.broken |= error.kind() == ErrorKind::BrokenPipe;
    }

    fn listen(&mut self) {
        let mut bytes = [0; MOST_SAID_BYTES];
        let got = match &mut self.messages {
            Some(messages) => messages.read(&mut bytes),
            None => return,
        };
        match got {
            Ok(0) => self.messages = None,
            Ok(count) => {
                let room = MOST_SAID_BYTES - self.said.len();
                self.said.extend(&bytes[..count.min(room)]);
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => self.messages = None,
        }
    }
}

/// Returns our descriptor for the image's standard output (0) or standard error (1).
fn our_descriptor(index: usize) -> RawFd {
    index as RawFd + 1
}

/// Whether the error is temporary.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

/// Encodes `bytes` as the image's console reads them: at most twice as many.
pub(crate) fn code(bytes: &[u8]) -> Vec<u8> {
    let mut coded = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte == END_OF_INPUT || byte == LITERAL_NEXT {
            coded.push(LITERAL_NEXT);
        }
        coded.push(byte);
    }
    coded
}

/// Writes all of `bytes`, and waits for room if the descriptor does not block.
pub(crate) fn write_all(descriptor: RawFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: bytes of this frame.
        let wrote = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        if wrote >= 0 {
            bytes = &bytes[wrote as usize..];
            continue;
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            ErrorKind::Interrupted => {}
            ErrorKind::WouldBlock => {
                let mut entry = libc::pollfd {
                    fd: descriptor,
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: one structure, as the count says.
                unsafe { libc::poll(&raw mut entry, 1, -1) };
            }
            _ => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn bytes_that_mean_something_to_the_console_are_marked() {
        assert_eq!(code(b"a\x04b\x16c"), b"a\x16\x04b\x16\x16c");
        assert_eq!(code(b""), b"");
    }
}
