//! Any bytes as a trace: read to the end, never a panic, never an event that was not written.
#![no_main]

use bespoke_trace::Reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut reader) = Reader::open(bytes) {
        reader.by_ref().for_each(drop);
        assert!(reader.result().is_some());
    }
});
