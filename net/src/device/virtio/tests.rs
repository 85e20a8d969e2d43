//! The driver against a device in the same program: registers that are plain memory, and rings served by hand.

use super::*;
use crate::tests::frames::{self, Tcp};
use crate::{IpAddress, IpEndpoint};
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

const NOTIFY: usize = 0x50 / 4;
const STATUS: usize = 0x70 / 4;
const DRIVER_FEATURES: usize = 0x20 / 4;
const QUEUE_SELECT: usize = 0x30 / 4;
/// Nobody notifies a queue of this number.
const NOBODY: u32 = 99;
const EVENT_INDEX: u64 = 1 << 29;

/// Registers that keep what is written.
#[derive(Clone, Copy)]
struct Plain(NonNull<u32>);

impl Plain {
    fn get(self, register: usize) -> u32 {
        // SAFETY: one of the 64.
        unsafe { self.0.add(register).read_volatile() }
    }

    /// The queue that was notified since the last time.
    fn notified(self) -> Option<u32> {
        let queue = self.get(NOTIFY);
        // SAFETY: one of the 64.
        unsafe { self.0.add(NOTIFY).write_volatile(NOBODY) };
        (queue != NOBODY).then_some(queue)
    }
}

/// Device memory by its address.
fn bytes_at(address: u64, bytes: usize) -> &'static mut [u8] {
    // SAFETY: memory of a leaked block, used by the test alone until the driver runs again.
    unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) }
}

fn word_at(address: u64) -> u16 {
    u16::from_le_bytes(bytes_at(address, 2).try_into().unwrap())
}

/// A descriptor that the device found in the available ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offered {
    buffer: u16,
    address: u64,
    bytes: usize,
    is_written: bool,
}

impl Offered {
    fn memory(self) -> &'static mut [u8] {
        bytes_at(self.address, self.bytes)
    }
}

/// The device's side of a queue.
struct Ring {
    addresses: [u64; 3],
    entries: u16,
    seen: u16,
    done: u16,
}

impl Ring {
    fn new(queue: &Queue) -> Self {
        Self {
            addresses: queue.addresses(),
            entries: queue.entries(),
            seen: 0,
            done: 0,
        }
    }

    /// What was published since the last time.
    fn take(&mut self) -> Vec<Offered> {
        let [descriptors, available, _] = self.addresses;
        let mut offered = Vec::new();
        while self.seen != word_at(available + 2) {
            let slot = u64::from(self.seen % self.entries);
            let buffer = word_at(available + 4 + slot * 2);
            let entry = bytes_at(descriptors + u64::from(buffer) * 16, 16);
            offered.push(Offered {
                buffer,
                address: u64::from_le_bytes(entry[..8].try_into().unwrap()),
                bytes: u32::from_le_bytes(entry[8..12].try_into().unwrap()) as usize,
                is_written: entry[12..14] == [2, 0],
            });
            self.seen = self.seen.wrapping_add(1);
        }
        offered
    }

    /// Gives a buffer back with so many bytes.
    fn give(&mut self, buffer: u16, bytes: usize) {
        let [_, _, used] = self.addresses;
        let entry = bytes_at(used + 4 + u64::from(self.done % self.entries) * 8, 8);
        entry[..4].copy_from_slice(&u32::from(buffer).to_le_bytes());
        entry[4..].copy_from_slice(&(bytes as u32).to_le_bytes());
        self.done = self.done.wrapping_add(1);
        bytes_at(used + 2, 2).copy_from_slice(&self.done.to_le_bytes());
    }

    /// Puts bytes into a buffer and gives it back.
    fn fill(&mut self, offered: Offered, content: &[u8]) {
        offered.memory()[..content.len()].copy_from_slice(content);
        self.give(offered.buffer, content.len());
    }

    /// Asks for a notification when the driver's index passes `index`.
    fn ask(&mut self, index: u16) {
        let [_, _, used] = self.addresses;
        let place = used + 4 + u64::from(self.entries) * 8;
        bytes_at(place, 2).copy_from_slice(&index.to_le_bytes());
    }

    /// The used index at which the driver wants to be woken.
    fn wake(&self) -> u16 {
        let [_, available, _] = self.addresses;
        word_at(available + 4 + u64::from(self.entries) * 2)
    }
}

