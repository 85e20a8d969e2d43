//! Stacks on a wire in memory, in simulated time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../common/wire.rs"]
mod wire;

mod announcement;
mod dhcp;
mod flood;
mod links;
mod relayed;
