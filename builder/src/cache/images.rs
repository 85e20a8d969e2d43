//! The images in the cache, and what an image file says of itself. A file may be anybody's: nothing in it is believed beyond
//! what is shown.

use crate::Error;
use crate::link;
use bespoke_abi::note::{
    EAGER, ImageNote, NO_NETWORK, OWNER, SMALL_PAGES, TYPE_COMPOSITION, TYPE_IMAGE, TYPE_NOTICE,
    TYPE_ORIGIN, TYPE_TRACE,
};
use bespoke_monitor::read_regular;
use bespoke_sources::hex;
use object::read::elf::{ElfFile64, SectionHeader};
use object::{Endianness, Object, ObjectSection, SectionFlags, SectionKind, elf};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An image that stands in the cache.
#[derive(Serialize, Debug)]
pub struct Built {
    /// The app.
    pub app: String,
    /// Its heaps by component.
    pub heaps: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was built, in seconds since 1970.
    pub built_unix_s: u64,
    /// The file.
    pub path: PathBuf,
}

/// The images in the cache at `root`, by app and heaps.
pub fn built(root: &Path) -> Result<Vec<Built>, Error> {
    let mut all = Vec::new();
    for app in folders(&root.join("images")) {
        let name = app.file_name().unwrap_or_default().to_string_lossy();
        for slug in folders(&app) {
            let path = slug.join(&*name);
            let Ok(metadata) = path.metadata() else {
                continue;
            };
            let facts = ImageFacts::by(&path).ok();
            let slug = slug.file_name().unwrap_or_default().to_string_lossy();
            all.push(Built {
                app: name.to_string(),
                heaps: facts.map_or_else(|| slug.to_string(), |facts| facts.composition),
                bytes: metadata.len(),
                built_unix_s: metadata.modified().map_or(0, unix_s),
                path,
            });
        }
    }
    all.sort_by(|a, b| (&a.app, &a.heaps).cmp(&(&b.app, &b.heaps)));
    Ok(all)
}

/// Folders in `folder`; none where there is no such folder.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

/// Seconds since 1970.
pub fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What an image file says of itself.
#[derive(Serialize, Debug)]
pub struct ImageFacts {
    /// The file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// Version of the interface between image and monitor.
    pub interface_version: u32,
    /// The heaps by component, with parameters where they are known.
    pub composition: String,
    /// Whether it has a network.
    pub network: bool,
    /// Whether a heap takes or looks at all RAM at the start.
    pub eager: bool,
    /// Whether RAM may lie on huge pages.
    pub huge_pages: bool,
    /// Whether it can record what its heaps do.
    pub records: bool,
    /// Bytes of the main stack.
    pub stack_bytes: u64,
    /// Memory unless the user says otherwise.
    pub memory_bytes: Option<u64>,
    /// Arguments unless the user gives some.
    pub arguments: Vec<String>,
    /// What is said at the start of a run that keeps nothing.
    pub notice: Option<String>,
    /// What it was made from: `app`, `made_for`, `libc`, `bespoke` and versions of heaps.
    pub origin: BTreeMap<String, String>,
    /// Known to the debug file, too.
    pub build_id: Option<String>,
    /// The file with its symbols, if that is where it was put.
    pub debug_file: Option<PathBuf>,
    /// Sections that take memory.
    pub sections: Vec<Section>,
}

/// A section of an image.
#[derive(Serialize, Debug)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub address: u64,
    /// Bytes in memory.
    pub bytes: u64,
    /// Bytes in the file: none of what begins as zeros.
    pub file_bytes: u64,
}

impl ImageFacts {
    /// Reads the image at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no image of Bespoke.
    pub fn by(path: &Path) -> Result<Self, Error> {
        let bytes = read_regular(path).map_err(Error::file("read", path))?;
        let not = |reason: &str| Error::NoImage {
            path: path.into(),
            reason: reason.into(),
        };
        let file =
            ElfFile64::<Endianness>::parse(&*bytes).map_err(|error| not(&error.to_string()))?;
        let mut facts = Self {
            path: path.into(),
            bytes: bytes.len() as u64,
            interface_version: 0,
            composition: String::new(),
            network: true,
            eager: false,
            huge_pages: true,
            records: false,
            stack_bytes: 0,
            memory_bytes: None,
            arguments: Vec::new(),
            notice: None,
            origin: BTreeMap::new(),
            build_id: file.build_id().ok().flatten().map(hex),
            debug_file: Some(link::debug_file(path)).filter(|debug| debug.exists()),
            sections: sections(&file),
        };
        facts.read_notes(&file, &bytes);
        if facts.interface_version == 0 {
            return Err(not("it has no Bespoke note"));
        }
        if let Ok(Some(run)) = bespoke_monitor::run_defaults(path) {
            facts.memory_bytes = Some(run.memory_bytes);
            facts.arguments = run.arguments;
        }
        if let Some(heaps) = facts.origin.remove("composition") {
            facts.composition = heaps;
        }
        Ok(facts)
    }

    fn read_notes(&mut self, file: &ElfFile64<'_, Endianness>, bytes: &[u8]) {
        let Some(section) = file.section_by_name(".note.bespoke") else {
            return;
        };
        let endian = file.endian();
        let Ok(Some(mut notes)) = section.elf_section_header().notes(endian, bytes) else {
            return;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() != OWNER.as_bytes() {
                continue;
            }
            let text = || {
                let text = String::from_utf8_lossy(note.desc()).into_owned();
                text.trim_end_matches('\0').to_string()
            };
            match note.n_type(endian).0 {
                TYPE_IMAGE => self.read_image_note(note.desc()),
                TYPE_COMPOSITION => self.composition = text(),
                TYPE_TRACE => self.records = true,
                TYPE_NOTICE => self.notice = Some(text()),
                TYPE_ORIGIN => {
                    let text = text();
                    let pairs = text.lines().filter_map(|line| line.split_once('='));
                    self.origin = pairs
                        .map(|(key, value)| (key.into(), value.into()))
                        .collect();
                }
                _ => {}
            }
        }
    }

    /// Two words and four longs into the note; see [`ImageNote`].
    fn read_image_note(&mut self, note: &[u8]) {
        const STACK: usize = std::mem::offset_of!(ImageNote, stack_bytes);
        let word = |at: usize| Some(u32::from_le_bytes(*note.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_le_bytes(*note.get(at..)?.first_chunk()?));
        self.interface_version = word(0).unwrap_or(0);
        let flags = word(4).unwrap_or(0);
        self.network = flags & NO_NETWORK == 0;
        self.eager = flags & EAGER != 0;
        self.huge_pages = flags & SMALL_PAGES == 0;
        self.stack_bytes = long(STACK).unwrap_or(0);
    }
}

/// Those that take memory, in the order of addresses.
fn sections(file: &ElfFile64<'_, Endianness>) -> Vec<Section> {
    let takes_memory = |flags| match flags {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(elf::SHF_ALLOC),
        _ => false,
    };
    let loaded = file
        .sections()
        .filter(|section| takes_memory(section.flags()));
    let mut sections: Vec<Section> = loaded
        .filter(|section| section.size() > 0)
        .map(|section| Section {
            name: section.name().unwrap_or_default().to_string(),
            address: section.address(),
            bytes: section.size(),
            file_bytes: match section.kind() {
                SectionKind::UninitializedData | SectionKind::UninitializedTls => 0,
                _ => section.size(),
            },
        })
        .collect();
    sections.sort_by_key(|section| section.address);
    sections
}
