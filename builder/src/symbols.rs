//! What the objects of an application define and ask for, where that decides how its image is linked.
//!
//! - It defines what the composition defines as well, as a Rust library does (`rust_eh_personality`): the composition's gets
//!   another name in a copy of its archive.
//! - It brings a malloc of its own: that one serves it, as on Linux. The rest of the family must not mix two heaps, so what
//!   the application leaves out answers `ENOMEM`.
//! - It asks for an unwinder: the compiler's is linked.
//! - It serves or connects: its image gets a network.

use super::tool;
use super::work::Work;
use crate::Error;
use bespoke_recipe::paths;
use object::read::archive::ArchiveFile;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The functions of the C library that hand out or take back memory.
const FAMILY: [&str; 8] = [
    "malloc",
    "calloc",
    "realloc",
    "free",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "malloc_usable_size",
];
/// Whoever calls `socket` and one of these speaks to others.
const NETWORK: [&str; 7] = [
    "listen",
    "connect",
    "bind",
    "sendto",
    "sendmsg",
    "accept",
    "getaddrinfo",
];

/// Global symbols of a set of objects and archives.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    defined: BTreeSet<String>,
    weak: BTreeSet<String>,
    wanted: BTreeSet<String>,
}

impl Symbols {
    /// Reads them from `files`; options of the linker among them are passed over.
    ///
    /// # Errors
    ///
    /// When a file cannot be read. One that is no object is the linker's to refuse.
    pub(crate) fn of(files: &[PathBuf]) -> Result<Self, Error> {
        let mut symbols = Self::default();
        for path in files {
            if path.to_string_lossy().starts_with('-') {
                continue;
            }
            let bytes = fs::read(path).map_err(Error::file("read", path))?;
            let Ok(archive) = ArchiveFile::parse(&*bytes) else {
                symbols.add(&bytes);
                continue;
            };
            for member in archive.members().flatten() {
                match member.is_thin() {
                    true => {
                        let name = String::from_utf8_lossy(member.name()).into_owned();
                        let path = path.with_file_name(name);
                        symbols.add(&fs::read(&path).map_err(Error::file("read", path))?);
                    }
                    false => symbols.add(member.data(&*bytes).unwrap_or_default()),
                }
            }
        }
        Ok(symbols)
    }

    fn add(&mut self, object: &[u8]) {
        let Ok(file) = ElfFile64::<object::Endianness>::parse(object) else {
            return;
        };
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            if name.is_empty() || !symbol.is_global() {
                continue;
            }
            let to = match (symbol.is_undefined(), symbol.is_weak()) {
                (true, false) => &mut self.wanted,
                (true, true) => continue,
                (false, true) => &mut self.weak,
                (false, false) => &mut self.defined,
            };
            to.insert(name.to_string());
        }
    }

    fn defines(&self, name: &str) -> bool {
        self.defined.contains(name) || self.weak.contains(name)
    }

    /// Names of what it calls to speak to others, if it does.
    pub(crate) fn network(&self) -> Option<String> {
        let calls = NETWORK.iter().find(|name| self.wanted.contains(**name))?;
        let asks = self.wanted.contains("socket");
        asks.then(|| format!("socket and {calls}"))
    }

    /// Whether an unwinder is asked for, and none is there.
    pub(crate) fn wants_unwinder(&self) -> bool {
        let wanted = |name: &&String| name.starts_with("_Unwind_") && *name != "_Unwind_Resume";
        self.wanted
            .iter()
            .any(|name| wanted(&name) && !self.defines(name))
    }
}

/// The symbols of what is reached from `main` in `objects`, linked into one object, `scratch`, for this.
///
/// # Errors
///
/// When they cannot be linked; why is then better told of the whole image.
pub(crate) fn reached(objects: &[PathBuf], scratch: &Path) -> Result<Symbols, Error> {
    let mut gcc = Command::new(super::cc::COMPILER);
    gcc.args(["-nostdlib", "-r", "-Wl,--gc-sections"])
        .args(["-Wl,-u,main", "-Wl,-e,main", "-o"])
        .arg(scratch)
        .args(objects);
    tool::run("look for what is called", &mut gcc)?;
    let symbols = Symbols::of(&[scratch.to_path_buf()])?;
    fs::remove_file(scratch).map_err(Error::file("remove", scratch))?;
    Ok(symbols)
}