const DESCRIPTION: VirtioDescription = VirtioDescription {
    features: MERGED_BUFFERS | EVENT_INDEX,
    hardware_address: [2, 1, 2, 3, 4, 5],
    mtu: 1500,
    entries: 4,
    transmit_bytes: 4096,
    moves_at_exits: false,
};

/// A driver and the device behind it.
struct Setup {
    driver: VirtioNet,
    registers: Plain,
    receive: Ring,
    transmit: Ring,
}

/// A driver in memory of so many bytes, which start `skip` bytes behind an aligned address.
fn try_new(description: VirtioDescription, bytes: usize, skip: usize) -> Result<Setup> {
    let block = Box::leak(vec![0u128; bytes / 16 + 2].into_boxed_slice());
    let start = NonNull::from(block).cast::<u8>();
    let plain = Plain(NonNull::from(Box::leak(Box::new([NOBODY; 64]))).cast());
    // SAFETY: both are leaked; the memory is longer than said.
    let (memory, registers) = unsafe {
        (
            DeviceMemory::new(start.add(skip), bytes, 0),
            Registers::new(plain.0.as_ptr().expose_provenance()).unwrap(),
        )
    };
    start.as_ptr().expose_provenance();
    let driver = VirtioNet::new(
        registers,
        description,
        memory,
        &allocator_api2::alloc::Global,
    )?;
    Ok(Setup {
        receive: Ring::new(&driver.receive.queue),
        transmit: Ring::new(&driver.transmit.queue),
        driver,
        registers: plain,
    })
}

/// A driver that has been started.
fn setup(description: VirtioDescription) -> Setup {
    let mut setup = try_new(description, description.needed_bytes(), 0).expect("memory");
    setup.driver.exchange(0);
    setup.registers.notified();
    setup
}

impl Setup {
    fn send(&mut self, content: &[u8]) {
        let mut fill = |frame: &mut [u8]| frame.copy_from_slice(content);
        self.driver.transmit.send(content.len(), None, &mut fill);
    }

    /// The next frame.
    fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        let received = self.driver.receive.receive()?;
        Some((received.frame.to_vec(), received.checked))
    }
}

/// A header that says over how many buffers the frame is spread.
fn header(flags: u8, buffers: u16) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = flags;
    header[10..].copy_from_slice(&buffers.to_le_bytes());
    header
}

#[test]
fn features_are_accepted_for_both_directions_or_none() {
    let both = CHECKSUM | GUEST_CHECKSUM;
    let tso = HOST_TSO4 | GUEST_TSO4 | GUEST_TSO6;
    let plain = EVENT_INDEX | MAC | MERGED_BUFFERS;
    assert_eq!((both, tso, plain), (3, 0x980, 0x2000_8020));
    for (offered, accepted, checksum, segment_bytes) in [
        (0, 0, false, 0),
        (u64::MAX, plain | both | tso, true, 4096),
        (plain, plain, false, 0),
        (CHECKSUM | tso, 0, false, 0),
        (GUEST_CHECKSUM | tso, 0, false, 0),
        (both, both, true, 0),
        // A segment that is larger than a buffer needs several.
        (both | tso, both | HOST_TSO4, true, 4096),
        (
            both | tso | MERGED_BUFFERS,
            both | tso | MERGED_BUFFERS,
            true,
            4096,
        ),
        (
            both | GUEST_TSO4 | MERGED_BUFFERS,
            both | GUEST_TSO4 | MERGED_BUFFERS,
            true,
            0,
        ),
        (plain | 1 << 3 | 1 << 32, plain, false, 0),
    ] {
        let description = VirtioDescription {
            features: offered,
            transmit_bytes: 16 << 10,
            ..DESCRIPTION
        };
        assert_eq!(description.accepted(), accepted, "{offered:#x}");
        let offload = Offload {
            checksum,
            segment_bytes,
        };
        assert_eq!(description.offload(), offload, "{offered:#x}");
    }
    let large = VirtioDescription {
        features: u64::MAX,
        transmit_bytes: 1 << 20,
        ..DESCRIPTION
    };
    assert_eq!(large.offload().segment_bytes, 14 + 65_535);
}

