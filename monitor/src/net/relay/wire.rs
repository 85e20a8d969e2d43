//! The relay's end of the link: frames with lengths over a stream (QEMU's `-netdev stream`).
//! It is a device of the network stack, but keeps datagrams, and segments that
//! open a connection, for the relay.
//! The image is untrusted: an invalid length ends the link.

use super::addresses::{MTU_BYTES, RELAY_MAC};
use super::system;
use bespoke_net::IpEndpoint;
use bespoke_net::device::{Device, Offload, Receive, Received, Transmit};
use bespoke_net::passing::{Outgoing, Passing, look};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

const LENGTH_BYTES: usize = 4;
const MAX_FRAME_BYTES: usize = MTU_BYTES as usize + 64;
/// Size of the input buffer: frames are read as many at a time as fit.
const INPUT_BYTES: usize = 256 << 10;
/// No frame is accepted while more than this waits to be sent.
const OUTPUT_BYTES: usize = 1 << 20;
/// Most frames kept before the relay must handle them.
const MOST_KEPT: usize = 256;

/// A frame kept for the relay.
pub(super) enum Kept {
    /// A datagram.
    Datagram {
        from: IpEndpoint,
        to: IpEndpoint,
        payload: Vec<u8>,
    },
    /// A segment that opens a connection. It is given back when the outcome is known.
    Opening {
        from: IpEndpoint,
        to: IpEndpoint,
        frame: Vec<u8>,
    },
}

/// See the module.
pub(super) struct Wire {
    input: Input,
    output: Output,
}

struct Input {
    link: Rc<OwnedFd>,
    buffer: Vec<u8>,
    /// Unread input lies between these.
    start: usize,
    end: usize,
    is_ended: bool,
    /// It ended because the image sent an invalid frame.
    is_broken: bool,
    kept: Vec<Kept>,
    /// Frames given back by the relay.
    returned: VecDeque<Vec<u8>>,
    /// The one of them that the stack is reading.
    current: Vec<u8>,
    /// Received frames.
    frames: u64,
}

struct Output {
    link: Rc<OwnedFd>,
    buffer: Vec<u8>,
    sent: usize,
    is_ended: bool,
    /// Sent frames.
    frames: u64,
}

impl Wire {
    pub(super) fn new(link: OwnedFd) -> Self {
        let link = Rc::new(link);
        Self {
            input: Input {
                link: link.clone(),
                buffer: vec![0; INPUT_BYTES],
                start: 0,
                end: 0,
                is_ended: false,
                is_broken: false,
                kept: Vec::new(),
                returned: VecDeque::new(),
                current: Vec::new(),
                frames: 0,
            },
            output: Output {
                link,
                buffer: Vec::new(),
                sent: 0,
                is_ended: false,
                frames: 0,
            },
        }
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.input.link.as_raw_fd()
    }

    /// Whether the image's end is closed.
    pub(super) fn is_ended(&self) -> bool {
        self.input.is_ended || self.output.is_ended
    }

    /// Whether the reason is an invalid frame from the image.
    pub(super) fn is_broken(&self) -> bool {
        self.input.is_broken
    }

    /// Whether frames wait until the image reads some.
    pub(super) fn has_unsent(&self) -> bool {
        self.output.sent < self.output.buffer.len()
    }

    /// Returns the number of frames received and sent.
    pub(super) fn moved(&self) -> u64 {
        self.input.frames + self.output.frames
    }

    /// Takes the frames kept since the last call.
    pub(super) fn take_kept(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.input.kept)
    }

    /// Gives a frame to the stack as if it arrived now.
    pub(super) fn give_back(&mut self, frame: Vec<u8>) {
        self.input.returned.push_back(frame);
    }

    /// Whether the stack has input without reading the link.
    pub(super) fn has_input(&self) -> bool {
        !self.input.returned.is_empty() || self.input.next().is_some_and(|frame| frame.is_ok())
    }

    /// Sends a datagram if there is room; datagrams may be lost.
    pub(super) fn send_datagram(&mut self, datagram: &Outgoing<'_>) {
        if datagram.packet_bytes() <= MTU_BYTES.into() && self.output.ready() {
            self.output
                .send(datagram.frame_bytes(), None, &mut |frame| {
                    datagram.write(frame)
                });
        }
    }
}

/// The other side sends invalid frames.
struct Nonsense;

impl Input {
    /// Finds the next whole frame.
    fn next(&self) -> Option<Result<(usize, usize), Nonsense>> {
        let rest = &self.buffer[self.start..self.end];
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let bytes = u32::from_be_bytes(*length) as usize;
        if bytes == 0 || bytes > MAX_FRAME_BYTES {
            return Some(Err(Nonsense));
        }
        let start = self.start + LENGTH_BYTES;
        (rest.len() >= bytes).then_some(Ok((start, start + bytes)))
    }

    /// Reads available input; returns false when there was none.
    fn fill(&mut self) -> bool {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match system::receive(&self.link, &mut self.buffer[self.end..]) {
            Ok(0) => self.is_ended = true,
            Ok(bytes) => self.end += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.is_ended = true,
        }
        !self.is_ended
    }
}

impl Receive for Input {
    fn receive(&mut self) -> Option<Received<'_>> {
        if let Some(frame) = self.returned.pop_front() {
            self.current = frame;
            return Some(Received {
                frame: &self.current,
                checked: true,
            });
        }
        while !self.is_ended && self.kept.len() < MOST_KEPT {
            let (start, end) = match self.next() {
                Some(Ok(range)) => range,
                Some(Err(Nonsense)) => {
                    (self.is_ended, self.is_broken) = (true, true);
                    break;
                }
                None if self.fill() => continue,
                None => break,
            };
            self.start = end;
            self.frames += 1;
            let frame = &self.buffer[start..end];
            match look(frame) {
                Passing::Datagram { from, to, payload } => self.kept.push(Kept::Datagram {
                    from,
                    to,
                    payload: payload.to_vec(),
                }),
                Passing::Opening { from, to } => self.kept.push(Kept::Opening {
                    from,
                    to,
                    frame: frame.to_vec(),
                }),
                Passing::Other => {
                    return Some(Received {
                        frame: &self.buffer[start..end],
                        checked: false,
                    });
                }
            }
        }
        None
    }
}

impl Output {
    fn write(&mut self) {
        while self.sent < self.buffer.len() && !self.is_ended {
            match system::send(&self.link, &self.buffer[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.buffer.drain(..self.sent);
                    self.sent = 0;
                    return;
                }
                Err(_) => self.is_ended = true,
            }
        }
        self.buffer.clear();
        self.sent = 0;
    }

    fn has_room(&self) -> bool {
        self.buffer.len() - self.sent < OUTPUT_BYTES
    }
}

impl Transmit for Output {
    fn ready(&mut self) -> bool {
        if !self.has_room() {
            self.write();
        }
        self.has_room()
    }

    fn send(
        &mut self,
        bytes: usize,
        _segment: Option<NonZeroU16>,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        // Replies come without a check for room; they are small.
        let length = (bytes as u32).to_be_bytes();
        self.frames += 1;
        self.buffer.extend_from_slice(&length);
        let start = self.buffer.len();
        self.buffer.resize(start + bytes, 0);
        fill(&mut self.buffer[start..]);
    }

    fn flush(&mut self) {
        self.write();
    }
}

impl Device for Wire {
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.input, &mut self.output)
    }
    fn offload(&self) -> Offload {
        Offload::default()
    }
    fn mtu(&self) -> usize {
        MTU_BYTES.into()
    }
    fn hardware_address(&self) -> [u8; 6] {
        RELAY_MAC
    }
}
