//! Any virtio network device against its driver: rings, buffers, headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bespoke_net::fuzzing::device(bytes));
