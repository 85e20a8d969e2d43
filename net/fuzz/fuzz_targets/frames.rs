//! Any frames against the stack: Ethernet, ARP, IP, TCP, UDP, DHCP.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bespoke_net::fuzzing::frames(bytes));
