//! A relay that ends TCP itself (`passt`), as far as the link knows it: has it read what we sent? It answers ARP for
//! its gateway out of the same batch of frames as everything before the question, so what is sent after the
//! answer comes in a later batch. Owns the one question that may be open.

use crate::device::Transmit;
use crate::packet::ETHERNET_BYTES;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::Ipv4Address;

/// A question without an answer was lost.
const PATIENCE: Duration = Duration::from_secs(1);
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, lengths of their addresses, and request or reply (RFC 826).
const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const REPLY: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 2];
const ARP_BYTES: usize = 28;
/// The sender of a question about an address that one does not want for oneself yet (RFC 5227, 1.1): the answer
/// repeats it, and so is told from those that smoltcp waits for.
const NOBODY: [u8; 4] = [0; 4];

/// See the module.
pub(crate) struct Relay {
    mac: [u8; 6],
    gateway: Ipv4Address,
    /// When the open question was sent.
    asked: Option<Instant>,
    /// When the last question that was answered had been sent.
    answered: Option<Instant>,
}

impl Relay {
    /// A relay behind `gateway`; `mac` is ours.
    pub fn new(mac: [u8; 6], gateway: Ipv4Address) -> Self {
        Self {
            mac,
            gateway,
            asked: None,
            answered: None,
        }
    }

    /// Whether it has read all that was sent until `then`.
    pub fn has_read(&self, then: Instant) -> bool {
        self.answered.is_some_and(|asked| asked > then)
    }

    /// Asks, if no question is open and there is room for one.
    pub fn ask(&mut self, out: &mut dyn Transmit, now: Instant) {
        let open = self.asked.is_some_and(|asked| now < asked + PATIENCE);
        if open || !out.ready() {
            return;
        }
        self.asked = Some(now);
        let parts: [&[u8]; 8] = [
            &[0xff; 6],
            &self.mac,
            &ETHERTYPE_ARP,
            &REQUEST,
            &self.mac,
            &NOBODY,
            &[0; 6],
            &self.gateway.octets(),
        ];
        out.send(ETHERNET_BYTES + ARP_BYTES, None, &mut |frame| {
            let bytes = parts.iter().flat_map(|part| part.iter());
            frame
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
        });
    }

    /// Whether the frame is an answer to `ask`, which is noted.
    pub fn hear(&mut self, frame: &[u8]) -> bool {
        let at = |start: usize, bytes: usize| frame.get(start..start + bytes);
        let is_answer = at(12, 2) == Some(&ETHERTYPE_ARP)
            && at(14, 8) == Some(&REPLY)
            && at(38, 4) == Some(&NOBODY);
        if is_answer {
            self.answered = self.asked.take().or(self.answered);
        }
        is_answer
    }
}
