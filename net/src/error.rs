//! Errors of socket operations.

/// A `Result` of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// Errors of socket operations; the discriminants are Linux error numbers (x86-64).
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The handle is not a valid socket.
    BadDescriptor = 9,
    /// The operation would block.
    WouldBlock = 11,
    /// Memory for buffers or tables is exhausted.
    NoMemory = 12,
    /// A broadcast from a socket without `SO_BROADCAST`.
    AccessDenied = 13,
    /// The operation does not fit the socket's state, or the arguments are wrong.
    Invalid = 22,
    /// The peer has gone, or this side has shut down writing.
    BrokenPipe = 32,
    /// A datagram needs a destination.
    DestinationRequired = 89,
    /// The datagram does not fit a packet of the link.
    MessageTooLong = 90,
    /// The option is unknown.
    NoProtocolOption = 92,
    /// The operation does not apply to this kind of socket.
    NotSupported = 95,
    /// The address family does not fit the socket.
    AddressFamily = 97,
    /// Another socket has the address.
    AddressInUse = 98,
    /// The address does not belong to this machine.
    AddressNotAvailable = 99,
    /// No route to the destination.
    NetworkUnreachable = 101,
    /// The connection was aborted.
    Aborted = 103,
    /// The peer reset the connection.
    Reset = 104,
    /// The socket is already connected.
    IsConnected = 106,
    /// The socket is not connected.
    NotConnected = 107,
    /// The peer did not answer in time.
    TimedOut = 110,
    /// No socket listens there.
    Refused = 111,
    /// The router reports that the host is unreachable.
    HostUnreachable = 113,
    /// A connection attempt is already in progress.
    Already = 114,
    /// A connection attempt has started; wait until the socket is writable.
    InProgress = 115,
}

impl Error {
    /// The Linux error number.
    pub const fn number(self) -> i32 {
        self as i32
    }
}
