//! A wire in memory with a stack at each end; what travels on it can be lost, doubled,
//! reordered and damaged.

use bespoke_net::device::{Device, Offload, Receive, Received, Transmit};
use bespoke_net::{Configuration, Ipv4Address, Ipv4Configuration, Stack};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::rc::Rc;

/// Frames under way in one direction.
pub(crate) type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of the wire.
pub(crate) struct End {
    receive: EndReceive,
    transmit: EndTransmit,
    mac: [u8; 6],
}

/// The receiving half of an [`End`].
struct EndReceive {
    from: Queue,
    frame: Vec<u8>,
    spare: Queue,
}

/// The transmitting half of an [`End`].
struct EndTransmit {
    to: Queue,
    spare: Queue,
}

impl Receive for EndReceive {
    fn receive(&mut self) -> Option<Received<'_>> {
        let next = self.from.borrow_mut().pop_front()?;
        let old = std::mem::replace(&mut self.frame, next);
        self.spare.borrow_mut().push_back(old);
        Some(Received {
            frame: &self.frame,
            checked: false,
        })
    }
}

impl Transmit for EndTransmit {
    fn ready(&mut self) -> bool {
        self.to.borrow().len() < 512
    }
    fn send(
        &mut self,
        bytes: usize,
        _segment: Option<NonZeroU16>,
        fill: &mut dyn FnMut(&mut [u8]),
    ) {
        let mut frame = self.spare.borrow_mut().pop_front().unwrap_or_default();
        frame.resize(bytes, 0);
        fill(&mut frame);
        self.to.borrow_mut().push_back(frame);
    }
}

impl Device for End {
    fn split(&mut self) -> (&mut dyn Receive, &mut dyn Transmit) {
        (&mut self.receive, &mut self.transmit)
    }
    fn offload(&self) -> Offload {
        Offload::default()
    }
    fn mtu(&self) -> usize {
        1500
    }
    fn hardware_address(&self) -> [u8; 6] {
        self.mac
    }
}

/// Address of the client's stack.
pub(crate) const CLIENT: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
/// Address of the server's stack.
pub(crate) const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);

/// Two stacks on a wire.
pub(crate) struct Pair {
    /// The client's stack.
    pub client: Stack<End>,
    /// The server's stack.
    pub server: Stack<End>,
    /// Frames on their way to the client.
    pub to_client: Queue,
    /// Frames on their way to the server.
    pub to_server: Queue,
}

impl Pair {
    /// Both stacks, with `budget_bytes` of buffers each.
    pub(crate) fn new(budget_bytes: usize, seed: u64) -> Self {
        Self::with_client(budget_bytes, seed, given(CLIENT))
    }

    /// Both stacks; the client gets its address as `client` says.
    pub(crate) fn with_client(budget_bytes: usize, seed: u64, client: Ipv4Configuration) -> Self {
        Self::with(budget_bytes, seed, client, false)
    }

    /// Both stacks; when `relayed` the server takes its client for a relay.
    pub(crate) fn with(
        budget_bytes: usize,
        seed: u64,
        client: Ipv4Configuration,
        relayed: bool,
    ) -> Self {
        let (to_client, to_server) = (Queue::default(), Queue::default());
        let spare = Queue::default();
        let end = |from: &Queue, to: &Queue, last| End {
            receive: EndReceive {
                from: from.clone(),
                frame: Vec::new(),
                spare: spare.clone(),
            },
            transmit: EndTransmit {
                to: to.clone(),
                spare: spare.clone(),
            },
            mac: [2, 0, 0, 0, 0, last],
        };
        let stack = |device, ipv4, relayed, seed| {
            let configuration = Configuration {
                ipv4,
                ipv6: None,
                relayed,
                serves_all: false,
                budget_bytes,
                seed,
            };
            Stack::new(Some(device), &configuration, &allocator_api2::alloc::Global).unwrap()
        };
        Self {
            client: stack(end(&to_client, &to_server, 1), client, false, seed),
            server: stack(
                end(&to_server, &to_client, 2),
                given(SERVER),
                relayed,
                !seed,
            ),
            to_client,
            to_server,
        }
    }
}

/// `address` in the network of both, with the client as the router.
pub(crate) fn given(address: Ipv4Address) -> Ipv4Configuration {
    Ipv4Configuration::Static {
        address,
        prefix_bits: 24,
        gateway: Some(CLIENT),
        name_server: None,
    }
}
