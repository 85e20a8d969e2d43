//! How many bytes of an image each part takes, from the link map.
//!
//! Generic code counts for the heap it was made for: its mangled name says which. What the
//! compiler inlined counts for the function it ended in.

use crate::Error;
use bespoke_recipe::composition::Composition;
use bespoke_recipe::registry;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// One line of the table.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Part {
    /// `stub` (with its drivers), `library OS`, `heap NAME`, `C library`, `app`, or what the linker adds.
    pub name: String,
    /// Bytes in the image file.
    pub file_bytes: u64,
    /// Bytes that take memory only (bss).
    pub zero_bytes: u64,
}

/// Loaded sections of `libos/image.ld` that take room in the file.
const IN_FILE: &[&str] = &[
    ".note.bespoke",
    ".note.gnu.build-id",
    ".rodata.system",
    ".rodata",
    ".data.rel.ro",
    ".got",
    ".init_array",
    ".tdata",
    ".text",
    ".data",
];

/// Unwind tables, which an image has in memory where its app unwinds, and else in the debug file.
const TABLES: &[&str] = &[".eh_frame_hdr", ".eh_frame", ".gcc_except_table"];

/// Sections of what only stock monitors run: the stub itself, and the library OS's module beside it (mangled).
const STUB: &[&str] = &[".text.bespoke_stub", "bespoke_libos8platform3pvh"];

/// Where each part's code comes from.
pub struct Origins<'a> {
    /// Path of the composition's static library.
    pub composition: &'a Path,
    /// Folders of apps' objects.
    pub objects: [PathBuf; 2],
    /// The heaps of the image.
    pub heaps: &'a Composition,
    /// Whether unwind tables are in memory.
    pub has_tables: bool,
}

impl std::fmt::Debug for Origins<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origins").finish_non_exhaustive()
    }
}

/// Sizes of `image` by part, whose link map is `map`.
pub fn parts(image: &Path, map: &Path, origins: &Origins<'_>) -> Result<Vec<Part>, Error> {
    let file_bytes = fs::metadata(image)
        .map_err(Error::file("read", image))?
        .len();
    let text = fs::read_to_string(map).map_err(Error::file("read", map))?;
    Ok(sum(&text, file_bytes, origins))
}

fn sum(map: &str, image_bytes: u64, origins: &Origins<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut add = |name: &str, file_bytes, zero_bytes| match parts
        .iter_mut()
        .find(|part| part.name == name)
    {
        Some(part) => {
            part.file_bytes += file_bytes;
            part.zero_bytes += zero_bytes;
        }
        None => parts.push(Part {
            name: name.to_string(),
            file_bytes,
            zero_bytes,
        }),
    };
    add("stub", 0, 0);
    add("library OS", 0, 0);
    for heap in origins.heaps.distinct() {
        add(&format!("heap {heap}"), 0, 0);
    }
    add("C library", 0, 0);
    add("app", 0, 0);
    let mut attributed = 0;
    for piece in pieces(map) {
        let part = origins.part(&piece);
        let is_table = origins.has_tables && TABLES.contains(&piece.output);
        if IN_FILE.contains(&piece.output) || is_table {
            add(&part, piece.bytes, 0);
            attributed += piece.bytes;
        } else if matches!(piece.output, ".bss" | ".bss.pages" | ".tbss") {
            add(&part, 0, piece.bytes);
        }
    }
    add(
        "headers, padding",
        image_bytes.saturating_sub(attributed),
        0,
    );
    parts
}

impl Origins<'_> {
    fn part(&self, piece: &Piece<'_>) -> String {
        if STUB.iter().any(|mark| piece.section.contains(mark)) {
            return "stub".into();
        }
        let is_in = |folder: &PathBuf| Path::new(piece.file).starts_with(folder);
        if self.objects.iter().any(is_in) {
            return "app".into();
        }
        let Some((_, member)) = piece.file.split_once(&*self.composition.to_string_lossy()) else {
            return "C library".into();
        };
        let known = registry::HEAPS
            .iter()
            .filter(|entry| self.heaps.distinct().contains(&entry.info.name));
        let heap = known.into_iter().find(|entry| {
            let crate_name = format!("heap_{}", entry.info.name.replace('-', "_"));
            let marks = || std::iter::once(crate_name.as_str()).chain(entry.marks.iter().copied());
            // Objects of Rust code are named after the whole composition.
            let is_rust = member.contains(".rcgu.o");
            marks().any(|mark| piece.section.contains(mark) || !is_rust && member.contains(mark))
        });
        heap.map_or_else(
            || "library OS".into(),
            |entry| format!("heap {}", entry.info.name),
        )
    }
}