#[test]
fn the_memory_it_says_it_needs_is_enough_and_not_much_more() {
    // Two queues of 4 entries, four buffers, two frames of 1500 bytes with all headers, and the alignment.
    let queues = 2 * (4 * 26 + 12 + 32);
    for (transmit_bytes, area) in [
        (0, 2 * (12 + 14 + 1500)),
        (4096, 4096),
        (3052, 3052),
        (3053, 3053),
    ] {
        let description = VirtioDescription {
            transmit_bytes,
            ..DESCRIPTION
        };
        assert_eq!(description.needed_bytes(), queues + 4 * 2048 + area + 64);
        for skip in 0..16 {
            let setup = try_new(description, description.needed_bytes(), skip);
            let transmit = setup.expect("enough").driver.transmit;
            assert_eq!((transmit.area.bytes(), transmit.largest), (area, 1526));
        }
        for bytes in [
            0,
            queues - 64,
            queues + 4 * 2048,
            queues + 4 * 2048 + area - 100,
        ] {
            assert!(try_new(description, bytes, 0).is_err(), "{bytes}");
        }
    }
    // Segments may be larger than packets.
    let large = VirtioDescription {
        features: u64::MAX,
        transmit_bytes: 64 << 10,
        ..DESCRIPTION
    };
    assert_eq!(large.largest_frame(), 16 << 10);
    let small = VirtioDescription {
        transmit_bytes: 4096,
        ..large
    };
    assert_eq!(small.largest_frame(), 1514);
}

#[test]
fn the_device_is_started_once_at_the_first_use() {
    for by_sleep in [false, true] {
        let mut setup = try_new(DESCRIPTION, DESCRIPTION.needed_bytes(), 0).expect("memory");
        assert_eq!(setup.registers.get(STATUS), NOBODY);
        // All buffers are there before it starts.
        let offered = setup.receive.take();
        assert_eq!(offered.len(), 4);
        let start = offered[0].address;
        for (index, offered) in offered.iter().enumerate() {
            assert_eq!((usize::from(offered.buffer), offered.bytes), (index, 2048));
            assert!(offered.is_written);
            assert_eq!(offered.address, start + 2048 * index as u64);
        }
        // What is sent before waits for it.
        if by_sleep {
            setup.send(b"early");
        }
        assert_eq!(setup.registers.notified(), None);
        if by_sleep {
            assert!(!setup.driver.prepare_to_sleep());
        } else {
            setup.driver.exchange(0);
        }
        assert_eq!(setup.registers.get(STATUS), 15);
        assert_eq!(setup.registers.get(QUEUE_SELECT), 1);
        // The upper half: version 1 alone.
        assert_eq!(setup.registers.get(DRIVER_FEATURES), 1);
        assert_eq!(setup.registers.notified(), by_sleep.then_some(TRANSMIT));
        // SAFETY: one of the 64.
        unsafe { setup.registers.0.add(STATUS).write_volatile(0) };
        setup.driver.exchange(1 << 40);
        setup.driver.prepare_to_sleep();
        assert_eq!(setup.registers.get(STATUS), 0);
    }
}

#[test]
fn a_frame_is_lent_until_the_next_is_asked_for() {
    let mut setup = setup(DESCRIPTION);
    let offered = setup.receive.take();
    for (at, content) in [&b"the first"[..], b"another", b""].into_iter().enumerate() {
        let flags = at as u8;
        let whole = [&header(flags, 1)[..], content].concat();
        setup.receive.fill(offered[at], &whole);
    }
    assert_eq!(setup.next(), Some((b"the first".to_vec(), false)));
    assert_eq!(setup.receive.take(), []);
    assert_eq!(setup.next(), Some((b"another".to_vec(), true)));
    assert_eq!(setup.next(), Some((vec![], true)));
    // They go back when the batch ends, with one notification if the device asked for it.
    assert_eq!(setup.receive.take(), []);
    assert_eq!(setup.registers.notified(), None);
    setup.receive.ask(4);
    assert_eq!(setup.next(), None);
    let back: Vec<u16> = setup.receive.take().iter().map(|o| o.buffer).collect();
    assert_eq!(back, [0, 1, 2]);
    assert_eq!(setup.registers.notified(), Some(RECEIVE));
    assert_eq!(setup.next(), None);
    assert_eq!(setup.registers.notified(), None);
    // Or when the image sleeps.
    setup.receive.fill(offered[3], &header(0, 0));
    assert_eq!(setup.next(), Some((vec![], false)));
    assert!(!setup.driver.prepare_to_sleep());
    assert_eq!(setup.receive.take().len(), 1);
    assert_eq!(setup.receive.wake(), 4);
    setup.receive.give(0, 12);
    assert!(setup.driver.prepare_to_sleep());
}

