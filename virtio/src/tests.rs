//! Drivers against a device in the same program: registers that are plain memory, and a device that follows the rings.

use crate::queue::tests::Device;
use crate::{
    Broken, Console, DeviceMemory, Direction, Entropy, MOST_ENTRIES, Queue, Refused, Registers,
    Used, feature,
};
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

const FEATURES: usize = 0x10 / 4;
const FEATURES_SELECT: usize = 0x14 / 4;
const DRIVER_FEATURES: usize = 0x20 / 4;
const QUEUE_SELECT: usize = 0x30 / 4;
const QUEUE_MOST: usize = 0x34 / 4;
const QUEUE_SIZE: usize = 0x38 / 4;
const QUEUE_READY: usize = 0x44 / 4;
const NOTIFY: usize = 0x50 / 4;
const STATUS: usize = 0x70 / 4;
const QUEUE_ADDRESSES: [usize; 3] = [0x80 / 4, 0x90 / 4, 0xa0 / 4];
/// Nobody notifies a queue of this number.
const NOBODY: u32 = 99;

/// Registers that keep what is written.
#[derive(Clone, Copy)]
struct Plain(NonNull<u32>);

impl Plain {
    fn new() -> Self {
        Self(NonNull::from(Box::leak(Box::new([NOBODY; 64]))).cast())
    }

    fn registers(self) -> Registers {
        // SAFETY: leaked; they are read and written one access at a time.
        unsafe { Registers::new(self.0.as_ptr().expose_provenance()) }.expect("not null")
    }

    fn get(self, register: usize) -> u32 {
        // SAFETY: one of the 64.
        unsafe { self.0.add(register).read_volatile() }
    }

    fn set(self, register: usize, value: u32) {
        // SAFETY: one of the 64.
        unsafe { self.0.add(register).write_volatile(value) }
    }

    /// The queue that was notified since the last time.
    fn notified(self) -> Option<u32> {
        let queue = self.get(NOTIFY);
        self.set(NOTIFY, NOBODY);
        (queue != NOBODY).then_some(queue)
    }
}

/// Memory whose physical addresses are the virtual ones less `offset`, from `skip` bytes behind an aligned address on.
fn memory_at(skip: usize, bytes: usize, offset: u64) -> DeviceMemory {
    let block = Box::leak(vec![0u128; bytes / 16 + 2].into_boxed_slice());
    let start = NonNull::from(block).cast::<u8>();
    // SAFETY: leaked, and longer than what is given.
    unsafe { DeviceMemory::new(start.add(skip), bytes, offset) }
}

fn memory(bytes: usize) -> DeviceMemory {
    memory_at(0, bytes, 0)
}

/// Device memory by its physical address, as the device sees it.
fn bytes_at(physical: u64, bytes: usize) -> &'static mut [u8] {
    // SAFETY: memory of a leaked block, used by the test alone until the driver runs again.
    unsafe { core::slice::from_raw_parts_mut(physical as *mut u8, bytes) }
}

#[test]
fn parts_lie_one_behind_the_other_up_to_the_end() {
    let mut memory = memory_at(3, 100, 0x1000);
    let first = memory.take(5, 1).expect("ample");
    let second = memory.take(8, 16).expect("ample");
    assert_eq!(second.physical(0) - first.physical(0), 13);
    assert_eq!(second.physical(7), second.physical(0) + 7);
    assert_eq!((first.bytes(), second.bytes()), (5, 8));
    assert!((second.physical(0) + 0x1000).is_multiple_of(16));
    // 21 bytes are gone of the hundred.
    assert!(memory.take(80, 1).is_none());
    assert!(memory.take(usize::MAX, 1).is_none());
    let mut rest = memory.take(79, 1).expect("all that is left");
    assert!(memory.take(1, 1).is_none());
    assert_eq!(memory.take(0, 1).map(|part| part.bytes()), Some(0));
    // SAFETY: no device has it.
    unsafe {
        assert_eq!(rest.slice(70, 9).map(|bytes| bytes.len()), Some(9));
        assert!(rest.slice(70, 10).is_none());
        assert!(rest.slice(80, 0).is_none());
        assert!(rest.slice(usize::MAX, 2).is_none());
    }
}

