//! Any driver against the devices of a virtual machine: registers, rings, pages, and the link's other side.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bespoke_monitor::drive_hostile(bytes));