#[test]
fn frames_without_a_header_are_passed_over() {
    let mut setup = setup(DESCRIPTION);
    let offered = setup.receive.take();
    setup.receive.give(0, 0);
    setup.receive.give(1, 11);
    setup
        .receive
        .fill(offered[2], &[&header(0, 1)[..], b"good"].concat());
    assert_eq!(setup.next(), Some((b"good".to_vec(), false)));
    assert_eq!(setup.next(), None);
    assert_eq!(setup.receive.take().len(), 3);
}

#[test]
fn a_frame_over_several_buffers_is_put_together() {
    let mut setup = setup(DESCRIPTION);
    for round in 0..3u8 {
        let offered = setup.receive.take();
        assert_eq!(offered.len(), 4);
        let content: Vec<u8> = (0..3000u32).map(|at| (at * 7) as u8 ^ round).collect();
        let whole = [&header(2, 3)[..], &content].concat();
        for (offered, part) in
            offered
                .iter()
                .zip([&whole[..2048], &whole[2048..3000], &whole[3000..]])
        {
            setup.receive.fill(*offered, part);
        }
        setup
            .receive
            .fill(offered[3], &[&header(0, 1)[..], b"next"].concat());
        assert_eq!(setup.next(), Some((content, true)));
        assert_eq!(setup.next(), Some((b"next".to_vec(), false)));
        assert_eq!(setup.next(), None);
    }
    // All parts come at once: a device that brings fewer is broken.
    let offered = setup.receive.take();
    setup.receive.fill(offered[0], &header(0, 3));
    setup.receive.fill(offered[1], &[1]);
    assert_eq!(setup.next(), None);
    assert!(setup.driver.receive.queue.is_broken());
    assert_eq!(setup.next(), None);
}

#[test]
fn a_device_that_does_not_merge_may_write_anything_there() {
    let mut setup = setup(VirtioDescription {
        features: 0,
        ..DESCRIPTION
    });
    let offered = setup.receive.take();
    setup
        .receive
        .fill(offered[0], &[&header(0, 9)[..], b"alone"].concat());
    assert_eq!(setup.next(), Some((b"alone".to_vec(), false)));
}

#[test]
fn the_largest_merged_frame_is_64_kib_of_packet() {
    for (more, fits) in [(0, true), (1, false)] {
        let mut setup = setup(VirtioDescription {
            entries: 64,
            ..DESCRIPTION
        });
        let offered = setup.receive.take();
        let mut content = vec![5; 14 + 65_535 + more];
        content.splice(..0, header(0, 33));
        for (offered, part) in offered.iter().zip(content.chunks(2048)) {
            setup.receive.fill(*offered, part);
        }
        setup
            .receive
            .fill(offered[40], &[&header(0, 1)[..], b"next"].concat());
        if fits {
            let (frame, _) = setup.next().expect("it fits");
            assert_eq!(frame, content[12..]);
        }
        assert_eq!(setup.next(), Some((b"next".to_vec(), false)));
    }
}

