//! Whole frames over a link's descriptor, each after a virtio header, for a network device. It
//! never blocks and never trusts a length.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

/// Size of the `virtio_net_hdr_v1` before every frame.
pub(crate) const HEADER_BYTES: usize = 12;
/// The largest frame: a segment of 64 KiB, its Ethernet header, and some spare room.
pub(crate) const MAX_FRAME_BYTES: usize = 65_536 + 64;
/// Size of a stream's length field.
const LENGTH_BYTES: usize = 4;
/// Size of a stream's input buffer: frames are read as many at a time as fit.
const INPUT_BYTES: usize = 256 << 10;
/// No frame is accepted while more than this waits to be sent.
const OUTPUT_BYTES: usize = 256 << 10;

/// Outcome of sending a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The link has taken it, or it is lost.
    Done,
    /// The link accepts no more at present.
    Blocked,
}

/// A nonblocking link; the descriptor belongs to its owner.
pub(crate) struct FrameLink {
    descriptor: RawFd,
    stream: Option<Stream>,
    is_ended: bool,
}

/// A stream's bytes in flight.
#[derive(Default)]
struct Stream {
    input: Vec<u8>,
    /// Number of bytes of `input` that were consumed.
    taken: usize,
    output: Vec<u8>,
    /// Number of bytes of `output` that were sent.
    sent: usize,
}

impl FrameLink {
    /// Makes a link over a TAP device with headers of [`HEADER_BYTES`].
    pub(crate) fn tap(descriptor: RawFd) -> Self {
        Self {
            descriptor,
            stream: None,
            is_ended: false,
        }
    }

    /// Makes a link over a stream of frames with lengths.
    pub(crate) fn stream(descriptor: RawFd) -> Self {
        Self {
            stream: Some(Stream::default()),
            ..Self::tap(descriptor)
        }
    }

    /// Returns the descriptor, or -1 after the other side has ended.
    pub(crate) fn descriptor(&self) -> RawFd {
        if self.is_ended { -1 } else { self.descriptor }
    }

    /// Whether accepted frames wait for the other side.
    pub(crate) fn has_unsent(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| stream.sent < stream.output.len())
    }

    /// Sets the offloads of a TAP device (`TUN_F_*`).
    pub(crate) fn offload(&self, bits: u32) {
        if self.stream.is_none() {
            // SAFETY: the ioctl takes its argument by value. What is on already is refused by no kernel
            // that offered it.
            unsafe {
                libc::ioctl(
                    self.descriptor,
                    libc::TUNSETOFFLOAD as _,
                    libc::c_ulong::from(bits),
                )
            };
        }
    }

    /// Sends header and frame, in pieces.
    pub(crate) fn send(&mut self, pieces: &[IoSlice]) -> Sent {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.is_ended || bytes <= HEADER_BYTES || bytes > HEADER_BYTES + MAX_FRAME_BYTES {
            return Sent::Done;
        }
        let Some(stream) = &mut self.stream else {
            return send_to_tap(self.descriptor, pieces);
        };
        stream
            .output
            .extend(((bytes - HEADER_BYTES) as u32).to_be_bytes());
        let mut skip = HEADER_BYTES;
        for piece in pieces {
            let part = skip.min(piece.len());
            stream.output.extend_from_slice(&piece[part..]);
            skip -= part;
        }
        if stream.output.len() - stream.sent > OUTPUT_BYTES {
            self.flush();
        }
        Sent::Done
    }

    /// Sends waiting data; returns whether there is room for more.
    pub(crate) fn flush(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return true;
        };
        while stream.sent < stream.output.len() && !self.is_ended {
            let rest = &stream.output[stream.sent..];
            // SAFETY: sends bytes of our own.
            let sent = unsafe {
                libc::send(
                    self.descriptor,
                    rest.as_ptr().cast(),
                    rest.len(),
                    libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
                )
            };
            match sent {
                1.. => stream.sent += sent as usize,
                _ if would_block() => return rest.len() <= OUTPUT_BYTES,
                _ => self.is_ended = true,
            }
        }
        stream.output.clear();
        stream.sent = 0;
        true
    }

    /// Reads the next frame, after its header, into `frame`; returns false when there is none yet.
    pub(crate) fn receive(&mut self, frame: &mut Vec<u8>) -> bool {
        frame.clear();
        if self.is_ended {
            return false;
        }
        let ended = match &mut self.stream {
            None => receive_from_tap(self.descriptor, frame),
            Some(stream) => stream.receive(self.descriptor, frame),
        };
        self.is_ended = ended.is_err();
        !frame.is_empty()
    }
}

/// The other side is gone or sends invalid frames.
struct Ended;

impl Stream {
    fn receive(&mut self, descriptor: RawFd, frame: &mut Vec<u8>) -> Result<(), Ended> {
        if self.next(frame)? {
            return Ok(());
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        let held = self.input.len();
        // Not cleared first: this runs at every exit of the guest.
        self.input.reserve(INPUT_BYTES - held);
        let room = &mut self.input.spare_capacity_mut()[..INPUT_BYTES - held];
        // SAFETY: fills bytes of our own.
        let got = unsafe {
            libc::recv(
                descriptor,
                room.as_mut_ptr().cast(),
                room.len(),
                libc::MSG_DONTWAIT,
            )
        };
        // SAFETY: that many were just filled.
        unsafe { self.input.set_len(held + got.max(0) as usize) };
        match got {
            1.. => self.next(frame).map(|_| ()),
            0 => Err(Ended),
            _ if would_block() => Ok(()),
            _ => Err(Ended),
        }
    }

    /// Takes the next whole frame from the input.
    fn next(&mut self, frame: &mut Vec<u8>) -> Result<bool, Ended> {
        let rest = &self.input[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(false);
        };
        let bytes = u32::from_be_bytes(*length) as usize;
        if bytes == 0 || bytes > MAX_FRAME_BYTES {
            return Err(Ended);
        }
        let Some(body) = rest.get(..bytes) else {
            return Ok(false);
        };
        frame.resize(HEADER_BYTES, 0);
        frame.extend_from_slice(body);
        self.taken += LENGTH_BYTES + bytes;
        Ok(true)
    }
}

fn send_to_tap(descriptor: RawFd, pieces: &[IoSlice]) -> Sent {
    loop {
        // SAFETY: `IoSlice` is laid out as `iovec`; at most 64 pieces of live memory.
        let sent = unsafe { libc::writev(descriptor, pieces.as_ptr().cast(), pieces.len() as i32) };
        if sent >= 0 {
            return Sent::Done;
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Sent::Blocked,
            // An invalid header, or an interface that is down: the frame is lost.
            _ => return Sent::Done,
        }
    }
}

fn receive_from_tap(descriptor: RawFd, frame: &mut Vec<u8>) -> Result<(), Ended> {
    frame.reserve(HEADER_BYTES + MAX_FRAME_BYTES);
    loop {
        // SAFETY: fills spare room of the vector, at most as much as there is.
        let got = unsafe { libc::read(descriptor, frame.as_mut_ptr().cast(), frame.capacity()) };
        if got >= 0 {
            let bytes = got as usize;
            // SAFETY: that many were just filled.
            unsafe { frame.set_len(if bytes > HEADER_BYTES { bytes } else { 0 }) };
            return Ok(());
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Ok(()),
            // The interface was deleted (EBADFD), or is down (EIO).
            Some(libc::EBADFD) => return Err(Ended),
            _ => return Ok(()),
        }
    }
}

fn would_block() -> bool {
    matches!(
        io::Error::last_os_error().raw_os_error(),
        Some(libc::EAGAIN | libc::EINTR)
    )
}
