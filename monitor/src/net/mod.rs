//! The network of an image, outside: a TAP device.
//!
//! Owns the link's descriptor until the guest has ended. Must never leave a device behind that was not
//! there before.

mod config;
mod tap;

pub use config::{Network, TapNetwork};

use crate::MonitorError;
use bespoke_abi::devices::NetInfo;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The open link of an image.
pub(crate) struct Link {
    descriptor: OwnedFd,
    info: NetInfo,
}

impl Link {
    /// Opens what `network` asks for; `None` for no network.
    pub(crate) fn open(network: &Network) -> Result<Option<Self>, MonitorError> {
        let (descriptor, info) = match network {
            Network::None => return Ok(None),
            Network::Tap(network) => tap::open(network)?,
        };
        Ok(Some(Self { descriptor, info }))
    }

    /// The link's descriptor; it does not block.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// What the image learns, when it has the link's descriptor under the number `descriptor`.
    pub(crate) fn info(&self, descriptor: RawFd) -> NetInfo {
        NetInfo {
            descriptor: descriptor as u32,
            ..self.info
        }
    }
}
