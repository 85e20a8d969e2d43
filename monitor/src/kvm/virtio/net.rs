//! The network device (virtio 1.2, section 5.1): frames between the queues and the link.
//!
//! A frame that cannot be moved with the driver's buffer layout is dropped, as any network may
//! do. Only a broken ring is an error.

use super::transport::{COMMON_FEATURES, Transport};
use super::view::View;
use super::{Device, Reported};
use crate::kvm::memory::GuestMemory;
use crate::net::frames::{FrameLink, HEADER_BYTES, MAX_FRAME_BYTES, Sent};
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::devices::{NET_OFFLOAD, NET_STREAM, NetInfo};
use std::io::IoSlice;
use std::os::fd::RawFd;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net as feature;
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Header field with the number of buffers that a frame spans.
const BUFFERS_FIELD: std::ops::Range<usize> = 10..12;
/// Most pieces of one frame.
const MAX_PIECES: usize = 64;

/// See the module.
pub(super) struct Net {
    link: FrameLink,
    pub(super) reported: Reported,
    merges: bool,
    /// A received frame with its header; empty: none.
    frame: Vec<u8>,
    /// The receive queue has no room for `frame`.
    is_starved: bool,
    /// The link accepts no more at present.
    is_blocked: bool,
}

impl Net {
    /// Makes the device on this link, with its registers.
    pub(super) fn new(link: RawFd, info: &NetInfo) -> (Self, Transport) {
        let bits = |list: &[u32]| list.iter().fold(0, |bits, &bit| bits | 1u64 << bit);
        let mut offered = bits(&[
            feature::VIRTIO_NET_F_MAC,
            feature::VIRTIO_NET_F_MTU,
            feature::VIRTIO_NET_F_STATUS,
            feature::VIRTIO_NET_F_MRG_RXBUF,
        ]);
        if info.flags & NET_OFFLOAD != 0 {
            offered |= OFFLOADS.iter().fold(0, |bits, &(bit, _)| bits | 1 << bit);
            offered |= bits(&[
                feature::VIRTIO_NET_F_CSUM,
                feature::VIRTIO_NET_F_HOST_TSO4,
                feature::VIRTIO_NET_F_HOST_TSO6,
            ]);
        }
        let is_stream = info.kind == NET_STREAM;
        // Hardware address, link status up, one pair of queues, MTU.
        let mut config = info.mac.to_vec();
        config.extend([1, 0, 1, 0]);
        config.extend(info.mtu.to_le_bytes());
        let device = Self {
            link: if is_stream {
                FrameLink::stream(link)
            } else {
                FrameLink::tap(link)
            },
            reported: Reported::default(),
            merges: false,
            frame: Vec::new(),
            is_starved: false,
            is_blocked: false,
        };
        (
            device,
            Transport::new(VIRTIO_ID_NET, offered & !COMMON_FEATURES, config, 2),
        )
    }

    /// Returns the link's descriptor and its events; a link that has ended has none.
    pub(super) fn awaited(&self) -> (RawFd, i16) {
        let room = if self.is_blocked || self.link.has_unsent() {
            libc::POLLOUT
        } else {
            0
        };
        let frames = if self.is_starved { 0 } else { libc::POLLIN };
        (self.link.descriptor(), room | frames)
    }

    fn transmit(&mut self, queue: &mut Queue, memory: &GuestMemory) -> Result<(), Error> {
        let view = &View(memory);
        self.is_blocked = !self.link.flush();
        while !self.is_blocked {
            // The iterator is bounded by the entries that were available when it was made.
            let Some(chain) = queue.iter(view)?.next() else {
                break;
            };
            let head = chain.head_index();
            let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
            let mut used = 0;
            let mut is_whole = true;
            for descriptor in chain {
                let bytes = u64::from(descriptor.len());
                let start = descriptor.addr().0.checked_add(IMAGE_BASE);
                let source = start.and_then(|start| memory.open_for_reading(start, bytes));
                match (pieces.get_mut(used), source) {
                    (Some(piece), Some(source)) if !descriptor.is_write_only() => {
                        // SAFETY: checked to lie in open guest memory; the guest stands still, and the
                        // slice ends with this frame.
                        *piece = IoSlice::new(unsafe {
                            std::slice::from_raw_parts(source, bytes as usize)
                        });
                        used += 1;
                    }
                    _ => is_whole = false,
                }
            }
            if is_whole && self.link.send(&pieces[..used]) == Sent::Blocked {
                queue.go_to_previous_position();
                self.is_blocked = true;
                break;
            }
            queue.add_used(view, head, 0)?;
        }
        self.is_blocked |= !self.link.flush();
        if queue.event_idx_enabled() {
            queue.enable_notification(view)?;
        }
        Ok(())
    }

