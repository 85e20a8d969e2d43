//! Any configuration space, which may even answer differently each time, against the search for a device's registers.
#![no_main]

use bespoke_virtio::pci::{
    Addresses, Configuration, address, is_present, kind, structures, switch_on, topology,
};

/// A space of words, of which those left over replace the ones that are read.
struct Space<'a> {
    words: [u32; 64],
    changes: std::slice::ChunksExact<'a, u8>,
    steps: usize,
}

impl Configuration for Space<'_> {
    fn read(&mut self, offset: u8) -> u32 {
        assert!(offset.is_multiple_of(4));
        self.steps += 1;
        let word = &mut self.words[usize::from(offset / 4)];
        if let Some(&[change, a, b, c, d]) = self.changes.next()
            && change == 0
        {
            *word = u32::from_le_bytes([a, b, c, d]);
        }
        *word
    }

    fn write(&mut self, offset: u8, value: u32) {
        assert!(offset.is_multiple_of(4));
        self.steps += 1;
        self.words[usize::from(offset / 4)] = value;
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((space, changes)) = bytes.split_at_checked(256) else {
        return;
    };
    let mut words = [0; 64];
    for (word, bytes) in words.iter_mut().zip(space.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    let mut space = Space {
        words,
        changes: changes.chunks_exact(5),
        steps: 0,
    };
    is_present(&mut space);
    topology(&mut space);
    kind(&mut space);
    let mut addresses = Addresses::new(0xfd00_0000, 0xfe00_0000);
    if let Ok(found) = structures(&mut space) {
        for place in [found.common, found.notify, found.interrupts] {
            let found = address(&mut space, place.bar, &mut addresses);
            assert_ne!(found, Ok(0));
        }
        switch_on(&mut space, &found);
    }
    assert!(space.steps < 600, "{} steps", space.steps);
});
