//! What the fuzz targets and their short runs in the tests share: frames from an enemy, and a
//! device that is one.
//! Owns nothing. Compiled for tests, and for fuzzing with the feature of that name.

use crate::device::virtio::{VirtioDescription, VirtioNet};
use crate::device::{Device, Offload, Receive, Received, Transmit};
use crate::{
    Configuration, Error, IpAddress, IpEndpoint, Ipv4Address, Ipv4Configuration, Memory, Stack,
};
use bespoke_virtio::{DeviceMemory, Queue, Registers};
use core::num::NonZeroU16;
use core::ptr::NonNull;

/// Frames in, frames out to nowhere.
struct Enemy {
    receive: Script,
    transmit: Nowhere,
    offload: bool,
}

struct Script {
    frames: std::vec::Vec<std::vec::Vec<u8>>,
    current: std::vec::Vec<u8>,
}

struct Nowhere(std::vec::Vec<u8>);

impl Receive for Script {
    fn receive(&mut self) -> Option<Received<'_>> {
        self.current = self.frames.pop()?;
        Some(Received {
            frame: &self.current,
            checked: true,
        })
    }
}

impl Transmit for Nowhere {
    fn ready(&mut self) -> bool {
        true
    }
    fn send(
        &mut self,
        bytes: usize,
        _segment: Option<NonZeroU16>,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        self.0.resize(bytes, 0);
        fill(&mut self.0);
    }
}

impl Device for Enemy {
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.receive, &mut self.transmit)
    }
    fn offload(&self) -> Offload {
        Offload {
            checksum: self.offload,
            segment_bytes: if self.offload { 65_000 } else { 0 },
        }
    }
    fn mtu(&self) -> usize {
        1500
    }
    fn hardware_address(&self) -> [u8; 6] {
        MAC
    }
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);

/// Feeds a stack with a listener, a datagram socket and a connection under way with frames cut from
/// `input`: a length, a template and bytes over it. Whatever they are, the stack goes on.
pub fn frames(input: &[u8]) {
    let memory: Memory = &allocator_api2::alloc::Global;
    let Some((&first, mut rest)) = input.split_first() else {
        return;
    };
    let device = Enemy {
        receive: Script {
            frames: std::vec::Vec::new(),
            current: std::vec::Vec::new(),
        },
        transmit: Nowhere(std::vec::Vec::new()),
        offload: first & 1 != 0,
    };
    let configuration = Configuration {
        ipv4: if first & 2 != 0 {
            Ipv4Configuration::Dhcp
        } else {
            Ipv4Configuration::Static {
                address: OWN,
                prefix_bits: 24,
                gateway: Some(Ipv4Address::new(10, 0, 0, 1)),
                name_server: None,
            }
        },
        ipv6: None,
        relayed: first & 4 != 0,
        serves_all: false,
        budget_bytes: 1 << 20,
        seed: 7,
    };
    let mut stack = Stack::new(Some(device), &configuration, memory).expect("a valid set-up");
    let any = |port| IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), port);
    let listener = stack.stream(false).expect("memory");
    stack.bind(listener, any(80)).expect("a free port");
    stack.listen(listener, 4).expect("a bound socket");
    let datagrams = stack.datagram(false).expect("memory");
    stack.bind(datagrams, any(53)).expect("a free port");
    let client = stack.stream(false).expect("memory");
    let peer = IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 90);
    let _ = stack.bind(client, any(4000));
    let connecting = stack.connect(client, peer);
    assert!(matches!(
        connecting,
        Err(Error::InProgress | Error::NetworkUnreachable)
    ));
    let mut now = 1_000_000;
    let mut buffer = [0; 2048];
    while let [template, length, tail @ ..] = rest {
        let bytes = usize::from(*length).min(tail.len());
        let (patch, tail) = tail.split_at(bytes);
        rest = tail;
        let frame = from_template(*template, patch);
        if let Some(device) = stack.device() {
            device.receive.frames.push(frame);
        }
        now += u64::from(*template) * 10_000_000;
        stack.poll(now);
        while let Some(change) = stack.take_change() {
            if change.socket == listener {
                while let Ok(accepted) = stack.accept(listener) {
                    let _ = stack.send(accepted, b"hello", false);
                    let _ = stack.receive(accepted, &mut buffer, false);
                    if template & 1 == 0 {
                        stack.close(accepted).expect("a good handle");
                    }
                }
            } else {
                let _ = stack.receive(change.socket, &mut buffer, false);
            }
        }
    }
    // It still listens.
    assert_eq!(stack.is_listening(listener), Ok(true));
}

