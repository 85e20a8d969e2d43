//! What needs no link: options, the loopback's ring, memory that is lent, and where a packet says it goes.

mod bench;
mod datagrams;
mod endings;
pub(crate) mod frames;
mod handshakes;
pub(crate) mod io;
mod machine;
mod transfers;

use crate::device::{Device, Offload, Receive, Transmit};
use crate::local::{LOCAL_MTU, Local};
use crate::memory::{Bytes, Lease};
use crate::{
    Configuration, Error, IntegerOption, IpAddress, IpEndpoint, Ipv4Configuration, Stack, packet,
};
use allocator_api2::alloc::{AllocError, Allocator, Global, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

/// There is none.
enum NoDevice {}

impl Device for NoDevice {
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        match *self {}
    }
    fn offload(&self) -> Offload {
        match *self {}
    }
    fn mtu(&self) -> usize {
        match *self {}
    }
    fn hardware_address(&self) -> [u8; 6] {
        match *self {}
    }
}

fn stack() -> Stack<NoDevice> {
    let configuration = Configuration {
        ipv4: Ipv4Configuration::Dhcp,
        ipv6: None,
        relayed: false,
        serves_all: false,
        budget_bytes: 1 << 20,
        seed: 7,
    };
    Stack::new(None, &configuration, &Global).expect("a valid set-up")
}

#[test]
fn options_are_those_of_linux_until_they_are_set() {
    use IntegerOption::*;
    let mut stack = stack();
    for id in [stack.stream(false), stack.datagram(true)] {
        let id = id.expect("memory");
        let defaults = [
            (ReuseAddress, 0),
            (ReusePort, 0),
            (KeepAlive, 0),
            (KeepIdle, 7200),
            (KeepInterval, 75),
            (KeepCount, 9),
            (NoDelay, 0),
            (Cork, 0),
            (QuickAck, 0),
            (UserTimeout, 0),
            (Broadcast, 0),
            (V6Only, 0),
            (HopLimit4, 64),
            (HopLimit6, 64),
        ];
        for (option, value) in defaults {
            assert_eq!(stack.option(id, option), Ok(value), "{option:?}");
        }
        // Set one by one, they say so, and no other one changes.
        for (index, (option, _)) in defaults.into_iter().enumerate() {
            let new = match option {
                KeepIdle | KeepInterval | KeepCount | HopLimit4 | HopLimit6 => 100 + index as i32,
                UserTimeout => 12_345,
                _ => 1,
            };
            assert_eq!(stack.set_option(id, option, new), Ok(()), "{option:?}");
            assert_eq!(stack.option(id, option), Ok(new), "{option:?}");
            for (other, value) in &defaults[index + 1..] {
                assert_eq!(
                    stack.option(id, *other),
                    Ok(*value),
                    "{option:?}: {other:?}"
                );
            }
        }
        for option in [ReuseAddress, KeepAlive, NoDelay, Broadcast, UserTimeout] {
            assert_eq!(stack.set_option(id, option, 0), Ok(()));
            assert_eq!(stack.option(id, option), Ok(0));
        }
    }
}

#[test]
fn values_that_an_option_cannot_have_are_refused_or_brought_into_range() {
    use IntegerOption::*;
    let mut stack = stack();
    let id = stack.stream(false).expect("memory");
    for (option, least, most) in [
        (KeepIdle, 1, 32_767),
        (KeepInterval, 1, 32_767),
        (KeepCount, 1, 127),
        (HopLimit4, 1, 255),
        (HopLimit6, 1, 255),
        (UserTimeout, 0, i32::MAX),
    ] {
        for value in [least, most] {
            assert_eq!(
                stack.set_option(id, option, value),
                Ok(()),
                "{option:?} {value}"
            );
            assert_eq!(stack.option(id, option), Ok(value), "{option:?}");
        }
        let beyond = [least.wrapping_sub(1), most.wrapping_add(1), i32::MIN];
        for value in beyond
            .into_iter()
            .filter(|value| !(least..=most).contains(value))
        {
            let refused = stack.set_option(id, option, value);
            // -1 hops are the usual ones.
            assert_eq!(refused, Err(Error::Invalid), "{option:?} {value}");
            assert_eq!(stack.option(id, option), Ok(most), "{option:?}");
        }
    }
    assert_eq!(stack.set_option(id, HopLimit4, -1), Ok(()));
    assert_eq!(stack.option(id, HopLimit4), Ok(64));
    for (option, least) in [(SendBuffer, 2304), (ReceiveBuffer, 1152)] {
        for (value, expected) in [
            (0, least),
            (least - 1, least),
            (least + 1, least + 1),
            (212_992, 212_992),
            (212_993, 212_992),
            (-1, 212_992),
        ] {
            assert_eq!(stack.set_option(id, option, value), Ok(()));
            assert_eq!(stack.option(id, option), Ok(expected), "{option:?} {value}");
        }
    }
    assert_eq!(stack.linger(id), Ok(None));
    assert_eq!(stack.set_linger(id, Some(3)), Ok(()));
    assert_eq!(stack.linger(id), Ok(Some(3)));
}

#[test]
fn a_bound_socket_keeps_its_versions() {
    let mut stack = stack();
    let id = stack.stream(true).expect("memory");
    assert_eq!(stack.set_option(id, IntegerOption::V6Only, 1), Ok(()));
    let any = IpEndpoint::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0), 80);
    stack.bind(id, any).expect("free");
    assert_eq!(
        stack.set_option(id, IntegerOption::V6Only, 0),
        Err(Error::Invalid)
    );
    assert_eq!(stack.option(id, IntegerOption::V6Only), Ok(1));
}

