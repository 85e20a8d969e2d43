//! The network of an image: BSD socket semantics, non-blocking, over Ethernet frames.
//!
//! smoltcp provides the protocols; this crate provides what a server needs around it: one
//! socket set per connection behind our own demultiplexer (smoltcp asks every socket of a
//! set about every packet), listeners with a backlog, timers in a heap, loopback, TIME_WAIT
//! records that cost nothing per packet, and buffers from an allocator that is handed in.
//!
//! Nothing here blocks, starts a thread or knows the library OS. Nothing a peer sends may
//! panic: what cannot be understood is dropped, what cannot be stored is refused.
#![no_std]

#[cfg(any(test, feature = "fuzzing"))]
extern crate std;

mod budget;
mod calls;
pub mod device;
mod dhcp;
mod engine;
mod error;
mod fifo;
mod flow;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod link;
mod local;
mod memory;
mod options;
mod packet;
pub mod passing;
mod port;
mod ports;
mod random;
mod slab;
mod stack;
mod tcp;
#[cfg(test)]
mod tests;
mod timers;
mod transfers;
mod udp;
mod waiting;
mod wire;

pub use error::{Error, Result};
pub use memory::Memory;
pub use options::{IntegerOption, TcpInfo};
pub use slab::SocketId;
pub use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};
pub use stack::{Change, Configuration, Ipv4Configuration, Ipv6Configuration, Stack, WireInfo};
pub use transfers::Datagram;

/// Readiness bits, as `poll(2)` and `epoll(7)` name them.
pub mod ready {
    /// Data, an end of file, an error or a connection to accept: a read would not block.
    pub const IN: u32 = 0x001;
    /// Room: a write would not block.
    pub const OUT: u32 = 0x004;
    /// An error is pending.
    pub const ERR: u32 = 0x008;
    /// Both directions are closed.
    pub const HUP: u32 = 0x010;
    /// The peer will send no more.
    pub const RDHUP: u32 = 0x2000;
}
