//! The network of an image, outside: a TAP device, or a stream to `passt`.
//!
//! Owns the link's descriptor and the helper process behind it. Must never leave a device, a process or a
//! file behind, however the run ends.

mod clamp;
mod config;
mod forward;
pub(crate) mod frames;
mod passt;
mod tap;

pub use config::{Network, TapNetwork};
pub use forward::{PortForward, Protocol};
pub use passt::program as passt_program;
pub(crate) use tap::existing as existing_tap;
pub(crate) use tap::{TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6};

use crate::MonitorError;
use bespoke_abi::devices::NetInfo;
use passt::Passt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The link of an image to its network.
pub(crate) struct Link {
    /// Until the guest has a copy of its own.
    descriptor: Option<OwnedFd>,
    info: NetInfo,
    passt: Option<Passt>,
}

impl Link {
    /// Opens what `network` asks for; `None` for no network. What takes longer goes on in the
    /// background until [`Link::ready`].
    pub(crate) fn open(network: &Network) -> Result<Option<Self>, MonitorError> {
        let (descriptor, info, passt) = match network {
            Network::None => return Ok(None),
            Network::Tap(network) => {
                let (descriptor, info) = tap::open(network)?;
                (descriptor, info, None)
            }
            Network::Ports(forwards) => {
                let (descriptor, info, passt) = Passt::start(forwards)?;
                (descriptor, info, Some(passt))
            }
        };
        Ok(Some(Self {
            descriptor: Some(descriptor),
            info,
            passt,
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

    /// What the image learns, when it has the link's descriptor under the number `descriptor`.
    pub(crate) fn info(&self, descriptor: RawFd) -> NetInfo {
        NetInfo {
            descriptor: descriptor as u32,
            ..self.info
        }
    }
}