#[test]
fn a_value_is_kept_where_it_fits() {
    let mut memory = memory_at(1, 24, 0);
    let value = memory.keep(0x0102_0304_0506_0708u64).expect("room");
    assert_eq!(*value, 0x0102_0304_0506_0708);
    *value += 1;
    assert_eq!(*value, 0x0102_0304_0506_0709);
    assert!(memory.keep(0u64).is_some());
    assert!(memory.keep(0u64).is_none());
}

#[test]
fn a_queue_fits_into_what_it_says_it_needs() {
    for entries in [1, 2, 64, 128, 256] {
        for skip in 0..16 {
            let mut memory = memory_at(skip, Queue::needed_bytes(entries), 0);
            let queue = Queue::new(entries, 0, &mut memory).expect("enough memory");
            assert_eq!(queue.entries(), entries);
        }
        let least = usize::from(entries) * 26 + 12;
        assert!(Queue::needed_bytes(entries) <= least + 3 * 16, "{entries}");
        assert!(Queue::new(entries, 0, &mut memory_at(0, least - 1, 0)).is_none());
    }
    for entries in [0, 3, 255, 512] {
        assert!(Queue::new(entries, 0, &mut memory(1 << 16)).is_none());
    }
    assert_eq!(MOST_ENTRIES, 256);
}

#[test]
fn rings_lie_apart_and_have_the_device_s_addresses() {
    let offset = 0x20_0000;
    let memory = &mut memory_at(0, 4096, offset);
    let queue = Queue::new(8, 0, memory).expect("memory");
    let [descriptors, available, used] = queue.addresses();
    assert_eq!((descriptors + offset) % 16, 0);
    assert!(available >= descriptors + 8 * 16);
    assert!(used >= available + 4 + 8 * 2 + 2);
    let behind = memory.take(1, 1).expect("ample").physical(0);
    assert!(behind >= used + 4 + 8 * 8 + 2);
}

#[test]
fn all_buffers_of_the_largest_queue_are_in_flight_at_once() {
    let mut queue = Queue::new(256, 0, &mut memory(1 << 14)).expect("memory");
    for buffer in 0..256 {
        let physical = 0x5_0000_0000 + u64::from(buffer);
        queue.offer(
            buffer,
            physical,
            u32::from(buffer) + 1,
            Direction::FromDevice,
        );
    }
    assert!(queue.publish());
    let [descriptors, ..] = queue.addresses();
    for buffer in [0u64, 63, 64, 127, 128, 255] {
        let entry = bytes_at(descriptors + buffer * 16, 16);
        let mut expected = (0x5_0000_0000 + buffer).to_le_bytes().to_vec();
        expected.extend((buffer as u32 + 1).to_le_bytes());
        // The device writes.
        expected.extend([2, 0, 0, 0]);
        assert_eq!(entry, expected);
    }
    let mut device = Device { seen: 0, done: 0 };
    let served = device.serve(&mut queue);
    let expected: Vec<(u16, u32)> = (0..256)
        .map(|buffer| (buffer, u32::from(buffer) + 1))
        .collect();
    assert_eq!(served, expected);
    for buffer in (0..256).rev() {
        let bytes = u32::from(buffer) + 1;
        device.give_back(&mut queue, buffer, bytes);
        assert_eq!(queue.take_used(), Ok(Some(Used { buffer, bytes })));
    }
}

#[test]
#[should_panic(expected = "in flight")]
fn a_buffer_is_offered_once() {
    let mut queue = Queue::new(256, 0, &mut memory(1 << 14)).expect("memory");
    queue.offer(64, 0, 1, Direction::ToDevice);
    queue.offer(0, 0, 1, Direction::ToDevice);
    queue.offer(128, 0, 1, Direction::ToDevice);
    queue.offer(64, 0, 1, Direction::ToDevice);
}