    fn receive(&mut self, queue: &mut Queue, memory: &GuestMemory) -> Result<(), Error> {
        if !queue.event_idx_enabled() {
            queue.disable_notification(&View(memory))?;
        }
        self.is_starved = false;
        loop {
            if self.frame.is_empty() && !self.link.receive(&mut self.frame) {
                return Ok(());
            }
            if !self.deliver(queue, memory)? {
                // From now on the driver's next buffers are an event.
                self.is_starved = true;
                queue.enable_notification(&View(memory))?;
                return Ok(());
            }
            self.frame.clear();
        }
    }

    /// Puts the frame into the queue, or drops it if no layout could take it. Returns false when
    /// there are not enough buffers yet.
    fn deliver(&mut self, queue: &mut Queue, memory: &GuestMemory) -> Result<bool, Error> {
        let view = &View(memory);
        let first = queue.next_avail();
        let mut chains: [(u16, u32); MAX_PIECES] = [(0, 0); MAX_PIECES];
        let mut pieces: [(GuestAddress, u32); MAX_PIECES] = [(GuestAddress(0), 0); MAX_PIECES];
        let mut has_room = true;
        let (mut chain_count, mut piece_count, mut held) = (0, 0, 0usize);
        let mut available = queue.iter(view)?;
        while held < self.frame.len() {
            let Some(chain) = available.next() else {
                has_room = false;
                break;
            };
            chains[chain_count].0 = chain.head_index();
            for descriptor in chain.writable() {
                let wanted = (self.frame.len() - held).min(descriptor.len() as usize);
                if wanted != 0 && piece_count < MAX_PIECES {
                    pieces[piece_count] = (descriptor.addr(), wanted as u32);
                    piece_count += 1;
                    chains[chain_count].1 += wanted as u32;
                    held += wanted;
                }
            }
            chain_count += 1;
            let fits_later = self.merges && chain_count < MAX_PIECES && piece_count < MAX_PIECES;
            if held < self.frame.len() && !fits_later {
                break;
            }
        }
        if !has_room {
            queue.set_next_avail(first);
            return Ok(false);
        }
        if held == self.frame.len() {
            self.frame[BUFFERS_FIELD].copy_from_slice(&(chain_count as u16).to_le_bytes());
            let mut at = 0;
            for &(target, bytes) in &pieces[..piece_count] {
                let part = &self.frame[at..at + bytes as usize];
                // Memory that the driver must not use: the frame is lost,
                // and the buffers return empty.
                if view.write_slice(part, target).is_err() {
                    held = 0;
                    break;
                }
                at += part.len();
            }
        }
        let is_lost = held != self.frame.len();
        for &(head, bytes) in &chains[..chain_count] {
            queue.add_used(view, head, if is_lost { 0 } else { bytes })?;
        }
        Ok(true)
    }
}

/// Features that a driver may accept, and the corresponding flags of
/// the TAP device (`TUNSETOFFLOAD`).
const OFFLOADS: [(u32, u32); 3] = [
    (feature::VIRTIO_NET_F_GUEST_CSUM, crate::net::TUN_F_CSUM),
    (feature::VIRTIO_NET_F_GUEST_TSO4, crate::net::TUN_F_TSO4),
    (feature::VIRTIO_NET_F_GUEST_TSO6, crate::net::TUN_F_TSO6),
];

impl Device for Net {
    fn start(&mut self, accepted: u64) {
        self.merges = accepted & (1 << feature::VIRTIO_NET_F_MRG_RXBUF) != 0;
        let chosen = OFFLOADS
            .iter()
            .filter(|(bit, _)| accepted & (1 << bit) != 0);
        self.link
            .offload(chosen.fold(0, |bits, (_, offload)| bits | offload));
        self.frame = Vec::with_capacity(HEADER_BYTES + MAX_FRAME_BYTES);
        self.reported = Reported::default();
    }

    fn serve(&mut self, queues: &mut [Queue], memory: &GuestMemory) -> Result<(), Error> {
        self.transmit(&mut queues[TRANSMIT], memory)?;
        self.receive(&mut queues[RECEIVE], memory)
    }
}
