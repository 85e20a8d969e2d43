//! The table of bound ports: listeners and datagram sockets. Connections
//! are found by their flow, not here.
//! A server binds a few ports, so a scan is the fastest lookup.

use crate::memory::{Memory, Vec, push};
use crate::{Error, Result};
use smoltcp::wire::{IpAddress, IpVersion};

/// The transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// A local address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// None: every address of the versions below.
    pub address: Option<IpAddress>,
    pub port: u16,
    pub v4: bool,
    pub v6: bool,
}

impl Name {
    fn has_version(&self, version: IpVersion) -> bool {
        match version {
            IpVersion::Ipv4 => self.v4,
            IpVersion::Ipv6 => self.v6,
        }
    }

    /// Whether a packet to `address` matches this name.
    pub(crate) fn covers(&self, address: IpAddress) -> bool {
        match self.address {
            Some(own) => own == address,
            None => self.has_version(address.version()),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.port == other.port
            && match (self.address, other.address) {
                (Some(a), Some(b)) => a == b,
                (Some(a), None) => other.has_version(a.version()),
                (None, Some(b)) => self.has_version(b.version()),
                (None, None) => (self.v4 && other.v4) || (self.v6 && other.v6),
            }
    }
}

/// A bound socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub transport: Transport,
    pub name: Name,
    pub slot: u32,
    pub listening: bool,
    pub reuse_address: bool,
    pub reuse_port: bool,
}

/// The table.
pub(crate) struct Ports {
    bindings: Vec<Binding>,
}

impl Ports {
    /// Makes an empty table.
    pub(crate) fn new(memory: Memory) -> Self {
        Self {
            bindings: Vec::new_in(memory),
        }
    }

    /// Binds by the rules of `socket(7)`: names may overlap if both sockets set `SO_REUSEPORT`, or
    /// if both set `SO_REUSEADDR` and (for TCP) the other one does not listen.
    pub(crate) fn bind(&mut self, binding: Binding) -> Result<()> {
        let clash = self.bindings.iter().any(|other| {
            let shared = (other.reuse_port && binding.reuse_port)
                || (other.reuse_address && binding.reuse_address && !other.listening);
            other.transport == binding.transport && other.name.overlaps(&binding.name) && !shared
        });
        if clash {
            return Err(Error::AddressInUse);
        }
        push(&mut self.bindings, binding)
    }

    /// Marks a binding as listening, after checking the rules of [`Ports::bind`] again.
    pub(crate) fn listen(&mut self, slot: u32) -> Result<()> {
        let Some(at) = self
            .bindings
            .iter()
            .position(|binding| binding.slot == slot)
        else {
            return Err(Error::Invalid);
        };
        let mut binding = self.bindings.swap_remove(at);
        let before = binding.listening;
        binding.listening = true;
        let result = self.bind(binding);
        if result.is_err() {
            binding.listening = before;
            // Its place has just become free.
            push(&mut self.bindings, binding)?;
        }
        result
    }

    /// Whether any socket has this port.
    pub(crate) fn is_bound(&self, transport: Transport, port: u16) -> bool {
        self.bindings
            .iter()
            .any(|binding| binding.transport == transport && binding.name.port == port)
    }

    /// Removes a socket.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.bindings.retain(|binding| binding.slot != slot);
    }

    /// Returns the sockets for a packet to `address` and `port`, the most specific first.
    /// `spread` chooses among listeners that share a name.
    pub(crate) fn find(
        &self,
        transport: Transport,
        address: IpAddress,
        port: u16,
        spread: u32,
        mut fits: impl FnMut(&Binding) -> bool,
    ) -> Option<u32> {
        for specific in [true, false] {
            let mut candidates = self.bindings.iter().filter(|binding| {
                binding.transport == transport
                    && binding.name.port == port
                    && binding.name.address.is_some() == specific
                    && binding.name.covers(address)
                    && fits(binding)
            });
            let first = candidates.next();
            let more = candidates.count() as u32;
            let Some(first) = first else { continue };
            let wanted = spread % (more + 1);
            if wanted == 0 {
                return Some(first.slot);
            }
            let nth = self.bindings.iter().filter(|binding| {
                binding.transport == transport
                    && binding.name.port == port
                    && binding.name.address.is_some() == specific
                    && binding.name.covers(address)
                    && fits(binding)
            });
            return nth
                .map(|binding| binding.slot)
                .nth(wanted as usize)
                .or(Some(first.slot));
        }
        None
    }
}

#[cfg(test)]
mod tests;
