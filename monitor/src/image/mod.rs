//! Reads, checks and loads the ELF image.
//! Headers are untrusted: every value is checked before it is used, and an
//! invalid file is an error with a reason.
//!
//! Only the headers and the notes are read here (two small reads). Segments are read from the
//! file directly into guest memory.

mod note;
#[cfg(test)]
pub(crate) mod tests;

use crate::MonitorError;
use crate::memory::PAGE_BYTES;
use crate::regular::open_regular;
use crate::trace::RING_BYTES;
use bespoke_abi::IMAGE_BASE;
use bespoke_abi::note::{ImageNote, SMALL_PAGES};
use object::elf::{
    EM_X86_64, ET_EXEC, FileHeader64, PF_W, PF_X, PT_LOAD, PT_NOTE, ProgramHeader64,
};
use object::{LittleEndian as LE, pod};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use note::RunDefaults;

const MAX_PROGRAM_HEADERS: u64 = 64;
const MAX_NOTE_BYTES: u64 = 64 << 10;
/// Upper bound of any image's addresses, which keeps arithmetic far from overflow.
const MAX_IMAGE_END: u64 = 1 << 32;

/// The guest's rights to a segment, beyond reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Execute,
    Write,
}

/// A loadable segment, widened to whole pages.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Guest-virtual pages.
    pub pages: Range<u64>,
    /// Guest-virtual address of the first byte from the file.
    pub address: u64,
    pub file_offset: u64,
    pub file_bytes: u64,
    pub access: Access,
}

/// A completely checked image.
pub(crate) struct Image {
    pub path: PathBuf,
    file: File,
    pub entry: u64,
    /// In rising order, disjoint.
    pub segments: Vec<Segment>,
    pub note: ImageNote,
    pub build_id: Option<Vec<u8>>,
    /// Guest-virtual address of the trace ring, in an image built for tracing.
    pub trace_ring: Option<u64>,
    /// Defaults of a run.
    pub run: Option<RunDefaults>,
}

/// Returns the run defaults of the image at `path`; `None` when it has none.
///
/// # Errors
///
/// When it cannot be read or is not an image.
pub fn run_defaults(path: &Path) -> Result<Option<RunDefaults>, MonitorError> {
    Ok(Image::open(path)?.run)
}

struct Reader<'a> {
    path: &'a Path,
    file: &'a File,
    bytes: u64,
}