/// What becomes of a composition and an application that define the same.
pub(crate) struct Settled {
    /// The composition's archive.
    pub composition: PathBuf,
    /// What is linked besides.
    pub more: Option<PathBuf>,
}

/// Settles what `app` and the composition both define; copies are made in `folder`, whose lock the caller has.
pub(crate) fn settle(
    name: &str,
    app: &Symbols,
    composition: &Path,
    folder: &Path,
    work: &Work,
) -> Result<Settled, Error> {
    let ours = Symbols::of(&[composition.to_path_buf()])?;
    let is_family = |name: &&str| FAMILY.contains(name);
    let both = ours.defined.iter().map(String::as_str);
    // The compiler's unwinder defines `_Unwind_Resume`, too.
    let both: Vec<&str> = both
        .filter(|name| app.defines(name) || app.wants_unwinder() && name.starts_with("_Unwind_"))
        .collect();
    if both.is_empty() {
        return Ok(Settled {
            composition: composition.to_path_buf(),
            more: None,
        });
    }
    paths::create(folder)?;
    let file = composition.file_name().unwrap_or_default();
    let copy = folder.join(file);
    let mut objcopy = Command::new("objcopy");
    let brings_malloc = app.defines("malloc");
    for symbol in &both {
        if is_family(symbol) {
            // Weak: if the application's is in an archive, it may not be linked.
            objcopy.arg(format!("--weaken-symbol={symbol}"));
        } else {
            objcopy.arg(format!("--redefine-sym={symbol}=bespoke_own_{symbol}"));
        }
    }
    let missing: Vec<&str> = FAMILY
        .into_iter()
        .filter(|name| brings_malloc && !app.defines(name))
        .collect();
    for symbol in &missing {
        objcopy.arg(format!("--redefine-sym={symbol}=bespoke_own_{symbol}"));
    }
    objcopy.arg(composition).arg(&copy);
    tool::run("give the library OS other names", &mut objcopy)?;
    if !brings_malloc {
        return Ok(Settled {
            composition: copy,
            more: None,
        });
    }
    let family: Vec<&str> = both.iter().copied().filter(is_family).collect();
    work.say(&format!(
        "{name} defines its own malloc ({}) and uses it; the heap of `app` serves only the C library itself{}",
        family.join(", "),
        match missing.is_empty() {
            true => String::new(),
            false => format!("; it does not define {}, so these fail with ENOMEM", missing.join(", ")),
        }
    ));
    let more = match missing.is_empty() {
        true => None,
        false => Some(assemble(&missing, folder)?),
    };
    Ok(Settled {
        composition: copy,
        more,
    })
}

/// An object with the functions in `missing`, which mix with no heap.
fn assemble(missing: &[&str], folder: &Path) -> Result<PathBuf, Error> {
    const FAIL: &str =
        "push %rax\ncall __errno_location\nmovl $12, (%rax)\nxor %eax, %eax\npop %rcx\nret";
    let (source, object) = (folder.join("family.s"), folder.join("family.o"));
    let functions = missing.iter().map(|name| {
        let body = match *name {
            // Nothing of it is known, so it stays as it is.
            "free" => "ret".to_string(),
            "malloc_usable_size" => "xor %eax, %eax\nret".to_string(),
            "posix_memalign" => "mov $12, %eax\nret".to_string(),
            "realloc" => format!("test %rdi, %rdi\njnz 1f\nmov %rsi, %rdi\njmp malloc\n1: {FAIL}"),
            _ => FAIL.to_string(),
        };
        format!(".section .text.{name}, \"ax\"\n.globl {name}\n.type {name}, @function\n{name}:\n{body}\n")
    });
    let text = functions.collect::<String>() + ".section .note.GNU-stack, \"\", @progbits\n";
    fs::write(&source, text).map_err(Error::file("write", &source))?;
    let mut gcc = Command::new(super::cc::COMPILER);
    gcc.arg("-c").arg("-o").args([&object, &source]);
    tool::run("assemble the rest of the malloc family", &mut gcc)?;
    Ok(object)
}
