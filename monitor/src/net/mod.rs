//! The network of an image, outside: a TAP device, an end of a veth pair, or a stream to `passt`.
//!
//! Owns the link's descriptor and the helper process behind it. Must never leave a device, a process or a
//! file behind, however the run ends.

mod clamp;
mod config;
mod forward;
pub(crate) mod frames;
mod interface;
mod passt;
mod tap;
mod veth;

pub use config::{InterfaceNetwork, Network};
pub use forward::{PortForward, Protocol};
pub use passt::program as passt_program;
pub(crate) use tap::existing as existing_tap;
pub(crate) use tap::{TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6};

use crate::MonitorError;
use bespoke_abi::devices::{NetInfo, PacketRing};
use passt::Passt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The link of an image to its network.
pub(crate) struct Link {
    /// Until the guest has a copy of its own.
    descriptor: Option<OwnedFd>,
    info: NetInfo,
    ring: PacketRing,
    passt: Option<Passt>,
    /// Keeps other images away from a veth, for the whole run.
    _claim: Option<OwnedFd>,
}

impl Link {
    /// Opens what `network` asks for; `None` for no network. What takes longer goes on in the
    /// background until [`Link::ready`].
    pub(crate) fn open(network: &Network) -> Result<Option<Self>, MonitorError> {
        let link = |descriptor, info| Self {
            descriptor: Some(descriptor),
            info,
            ring: PacketRing::default(),
            passt: None,
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
                let (descriptor, info, passt) = Passt::start(forwards)?;
                Self {
                    passt: Some(passt),
                    ..link(descriptor, info)
                }
            }
        }))
    }

    /// Waits until frames flow and the ports are bound.
    pub(crate) fn ready(&mut self) -> Result<(), MonitorError> {
        match (&mut self.passt, &self.descriptor) {
            (Some(passt), Some(descriptor)) => passt.ready(descriptor, &self.info),
            _ => Ok(()),
        }
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