#[test]
#[should_panic]
fn a_buffer_behind_the_last_is_none() {
    let mut queue = Queue::new(8, 0, &mut memory(4096)).expect("memory");
    queue.offer(8, 0, 1, Direction::ToDevice);
}

/// Without event indices a flag says whether the device wants to know; the driver's mark is there all the same.
#[test]
fn a_device_without_event_indices_has_a_flag() {
    let mut queue = Queue::new(4, 0, &mut memory(4096)).expect("memory");
    let [descriptors, available, used] = queue.addresses();
    queue.offer(0, 0, 1, Direction::ToDevice);
    assert!(queue.publish());
    assert!(!queue.publish());
    bytes_at(used, 2)[0] = 1;
    queue.offer(1, 0, 1, Direction::ToDevice);
    assert!(!queue.publish());
    bytes_at(used, 2)[0] = 2;
    queue.offer(2, 0, 1, Direction::ToDevice);
    assert!(queue.publish());
    // The device reads.
    assert_eq!(bytes_at(descriptors + 12, 2), [0, 0]);
    let mark = |available| bytes_at(available + 4 + 4 * 2, 2)[0];
    assert!(!queue.wake_me());
    let mut device = Device { seen: 0, done: 0 };
    device.give_back(&mut queue, 0, 0);
    assert!(queue.wake_me());
    assert_eq!(mark(available), 0);
    assert!(queue.take_used().is_ok_and(|used| used.is_some()));
    assert!(!queue.wake_me());
    assert_eq!(mark(available), 1);
}

#[test]
fn a_device_that_gives_back_more_than_it_has_is_broken() {
    let mut queue = Queue::new(2, 0, &mut memory(4096)).expect("memory");
    for buffer in [0, 1] {
        queue.offer(buffer, 0, 1, Direction::FromDevice);
    }
    queue.publish();
    let mut device = Device { seen: 0, done: 0 };
    for buffer in [0, 1, 0] {
        device.give_back(&mut queue, buffer, 1);
    }
    assert_eq!(queue.take_used(), Err(Broken));
    let mut queue = Queue::new(2, 0, &mut memory(4096)).expect("memory");
    assert!(!queue.is_broken());
    queue.cut();
    assert!(queue.is_broken() && queue.take_used() == Err(Broken));
}

#[test]
fn a_device_is_set_up_by_its_registers() {
    let plain = Plain::new();
    let mut registers = plain.registers();
    plain.set(FEATURES, 0x8000_0001);
    assert_eq!(registers.offered(), 0x8000_0001_8000_0001);
    assert_eq!(plain.get(FEATURES_SELECT), 1);
    plain.set(QUEUE_MOST, 128);
    assert_eq!(registers.queue_entries(5), 128);
    assert_eq!(plain.get(QUEUE_SELECT), 5);
    let memory = &mut memory(1 << 14);
    let queues = [4, 16].map(|entries| Queue::new(entries, 0, memory).expect("memory"));
    let [first, second] = &queues;
    assert_eq!(registers.start(0x7_0000_0000, &[first, second]), Ok(()));
    assert_eq!(plain.get(STATUS), 15);
    // What was written last: the second queue, and the high half of the features with version 1.
    assert_eq!(plain.get(DRIVER_FEATURES), 7);
    assert_eq!((plain.get(QUEUE_SELECT), plain.get(QUEUE_SIZE)), (1, 16));
    assert_eq!(plain.get(QUEUE_READY), 1);
    for (register, address) in QUEUE_ADDRESSES.into_iter().zip(second.addresses()) {
        let halves = [register, register + 1].map(|register| u64::from(plain.get(register)));
        assert_eq!(halves[0] | halves[1] << 32, address);
    }
    registers.start(0, &[first]).expect("it accepts all");
    assert_eq!(
        plain.get(DRIVER_FEATURES),
        (feature::VERSION_1 >> 32) as u32
    );
    registers.notify(1);
    assert_eq!(plain.notified(), Some(1));
    registers.notifier(7).notify();
    assert_eq!(plain.notified(), Some(7));
    // SAFETY: no registers.
    assert!(unsafe { Registers::new(0) }.is_none());
}