#[test]
fn frames_lie_one_behind_the_other_in_a_ring() {
    let mut setup = setup(VirtioDescription {
        entries: 8,
        ..DESCRIPTION
    });
    let send = |setup: &mut Setup, whole: usize| setup.send(&vec![1; whole - HEADER_BYTES]);
    let rooms =
        |setup: &Setup, sizes: [usize; 2]| sizes.map(|bytes| setup.driver.transmit.room(bytes));
    assert_eq!(rooms(&setup, [4096, 4097]), [Some(0), None]);
    send(&mut setup, 1012);
    assert_eq!(rooms(&setup, [3084, 3085]), [Some(1012), None]);
    send(&mut setup, 1512);
    let offered = setup.transmit.take();
    assert_eq!(offered[1].address - offered[0].address, 1012);
    assert_eq!([offered[0].bytes, offered[1].bytes], [1012, 1512]);
    assert!(!offered[0].is_written);
    // Done out of order, the room is free when the first is.
    setup.transmit.give(1, 0);
    setup.driver.transmit.reclaim();
    assert_eq!(setup.driver.transmit.count, 2);
    setup.transmit.give(0, 0);
    setup.driver.transmit.reclaim();
    assert_eq!(setup.driver.transmit.count, 0);
    assert_eq!(rooms(&setup, [4096, 4097]), [Some(0), None]);
    for whole in [1012, 1512] {
        send(&mut setup, whole);
    }
    let offered = setup.transmit.take();
    assert_eq!([offered[0].buffer, offered[1].buffer], [2, 3]);
    setup.transmit.give(2, 0);
    setup.driver.transmit.reclaim();
    assert_eq!(rooms(&setup, [1572, 1573]), [Some(2524), None]);
    send(&mut setup, 1512);
    assert_eq!(rooms(&setup, [60, 61]), [Some(4036), Some(0)]);
    assert_eq!(rooms(&setup, [1011, 1012]), [Some(0), None]);
    send(&mut setup, 112);
    assert_eq!(rooms(&setup, [899, 900]), [Some(112), None]);
    // A queue whose entries are used up has no room, however small the frames.
    while setup.driver.transmit.count < 7 {
        send(&mut setup, 13);
    }
    assert_eq!(rooms(&setup, [1, 13]), [Some(164); 2]);
    send(&mut setup, 13);
    assert_eq!(rooms(&setup, [1, 13]), [None; 2]);
    // Nor has a broken one.
    setup.transmit.give(3, 0);
    setup.driver.transmit.reclaim();
    assert_eq!(rooms(&setup, [13, 13]), [Some(177); 2]);
    setup.driver.transmit.queue.cut();
    assert_eq!(rooms(&setup, [13, 13]), [None; 2]);
}

/// Frames of all sizes over many laps of both rings, done in any order: each is where the device reads it until it is done.
#[test]
fn no_frame_is_overwritten_before_the_device_has_it() {
    let mut setup = setup(DESCRIPTION);
    let mut state = 1u64;
    let mut random = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let mut held: Vec<(Offered, Vec<u8>)> = Vec::new();
    let (mut sent, mut refused) = (0, 0);
    for round in 0..4000usize {
        if random(2) == 0 {
            if setup.driver.transmit.ready() {
                let content = vec![round as u8; 1 + random(1514)];
                setup.send(&content);
                let offered = setup.transmit.take();
                assert_eq!(offered.len(), 1, "it was ready");
                held.push((offered[0], content));
                sent += 1;
            } else {
                refused += 1;
                assert_eq!(setup.registers.notified(), Some(TRANSMIT));
            }
        } else if !held.is_empty() {
            let (offered, content) = held.swap_remove(random(held.len()));
            assert_eq!(offered.memory()[..12], [0; 12]);
            assert_eq!(offered.memory()[12..], content);
            setup.transmit.give(offered.buffer, 0);
        }
    }
    assert!(sent > 1000 && refused > 100, "{sent} {refused}");
}

#[test]
fn a_frame_without_room_is_lost_and_written_nowhere() {
    let mut setup = setup(DESCRIPTION);
    let filled = core::cell::Cell::new(0);
    let mut fill = |frame: &mut [u8]| {
        frame.fill(9);
        filled.set(filled.get() + frame.len());
    };
    for _ in 0..6 {
        setup.driver.transmit.send(1514, None, &mut fill);
    }
    assert_eq!(filled.get(), 6 * 1514);
    assert_eq!(setup.transmit.take().len(), 2);
    // Broken, it loses all.
    setup.transmit.give(0, 0);
    setup.transmit.give(1, 0);
    setup.driver.transmit.reclaim();
    setup.driver.transmit.queue.cut();
    setup.driver.transmit.send(10, None, &mut fill);
    assert_eq!(setup.transmit.take(), []);
    // As far as its room goes, it says so first: nothing was started.
    assert_eq!(setup.driver.transmit.count, 0);
}

