//! Instead of `inet` in images without a network: there are no Internet sockets, and the compiler
//! knows it. Owns nothing.

use super::control::Room;
use super::kept::{Family, Kept};
use super::vector::{Gather, Scatter};
use super::waiters::Queue;
use super::{Errno, Files, Guest, Host, Objects, Result, Waitable};
use linux_raw_sys::net::msghdr;

/// Names no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {}

impl Handle {
    /// See `inet`.
    pub fn is_stream(self) -> bool {
        match self {}
    }
}

/// Nobody.
#[derive(Clone, Copy)]
pub(crate) enum Source {}

impl Source {
    /// See `inet`.
    pub fn is_truncated(self) -> bool {
        match self {}
    }

    /// See `inet`.
    pub fn whole_bytes(self) -> usize {
        match self {}
    }

    /// See `inet`.
    pub fn put_control(self, _guest: Guest, _kept: &Kept, _room: &mut Room) -> Result<()> {
        match self {}
    }

    /// See `inet`.
    pub fn give(self, _guest: Guest, _at: usize, _length_at: usize) -> Result {
        match self {}
    }
}

/// No address.
#[derive(Clone, Copy)]
pub(crate) enum OwnAddress {}

/// No sockets.
pub(crate) struct Network;

impl Network {
    /// No sockets.
    pub const fn new() -> Self {
        Self
    }

    /// No sockets.
    pub fn close_all(&mut self) {}

    /// No sockets.
    pub fn unacknowledged(&self) -> usize {
        0
    }

    /// Nobody listens.
    pub fn unheard_port(&mut self) -> Option<u16> {
        None
    }

    /// Nothing to wait for.
    pub fn sources(&mut self) -> (Option<u64>, u64) {
        (None, 0)
    }
}

impl Objects {
    /// See `inet`.
    pub fn read_inet<H: Host>(
        &mut self,
        _host: &H,
        handle: Handle,
        _to: &mut Scatter<'_>,
        _peek: bool,
    ) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub fn write_inet<H: Host>(
        &mut self,
        _host: &H,
        handle: Handle,
        _from: &mut Gather<'_>,
    ) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_readiness(&mut self, handle: Handle) -> u32 {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn set_inet_service(&mut self, handle: Handle, _v6: bool, _service: u8) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_is_shut(&mut self, handle: Handle) -> bool {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_queue(&self, handle: Handle) -> Queue {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_bytes<H: Host>(&mut self, _host: &H, handle: Handle) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_unsent(&mut self, handle: Handle) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub fn close_inet(&mut self, handle: Handle) {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_source(&mut self, handle: Handle) -> Option<Source> {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_kept(&mut self, handle: Handle) -> &mut Kept {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_family(&self, handle: Handle) -> Family {
        match handle {}
    }

    /// See `inet`.
    pub fn set_inet_more(&mut self, handle: Handle, _flags: u32) {
        match handle {}
    }

    /// See `inet`.
    pub fn inet_timeout_ns(&mut self, handle: Handle, _side: usize) -> &mut u64 {
        match handle {}
    }

    /// Nothing happens.
    pub fn poll_network<H: Host>(&mut self, _host: &H, _now_ns: u64) {}
}

impl<H: Host> Files<H> {
    /// The family is not there.
    pub(super) fn socket_inet(
        &mut self,
        _v6: bool,
        _kind: u32,
        _protocol: u32,
        flags: u32,
    ) -> Result {
        let none: Result<Handle> = Err(Errno::AFNOSUPPORT);
        self.open_waitable(Waitable::Inet(none?), flags)
    }

    /// The family is not there.
    pub(super) fn socket_netlink(&mut self, _kind: u32, _protocol: u32, _flags: u32) -> Result {
        Err(Errno::AFNOSUPPORT)
    }

    /// There are no such sockets.
    pub(super) fn ask_netlink(&mut self, _socket: u32, _from: &mut Gather<'_>) -> Result {
        Err(Errno::OPNOTSUPP)
    }

    /// There is no name server to wait for.
    pub(crate) fn before_open(&mut self, _path: &[u8]) {}

    /// There are no names to look up.
    pub(crate) fn place_network_files(&mut self) -> Result<()> {
        Ok(())
    }

    /// See `inet`.
    pub(super) fn bind_inet(&mut self, handle: Handle, _address: &[u8]) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn listen_inet(&mut self, handle: Handle, _backlog: usize) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn connect_inet(
        &mut self,
        _descriptor: usize,
        handle: Handle,
        _address: &[u8],
    ) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn accept_inet(&mut self, handle: Handle) -> Result<Waitable> {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn shutdown_inet(&mut self, handle: Handle, _input: bool, _output: bool) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn name_inet(
        &mut self,
        _guest: Guest,
        handle: Handle,
        _peer: bool,
        _at: usize,
        _length_at: usize,
    ) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn send_inet_to(
        &mut self,
        _descriptor: usize,
        handle: Handle,
        _from: &mut Gather<'_>,
        _no_wait: bool,
        _addresses: (&[u8], Option<OwnAddress>),
    ) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn inet_control(
        &mut self,
        _guest: Guest,
        handle: Handle,
        _message: &msghdr,
    ) -> Result<Option<OwnAddress>> {
        match handle {}
    }

    /// There are no interfaces.
    pub(super) fn interface_control(
        &mut self,
        _guest: Guest,
        _is_internet: bool,
        _request: u32,
        _address: usize,
    ) -> Result {
        Err(Errno::NOTTY)
    }

    /// See `inet`.
    pub(super) fn set_inet_linger(&mut self, handle: Handle, _seconds: Option<u32>) -> Result {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn set_inet_option(
        &mut self,
        _guest: Guest,
        handle: Handle,
        _what: [u32; 2],
        _place: [usize; 2],
    ) -> Option<Result> {
        match handle {}
    }

    /// See `inet`.
    pub(super) fn inet_option(
        &mut self,
        _guest: Guest,
        handle: Handle,
        _what: [u32; 2],
        _place: [usize; 2],
    ) -> Option<Result> {
        match handle {}
    }
}
