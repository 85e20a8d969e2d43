//! Reads ELF notes: ours and the build id. A malformed note ends the reading without an error;
//! the caller reports what is missing.

use bespoke_abi::note::{
    IMAGE_NOTE_BYTES, ImageNote, OWNER, TYPE_IMAGE, TYPE_NOTICE, TYPE_RUN, TYPE_TRACE,
};

const TYPE_BUILD_ID: u32 = 3;

/// Contents of the notes.
#[derive(Default)]
pub(crate) struct Notes {
    pub image: Option<ImageNote>,
    pub build_id: Option<Vec<u8>>,
    /// Address of the trace ring.
    pub trace_ring: Option<u64>,
    /// Defaults of a run.
    pub run: Option<RunDefaults>,
    /// See [`RunDefaults::notice`].
    pub notice: Option<String>,
}

/// Defaults of a run, from the image's note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDefaults {
    /// Memory of the image, in bytes.
    pub memory_bytes: u64,
    /// Arguments of the application after its name; `{50% of memory}`
    /// stands for that number of bytes.
    pub arguments: Vec<String>,
    /// Text to print at the start of a run without exports, about the data that would be lost.
    pub notice: Option<String>,
}

impl RunDefaults {
    fn decode(description: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(description.strip_suffix(b"\0")?).ok()?;
        let mut words = text.split('\0');
        Some(Self {
            memory_bytes: words.next()?.parse().ok()?,
            arguments: words.map(str::to_string).collect(),
            notice: None,
        })
    }
}

impl Notes {
    /// Reads a note segment: name size, description size, type, then both padded to 4 bytes.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((note, rest)) = split(bytes) {
            match (note.owner, note.kind) {
                (owner, TYPE_IMAGE) if owner == OWNER.as_bytes() => {
                    self.image = self.image.or_else(|| decode(note.description));
                }
                (owner, TYPE_TRACE) if owner == OWNER.as_bytes() => {
                    let address = note.description.first_chunk();
                    self.trace_ring = address.map(|bytes| u64::from_le_bytes(*bytes));
                }
                (owner, TYPE_RUN) if owner == OWNER.as_bytes() => {
                    self.run = RunDefaults::decode(note.description);
                }
                (owner, TYPE_NOTICE) if owner == OWNER.as_bytes() => {
                    let text = String::from_utf8(note.description.to_vec());
                    // The text goes to a terminal, and the image is untrusted.
                    let plain = text.ok().filter(|text| !text.contains(char::is_control));
                    self.notice = plain;
                }
                (b"GNU", TYPE_BUILD_ID) => self.build_id = Some(note.description.to_vec()),
                _ => {}
            }
            bytes = rest;
        }
    }
}

struct Note<'a> {
    owner: &'a [u8],
    kind: u32,
    description: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn split(bytes: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let (name, description, kind) = (
        word(bytes, 0)? as usize,
        word(bytes, 4)? as usize,
        word(bytes, 8)?,
    );
    let owner = bytes.get(12..12usize.checked_add(name)?)?;
    let start = (12 + name).next_multiple_of(4);
    let end = start.checked_add(description)?;
    let description = bytes.get(start..end)?;
    let rest = bytes.get(end.next_multiple_of(4)..).unwrap_or_default();
    Some((
        Note {
            owner: owner.strip_suffix(b"\0").unwrap_or(owner),
            kind,
            description,
        },
        rest,
    ))
}

/// The first fields are the same in all versions, so that the version can be read.
fn decode(bytes: &[u8]) -> Option<ImageNote> {
    let version = word(bytes, 0)?;
    let flags = word(bytes, 4).unwrap_or(0);
    let padded: [u8; IMAGE_NOTE_BYTES] = match bytes.get(..IMAGE_NOTE_BYTES) {
        Some(bytes) => bytes.try_into().ok()?,
        None if version != bespoke_abi::VERSION => [0; IMAGE_NOTE_BYTES],
        None => return None,
    };
    let long = |at: usize| {
        padded[at..at + 8]
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let (stats, rescue_entry, rescue_stack) = (long(8), long(16), long(24));
    let (stack_bytes, request) = (long(32), long(40));
    let (interrupt_entry, interruptible_start, interruptible_end) = (long(48), long(56), long(64));
    let (shared_start, shared_end) = (long(72), long(80));
    Some(ImageNote {
        version,
        flags,
        stats,
        rescue_entry,
        rescue_stack,
        stack_bytes,
        request,
        interrupt_entry,
        interruptible_start,
        interruptible_end,
        shared_start,
        shared_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, owner: &[u8], description: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [owner.len() as u32, description.len() as u32, kind] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [owner, description] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn finds_both_notes_behind_a_foreign_one() {
        let mut description = [0; IMAGE_NOTE_BYTES];
        description[0] = 7;
        description[8..16].copy_from_slice(&0x20_1000u64.to_le_bytes());
        let mut bytes = note(9, b"Other\0", b"xyz");
        bytes.extend(note(TYPE_IMAGE, b"Bespoke\0", &description));
        bytes.extend(note(TYPE_BUILD_ID, b"GNU\0", &[1, 2, 3]));
        let mut notes = Notes::default();
        notes.read(&bytes);
        let image = notes.image.expect("our note");
        assert_eq!((image.version, image.stats), (7, 0x20_1000));
        assert_eq!(notes.build_id.as_deref(), Some(&[1u8, 2, 3][..]));
    }

    #[test]
    fn how_it_is_run_is_memory_and_then_arguments() {
        let run = |description: &[u8]| {
            let mut notes = Notes::default();
            notes.read(&note(TYPE_RUN, b"Bespoke\0", description));
            notes.run
        };
        let expected = |arguments: &[&str]| {
            Some(RunDefaults {
                memory_bytes: 4096,
                arguments: arguments.iter().map(ToString::to_string).collect(),
                notice: None,
            })
        };
        assert_eq!(run(b"4096\0"), expected(&[]));
        assert_eq!(
            run(b"4096\0-a\0\0{50% of memory}\0"),
            expected(&["-a", "", "{50% of memory}"])
        );
        for bad in [&b""[..], b"\0", b"4096", b"many\0-a\0", b"4096\0\xff\0"] {
            assert_eq!(run(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_notice_is_plain_text_or_none() {
        let notice = |text: &[u8]| {
            let mut notes = Notes::default();
            notes.read(&note(TYPE_NOTICE, b"Bespoke\0", text));
            notes.notice
        };
        assert_eq!(notice(b"it is lost").as_deref(), Some("it is lost"));
        for bad in [&b"\x1b[2J"[..], b"two\nlines", b"\xff"] {
            assert_eq!(notice(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_cut_and_every_absurd_size_is_survived() {
        let whole = note(TYPE_IMAGE, b"Bespoke\0", &[1; IMAGE_NOTE_BYTES]);
        for end in 0..whole.len() {
            let mut notes = Notes::default();
            notes.read(&whole[..end]);
            assert!(notes.image.is_none(), "cut at {end}");
        }
        let mut absurd = whole;
        absurd[4..8].fill(0xff);
        Notes::default().read(&absurd);
    }
}