#[test]
fn a_refusal_says_the_status() {
    assert_eq!(Refused::unless(15, 15), Ok(()));
    let refused = Refused::unless(0x8b, 15).expect_err("not ready");
    assert_eq!(refused, Refused { status: 0x8b });
    assert!(std::format!("{refused}").contains("0x8b"));
}

fn console() -> (Console, Plain) {
    let plain = Plain::new();
    let memory = &mut memory(Console::NEEDED_BYTES);
    let offered = feature::EVENT_INDEX | 1;
    let console = Console::new(plain.registers(), offered, memory).expect("it comes up");
    (console, plain)
}

#[test]
fn a_console_writes_a_buffer_at_a_time() {
    let (mut console, plain) = console();
    // The device has a buffer to write to.
    assert_eq!(plain.notified(), Some(0));
    let mut device = Device { seen: 0, done: 0 };
    assert_eq!(console.is_flushed(), Ok(true));
    assert_eq!(console.write(b""), Ok(0));
    assert_eq!(plain.notified(), None);
    let text: Vec<u8> = (0..5000u32).map(|at| at as u8).collect();
    assert_eq!(console.write(&text), Ok(4096));
    assert_eq!(plain.notified(), Some(1));
    assert_eq!(device.serve(&mut console.transmit), [(0, 4096)]);
    let sent = bytes_at(console.output.physical(0), 4096);
    assert_eq!(sent, &text[..4096]);
    // Until it is back, nothing more goes.
    assert_eq!(console.write(b"more"), Ok(0));
    assert_eq!(console.is_flushed(), Ok(false));
    device.give_back(&mut console.transmit, 0, 0);
    assert_eq!(console.is_flushed(), Ok(true));
    assert_eq!(console.write(b"more"), Ok(4));
    assert_eq!(bytes_at(console.output.physical(0), 4), b"more");
    device.give_back(&mut console.transmit, 1, 0);
    assert_eq!(console.is_flushed(), Err(Broken));
    assert_eq!(console.write(b"more"), Err(Broken));
}

#[test]
fn a_console_reads_what_came_in_any_pieces() {
    let (mut console, plain) = console();
    let mut device = Device { seen: 0, done: 0 };
    let mut to = [0u8; 6];
    assert_eq!(console.read(&mut to), Ok(0));
    assert!(!console.wake_me());
    assert_eq!(device.serve(&mut console.receive), [(0, 4096)]);
    plain.notified();
    bytes_at(console.input.physical(0), 8).copy_from_slice(b"abcdefgh");
    device.give_back(&mut console.receive, 0, 8);
    assert!(console.wake_me());
    assert_eq!(console.read(&mut to[..3]), Ok(3));
    assert_eq!(&to[..3], b"abc");
    // There is more, and the device does not have the buffer again.
    assert!(console.wake_me());
    assert_eq!(
        (plain.notified(), device.serve(&mut console.receive)),
        (None, vec![])
    );
    assert_eq!(console.read(&mut to), Ok(5));
    assert_eq!(&to[..5], b"defgh");
    assert!(!console.wake_me());
    assert_eq!(console.read(&mut to), Ok(0));
    assert_eq!(device.serve(&mut console.receive), [(0, 4096)]);
    device.give_back(&mut console.receive, 0, 4097);
    assert_eq!(console.read(&mut to), Err(Broken));
}

