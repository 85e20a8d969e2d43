//! Images that are good but for one thing: each is refused, and says why. Every bound is tried from both sides.
//! Numbers are those of the ELF specification, not of the library that reads them.

use super::*;
use bespoke_abi::note::{OWNER, TYPE_IMAGE, TYPE_NOTICE, TYPE_RUN, TYPE_TRACE};
use std::sync::atomic::{AtomicU32, Ordering};

const PAGE: u64 = PAGE_BYTES;
const TEXT: u64 = IMAGE_BASE;
const CONSTANTS: u64 = TEXT + 2 * PAGE;
const DATA: u64 = CONSTANTS + PAGE;
/// Less than half a huge page with the rest: such an image lies on small pages.
const DATA_BYTES: u64 = 0xf0000;
/// Where the file holds its notes, and then the segments.
const NOTES: u64 = 0x1800;
const CONTENTS: u64 = 2 * PAGE;
const FILE_BYTES: u64 = CONTENTS + 4 * PAGE;

const LOAD: u32 = 1;
const NOTE: u32 = 4;
const X: u32 = 1;
const W: u32 = 2;
const R: u32 = 4;

/// An entry of the program header table.
#[derive(Clone, Copy)]
struct Part {
    kind: u32,
    flags: u32,
    address: u64,
    memory_bytes: u64,
    offset: u64,
    file_bytes: u64,
}

/// A good image, of which a test changes one thing before it is opened.
pub(crate) struct Draft {
    /// Bytes written over the header at these offsets.
    header: Vec<(usize, Vec<u8>)>,
    /// Where the program headers are.
    table: u64,
    parts: Vec<Part>,
    note: Vec<u8>,
    more_notes: Vec<(u32, Vec<u8>)>,
    /// What the headers say of the length of the notes, if not the truth.
    claimed_note_bytes: Option<u64>,
    file_bytes: u64,
}

/// Fields of the image's note by their place.
const VERSION: usize = 0;
const FLAGS: usize = 4;
const STATS: usize = 8;
const INTERRUPT_ENTRY: usize = 48;
const INTERRUPTIBLE_START: usize = 56;
const INTERRUPTIBLE_END: usize = 64;

impl Draft {
    /// Text of two pages, constants of one, data of 960 KiB that begin with the statistics page.
    pub(crate) fn new() -> Self {
        let part = |flags, address, memory_bytes, page: u64, file_bytes| Part {
            kind: LOAD,
            flags,
            address,
            memory_bytes,
            offset: CONTENTS + page * PAGE,
            file_bytes,
        };
        let parts = vec![
            part(R | X, TEXT, 2 * PAGE, 0, 2 * PAGE),
            part(R, CONSTANTS, 100, 2, 100),
            part(R | W, DATA, DATA_BYTES, 3, PAGE),
        ];
        let mut draft = Self {
            header: Vec::new(),
            table: 64,
            parts,
            note: vec![0; bespoke_abi::note::IMAGE_NOTE_BYTES],
            more_notes: Vec::new(),
            claimed_note_bytes: None,
            file_bytes: FILE_BYTES,
        };
        draft.set_version(bespoke_abi::VERSION);
        draft.set(STATS, DATA);
        draft.set(INTERRUPT_ENTRY, TEXT + 16);
        draft.set(INTERRUPTIBLE_START, TEXT + PAGE);
        draft.set(INTERRUPTIBLE_END, TEXT + 2 * PAGE);
        draft
    }

    /// With a trace ring two pages into the data.
    pub(crate) fn with_trace_ring(self) -> Self {
        self.with_trace_ring_at(DATA + 2 * PAGE)
    }

    fn with_trace_ring_at(mut self, address: u64) -> Self {
        self.more_notes
            .push((TYPE_TRACE, address.to_le_bytes().into()));
        self
    }

