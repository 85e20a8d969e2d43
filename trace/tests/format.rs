//! The format by its promises: what is written comes back; a file that is cut or damaged anywhere is read up
//! to there, and says so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use bespoke_abi::trace::{
    ALLOCATE, ALLOCATE_ZEROED, Encoder, FREE, MOST_EVENT_BYTES, RESIZE, Record,
};
use bespoke_trace::{
    Action, CLOCK_CYCLES, Ending, Event, Facts, OpenError, Reader, VERSION, Writer,
};
use proptest::prelude::*;

/// Small, so that a few events make several.
const BLOCK_BYTES: usize = 40;

fn facts() -> Facts {
    Facts {
        app: "redis".into(),
        arguments: vec!["/etc/redis.conf".into(), "--maxmemory".into()],
        composition: "app=tlsf".into(),
        components: vec!["app".into(), "libos".into()],
        slots: vec![5, 3],
        monitor: "kvm".into(),
        image: "/tmp/redis".into(),
        build_id: "0a1b".into(),
        memory_bytes: 256 << 20,
        tsc_khz: 2_000_000,
    }
}

/// What an event is made of, before grants are numbered.
type Seed = (u8, bool, u64, Option<u64>, u8, u32, u32);

fn events(seeds: &[Seed]) -> Vec<Event> {
    let (mut clock, mut grants, mut live) = (None, 0, Vec::new());
    let make = |&(kind, granted, size, age, align_log2, site, later): &Seed| {
        let granted = granted.then_some(grants);
        let place = age.filter(|_| !live.is_empty());
        let place = place.map(|age| (age % live.len() as u64) as usize);
        // The first event is where the clock starts.
        clock = clock.map_or(Some(0), |clock| {
            Some(clock + u64::from(later) * CLOCK_CYCLES)
        });
        let action = match kind % 4 {
            0 | 1 => Action::Allocate {
                size,
                zeroed: kind % 4 == 1,
                new: granted,
            },
            2 => Action::Free {
                old: place.map(|place| live.swap_remove(place)),
            },
            _ => Action::Resize {
                // A block whose reallocation is refused lives on.
                old: place.map(|place| match granted {
                    Some(_) => live.swap_remove(place),
                    None => live[place],
                }),
                size,
                new: granted,
            },
        };
        let event = Event {
            component: kind >> 4 & 1,
            align_log2,
            site,
            clock: clock.unwrap_or(0),
            action,
        };
        if event.new_block().is_some() {
            live.push(grants);
            grants += 1;
        }
        event
    };
    seeds.iter().map(make).collect()
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![0..1000u64, any::<u64>()]
}

fn any_events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let seed = (
        any::<u8>(),
        any::<bool>(),
        sizes(),
        proptest::option::of(any::<u64>()),
        0..64u8,
        prop_oneof![0..20u32, any::<u32>()],
        prop_oneof![0..200u32, any::<u32>()],
    );
    proptest::collection::vec(seed, 0..most).prop_map(|seeds| events(&seeds))
}

/// Where the block of grant `grant` lies: anywhere, but nowhere twice.
fn address(grant: u64) -> u64 {
    16 * (1 + (grant * 7919) % (1 << 20)) + (grant & 1)
}

/// Where no block lies.
const NOWHERE: u64 = 8;

/// What an image would have recorded; of blocks that live.
fn record(event: &Event) -> Record {
    let block = |grant: Option<u64>| grant.map_or(0, address);
    let known = |grant: Option<u64>| grant.map_or(NOWHERE, address);
    let (operation, size, old, new) = match event.action {
        Action::Allocate { size, zeroed, new } => {
            let operation = if zeroed { ALLOCATE_ZEROED } else { ALLOCATE };
            (operation, size, 0, block(new))
        }
        Action::Free { old } => (FREE, 0, known(old), 0),
        Action::Resize { old, size, new } => (RESIZE, size, known(old), block(new)),
    };
    Record {
        operation,
        component: facts().slots[usize::from(event.component)],
        align_log2: event.align_log2,
        site: event.site,
        clock: 1_000_000 + event.clock / CLOCK_CYCLES,
        size,
        old,
        new,
    }
}