#[test]
fn notifications_are_sent_when_the_device_wants_them() {
    let mut setup = setup(DESCRIPTION);
    assert!(setup.driver.shows_all());
    setup.send(b"a");
    assert_eq!(setup.registers.notified(), Some(TRANSMIT));
    setup.send(b"b");
    assert_eq!(setup.registers.notified(), None);
    setup.transmit.ask(2);
    setup.send(b"c");
    assert_eq!(setup.registers.notified(), Some(TRANSMIT));
    setup.driver.exchange(1 << 40);
    assert_eq!(setup.registers.notified(), None);
}

#[test]
fn a_device_that_moves_at_exits_is_asked_every_tenth_of_a_millisecond() {
    let mut setup = setup(VirtioDescription {
        moves_at_exits: true,
        ..DESCRIPTION
    });
    assert!(!setup.driver.shows_all());
    setup.send(b"a");
    assert_eq!(setup.registers.notified(), None);
    for (now, is_asked) in [
        (99_999, false),
        (100_000, true),
        (100_001, false),
        (199_999, false),
        (200_000, true),
        (250_000, false),
        (1_000_000, true),
    ] {
        setup.driver.exchange(now);
        assert_eq!(
            setup.registers.notified(),
            is_asked.then_some(TRANSMIT),
            "{now}"
        );
    }
    // While the image sleeps frames move: that counts as an exchange.
    assert!(!setup.driver.prepare_to_sleep());
    setup.driver.exchange(1_020_000);
    assert_eq!(setup.registers.notified(), None);
    setup.driver.exchange(1_119_999);
    assert_eq!(setup.registers.notified(), None);
    setup.driver.exchange(1_120_000);
    assert_eq!(setup.registers.notified(), Some(TRANSMIT));
    // It does not sleep when there is news.
    setup.receive.give(0, 12);
    assert!(setup.driver.prepare_to_sleep());
    setup.driver.exchange(1_219_999);
    assert_eq!(setup.registers.notified(), None);
    setup.driver.exchange(1_220_000);
    assert_eq!(setup.registers.notified(), Some(TRANSMIT));
    // Full, it asks at once.
    for _ in 0..2 {
        assert!(setup.driver.transmit.ready());
        setup.send(&[1; 1514]);
    }
    assert!(!setup.driver.transmit.ready());
    assert_eq!(setup.registers.notified(), Some(TRANSMIT));
}

#[test]
fn before_the_start_no_register_is_touched() {
    let mut setup = try_new(DESCRIPTION, DESCRIPTION.needed_bytes(), 0).expect("memory");
    for _ in 0..2 {
        assert!(setup.driver.transmit.ready());
        setup.send(&[1; 1514]);
    }
    assert!(!setup.driver.transmit.ready());
    assert_eq!(setup.registers.notified(), None);
}

#[test]
fn the_header_says_what_the_device_has_to_do() {
    let description = VirtioDescription {
        features: u64::MAX,
        transmit_bytes: 8192,
        ..DESCRIPTION
    };
    let mut setup = setup(description);
    let from = IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), 1);
    let to = IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 2);
    let tcp = Tcp::new(frames::ACK, 1, 2).bytes(from, to);
    let packet = frames::ip(from.addr, to.addr, frames::TCP, &tcp);
    let frame = frames::ethernet([2; 6], [4; 6], &packet);
    setup
        .driver
        .transmit
        .send(frame.len(), NonZeroU16::new(0x0102), &mut |place| {
            place.copy_from_slice(&frame);
        });
    let offered = setup.transmit.take();
    // Needs a checksum, TCP over IPv4, 54 bytes of headers, segments, the checksum's start and place.
    assert_eq!(
        offered[0].memory()[..12],
        [1, 1, 54, 0, 2, 1, 34, 0, 16, 0, 0, 0]
    );
    assert_eq!(setup.driver.mtu(), 1500);
    assert_eq!(setup.driver.hardware_address(), [2, 1, 2, 3, 4, 5]);
    let offload = Offload {
        checksum: true,
        segment_bytes: 2048,
    };
    assert_eq!(setup.driver.offload(), offload);
}
