//! `virtio_net_hdr_v1` (virtio 1.2, section 5.1.6): the header before every
//! frame of a TAP or virtio device.

use crate::packet::{self, ETHERNET_BYTES};
use core::num::NonZeroU16;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 12;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const SEGMENT_NONE: u8 = 0;
const SEGMENT_TCP4: u8 = 1;

/// Whether a received frame needs no checksum check: it was verified, or the frame never left the
/// machine and has no checksum yet.
pub(crate) fn is_checked(header: &[u8]) -> bool {
    header
        .first()
        .is_some_and(|flags| flags & (NEEDS_CHECKSUM | DATA_VALID) != 0)
}

/// Returns the header of an outgoing frame. If `checksum` is to be completed by the other
/// side, prepares the checksum field.
pub(crate) fn outgoing(
    frame: &mut [u8],
    checksum: bool,
    segment: Option<NonZeroU16>,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    if !checksum {
        return header;
    }
    let Some(partial) = packet::prepare_checksum(frame, ETHERNET_BYTES) else {
        return header;
    };
    header[0] = NEEDS_CHECKSUM;
    header[6..8].copy_from_slice(&partial.start.to_le_bytes());
    header[8..10].copy_from_slice(&partial.offset.to_le_bytes());
    header[1] = SEGMENT_NONE;
    if let Some(bytes) = segment.filter(|_| partial.ipv4) {
        header[1] = SEGMENT_TCP4;
        header[2..4].copy_from_slice(&partial.headers.to_le_bytes());
        header[4..6].copy_from_slice(&bytes.get().to_le_bytes());
    }
    header
}
