//! The host side of an image's network: a TAP device, an end of a veth pair, or a stream
//! to the relay of forwarded ports.
//!
//! No device, process or file remains afterwards, however the run ends.

mod config;
mod forward;
pub(crate) mod frames;
mod interface;
mod relay;
mod tap;
mod veth;

pub use config::{InterfaceNetwork, Network};
pub use forward::{PortForward, Protocol};
pub(crate) use tap::existing as existing_tap;
pub(crate) use tap::{TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6};

use crate::MonitorError;
use bespoke_abi::devices::{NetInfo, PacketRing};
use relay::Relay;
pub use relay::listening;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// An image's link to its network.
pub(crate) struct Link {
    /// Set until the guest has a copy of its own.
    descriptor: Option<OwnedFd>,
    info: NetInfo,
    ring: PacketRing,
    relay: Option<Relay>,
    /// Excludes other images from a veth during the whole run.
    _claim: Option<OwnedFd>,
}

impl Link {
    /// Opens the link for `network`; returns `None` for no network. Ports are bound from now on.
    pub(crate) fn open(network: &Network) -> Result<Option<Self>, MonitorError> {
        let link = |descriptor, info| Self {
            descriptor: Some(descriptor),
            info,
            ring: PacketRing::default(),
            relay: None,
            _claim: None,
        };
        Ok(Some(match network {
            Network::None => return Ok(None),
            Network::Tap(network) => {
                let (descriptor, info) = tap::open(network)?;
                link(descriptor, info)
            }
            Network::Veth(network) => {
                let veth = veth::open(network)?;
                Self {
                    ring: veth.ring,
                    _claim: Some(veth.claim),
                    ..link(veth.socket, veth.info)
                }
            }
            Network::Ports(forwards) => {
                let (descriptor, info, relay) = Relay::open(forwards)?;
                Self {
                    relay: Some(relay),
                    ..link(descriptor, info)
                }
            }
        }))
    }

    /// Starts the flow of frames. It may start a thread, so a monitor that
    /// forks an image must fork first.
    pub(crate) fn serve(&mut self) -> Result<(), MonitorError> {
        self.relay.as_mut().map_or(Ok(()), Relay::serve)
    }

    /// Returns the link's nonblocking descriptor.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        self.descriptor.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Closes our descriptor; others keep their copies.
    pub(crate) fn close(&mut self) {
        self.descriptor = None;
    }

    /// Returns where received frames lie, for a link with a ring. The owner
    /// of the descriptor maps it there.
    pub(crate) fn ring(&self) -> PacketRing {
        self.ring
    }

    /// Returns the information for the image, which has the link's descriptor
    /// under the number `descriptor`.
    pub(crate) fn info(&self, descriptor: RawFd) -> NetInfo {
        NetInfo {
            descriptor: descriptor as u32,
            ..self.info
        }
    }
}