fn write(events: &[Event]) -> Vec<u8> {
    let mut writer = Writer::with_blocks_of(Vec::new(), &facts(), BLOCK_BYTES).unwrap();
    let mut encoder = Encoder::new();
    for event in events {
        let mut bytes = [0; MOST_EVENT_BYTES];
        let length = encoder.put(&mut bytes, &record(event));
        writer.put(&bytes[..length]).unwrap();
    }
    let ending = Ending {
        waits: 3,
        status: 7,
        ..Ending::default()
    };
    writer.finish(ending).unwrap()
}

/// Events, and whether the file is whole; `None` when nothing can be read.
fn read(bytes: &[u8]) -> Option<(Vec<Event>, bool)> {
    let mut reader = Reader::open(bytes).ok()?;
    let events: Vec<_> = reader.by_ref().collect();
    assert_eq!(reader.next(), None, "an ended reader stays so");
    let whole = reader.result().expect("it has ended").is_ok();
    Some((events, whole))
}

proptest! {
    #[test]
    fn what_is_written_comes_back(events in any_events(400)) {
        let bytes = write(&events);
        let mut reader = Reader::open(&bytes[..]).unwrap();
        prop_assert_eq!(reader.facts(), &facts());
        let back: Vec<_> = reader.by_ref().collect();
        prop_assert_eq!(&back, &events);
        let ending = reader.result().unwrap().as_ref().unwrap();
        prop_assert_eq!((reader.events(), ending.waits, ending.status), (events.len() as u64, 3, 7));
    }

    #[test]
    fn any_flipped_bit_is_found(events in any_events(60), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = write(&events);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Some((back, whole)) = read(&bytes) {
            prop_assert!(!whole, "bit {} of byte {}", bit, at);
            prop_assert!(events.starts_with(&back));
        }
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), valid: bool) {
        if valid {
            let head = write(&[]);
            bytes.splice(0..0, head[..head.len() - 13].iter().copied());
        }
        read(&bytes);
    }

    /// Behind good checksums, which only somebody who wants to can write.
    #[test]
    fn any_block_of_events_is_survived(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = write(&[]);
        bytes.truncate(bytes.len() - 13);
        let mut head = vec![2];
        head.extend((payload.len() as u32).to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        for part in [&1u32.to_le_bytes(), &head[..], &payload] {
            crc.update(part);
        }
        head.extend(crc.finalize().to_le_bytes());
        bytes.extend(head.iter().chain(&payload));
        prop_assert!(read(&bytes).is_some_and(|(_, whole)| !whole));
    }
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_there() {
    let seeds: Vec<Seed> = (0..100)
        .map(|i| {
            (
                i,
                i % 9 != 0,
                u64::from(i) * 37,
                Some(u64::from(i) % 5),
                4,
                0x20_0000 + u32::from(i % 7),
                3,
            )
        })
        .collect();
    let events = events(&seeds);
    let bytes = write(&events);
    let mut most = 0;
    for end in 0..bytes.len() {
        let Some((back, whole)) = read(&bytes[..end]) else {
            assert!(end < 120, "the facts are whole by byte {end}");
            continue;
        };
        assert!(!whole && events.starts_with(&back), "cut at {end}");
        assert!(back.len() >= most, "a longer file holds more");
        most = back.len();
    }
    assert_eq!(most, events.len());
    assert_eq!(read(&bytes), Some((events, true)));
}

#[test]
fn a_block_that_is_missing_or_doubled_is_found() {
    let seeds: Vec<Seed> = (0..60).map(|i| (0, true, i, None, 4, 1, 0)).collect();
    let bytes = write(&events(&seeds));
    let mut at = 12;
    let mut blocks = Vec::new();
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        blocks.push(&bytes[at..at + 9 + length]);
        at += 9 + length;
    }
    assert!(blocks.len() > 4);
    for changed in 1..blocks.len() - 1 {
        let mut missing = blocks.clone();
        missing.remove(changed);
        let mut doubled = blocks.clone();
        doubled.insert(changed, blocks[changed]);
        for blocks in [missing, doubled] {
            let file = [&bytes[..12], &blocks.concat()].concat();
            assert!(
                read(&file).is_some_and(|(_, whole)| !whole),
                "block {changed}"
            );
        }
    }
}

