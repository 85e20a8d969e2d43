//! A driver that does anything: bytes, read as operations on registers, rings, pages and the link. For the seeded
//! test, the corpus and the fuzz target; owns a guest memory and links of its own, one of each for a thread: making them
//! takes many times as long as a run.
//!
//! What must hold whatever the bytes say: every operation ends, closed memory is not touched (it would be a
//! fault of this process), and memory that is not the guest's to write keeps its contents.

use super::transport::QUEUE_ENTRIES;
use super::{Devices, View};
use crate::kvm::memory::{GuestMemory, Rights};
use crate::kvm::wait;
use crate::memory::PAGE_BYTES;
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::devices::{MAX_DEVICES, NET_OFFLOAD, NET_STREAM, NET_TAP, NetInfo};
use bespoke_abi::hypercall::WAIT_NET;
use std::cell::RefCell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use virtio_bindings::virtio_mmio as register;
use vm_memory::{Bytes, GuestAddress};

/// Not writable, then no memory of the guest's at all, then writable; guest-physical. No more than a run may touch: all of it is
/// cleared for each.
const READ_ONLY_END: u64 = 0x4000;
const HIDDEN_END: u64 = 0x8000;
const MEMORY_END: u64 = 0x2_0000;
const WINDOW: u64 = 0x20_0000;
const PATTERN: u8 = 0xa5;
/// Where the well-behaved start puts the rings of queue n, a page for each part.
const RINGS: u64 = 0x8000;
/// Entries of most queues: a chain that bites its tail is as long as its queue, and there may be as many.
const FEW_ENTRIES: u8 = 6;

/// The bytes, taken one after the other; zero when they are over.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let bytes = self.0.len().min(N);
        taken[..bytes].copy_from_slice(&self.0[..bytes]);
        self.0 = &self.0[bytes..];
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// An address: mostly in memory, now and then anywhere.
    fn address(&mut self) -> u64 {
        match self.byte() {
            0..8 => u64::from_le_bytes(self.take()),
            8..16 => MEMORY_END - u64::from(self.byte()),
            _ => u64::from(u32::from_le_bytes(self.take())) % MEMORY_END,
        }
    }
}

struct Guest {
    memory: GuestMemory,
    devices: Option<Devices>,
    /// A pair of datagram sockets, which stands for a TAP device: whole frames, each by one call. Then one of streams. The device
    /// has the first of a pair.
    links: [(OwnedFd, OwnedFd); 2],
    /// The other side of the link in use.
    peer: RawFd,
}

/// Does what `bytes` say.
#[allow(unreachable_pub, reason = "reached by the fuzz target alone")]
pub fn drive(bytes: &[u8]) {
    thread_local! {
        static GUEST: RefCell<Guest> = RefCell::new(Guest::new());
    }
    GUEST.with_borrow_mut(|guest| {
        let mut source = Source(bytes);
        guest.begin(source.byte() & 1 == 0);
        while !source.0.is_empty() {
            guest.step(&mut source);
        }
        guest.check();
    });
}