#[test]
fn drivers_need_the_memory_that_they_say() {
    for skip in 0..16 {
        let memory = &mut memory_at(skip, Entropy::NEEDED_BYTES, 0);
        assert!(Entropy::new(Plain::new().registers(), 0, memory).is_ok());
        let memory = &mut memory_at(skip, Console::NEEDED_BYTES, 0);
        assert!(Console::new(Plain::new().registers(), 0, memory).is_ok());
    }
    let none = Refused { status: 0 };
    for bytes in [0, 40, 100, 4200, 8192] {
        let console = Console::new(Plain::new().registers(), 0, &mut memory(bytes));
        assert_eq!(console.err(), Some(none), "{bytes} bytes");
    }
    for bytes in [0, 60, 120] {
        let entropy = Entropy::new(Plain::new().registers(), 0, &mut memory(bytes));
        assert_eq!(entropy.err(), Some(none), "{bytes} bytes");
    }
}

#[test]
fn random_bytes_are_asked_for_and_given_once() {
    let plain = Plain::new();
    let memory = &mut memory(Entropy::NEEDED_BYTES);
    let features = feature::EVENT_INDEX | feature::VERSION_1;
    let mut entropy = Entropy::new(plain.registers(), features, memory).expect("it comes up");
    let mut device = Device { seen: 0, done: 0 };
    let mut to = [0u8; 40];
    for round in 0..5u8 {
        assert_eq!(entropy.read(&mut to), Ok(0));
        assert_eq!(device.serve(&mut entropy.queue), [(0, 64)]);
        // It is asked once.
        assert_eq!(entropy.read(&mut to), Ok(0));
        assert_eq!(device.serve(&mut entropy.queue), []);
        let buffer = entropy.buffer.physical(0);
        let given = [64, 3, 40, 41, 0][usize::from(round)];
        bytes_at(buffer, 64).fill(round + 1);
        device.give_back(&mut entropy.queue, 0, given);
        let count = entropy.read(&mut to).expect("a sound device");
        assert_eq!(count, 40.min(given as usize));
        assert!(to[..count].iter().all(|&byte| byte == round + 1));
        // What was given is not there any more.
        assert_eq!(
            bytes_at(buffer, 64)[..given as usize],
            vec![0; given as usize]
        );
        to = [0; 40];
    }
    assert_eq!(entropy.read(&mut to), Ok(0));
    device.give_back(&mut entropy.queue, 0, 65);
    assert_eq!(entropy.read(&mut to), Err(Broken));
}

#[test]
fn the_device_is_notified_of_requests_that_it_waits_for() {
    let plain = Plain::new();
    let memory = &mut memory(Entropy::NEEDED_BYTES);
    // Without event indices every request is told.
    let mut entropy = Entropy::new(plain.registers(), 0, memory).expect("it comes up");
    let mut device = Device { seen: 0, done: 0 };
    for _ in 0..3 {
        assert_eq!(entropy.read(&mut [0; 4]), Ok(0));
        assert_eq!(plain.notified(), Some(0));
        assert_eq!(entropy.read(&mut [0; 4]), Ok(0));
        assert_eq!(plain.notified(), None);
        device.give_back(&mut entropy.queue, 0, 4);
        assert_eq!(entropy.read(&mut [0; 4]), Ok(4));
    }
    // And the console's, with them.
    let (mut console, plain) = console();
    plain.notified();
    let mut device = Device { seen: 0, done: 0 };
    device.serve(&mut console.receive);
    let [_, _, used] = console.receive.addresses();
    for (round, event) in [(1u8, 1u16), (2, 9), (3, 3)] {
        // From which request on the device wants to know.
        bytes_at(used + 4 + 2 * 8, 2).copy_from_slice(&event.to_le_bytes());
        device.give_back(&mut console.receive, 0, 1);
        assert_eq!(console.read(&mut [0; 4]), Ok(1));
        let expected = (event == u16::from(round)).then_some(0);
        assert_eq!(plain.notified(), expected, "request {round}");
    }
}
