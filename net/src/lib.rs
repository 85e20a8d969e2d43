//! The network of an image: BSD socket semantics, non-blocking, over Ethernet frames.
//!
//! smoltcp provides the protocols. This crate adds what a server needs:
//! - One socket set per connection behind our own demultiplexer, because smoltcp offers every
//!   packet to every socket of a set.
//! - Listeners with a backlog.
//! - Timers in a heap.
//! - Loopback.
//! - TIME_WAIT records that cost nothing per packet.
//! - Buffers from an allocator that the caller passes in.
//!
//! Nothing here blocks, starts a thread or depends on the library OS.
//! No input from a peer panics: packets that cannot be parsed are dropped, and connections
//! that cannot be stored are refused.
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
    /// Data, end of file, an error or a connection to accept: a read would not block.
    pub const IN: u32 = 0x001;
    /// Space: a write would not block.
    pub const OUT: u32 = 0x004;
    /// An error is pending.
    pub const ERR: u32 = 0x008;
    /// Both directions are closed.
    pub const HUP: u32 = 0x010;
    /// The peer will send no more.
    pub const RDHUP: u32 = 0x2000;
}