/// One input section that the linker kept.
struct Piece<'a> {
    output: &'a str,
    section: &'a str,
    bytes: u64,
    file: &'a str,
}

/// The input sections of GNU ld's map. An output section's name starts its line; an input section's
/// is indented by one space, with address, size and file on the same line or, after a long name,
/// on the next.
fn pieces(map: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut output = "";
    let mut pending = None;
    let body = map
        .split_once("Linker script and memory map")
        .map_or("", |(_, body)| body);
    for line in body.lines() {
        let mut words = line.split_whitespace();
        if line.starts_with('.') {
            output = words.next().unwrap_or_default();
        }
        let section = if line.starts_with(" .") || line.starts_with(" COMMON") {
            let section = words.next().unwrap_or_default();
            pending = Some(section);
            section
        } else if let Some(section) = pending.filter(|_| line.starts_with("   ")) {
            section
        } else {
            pending = None;
            continue;
        };
        let (Some(_address), Some(size)) = (
            words.next().and_then(hexadecimal),
            words.next().and_then(hexadecimal),
        ) else {
            continue;
        };
        pending = None;
        let file = line
            .rsplit_once("0x")
            .and_then(|(_, rest)| rest.split_once(' '))
            .map_or("", |(_, file)| file.trim());
        if size > 0 {
            pieces.push(Piece {
                output,
                section,
                bytes: size,
                file,
            });
        }
    }
    pieces
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bespoke_recipe::composition::Preference;

    const MAP: &str = "\
Discarded input sections

 .text          0x0000000000000000       0x10 /cache/objects/hello-1.o

Linker script and memory map

.rodata         0x0000000000200200      0x123
 *(.rodata .rodata.*)
 .rodata        0x0000000000200200       0x20 /cache/objects/hello-1.o
 .rodata.str1.1
                0x0000000000200220       0x03 /cache/libc/lib/libc.a(puts.o)
                                         0x04 (size before relaxing)

.text           0x0000000000201000      0x300
 .text._RNvXNtC11heap_region4Heap8allocate
                0x0000000000201000      0x100 /cache/composition.a(composition.o)
 *fill*         0x0000000000201100        0xc
 .text          0x000000000020110c       0x50 /cache/composition.a(core.o)
                0x000000000020110c                symbol
 .text.bespoke_stub
                0x0000000000201180       0x40 /cache/composition.a(core.o)
 .text._RNvNtCs1_13bespoke_libos8platform3pvh5start
                0x00000000002011c0       0x10 /cache/composition.a(core.o)

.bss            0x0000000000202000     0x1000
 COMMON         0x0000000000202000     0x1000 /cache/libc/lib/libc.a(buffer.o)

.eh_frame       0x0000000000000000     0x9999
 .eh_frame      0x0000000000000000     0x9999 /cache/objects/hello-1.o

.debug_info     0x0000000000000000     0x9999
 .debug_info    0x0000000000000000     0x9999 /cache/objects/hello-1.o
";

    #[test]
    fn every_kept_section_counts_for_one_part() {
        let composition = Composition::choose(&Preference::default(), &["region".into()]).unwrap();
        let origins = Origins {
            composition: Path::new("/cache/composition.a"),
            objects: ["/cache/objects", "/cache/trees"].map(PathBuf::from),
            heaps: &composition,
            has_tables: false,
        };
        let parts = sum(MAP, 0x1000, &origins);
        let part = |name: &str| {
            let part = parts.iter().find(|part| part.name == name).unwrap();
            (part.file_bytes, part.zero_bytes)
        };
        assert_eq!(part("app"), (0x20, 0));
        assert_eq!(part("C library"), (0x03, 0x1000));
        assert_eq!(part("heap region"), (0x100, 0));
        assert_eq!(part("library OS"), (0x50, 0));
        assert_eq!(part("stub"), (0x50, 0));
        assert_eq!(
            parts.iter().map(|part| part.file_bytes).sum::<u64>(),
            0x1000
        );
    }
}
