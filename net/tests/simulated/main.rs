//! Stacks on a wire in memory, in simulated time.

#[path = "../common/wire.rs"]
mod wire;

mod announcement;
mod dhcp;
mod flood;
mod links;
mod relayed;