/// Packets of all lengths through the loopback, over many laps of its ring: in order, whole, and none lost.
#[test]
fn the_loopback_keeps_every_packet_that_it_accepts() {
    let mut local = Local::new(&Global);
    let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
    let mut state = 1u64;
    let mut random = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % limit
    };
    assert!(!local.pending());
    assert!(local.take().is_none());
    let mut refused = 0;
    for round in 0..3000usize {
        if random(5) < 3 {
            if !local.ready() {
                refused += 1;
                continue;
            }
            let bytes = [1 + random(100), 1 + random(LOCAL_MTU), LOCAL_MTU][random(3)];
            let content: Vec<u8> = (0..bytes).map(|at| (at * 7 + round) as u8).collect();
            local.send(bytes, None, &mut |frame| frame.copy_from_slice(&content));
            waiting.push_back(content);
        } else if let Some(expected) = waiting.pop_front() {
            let packet = local.take().expect("one waits");
            assert_eq!(packet.bytes(), expected);
            // While it is looked at there is no place for another one.
            assert!(local.take().is_none());
            local.recycle(packet);
        }
        assert_eq!(local.pending(), !waiting.is_empty());
    }
    assert!(refused > 100, "it was full {refused} times");
}

/// Counts bytes.
struct Counting(AtomicUsize);

// SAFETY: the host's memory.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.fetch_add(layout.size(), Relaxed);
        Global.allocate(layout)
    }
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
        self.0.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { Global.deallocate(ptr, layout) }
    }
}

#[test]
fn memory_that_is_lent_comes_back_with_all_that_was_in_it() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Value(u32);
    impl Drop for Value {
        fn drop(&mut self) {
            assert_eq!(self.0, 9);
            DROPS.fetch_add(1, Relaxed);
        }
    }
    let memory: &'static Counting = Box::leak(Box::new(Counting(AtomicUsize::new(0))));
    {
        // SAFETY: the slice is used while the lease lives.
        let (_lease, values) = unsafe { Lease::new(5, || Value(9), memory) }.expect("memory");
        assert_eq!((values.len(), memory.0.load(Relaxed)), (5, 20));
        let mut bytes = Bytes::new(100, memory).expect("memory");
        bytes.fill(1);
        assert_eq!(memory.0.load(Relaxed), 120);
    }
    assert_eq!((DROPS.load(Relaxed), memory.0.load(Relaxed)), (5, 0));
    let (mut stack, before) = (stack(), memory.0.load(Relaxed));
    assert_eq!((before, stack.stream(false).is_ok()), (0, true));
}

/// An IPv4 packet of this protocol and payload, from 10.0.0.1 to 10.0.0.2.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    ip.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    ip.extend(payload);
    let total = ip.len() as u16;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip
}

#[test]
fn a_segment_is_read_field_by_field() {
    let mut tcp = vec![0x12, 0x34, 0x00, 0x50];
    tcp.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    // Six words of header, SYN and ACK.
    tcp.extend([0x60, 0x12, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4]);
    tcp.extend(b"payload");
    let packet::Packet::Tcp(segment) = packet::look(&ipv4(6, &tcp), 0) else {
        panic!("a segment");
    };
    let (here, there) = (IpAddress::v4(10, 0, 0, 2), IpAddress::v4(10, 0, 0, 1));
    assert_eq!(segment.flow.local, IpEndpoint::new(here, 80));
    assert_eq!(segment.flow.remote, IpEndpoint::new(there, 0x1234));
    assert_eq!((segment.flags, segment.payload), (0x12, 7));
    assert_eq!(
        (segment.sequence, segment.acknowledgement),
        (0x0102_0304, 0x0506_0708)
    );
    // A header longer than the packet, or cut.
    let mut bad = tcp[..30].to_vec();
    bad[12] = 0xf0;
    let found = packet::look(&ipv4(6, &bad), 0);
    assert!(matches!(found, packet::Packet::Unusable));
    for end in 0..14 {
        assert!(matches!(
            packet::look(&ipv4(6, &tcp[..end]), 0),
            packet::Packet::Unusable
        ));
    }
    let udp = [0, 53, 0x12, 0x34, 0, 8, 0, 0];
    let packet::Packet::Udp(flow) = packet::look(&ipv4(17, &udp), 0) else {
        panic!("a datagram");
    };
    assert_eq!((flow.local.port, flow.remote.port), (0x1234, 53));
    // A fragment, its first as well as its last; but not one that must not be fragmented.
    for (bits, is_whole) in [(0x2000u16, false), (0x0001, false), (0x4000, true)] {
        let mut ip = ipv4(17, &udp);
        ip[6..8].copy_from_slice(&bits.to_be_bytes());
        let is_udp = matches!(packet::look(&ip, 0), packet::Packet::Udp(_));
        assert_eq!(is_udp, is_whole, "{bits:#x}");
    }
    // Lengths that cannot be.
    for (at, value) in [(0, 0x44), (0, 0x55), (3, 19), (3, 200)] {
        let mut ip = ipv4(17, &udp);
        ip[at] = value;
        assert!(
            matches!(packet::look(&ip, 0), packet::Packet::Unusable),
            "{at}"
        );
    }
}