impl Reader<'_> {
    fn not_an_image(&self, reason: impl Into<String>) -> MonitorError {
        MonitorError::NotAnImage {
            path: self.path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// Checks that the file holds `bytes` bytes at `offset`.
    fn has(&self, offset: u64, bytes: u64) -> Result<(), MonitorError> {
        let needed_bytes = offset.saturating_add(bytes);
        if needed_bytes > self.bytes {
            return Err(MonitorError::Truncated {
                path: self.path.to_path_buf(),
                bytes: self.bytes,
                needed_bytes,
            });
        }
        Ok(())
    }

    fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>, MonitorError> {
        self.has(offset, bytes)?;
        let mut buffer = vec![0; bytes as usize];
        self.file
            .read_exact_at(&mut buffer, offset)
            .map_err(|source| unreadable(self.path, source))?;
        Ok(buffer)
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> MonitorError {
    MonitorError::File {
        purpose: "read the image",
        path: path.to_path_buf(),
        source,
    }
}

impl Image {
    /// Whether RAM may lie on huge pages.
    pub(crate) fn is_huge(&self) -> bool {
        self.note.flags & SMALL_PAGES == 0
    }

    /// Opens and checks the image at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, MonitorError> {
        let file = open_regular(path).map_err(|source| unreadable(path, source))?;
        let bytes = file
            .metadata()
            .map_err(|source| unreadable(path, source))?
            .len();
        let reader = Reader {
            path,
            file: &file,
            bytes,
        };
        let head = reader.read(0, bytes.min(PAGE_BYTES))?;
        if !head.starts_with(b"\x7fELF") {
            return Err(reader.not_an_image("it is not an ELF file"));
        }
        reader.has(0, size_of::<FileHeader64<LE>>() as u64)?;
        let (header, _) = pod::from_bytes::<FileHeader64<LE>>(&head)
            .map_err(|()| reader.not_an_image("bad ELF header"))?;
        let ident = &header.e_ident;
        if (ident.class, ident.data) != (object::elf::ELFCLASS64, object::elf::ELFDATA2LSB)
            || header.e_machine.get(LE) != EM_X86_64
            || header.e_type.get(LE) != ET_EXEC
        {
            return Err(reader.not_an_image("it is not a static x86-64 executable"));
        }
        let headers = program_headers(&reader, header, &head)?;
        let segments = segments(&reader, &headers)?;
        let notes = notes(&reader, &headers, &head)?;
        let note = notes
            .image
            .ok_or_else(|| reader.not_an_image("it has no Bespoke note"))?;
        if note.version != bespoke_abi::VERSION {
            let (image, monitor) = (note.version, bespoke_abi::VERSION);
            return Err(MonitorError::Version {
                path: path.to_path_buf(),
                image,
                monitor,
            });
        }
        let (sections, count) = (header.e_shoff.get(LE), u64::from(header.e_shnum.get(LE)));
        reader.has(sections, count * u64::from(header.e_shentsize.get(LE)))?;
        let entry = header.e_entry.get(LE);
        let image = Self {
            path: path.to_path_buf(),
            file,
            entry,
            segments,
            note,
            build_id: notes.build_id,
            trace_ring: notes.trace_ring,
            run: notes.run.map(|run| RunDefaults {
                notice: notes.notice,
                ..run
            }),
        };
        image.check_addresses(bytes)?;
        Ok(image)
    }

    fn check_addresses(&self, bytes: u64) -> Result<(), MonitorError> {
        let reader = Reader {
            path: &self.path,
            file: &self.file,
            bytes,
        };
        let inside = |address: u64, access| {
            self.segment_at(address)
                .is_some_and(|segment| segment.access == access)
        };
        if !inside(self.entry, Access::Execute) {
            return Err(
                reader.not_an_image(format!("its entry {:#x} is not in its text", self.entry))
            );
        }
        let interruptible = self.note.interruptible_start..self.note.interruptible_end;
        let entry = self.note.interrupt_entry;
        let holds = |address| inside(address, Access::Execute) && !interruptible.contains(&entry);
        if entry != 0
            && !(holds(entry)
                && (interruptible.is_empty()
                    || holds(interruptible.start) && holds(interruptible.end - 1)))
        {
            return Err(reader.not_an_image(format!(
                "its interrupt entry {entry:#x} or the code that may be interrupted is misplaced"
            )));
        }
        let stats = self.note.stats;
        if !stats.is_multiple_of(PAGE_BYTES) || !inside(stats, Access::Write) {
            return Err(
                reader.not_an_image(format!("its statistics page {stats:#x} is not in its data"))
            );
        }
        if let Some(ring) = self.trace_ring {
            let segment = self.segment_at(ring);
            let end = ring.checked_add(RING_BYTES);
            let holds = segment.is_some_and(|segment| {
                segment.access == Access::Write && end.is_some_and(|end| end <= segment.pages.end)
            });
            if !ring.is_multiple_of(PAGE_BYTES) || !holds {
                return Err(
                    reader.not_an_image(format!("its trace ring {ring:#x} is not in its data"))
                );
            }
        }
        Ok(())
    }

    /// Returns the segment that contains guest-virtual `address`.
    pub(crate) fn segment_at(&self, address: u64) -> Option<&Segment> {
        self.segments
            .iter()
            .find(|segment| segment.pages.contains(&address))
    }

    /// Reads a segment's bytes to `target`.
    ///
    /// # Safety
    ///
    /// `target` is valid for writes of `segment.file_bytes` bytes.
    pub(crate) unsafe fn load(
        &self,
        segment: &Segment,
        target: *mut u8,
    ) -> Result<(), MonitorError> {
        let total = segment.file_bytes as usize;
        let mut done = 0;
        while done < total {
            // SAFETY: the caller's promise. Not `read_exact_at`: a `&mut [u8]` over memory that a
            // guest will write must not exist.
            let got = unsafe {
                let fd = std::os::fd::AsRawFd::as_raw_fd(&self.file);
                libc::pread(
                    fd,
                    target.add(done).cast(),
                    total - done,
                    (segment.file_offset as usize + done) as i64,
                )
            };
            match got {
                0 => {
                    let needed_bytes = segment.file_offset + segment.file_bytes;
                    let bytes = segment.file_offset + done as u64;
                    return Err(MonitorError::Truncated {
                        path: self.path.clone(),
                        bytes,
                        needed_bytes,
                    });
                }
                got if got > 0 => done += got as usize,
                _ => {
                    let error = std::io::Error::last_os_error();
                    if error.kind() != std::io::ErrorKind::Interrupted {
                        return Err(unreadable(&self.path, error));
                    }
                }
            }
        }
        Ok(())
    }
}

fn program_headers(
    reader: &Reader,
    header: &FileHeader64<LE>,
    head: &[u8],
) -> Result<Vec<ProgramHeader64<LE>>, MonitorError> {
    let (offset, count) = (header.e_phoff.get(LE), u64::from(header.e_phnum.get(LE)));
    let entry = size_of::<ProgramHeader64<LE>>();
    if usize::from(header.e_phentsize.get(LE)) != entry || count == 0 || count > MAX_PROGRAM_HEADERS
    {
        return Err(reader.not_an_image(format!("it has {count} program headers of odd size")));
    }
    let table = bytes_at(reader, head, offset, count * entry as u64)?;
    let (headers, _) = pod::slice_from_bytes(&table, count as usize)
        .map_err(|()| reader.not_an_image("bad headers"))?;
    Ok(headers.to_vec())
}

fn bytes_at(
    reader: &Reader,
    head: &[u8],
    offset: u64,
    bytes: u64,
) -> Result<Vec<u8>, MonitorError> {
    match (offset as usize)
        .checked_add(bytes as usize)
        .and_then(|end| head.get(offset as usize..end))
    {
        Some(slice) => Ok(slice.to_vec()),
        None => reader.read(offset, bytes),
    }
}

fn segments(
    reader: &Reader,
    headers: &[ProgramHeader64<LE>],
) -> Result<Vec<Segment>, MonitorError> {
    let mut segments: Vec<Segment> = Vec::with_capacity(headers.len());
    for header in headers
        .iter()
        .filter(|header| header.p_type.get(LE) == PT_LOAD && header.p_memsz.get(LE) != 0)
    {
        let (address, memory_bytes) = (header.p_vaddr.get(LE), header.p_memsz.get(LE));
        let (file_offset, file_bytes) = (header.p_offset.get(LE), header.p_filesz.get(LE));
        let end = address.saturating_add(memory_bytes);
        let fits = address >= IMAGE_BASE && end <= MAX_IMAGE_END && file_bytes <= memory_bytes;
        let start = address / PAGE_BYTES * PAGE_BYTES;
        if !fits || segments.last().is_some_and(|last| start < last.pages.end) {
            return Err(
                reader.not_an_image(format!("its segment {address:#x}..{end:#x} is misplaced"))
            );
        }
        reader.has(file_offset, file_bytes)?;
        let access = match (
            header.p_flags.get(LE).contains(PF_W),
            header.p_flags.get(LE).contains(PF_X),
        ) {
            (false, false) => Access::Read,
            (false, true) => Access::Execute,
            (true, false) => Access::Write,
            (true, true) => {
                return Err(reader.not_an_image(format!(
                    "its segment {address:#x} is writable and executable"
                )));
            }
        };
        let pages = start..end.next_multiple_of(PAGE_BYTES);
        segments.push(Segment {
            pages,
            address,
            file_offset,
            file_bytes,
            access,
        });
    }
    Ok(segments)
}

fn notes(
    reader: &Reader,
    headers: &[ProgramHeader64<LE>],
    head: &[u8],
) -> Result<note::Notes, MonitorError> {
    let mut notes = note::Notes::default();
    for header in headers
        .iter()
        .filter(|header| header.p_type.get(LE) == PT_NOTE)
    {
        let (offset, bytes) = (header.p_offset.get(LE), header.p_filesz.get(LE));
        if bytes > MAX_NOTE_BYTES {
            return Err(reader.not_an_image(format!("its notes claim {bytes} bytes")));
        }
        notes.read(&bytes_at(reader, head, offset, bytes)?);
    }
    Ok(notes)
}