#[test]
fn another_version_is_refused_by_name() {
    let mut bytes = write(&[]);
    bytes[8] = 9;
    let error = Reader::open(&bytes[..]).expect_err("refused");
    assert!(matches!(error, OpenError::Version(9)));
    let text = error.to_string();
    assert!(
        text.contains("version 9") && text.contains(&format!("version {VERSION}")),
        "{text}"
    );
    assert!(matches!(
        Reader::open(&b"not a trace at all"[..]).err(),
        Some(OpenError::NotATrace)
    ));
    assert!(matches!(
        Reader::open(&b""[..]).err(),
        Some(OpenError::NotATrace)
    ));
}

/// The blocks of a trace, each with its head and without the file's.
fn blocks(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut at = 12;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        blocks.push((bytes[at], bytes[at + 9..at + 9 + length].to_vec()));
        at += 9 + length;
    }
    blocks
}

/// A file of these blocks behind good checksums.
fn file(blocks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = write(&[])[..12].to_vec();
    for (position, (kind, payload)) in (0u32..).zip(blocks) {
        let mut head = vec![*kind];
        head.extend((payload.len() as u32).to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        for part in [&position.to_le_bytes(), &head[..], payload] {
            crc.update(part);
        }
        head.extend(crc.finalize().to_le_bytes());
        bytes.extend(head.iter().chain(payload));
    }
    bytes
}

fn some_events() -> Vec<Event> {
    let seeds: Vec<Seed> = (0..60).map(|i| (0, true, i, None, 4, 1, 0)).collect();
    events(&seeds)
}

fn damage(bytes: &[u8]) -> (Vec<Event>, String) {
    let mut reader = Reader::open(bytes).expect("its facts are whole");
    let events: Vec<_> = reader.by_ref().collect();
    let result = reader.result().expect("it has ended").clone();
    (events, result.expect_err("damaged").to_string())
}

/// Blocks that a forger left out or put in, with checksums made anew: the ending tells how many bytes there were, and both
/// fewer and more are damage.
#[test]
fn the_ending_tells_fewer_events_and_more() {
    let whole = some_events();
    let blocks = blocks(&write(&whole));
    let last = blocks.len() - 1;
    assert!(read(&file(&blocks)).is_some_and(|(events, whole)| whole && events.len() == 60));
    let mut fewer = blocks.clone();
    fewer.remove(last - 1);
    let mut more = blocks.clone();
    more.insert(last, blocks[last - 1].clone());
    for blocks in [fewer, more] {
        let (events, reason) = damage(&file(&blocks));
        let count = events.len().min(whole.len());
        assert_eq!(events[..count], whole[..count]);
        assert!(reason.contains("bytes of events were written"), "{reason}");
    }
}

/// What a reader says of a file that is not whole, with the byte where the block begins that is not.
#[test]
fn damage_is_told_with_its_place_and_its_reason() {
    let events = some_events();
    let bytes = write(&events);
    let blocks = blocks(&bytes);
    let mut starts = vec![12];
    for (_, payload) in &blocks {
        starts.push(starts[starts.len() - 1] + 9 + payload.len());
    }
    assert_eq!(starts.pop(), Some(bytes.len()));
    for &start in &starts[1..] {
        for cut in [start, start + 1, start + 8, start + 9] {
            let (_, reason) = damage(&bytes[..cut]);
            let expected = format!("damaged or cut at byte {start}: the file ends here");
            assert_eq!(reason, expected, "cut at {cut}");
        }
        let mut changed = bytes.clone();
        changed[start + 9] ^= 1;
        let (_, reason) = damage(&changed);
        let expected = format!("damaged or cut at byte {start}: the checksum does not match");
        assert_eq!(reason, expected);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let (found, reason) = damage(&longer);
    assert_eq!(found, events);
    assert!(reason.contains("something follows the end"), "{reason}");
    let mut blocks = blocks;
    blocks.insert(1, (2, Vec::new()));
    let (found, reason) = damage(&file(&blocks));
    assert!(found.is_empty() && reason.contains("a block without events"));
    blocks[1] = (9, Vec::new());
    let (_, reason) = damage(&file(&blocks));
    assert!(reason.contains("no block is of kind 9"), "{reason}");
    blocks[1] = (3, vec![1]);
    let (_, reason) = damage(&file(&blocks));
    assert!(reason.contains("the ending makes no sense"), "{reason}");
}

/// A reader that fails is no file that ends.
#[test]
fn a_file_that_cannot_be_read_is_told_from_one_that_ends() {
    struct Failing<'a>(&'a [u8]);
    impl std::io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.len() {
                0 => Err(std::io::Error::other("a bad sector")),
                _ => self.0.read(buffer),
            }
        }
    }
    let bytes = write(&some_events());
    let mut reader = Reader::open(Failing(&bytes[..bytes.len() - 3])).expect("the facts");
    reader.by_ref().for_each(drop);
    let reason = reader.result().unwrap().as_ref().unwrap_err().to_string();
    assert!(
        reason.contains("it cannot be read: a bad sector"),
        "{reason}"
    );
    let error = Reader::open(Failing(&bytes[..5])).expect_err("refused");
    assert!(matches!(error, OpenError::Io(_)), "{error}");
}

