//! Connections: each is a host socket and a stack socket. Data, ends and resets of one
//! side are forwarded to the other.
//! Nothing is read for which the other side has no room.

use super::system;
use super::wire::Wire;
use bespoke_net::{Error, IpEndpoint, SocketId, Stack};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};

/// Most bytes moved towards the image in one turn, so that others are served, too.
const TURN_BYTES: usize = 256 << 10;

/// Both ends of a connection as seen by the image, its own first.
pub(super) type Ends = (IpEndpoint, IpEndpoint);

/// A connection.
pub(super) struct Stream {
    socket: SocketId,
    host: OwnedFd,
    /// The host's side may be readable and writable.
    readable: bool,
    writable: bool,
    /// The host's side has sent its end, or failed: a short read is not the last.
    hung_up: bool,
    /// The end of either side's stream was forwarded to the other.
    host_over: bool,
    image_over: bool,
    /// The ends of a connection that the image opened.
    pub(super) opened: Option<Ends>,
}

/// How a connection ended before both sides had closed.
enum Broken {
    /// The image reset it, or cannot be reached.
    ByImage,
    /// The host's side reset it.
    ByHost,
}

impl Stream {
    pub(super) fn new(socket: SocketId, host: OwnedFd, opened: Option<Ends>) -> Self {
        Self {
            socket,
            host,
            readable: true,
            writable: true,
            hung_up: false,
            host_over: false,
            image_over: false,
            opened,
        }
    }

    /// Events of the host's socket, each reported once (edge-triggered).
    pub(super) const EVENTS: i32 =
        libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

    /// Moves data both ways. Returns false when the connection, with both sockets, has ended.
    fn pump(&mut self, stack: &mut Stack<Wire>, failed: bool) -> bool {
        let moved = self.move_out(stack).and_then(|()| self.move_in(stack));
        let error = match moved {
            Ok(()) if failed && system::take_error(&self.host) != 0 => Err(Broken::ByHost),
            moved => moved,
        };
        match error {
            Ok(()) if !(self.host_over && self.image_over) => return true,
            Ok(()) => {}
            Err(Broken::ByImage) => system::reset_at_close(&self.host),
            Err(Broken::ByHost) => {
                // The handle is valid until it is closed here.
                let _ = stack.set_linger(self.socket, Some(0));
            }
        }
        let _ = stack.close(self.socket);
        false
    }

    fn move_out(&mut self, stack: &mut Stack<Wire>) -> Result<(), Broken> {
        while self.writable && !self.image_over {
            let (mut is_full, mut is_broken) = (false, false);
            let host = &self.host;
            let taken =
                stack.receive_with(
                    self.socket,
                    usize::MAX,
                    false,
                    &mut |bytes| match system::send(host, bytes) {
                        Ok(sent) => {
                            is_full = sent < bytes.len();
                            sent
                        }
                        Err(error) => {
                            is_full = true;
                            is_broken = error.kind() != ErrorKind::WouldBlock;
                            0
                        }
                    },
                );
            match taken {
                _ if is_broken => return Err(Broken::ByHost),
                Ok(_) if is_full => self.writable = false,
                Ok(0) => {
                    self.image_over = true;
                    system::end_writing(&self.host);
                }
                Ok(_) => {}
                Err(Error::WouldBlock) => break,
                Err(_) => return Err(Broken::ByImage),
            }
        }
        Ok(())
    }

    fn move_in(&mut self, stack: &mut Stack<Wire>) -> Result<(), Broken> {
        while self.readable && !self.host_over {
            let (mut is_dry, mut is_over, mut is_broken) = (false, false, false);
            let (host, hung_up) = (&self.host, self.hung_up);
            let sent = stack.send_with(self.socket, TURN_BYTES, false, &mut |room| {
                if is_dry || is_over || is_broken {
                    return 0;
                }
                match system::receive(host, room) {
                    Ok(0) => is_over = true,
                    Ok(bytes) => {
                        // Data after a short read causes a new event, unless the
                        // end was reported before.
                        is_dry = bytes < room.len() && !hung_up;
                        return bytes;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => is_dry = true,
                    Err(_) => is_broken = true,
                }
                0
            });
            if is_broken {
                return Err(Broken::ByHost);
            }
            self.readable &= !is_dry;
            if is_over {
                self.host_over = true;
                // It fails if the image's side has already ended, which is reported separately.
                let _ = stack.shutdown(self.socket, false, true);
            }
            match sent {
                Ok(_) => {}
                Err(Error::WouldBlock) => break,
                Err(_) => return Err(Broken::ByImage),
            }
        }
        Ok(())
    }
}

/// All connections, by small numbers.
#[derive(Default)]
pub(super) struct Streams {
    streams: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// The connection of a stack socket, by its index.
    by_socket: Vec<u32>,
}

impl Streams {
    /// Adds a connection; returns its number.
    pub(super) fn add(&mut self, stream: Stream) -> u32 {
        let index = stream.socket.index();
        let number = self.free.pop().unwrap_or(self.streams.len() as u32);
        if index >= self.by_socket.len() {
            self.by_socket.resize(index + 1, u32::MAX);
        }
        self.by_socket[index] = number;
        match self.streams.get_mut(number as usize) {
            Some(place) => *place = Some(stream),
            None => self.streams.push(Some(stream)),
        }
        number
    }

    /// Returns the descriptor of the host's side of a connection.
    pub(super) fn descriptor(&self, number: u32) -> Option<i32> {
        let stream = self.streams.get(number as usize)?.as_ref()?;
        Some(stream.host.as_raw_fd())
    }

    /// Returns the connection of a stack socket.
    pub(super) fn of(&self, socket: SocketId) -> Option<u32> {
        let number = *self.by_socket.get(socket.index())?;
        let stream = self.streams.get(number as usize)?.as_ref()?;
        (stream.socket == socket).then_some(number)
    }

    /// Handles an event of the host's side, or (without events) of the image's side: moves data.
    /// Returns the connection if it has ended.
    pub(super) fn serve(
        &mut self,
        number: u32,
        events: u32,
        stack: &mut Stack<Wire>,
    ) -> Option<Stream> {
        let place = self.streams.get_mut(number as usize)?;
        let stream = place.as_mut()?;
        let has = |bits: i32| events & bits as u32 != 0;
        stream.hung_up |= has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
        stream.readable |= stream.hung_up || has(libc::EPOLLIN);
        stream.writable |= has(libc::EPOLLOUT | libc::EPOLLERR);
        if stream.pump(stack, has(libc::EPOLLERR)) {
            return None;
        }
        self.free.push(number);
        place.take()
    }

    /// Returns how many of the image's bytes clients have not read. O(connections).
    pub(super) fn behind(&self, stack: &mut Stack<Wire>) -> usize {
        let streams = self.streams.iter().flatten();
        let behind = streams.map(|stream| stack.readable_bytes(stream.socket).unwrap_or(0));
        behind.sum()
    }
}