    /// Sets a field of the image's note.
    fn set(&mut self, at: usize, value: u64) -> &mut Self {
        self.note[at..at + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn set_version(&mut self, version: u32) {
        self.note[VERSION..VERSION + 4].copy_from_slice(&version.to_le_bytes());
    }

    /// Writes over the ELF header.
    fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.header.push((at, bytes.into()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let notes: Vec<u8> = std::iter::once(&(TYPE_IMAGE, self.note.clone()))
            .chain(&self.more_notes)
            .flat_map(|(kind, description)| note(OWNER, *kind, description))
            .collect();
        let mut parts = self.parts.clone();
        parts.push(Part {
            kind: NOTE,
            flags: R,
            address: 0,
            memory_bytes: 0,
            offset: NOTES,
            file_bytes: self.claimed_note_bytes.unwrap_or(notes.len() as u64),
        });
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(16, 0);
        // Executable, x86-64, version 1.
        head.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        head.extend(TEXT.to_le_bytes());
        head.extend(self.table.to_le_bytes());
        // No sections, no flags.
        head.extend([0; 12]);
        for field in [64, 56, parts.len() as u16, 64, 0, 0] {
            head.extend(field.to_le_bytes());
        }
        for (at, bytes) in &self.header {
            head[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        let table = parts.iter().flat_map(|part| {
            let words = [part.kind, part.flags].map(u32::to_le_bytes).concat();
            let longs = [
                part.offset,
                part.address,
                part.address,
                part.file_bytes,
                part.memory_bytes,
                PAGE,
            ];
            [words, longs.map(u64::to_le_bytes).concat()].concat()
        });
        let mut file = vec![0u8; FILE_BYTES as usize];
        for (index, byte) in file[CONTENTS as usize..].iter_mut().enumerate() {
            *byte = (index % 251) as u8;
        }
        let table: Vec<u8> = table.collect();
        let places = [(0, head), (self.table, table), (NOTES, notes)];
        for (at, bytes) in places {
            file[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        }
        file.resize(self.file_bytes as usize, 0);
        file
    }

    /// Opens the image; its file is gone afterwards, but for the image.
    pub(crate) fn open(&self) -> Result<Image, MonitorError> {
        open_bytes(&self.bytes())
    }

    /// What the user reads.
    #[track_caller]
    fn refused(&self) -> String {
        self.open().err().expect("it is refused").to_string()
    }
}

/// An ELF note: sizes of name and description, type, both padded to four bytes.
fn note(owner: &str, kind: u32, description: &[u8]) -> Vec<u8> {
    let name = format!("{owner}\0");
    let mut bytes = Vec::new();
    for word in [name.len() as u32, description.len() as u32, kind] {
        bytes.extend(word.to_le_bytes());
    }
    for part in [name.as_bytes(), description] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn open_bytes(bytes: &[u8]) -> Result<Image, MonitorError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("bespoke-image-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).expect("room for a test file");
    let image = Image::open(&path);
    std::fs::remove_file(&path).expect("the test's own file");
    image
}

#[test]
fn a_good_image_says_what_it_is() {
    let mut draft = Draft::new().with_trace_ring();
    let run = b"1048576\0--port\0{50% of memory}\0".to_vec();
    draft.more_notes.push((TYPE_RUN, run));
    draft
        .more_notes
        .push((TYPE_NOTICE, b"data is lost".to_vec()));
    let image = draft.open().expect("a good image");
    assert_eq!(image.entry, TEXT);
    assert!(image.is_huge());
    let found: Vec<_> = image
        .segments
        .iter()
        .map(|segment| (segment.pages.clone(), segment.access))
        .collect();
    let expected = [
        (TEXT..CONSTANTS, Access::Execute),
        (CONSTANTS..DATA, Access::Read),
        (DATA..DATA + DATA_BYTES, Access::Write),
    ];
    assert_eq!(found, expected);
    assert_eq!(image.note.stats, DATA);
    assert_eq!(image.trace_ring, Some(DATA + 2 * PAGE));
    let run = image.run.as_ref().expect("a note of its run");
    assert_eq!(run.memory_bytes, 1 << 20);
    assert_eq!(run.arguments, ["--port", "{50% of memory}"]);
    assert_eq!(run.notice.as_deref(), Some("data is lost"));
    assert!(image.segment_at(TEXT - 1).is_none());
    let last = image.segment_at(DATA + DATA_BYTES - 1).expect("data");
    assert_eq!(last.access, Access::Write);
    assert!(image.segment_at(DATA + DATA_BYTES).is_none());
}

#[test]
fn small_pages_are_asked_for_by_a_bit() {
    let mut draft = Draft::new();
    draft.note[FLAGS] = SMALL_PAGES as u8;
    assert!(!draft.open().expect("a good image").is_huge());
    draft.note[FLAGS] = !SMALL_PAGES as u8;
    assert!(draft.open().expect("a good image").is_huge());
}

#[test]
fn a_segment_is_loaded_where_it_is_wanted_and_nowhere_else() {
    let image = Draft::new().open().expect("a good image");
    let segment = &image.segments[1];
    let mut target = [0xeeu8; 102];
    // SAFETY: a hundred bytes from the second on.
    unsafe { image.load(segment, target[1..].as_mut_ptr()) }.expect("the file holds them");
    let from = 2 * PAGE as usize;
    let expected: Vec<u8> = (from..from + 100).map(|at| (at % 251) as u8).collect();
    assert_eq!(
        (target[0], &target[1..101], target[101]),
        (0xee, &expected[..], 0xee)
    );
}

#[test]
fn a_file_that_shrinks_meanwhile_is_cut_and_not_waited_for() {
    let image = Draft::new().open().expect("a good image");
    let segment = Segment {
        file_offset: FILE_BYTES - 10,
        file_bytes: 100,
        ..image.segments[1].clone()
    };
    let mut target = [0u8; 100];
    // SAFETY: a hundred bytes.
    let error = unsafe { image.load(&segment, target.as_mut_ptr()) }.expect_err("too short");
    let MonitorError::Truncated {
        bytes,
        needed_bytes,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((bytes, needed_bytes), (FILE_BYTES, FILE_BYTES + 90));
}

#[test]
fn no_segment_may_be_written_and_executed() {
    for (part, flags) in [(0, R | W | X), (0, W | X), (2, R | W | X)] {
        let mut draft = Draft::new();
        draft.parts[part].flags = flags;
        let text = draft.refused();
        assert!(text.contains("writable and executable"), "{text}");
        let address = draft.parts[part].address;
        assert!(text.contains(&format!("{address:#x}")), "{text}");
    }
}

#[test]
fn segments_lie_in_the_image_s_addresses_one_behind_the_other() {
    type Change = fn(&mut Draft);
    let cases: [(Change, bool); 11] = [
        (|draft| draft.parts[0].address = IMAGE_BASE - PAGE, false),
        // Not even in its first page.
        (|draft| draft.parts[1].address = CONSTANTS - 1, false),
        (
            |draft| draft.parts[1].address = CONSTANTS + PAGE - 100,
            true,
        ),
        (|draft| draft.parts[1].memory_bytes = PAGE, true),
        (|draft| draft.parts[1].memory_bytes = PAGE + 1, false),
        (|draft| draft.parts.swap(1, 2), false),
        (|draft| draft.parts[1].memory_bytes = 99, false),
        (
            |draft| draft.parts[2].memory_bytes = MAX_IMAGE_END - DATA,
            true,
        ),
        (
            |draft| draft.parts[2].memory_bytes = MAX_IMAGE_END - DATA + 1,
            false,
        ),
        (|draft| draft.parts[2].memory_bytes = u64::MAX, false),
        (|draft| draft.parts[2].address = u64::MAX - 50, false),
    ];
    for (index, (change, is_good)) in cases.into_iter().enumerate() {
        let mut draft = Draft::new();
        change(&mut draft);
        match draft.open() {
            Ok(_) => assert!(is_good, "case {index}"),
            Err(error) => {
                assert!(!is_good, "case {index}: {error}");
                assert!(
                    error.to_string().contains("misplaced"),
                    "case {index}: {error}"
                );
            }
        }
    }
}

#[test]
fn headers_of_no_bytes_and_of_other_kinds_are_passed_over() {
    let mut draft = Draft::new();
    let elsewhere = Part {
        address: 0,
        ..draft.parts[1]
    };
    draft.parts.push(Part {
        memory_bytes: 0,
        ..elsewhere
    });
    draft.parts.push(Part {
        kind: 7,
        ..elsewhere
    });
    assert_eq!(draft.open().expect("a good image").segments.len(), 3);
}

#[test]
fn what_the_headers_promise_is_in_the_file() {
    let mut draft = Draft::new();
    draft.parts[2].offset = FILE_BYTES - PAGE;
    assert!(draft.open().is_ok());
    draft.parts[2].offset += 1;
    let error = draft.open().err().expect("one byte is missing");
    let MonitorError::Truncated {
        bytes,
        needed_bytes,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((bytes, needed_bytes), (FILE_BYTES, FILE_BYTES + 1));
    draft.parts[2].offset = u64::MAX;
    assert!(matches!(draft.open(), Err(MonitorError::Truncated { .. })));
    // Sections, where there are any: their offset, their number.
    let mut draft = Draft::new();
    draft
        .put(0x28, &(FILE_BYTES - 128).to_le_bytes())
        .put(0x3c, &[2]);
    assert!(draft.open().is_ok());
    draft.put(0x3c, &[3]);
    assert!(matches!(draft.open(), Err(MonitorError::Truncated { .. })));
}

#[test]
fn a_file_cut_anywhere_before_its_contents_end_is_refused() {
    let whole = Draft::new().bytes();
    for length in (0..whole.len())
        .step_by(31)
        .chain([3, 4, 63, 64, whole.len() - 1])
    {
        let error = open_bytes(&whole[..length]).err();
        let error = error.unwrap_or_else(|| panic!("{length} bytes were taken for an image"));
        if length >= 4 {
            assert!(
                matches!(error, MonitorError::Truncated { .. }),
                "{length}: {error}"
            );
        }
    }
    assert!(open_bytes(&whole).is_ok());
}

#[test]
fn other_files_are_told_from_images() {
    for (at, bytes, reason) in [
        (0, &b"\x7fELG"[..], "not an ELF file"),
        // 32 bits; big-endian; another machine; a shared object.
        (4, &[1], "static x86-64"),
        (5, &[2], "static x86-64"),
        (18, &[3, 0], "static x86-64"),
        (16, &[3, 0], "static x86-64"),
        // The size of a program header; none; too many.
        (54, &[57, 0], "program headers"),
        (56, &[0, 0], "program headers"),
        (56, &[65, 0], "program headers"),
    ] {
        let mut draft = Draft::new();
        draft.put(at, bytes);
        let text = draft.refused();
        assert!(text.contains(reason), "byte {at}: {text}");
    }
    let mut draft = Draft::new();
    // As many headers as there may be; those behind ours are zeros.
    draft.put(56, &[64, 0]);
    assert!(draft.open().is_ok());
}

#[test]
fn the_program_headers_may_lie_behind_the_first_page() {
    let mut draft = Draft::new();
    for table in [PAGE - 100, PAGE, PAGE + 8] {
        draft.table = table;
        assert_eq!(draft.open().expect("a good image").segments.len(), 3);
    }
    draft.table = 64;
    draft.put(0x20, &u64::MAX.to_le_bytes());
    assert!(matches!(draft.open(), Err(MonitorError::Truncated { .. })));
}

#[test]
fn another_version_is_named() {
    let mut draft = Draft::new();
    draft.set_version(bespoke_abi::VERSION + 1);
    let Err(MonitorError::Version { image, monitor, .. }) = draft.open() else {
        panic!("another version was accepted");
    };
    assert_eq!(
        (image, monitor),
        (bespoke_abi::VERSION + 1, bespoke_abi::VERSION)
    );
    // Its note may be shorter, ours may not.
    draft.note.truncate(8);
    assert!(matches!(draft.open(), Err(MonitorError::Version { .. })));
    draft.set_version(bespoke_abi::VERSION);
    assert!(draft.refused().contains("no Bespoke note"));
}

#[test]
fn notes_have_a_bound() {
    let mut draft = Draft::new();
    draft.file_bytes = NOTES + MAX_NOTE_BYTES + 1;
    draft.claimed_note_bytes = Some(MAX_NOTE_BYTES);
    assert!(draft.open().is_ok());
    draft.claimed_note_bytes = Some(MAX_NOTE_BYTES + 1);
    assert!(draft.refused().contains("its notes claim"));
}

#[test]
fn the_entry_is_in_the_text() {
    for (entry, is_good) in [
        (TEXT, true),
        (CONSTANTS - 1, true),
        (TEXT - 1, false),
        (CONSTANTS, false),
        (DATA, false),
    ] {
        let mut draft = Draft::new();
        draft.put(24, &entry.to_le_bytes());
        assert_eq!(draft.open().is_ok(), is_good, "{entry:#x}");
        if !is_good {
            assert!(draft.refused().contains("its entry"), "{entry:#x}");
        }
    }
}

#[test]
fn interrupts_enter_text_that_they_do_not_interrupt() {
    let good = (TEXT + 16, TEXT + PAGE, TEXT + 2 * PAGE);
    let (entry, start, end) = good;
    for (case, is_good) in [
        (good, true),
        // Without interrupts nothing else counts.
        ((0, DATA, DATA + 1), true),
        // Nothing may be interrupted.
        ((entry, 0, 0), true),
        ((entry, end, start), true),
        ((DATA, start, end), false),
        ((start, start, end), false),
        ((end - 1, start, end), false),
        ((start - 1, start, end), true),
        ((entry, start, end + 1), false),
        ((entry, TEXT - 1, TEXT + 8), false),
        ((entry, CONSTANTS, CONSTANTS + 1), false),
    ] {
        let mut draft = Draft::new();
        draft.set(INTERRUPT_ENTRY, case.0);
        draft.set(INTERRUPTIBLE_START, case.1);
        draft.set(INTERRUPTIBLE_END, case.2);
        assert_eq!(draft.open().is_ok(), is_good, "{case:#x?}");
        if !is_good {
            assert!(draft.refused().contains("interrupt"), "{case:#x?}");
        }
    }
}

#[test]
fn the_statistics_page_is_a_page_of_the_data() {
    let last = DATA + DATA_BYTES - PAGE;
    for (stats, is_good) in [
        (DATA, true),
        (last, true),
        (DATA + 8, false),
        (last + PAGE, false),
        (CONSTANTS, false),
        (TEXT, false),
        (0, false),
    ] {
        let mut draft = Draft::new();
        draft.set(STATS, stats);
        assert_eq!(draft.open().is_ok(), is_good, "{stats:#x}");
        if !is_good {
            assert!(draft.refused().contains("statistics page"), "{stats:#x}");
        }
    }
}

#[test]
fn the_trace_ring_is_whole_and_in_the_data() {
    let ring_bytes = RING_BYTES.next_multiple_of(PAGE);
    let mut data_bytes = DATA_BYTES;
    while data_bytes < 2 * ring_bytes {
        data_bytes *= 2;
    }
    let last = DATA + data_bytes - ring_bytes;
    for (ring, is_good) in [
        (DATA, true),
        (last, true),
        (last + PAGE, false),
        (DATA + 8, false),
        (CONSTANTS, false),
        (TEXT, false),
        (u64::MAX / PAGE * PAGE, false),
    ] {
        let mut draft = Draft::new().with_trace_ring_at(ring);
        draft.parts[2].memory_bytes = data_bytes;
        assert_eq!(draft.open().is_ok(), is_good, "{ring:#x}");
        if !is_good {
            assert!(draft.refused().contains("trace ring"), "{ring:#x}");
        }
    }
}