/// The longest block there may be, and one that claims a byte more.
#[test]
fn a_block_has_a_longest_length() {
    const MOST: usize = 1 << 20;
    let mut writer = Writer::new(Vec::new(), &facts()).unwrap();
    writer.put(&vec![0; MOST]).unwrap();
    let mut bytes = writer.finish(Ending::default()).unwrap();
    // Zeros void all shapes, and then there is no event.
    let (events, reason) = damage(&bytes);
    assert!(events.is_empty() && reason.contains("event 0"), "{reason}");
    let start = 12 + 9 + blocks(&bytes)[0].1.len();
    bytes[start + 1..start + 5].copy_from_slice(&(MOST as u32 + 1).to_le_bytes());
    bytes.push(0);
    let (_, reason) = damage(&bytes);
    assert!(reason.contains("a block claims 1048577 bytes"), "{reason}");
}

/// A block is written when it is full, by default with 32 KiB: a cut loses less than that.
#[test]
fn a_full_block_is_written_at_once() {
    let mut sizes = Vec::new();
    for (block_bytes, steps) in [(40, 200), (32 << 10, 2)] {
        let mut writer = match block_bytes {
            40 => Writer::with_blocks_of(Vec::new(), &facts(), block_bytes),
            _ => Writer::new(Vec::new(), &facts()),
        }
        .unwrap();
        let part = vec![1; block_bytes / 4];
        for _ in 0..4 * steps - 1 {
            writer.put(&part).unwrap();
        }
        let blocks = blocks(&writer.finish(Ending::default()).unwrap());
        let events: Vec<usize> = blocks
            .iter()
            .filter(|(kind, _)| *kind == 2)
            .map(|(_, payload)| payload.len())
            .collect();
        let (last, whole) = events.split_last().unwrap();
        assert!(whole.iter().all(|&bytes| bytes == block_bytes), "{whole:?}");
        assert_eq!((whole.len(), *last), (steps - 1, 3 * block_bytes / 4));
        sizes.push(events.len());
    }
    assert_eq!(sizes, [200, 2]);
}
