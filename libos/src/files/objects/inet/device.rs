//! The network device of this image: what the monitor says it is. Owns its buffers.

use super::memory::MEMORY;
use crate::platform;
use bespoke_abi::devices::{NET_OFFLOAD, NET_STREAM, NET_TAP, NetInfo};
use bespoke_net::Result;
use bespoke_net::device::descriptor::{Description, Io, Tap, TapReceive, TapTransmit};
use bespoke_net::device::stream::{Stream, StreamReceive, StreamTransmit};
use bespoke_net::device::{Device, Offload, Receive, Received, Transmit};
use core::num::NonZeroU16;

/// Largest frame given to a TAP that cuts it into packets.
const SEGMENT_BYTES: usize = 65_000;

/// A descriptor of the process monitor.
#[derive(Clone, Copy)]
pub(super) struct Descriptor(u32);

impl Io for Descriptor {
    fn read(&mut self, to: &mut [u8]) -> Option<usize> {
        usize::try_from(platform::read_from(self.0, to)).ok()
    }

    fn write(&mut self, from: &[u8]) -> Option<usize> {
        usize::try_from(platform::write_to(self.0, from)).ok()
    }
}

/// The device.
pub(super) struct AnyDevice {
    receive: AnyReceive,
    transmit: AnyTransmit,
    description: Description,
}

/// Its receiving half.
pub(super) enum AnyReceive {
    Tap(TapReceive<Descriptor>),
    Stream(StreamReceive<Descriptor>),
}

/// Its transmitting half.
pub(super) enum AnyTransmit {
    Tap(TapTransmit<Descriptor>),
    Stream(StreamTransmit<Descriptor>),
}

impl AnyDevice {
    /// The device of `info`, if it has one.
    pub fn open(info: &NetInfo) -> Result<Option<Self>> {
        let io = Descriptor(info.descriptor);
        let mut description = Description {
            hardware_address: info.mac,
            mtu: info.mtu.into(),
            offload: Offload::default(),
        };
        let (receive, transmit) = match info.kind {
            NET_TAP => {
                if info.flags & NET_OFFLOAD != 0 {
                    description.offload = Offload {
                        checksum: true,
                        segment_bytes: SEGMENT_BYTES,
                    };
                }
                let (receive, transmit) = Tap::new(io, description, MEMORY)?.into_halves();
                (AnyReceive::Tap(receive), AnyTransmit::Tap(transmit))
            }
            NET_STREAM => {
                let (receive, transmit) = Stream::new(io, description, MEMORY)?.into_halves();
                (AnyReceive::Stream(receive), AnyTransmit::Stream(transmit))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            receive,
            transmit,
            description,
        }))
    }
}

impl Receive for AnyReceive {
    fn receive(&mut self) -> Option<Received<'_>> {
        match self {
            Self::Tap(half) => half.receive(),
            Self::Stream(half) => half.receive(),
        }
    }

    fn pending(&mut self) -> bool {
        match self {
            Self::Tap(half) => half.pending(),
            Self::Stream(half) => half.pending(),
        }
    }
}

impl Transmit for AnyTransmit {
    fn ready(&mut self) -> bool {
        match self {
            Self::Tap(half) => half.ready(),
            Self::Stream(half) => half.ready(),
        }
    }

    fn send(&mut self, bytes: usize, segment: Option<NonZeroU16>, fill: &mut dyn FnMut(&mut [u8])) {
        match self {
            Self::Tap(half) => half.send(bytes, segment, fill),
            Self::Stream(half) => half.send(bytes, segment, fill),
        }
    }

    fn flush(&mut self) {
        match self {
            Self::Tap(half) => half.flush(),
            Self::Stream(half) => half.flush(),
        }
    }
}

impl Device for AnyDevice {
    type Receive = AnyReceive;
    type Transmit = AnyTransmit;

    fn split(&mut self) -> (&mut AnyReceive, &mut AnyTransmit) {
        (&mut self.receive, &mut self.transmit)
    }
    fn offload(&self) -> Offload {
        self.description.offload
    }
    fn mtu(&self) -> usize {
        self.description.mtu
    }
    fn hardware_address(&self) -> [u8; 6] {
        self.description.hardware_address
    }
}
