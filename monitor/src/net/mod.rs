//! The network of an image, outside: a TAP device, an end of a veth pair, or a stream to the relay of led-in ports.
//!
//! Owns the link's descriptor and the relay behind it. Must never leave a device, a process or a
//! file behind, however the run ends.

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

/// The link of an image to its network.
pub(crate) struct Link {
    /// Until the guest has a copy of its own.
    descriptor: Option<OwnedFd>,
    info: NetInfo,
    ring: PacketRing,
    relay: Option<Relay>,
    /// Keeps other images away from a veth, for the whole run.
    _claim: Option<OwnedFd>,
}

impl Link {
    /// Opens what `network` asks for; `None` for no network. Ports are bound from now on.
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

    /// Lets frames flow. Where the monitor forks an image, after that: this may start a thread.
    pub(crate) fn serve(&mut self) -> Result<(), MonitorError> {
        self.relay.as_mut().map_or(Ok(()), Relay::serve)
    }

    /// The link's descriptor; it does not block.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        self.descriptor.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Leaves the descriptor to the copies that others have.
    pub(crate) fn close(&mut self) {
        self.descriptor = None;
    }

    /// Where received frames lie, for a link that has a ring; the owner of the descriptor maps it there.
    pub(crate) fn ring(&self) -> PacketRing {
        self.ring
    }

    /// What the image learns, when it has the link's descriptor under the number `descriptor`.
    pub(crate) fn info(&self, descriptor: RawFd) -> NetInfo {
        NetInfo {
            descriptor: descriptor as u32,
            ..self.info
        }
    }
}
