//! The image's debug file: source lines and unwind tables.
//! A file of another build is never used. A missing or invalid file only results in a hint.

use super::Frame;
use crate::image::Image;
use crate::regular::read_regular;
use gimli::{EndianRcSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection};
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(super) type SectionBytes = EndianRcSlice<LittleEndian>;

/// Everything read from one debug file.
pub(super) struct Symbols {
    lines: addr2line::Context<SectionBytes>,
    pub eh_frame: gimli::EhFrame<SectionBytes>,
    pub debug_frame: gimli::DebugFrame<SectionBytes>,
    pub bases: gimli::BaseAddresses,
    symbols: Vec<(u64, u64, String)>,
}

/// Source lines of an image that is not running.
pub struct SourceLines {
    symbols: Symbols,
    build_id: Vec<u8>,
}

impl core::fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SourceLines").finish_non_exhaustive()
    }
}

impl SourceLines {
    /// Opens those of the image at `path`.
    ///
    /// # Errors
    ///
    /// A message why there are none.
    pub fn open(path: &Path) -> Result<Self, String> {
        let image = Image::open(path).map_err(|error| error.to_string())?;
        let symbols = Symbols::load(&image)?;
        let build_id = image.build_id.unwrap_or_default();
        Ok(Self { symbols, build_id })
    }

    /// Returns the linker's identifier of the build.
    pub fn build_id(&self) -> &[u8] {
        &self.build_id
    }

    /// Returns the call that returns to `address`, inlined frames first.
    pub fn of_call(&self, address: u64) -> Vec<Frame> {
        self.symbols.frames(address, address.saturating_sub(1))
    }
}

/// Returns the path of the debug file of `image`.
fn debug_path(image: &Image) -> PathBuf {
    let mut name = image.path.clone().into_os_string();
    name.push(".debug");
    name.into()
}

impl Symbols {
    /// Reads the debug file; the error is a hint for the user.
    pub(super) fn load(image: &Image) -> Result<Self, String> {
        let path = debug_path(image);
        let unusable = |why: String| format!("no source lines: {}: {why}", path.display());
        let bytes = read_regular(&path).map_err(|error| unusable(error.to_string()))?;
        let file = object::File::parse(&*bytes).map_err(|error| unusable(error.to_string()))?;
        if let (Some(ours), Ok(Some(theirs))) = (&image.build_id, file.build_id())
            && ours != theirs
        {
            return Err(unusable("it belongs to another build".into()));
        }
        let section = |id: SectionId| -> Result<SectionBytes, gimli::Error> {
            let data = file
                .section_by_name(id.name())
                .and_then(|section| section.data().ok())
                .unwrap_or_default();
            Ok(EndianRcSlice::new(Rc::from(data), LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(section).map_err(|error| unusable(error.to_string()))?;
        let lines =
            addr2line::Context::from_dwarf(dwarf).map_err(|error| unusable(error.to_string()))?;
        let address = |name| {
            file.section_by_name(name)
                .map_or(0, |section| section.address())
        };
        let bases = gimli::BaseAddresses::default()
            .set_eh_frame(address(".eh_frame"))
            .set_text(address(".text"));
        let read =
            |id| section(id).unwrap_or_else(|_| SectionBytes::new(Rc::from([]), LittleEndian));
        let mut eh_frame = gimli::EhFrame::from(read(SectionId::EhFrame));
        eh_frame.set_address_size(8);
        let mut debug_frame = gimli::DebugFrame::from(read(SectionId::DebugFrame));
        debug_frame.set_address_size(8);
        Ok(Self {
            lines,
            eh_frame,
            debug_frame,
            bases,
            symbols: symbols(&file),
        })
    }

    /// Returns the frames at `address`, inlined ones first. `lookup`
    /// is the address within the call.
    pub(super) fn frames(&self, address: u64, lookup: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Ok(mut found) = self.lines.find_frames(lookup).skip_all_loads() {
            while let Ok(Some(frame)) = found.next() {
                let function = frame
                    .function
                    .and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
                let (file, line) = frame
                    .location
                    .map_or((None, None), |at| (at.file.map(str::to_owned), at.line));
                frames.push(Frame {
                    address,
                    function,
                    file,
                    line,
                });
            }
        }
        if frames.iter().all(|frame| frame.function.is_none()) {
            let function = self.symbol(lookup);
            frames.truncate(1);
            match frames.first_mut() {
                Some(frame) => frame.function = function,
                None => frames.push(Frame {
                    address,
                    function,
                    file: None,
                    line: None,
                }),
            }
        }
        frames
    }

    fn symbol(&self, address: u64) -> Option<String> {
        let after = self
            .symbols
            .partition_point(|(start, ..)| *start <= address);
        let (start, bytes, name) = self.symbols.get(after.checked_sub(1)?)?;
        (address - start < (*bytes).max(1)).then(|| name.clone())
    }
}

fn symbols(file: &object::File) -> Vec<(u64, u64, String)> {
    use object::ObjectSymbol;
    let texts = file
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text);
    let named = texts.filter_map(|symbol| {
        Some((
            symbol.address(),
            symbol.size(),
            symbol.name().ok()?.to_owned(),
        ))
    });
    let mut symbols: Vec<_> = named.collect();
    symbols.sort();
    symbols
}