fn socket_pair(kind: i32) -> (OwnedFd, OwnedFd) {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut ends = [0; 2];
    // SAFETY: fills two descriptors, owned from here on.
    unsafe {
        let made = libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr());
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// Takes what waits in a socket; whether there was anything.
fn drain(socket: RawFd) -> bool {
    let mut drained = [0u8; 4096];
    // SAFETY: fills at most the array.
    unsafe { libc::recv(socket, drained.as_mut_ptr().cast(), drained.len(), 0) > 0 }
}

impl Guest {
    fn new() -> Self {
        let parts = vec![
            (IMAGE_BASE..IMAGE_BASE + READ_ONLY_END, false),
            (IMAGE_BASE + HIDDEN_END..IMAGE_BASE + MEMORY_END, true),
        ];
        let memory = GuestMemory::of_parts(MEMORY_END as usize, parts);
        // SAFETY: the start of the mapping, which nothing else uses.
        unsafe {
            memory
                .mapping
                .at(0)
                .write_bytes(PATTERN, HIDDEN_END as usize)
        };
        Self {
            memory,
            devices: None,
            links: [libc::SOCK_DGRAM, libc::SOCK_STREAM].map(socket_pair),
            peer: -1,
        }
    }

    /// Makes memory, devices and link as they are at the start of a machine.
    fn begin(&mut self, is_stream: bool) {
        let (start, bytes) = (IMAGE_BASE + HIDDEN_END, MEMORY_END - HIDDEN_END);
        let opened = self.memory.protect(start, bytes, Rights::Write);
        assert_eq!(opened, 0, "the guest may write all of it");
        let place = self.memory.mapping.at(HIDDEN_END as usize);
        // SAFETY: that part of the mapping, which has just been opened; nothing else uses it.
        unsafe { place.write_bytes(0, bytes as usize) };
        let (link, peer) = &self.links[usize::from(is_stream)];
        let (link, peer) = (link.as_raw_fd(), peer.as_raw_fd());
        while drain(link) || drain(peer) {}
        let info = NetInfo {
            kind: if is_stream { NET_STREAM } else { NET_TAP },
            flags: if is_stream { 0 } else { NET_OFFLOAD },
            mtu: 1500,
            ..Default::default()
        };
        let window = WINDOW..WINDOW + MAX_DEVICES as u64 * PAGE_BYTES;
        self.devices = Some(Devices::new(Some((link, &info)), true, window));
        self.peer = peer;
    }

    fn set(&mut self, device: u64, offset: u32, value: u32) {
        let at = WINDOW + device * PAGE_BYTES + u64::from(offset);
        if let Some(devices) = &mut self.devices {
            devices.write(at, &value.to_le_bytes(), &self.memory);
        }
    }

    fn store(&self, address: u64, bytes: &[u8]) {
        // What the guest cannot write, it cannot write here either.
        let _ = View(&self.memory).write_slice(bytes, GuestAddress(address));
    }

    fn step(&mut self, source: &mut Source) {
        // The network or entropy; the consoles would write to this process's own.
        let device = u64::from(source.byte() & 1) * 3;
        match source.byte() % 12 {
            0 => self.start(device, source),
            1 => {
                let value = u32::from_le_bytes(source.take());
                self.set(device, u32::from(source.byte()) * 4 % 0x108, value);
            }
            2 => {
                let at = WINDOW + device * PAGE_BYTES + u64::from(source.short() % 0x1000);
                let mut answer = [0; 8];
                let bytes = 1 << (source.byte() % 4);
                if let Some(devices) = &mut self.devices {
                    devices.read(at, &mut answer[..bytes]);
                    devices.write(at, &answer[..bytes], &self.memory);
                }
            }
            3 | 4 => self.descriptor(source),
            5 | 6 => self.offer(source),
            7 => self.set(
                device,
                register::VIRTIO_MMIO_QUEUE_NOTIFY,
                u32::from(source.byte()),
            ),
            8 => self.protect(source),
            9 => self.send(source),
            10 => {
                drain(self.peer);
            }
            _ => {
                wait::wait(&mut self.devices, None, &self.memory, 0, WAIT_NET);
            }
        }
    }

    /// What a good driver does, with some features left out.
    fn start(&mut self, device: u64, source: &mut Source) {
        let features = u64::from_le_bytes(source.take());
        let offered = self
            .devices
            .as_mut()
            .map_or(0, |devices| devices.announce()[device as usize].features);
        let accepted = offered & (features | 1 << 32);
        for status in [0, 1, 3] {
            self.set(device, register::VIRTIO_MMIO_STATUS, status);
        }
        for half in 0..2 {
            self.set(device, register::VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
            self.set(
                device,
                register::VIRTIO_MMIO_DRIVER_FEATURES,
                (accepted >> (32 * half)) as u32,
            );
        }
        self.set(device, register::VIRTIO_MMIO_STATUS, 11);
        for queue in 0..2 {
            let rings = RINGS + u64::from(queue) * 4 * PAGE_BYTES;
            self.store(rings, &[0; 4 * PAGE_BYTES as usize]);
            let size = match source.byte() {
                // As many as there may be.
                0 => u32::from(QUEUE_ENTRIES),
                size => 1 << (size % FEW_ENTRIES),
            };
            for (offset, value) in [
                (register::VIRTIO_MMIO_QUEUE_SEL, queue),
                (register::VIRTIO_MMIO_QUEUE_NUM, size),
                (register::VIRTIO_MMIO_QUEUE_DESC_LOW, rings as u32),
                (
                    register::VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                    (rings + 2 * PAGE_BYTES) as u32,
                ),
                (
                    register::VIRTIO_MMIO_QUEUE_USED_LOW,
                    (rings + 3 * PAGE_BYTES) as u32,
                ),
                (register::VIRTIO_MMIO_QUEUE_READY, 1),
            ] {
                self.set(device, offset, value);
            }
        }
        self.set(device, register::VIRTIO_MMIO_STATUS, 15);
    }

    fn rings(source: &mut Source) -> u64 {
        RINGS + u64::from(source.byte() & 1) * 4 * PAGE_BYTES
    }

    fn descriptor(&mut self, source: &mut Source) {
        let index = u64::from(source.short() % QUEUE_ENTRIES);
        let at = Self::rings(source) + index * 16;
        let length = match source.byte() {
            0..8 => u32::from_le_bytes(source.take()),
            _ => u32::from(source.short() % 5000),
        };
        self.store(at, &source.address().to_le_bytes());
        self.store(at + 8, &length.to_le_bytes());
        self.store(at + 12, &u16::from(source.byte() % 8).to_le_bytes());
        self.store(
            at + 14,
            &(source.short() % (QUEUE_ENTRIES + 1)).to_le_bytes(),
        );
    }

    fn offer(&mut self, source: &mut Source) {
        let available = Self::rings(source) + 2 * PAGE_BYTES;
        let mut index = [0; 2];
        let _ = View(&self.memory).read_slice(&mut index, GuestAddress(available + 2));
        let count = match source.byte() {
            0..4 => source.short(),
            few => u16::from(few % 8),
        };
        let index = u16::from_le_bytes(index);
        for entry in 0..count.min(QUEUE_ENTRIES) {
            let slot = u64::from(index.wrapping_add(entry) % QUEUE_ENTRIES);
            let head = source.short() % (QUEUE_ENTRIES + 1);
            self.store(available + 4 + 2 * slot, &head.to_le_bytes());
        }
        self.store(available + 2, &index.wrapping_add(count).to_le_bytes());
    }

    fn protect(&mut self, source: &mut Source) {
        let page = IMAGE_BASE + HIDDEN_END + u64::from(source.byte()) * PAGE_BYTES;
        let rights = match source.byte() & 3 {
            0 => Rights::None,
            1 => Rights::Read,
            _ => Rights::Write,
        };
        self.memory
            .protect(page, PAGE_BYTES * u64::from(source.byte() % 4), rights);
    }

    /// The other side of the link sends what it likes.
    fn send(&mut self, source: &mut Source) {
        let bytes = match source.byte() {
            0..4 => source.short(),
            _ => source.short() % 2048,
        };
        let mut frame = vec![source.byte(); usize::from(bytes)];
        let length = (frame.len().saturating_sub(4) as u32).to_be_bytes();
        // Mostly the length that a stream expects, or a header without orders.
        if let Some(start) = frame.first_chunk_mut::<4>().filter(|_| source.byte() > 8) {
            *start = length;
        }
        // SAFETY: sends bytes of our own; a full link is no matter.
        unsafe {
            libc::send(
                self.peer,
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_NOSIGNAL,
            )
        };
    }

    fn check(&self) {
        static WHOLE: [u8; HIDDEN_END as usize] = [PATTERN; HIDDEN_END as usize];
        let start = self.memory.mapping.at(0);
        // SAFETY: inside the mapping, never closed: only what the guest may write is. Nobody writes it during the comparison.
        let found = unsafe { std::slice::from_raw_parts(start, WHOLE.len()) };
        if found != WHOLE {
            let at = found.iter().position(|byte| *byte != PATTERN);
            panic!("the device wrote at {:#x}", at.unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough for every operation to meet every other.
    const PROGRAMS: u64 = 500;
    const PROGRAM_BYTES: usize = 4000;

    #[test]
    fn no_driver_and_no_peer_harms_the_monitor() {
        for seed in 1..=PROGRAMS {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut bytes = || {
                // xorshift64*
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
            };
            let program: Vec<u8> = (0..PROGRAM_BYTES).map(|_| bytes()).collect();
            drive(&program);
        }
    }

    /// What the fuzz target found to be different from all before it.
    #[test]
    fn the_corpus_harms_nobody() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/virtio");
        let entries = std::fs::read_dir(folder).expect("the corpus");
        let mut count = 0;
        for entry in entries {
            let path = entry.expect("a file").path();
            drive(&std::fs::read(&path).expect("a program"));
            count += 1;
        }
        assert!(count >= 50, "{count} programs");
    }

    /// What the random programs reach, so that they cannot pass by doing nothing.
    #[test]
    fn programs_move_frames() {
        let mut guest = Guest::new();
        guest.begin(false);
        let sizes = [5, 5];
        guest.start(0, &mut Source(&[&[0xff; 8][..], &sizes].concat()));
        let peer = guest.peer;
        let buffer = 0x1_0000u64;
        let available = |queue: u64| RINGS + queue * 4 * PAGE_BYTES + 2 * PAGE_BYTES;
        for (queue, flags) in [(0u64, 2u16), (1, 0)] {
            let at = RINGS + queue * 4 * PAGE_BYTES;
            guest.store(at, &(buffer + queue * 0x8000).to_le_bytes());
            guest.store(at + 8, &2048u32.to_le_bytes());
            guest.store(at + 12, &flags.to_le_bytes());
            guest.store(available(queue) + 2, &1u16.to_le_bytes());
        }
        let sent = [7u8; 100];
        // SAFETY: sends bytes of our own.
        let count = unsafe { libc::send(peer, sent.as_ptr().cast(), 100, 0) };
        assert_eq!(count, 100);
        let news = wait::wait(&mut guest.devices, None, &guest.memory, 0, WAIT_NET);
        assert_eq!(news, WAIT_NET as i64);
        let mut taken = [0u8; 4096];
        // SAFETY: fills at most the array.
        let count = unsafe { libc::recv(peer, taken.as_mut_ptr().cast(), 4096, 0) };
        assert_eq!(count, 2048);
        let mut given = [0u8; 100];
        View(&guest.memory)
            .read_slice(&mut given, GuestAddress(buffer))
            .expect("open memory");
        // Spread over one buffer, says the header.
        assert_eq!(
            (&given[..10], &given[10..12], &given[12..]),
            (&sent[..10], &[1, 0][..], &sent[12..])
        );
        guest.check();
    }
}