/// A frame that gets past the first checks, with `patch` exclusive-ored over what follows them.
fn from_template(template: u8, patch: &[u8]) -> std::vec::Vec<u8> {
    let mut frame = std::vec![0_u8; 14 + 40 + patch.len()];
    frame[..6].copy_from_slice(&MAC);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    let total = (frame.len() - 14) as u16;
    let (ports, flags) = match template % 8 {
        0 => ([0x10, 0, 0, 80], 2),
        1 => ([0x10, 0, 0, 80], 16),
        2 => ([0, 90, 0x0f, 0xa0], 18),
        3 => ([0x10, 0, 0, 80], 17),
        4 => ([0, 90, 0x0f, 0xa0], 4),
        5 => ([0x10, 0, 0, 53], 0),
        _ => ([0, 67, 0, 68], 0),
    };
    match template % 8 {
        7 => frame[12..14].copy_from_slice(&[8, 6]),
        _ => {
            frame[12..14].copy_from_slice(&[8, 0]);
            frame[14] = 0x45;
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            frame[22] = 64;
            frame[23] = if template % 8 < 5 { 6 } else { 17 };
            frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
            frame[30..34].copy_from_slice(&OWN.octets());
            frame[34..38].copy_from_slice(&ports);
            if frame[23] == 6 {
                frame[46] = 0x50;
                frame[47] = flags;
            } else {
                frame[38..40].copy_from_slice(&(total - 20).to_be_bytes());
            }
        }
    }
    let start = if template & 0x80 != 0 { 14 } else { 38 };
    for (byte, change) in frame[start..].iter_mut().zip(patch) {
        *byte ^= change;
    }
    if template & 0x40 == 0 && frame[12..14] == [8, 0] {
        // The IP header's checksum, so that what follows is looked at.
        frame[24..26].fill(0);
        let header = &frame[14..34];
        let sum: u32 = header
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    if template & 0x20 != 0 {
        let keep = usize::from(*patch.first().unwrap_or(&0)) % (frame.len() + 1);
        frame.truncate(keep);
    }
    frame
}

/// Lets a device write anything it likes into all it shares with the driver, between polls.
pub fn device(input: &[u8]) {
    const ENTRIES: u16 = 8;
    let memory: Memory = &allocator_api2::alloc::Global;
    let Some((&first, rest)) = input.split_first() else {
        return;
    };
    let description = VirtioDescription {
        features: if first & 1 != 0 { u64::MAX } else { 1 << 32 },
        hardware_address: MAC,
        mtu: 1500,
        entries: ENTRIES,
        transmit_bytes: 16 << 10,
        moves_at_exits: first & 2 != 0,
    };
    let bytes = description.needed_bytes();
    let mut block = std::vec![0_u128; bytes.div_ceil(16)];
    let mut registers = std::vec![0_u32; 1024];
    let start = NonNull::from(block.as_mut_slice()).cast::<u8>();
    // SAFETY: both blocks outlive the driver, which is dropped at the end of `stack`, and are used
    // by nobody else but the device below, by raw pointer as the driver does.
    let (device_memory, registers) = unsafe {
        (
            DeviceMemory::new(start, bytes, 0),
            Registers::new(registers.as_mut_ptr() as usize),
        )
    };
    let registers = registers.expect("an address");
    let device =
        VirtioNet::new(registers, description, device_memory, memory).expect("a plain device");
    let configuration = Configuration {
        ipv4: Ipv4Configuration::Static {
            address: OWN,
            prefix_bits: 24,
            gateway: None,
            name_server: None,
        },
        ipv6: None,
        relayed: false,
        serves_all: false,
        budget_bytes: 1 << 20,
        seed: 7,
    };
    let mut stack = Stack::new(Some(device), &configuration, memory).expect("a valid set-up");
    let socket = stack.datagram(false).expect("memory");
    // Where the used rings are, so that most writes hit them.
    let queue_bytes = Queue::needed_bytes(ENTRIES);
    let mut now = 1_000_000;
    for step in rest.chunks_exact(4) {
        let [at_low, at_high, low, high] = [step[0], step[1], step[2], step[3]];
        let at = usize::from(u16::from_le_bytes([at_low, at_high]));
        let place = match at_high >> 6 {
            0 => at % queue_bytes,
            1 => queue_bytes + usize::from(ENTRIES) * 2048 + at % queue_bytes,
            _ => at % (bytes - 2),
        };
        let value = if low & 1 == 0 {
            u16::from(high % 10)
        } else {
            u16::from_le_bytes([low, high])
        };
        // SAFETY: inside the block; as a device, behind the driver's back.
        unsafe { start.add(place & !1).cast::<u16>().write_volatile(value) };
        now += 200_000;
        stack.poll(now);
        stack.prepare_to_sleep();
        let peer = IpEndpoint::new(IpAddress::v4(10, 0, 0, 255), 9);
        let _ = stack.send_to(socket, step, peer);
        while stack.take_change().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    fn inputs(count: usize, bytes: usize, mut each: impl FnMut(&[u8])) {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..count {
            let mut input = std::vec::Vec::new();
            for _ in 0..bytes {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Many zeros leave most of a template as it is.
                let sparse = if state >> 60 < 10 { 0 } else { state as u8 };
                input.push(sparse);
            }
            for place in (0..bytes).step_by(37) {
                input[place] = (state >> (place % 32)) as u8;
            }
            each(&input);
        }
    }

    /// As many as take seconds; the fuzz target goes on for as long as it may.
    #[test]
    fn thousands_of_bad_frames_do_no_harm() {
        inputs(4000, 256, super::frames);
    }

    #[test]
    fn no_device_harms_its_driver() {
        inputs(2000, 400, super::device);
    }
}
