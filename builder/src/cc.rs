//! C files to objects, in parallel, each object cached under a key of all that goes into it.

use super::key::Key;
use super::tool;
use super::work::Work;
use crate::Error;
use bespoke_recipe::paths;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::SystemTime;

/// The compiler of everything that is C.
pub(crate) const COMPILER: &str = "gcc";

/// Flags of all C code in an image, the C library's own build included (`libc/overlay/config.mak`).
pub(crate) const IMAGE_FLAGS: &[&str] = &[
    "-g1",
    "-pipe",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-ffunction-sections",
    "-fdata-sections",
    "-fasynchronous-unwind-tables",
];

/// One translation unit.
pub(crate) struct Unit {
    /// The file.
    pub file: PathBuf,
    /// The folder paths in debug information are relative to.
    pub root: PathBuf,
    /// Stands for everything the file may include, apart from the C library.
    pub inputs: String,
}

/// A set of units compiled alike.
pub(crate) struct Batch {
    /// Who they belong to, for messages and debug information.
    pub name: String,
    /// The units, in link order.
    pub units: Vec<Unit>,
    /// All flags.
    pub flags: Vec<String>,
    /// Stands for the headers outside the units' own trees.
    pub headers: String,
}

/// The compiler's own version, part of every key.
pub(crate) fn version() -> Result<String, Error> {
    let output = tool::run(
        "ask the compiler for its version",
        Command::new(COMPILER).arg("--version"),
    )?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_string())
}

/// The folder of the compiler's own headers (`stdarg.h`, `emmintrin.h`).
pub(crate) fn compiler_headers() -> Result<PathBuf, Error> {
    let output = tool::run(
        "ask the compiler for its headers",
        Command::new(COMPILER).arg("-print-file-name=include"),
    )?;
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

/// How many tools may run at once.
pub(crate) fn jobs() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Compiles `batch`; returns the objects in the order of its units.
pub(crate) fn compile(cache: &Path, batch: &Batch, work: &Work) -> Result<Vec<PathBuf>, Error> {
    let folder = cache.join("objects");
    paths::create(&folder)?;
    let base = Key::new("object")
        .text(&version()?)
        .texts(&batch.flags)
        .text(&batch.headers);
    let objects: Vec<PathBuf> = batch
        .units
        .iter()
        .map(|unit| folder.join(object_name(&base, unit)))
        .collect();
    let ready = || objects.iter().all(|object| object.exists());
    let lock = format!("objects-{}", batch.name);
    let what = format!("the objects of {}", batch.name);
    work.provide(&lock, &what, ready, || {
        compile_missing(batch, &objects, work)
    })?;
    // Prune removes objects by age: those of a build are young.
    objects.iter().for_each(|object| touch(object));
    Ok(objects)
}

/// Sets the time of `file` to now. One that cannot be is as good.
pub(crate) fn touch(file: &Path) {
    let _ = fs::File::open(file).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Compiles those of `objects` that are not there.
fn compile_missing(batch: &Batch, objects: &[PathBuf], work: &Work) -> Result<(), Error> {
    let missing: Vec<usize> = (0..objects.len())
        .filter(|&i| !objects[i].exists())
        .collect();
    work.say(&format!(
        "compiling {} ({} C files)",
        batch.name,
        missing.len()
    ));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs().min(missing.len()) {
            scope.spawn(|| {
                while let Some(&i) = missing.get(next.fetch_add(1, Relaxed)) {
                    if let Err(error) = compile_one(batch, &batch.units[i], &objects[i]) {
                        next.store(missing.len(), Relaxed);
                        failed
                            .lock()
                            .unwrap_or_else(|poisoned| poisoned.into_inner())
                            .get_or_insert(error);
                    }
                }
            });
        }
    });
    match failed
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
    {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn object_name(base: &Key, unit: &Unit) -> String {
    let name = unit
        .file
        .strip_prefix(&unit.root)
        .unwrap_or(&unit.file)
        .to_string_lossy();
    let stem = unit.file.file_stem().unwrap_or_default().to_string_lossy();
    format!(
        "{stem}-{}.o",
        base.clone().text(&unit.inputs).text(&name).finish()
    )
}

fn compile_one(batch: &Batch, unit: &Unit, object: &Path) -> Result<(), Error> {
    let part = object.with_extension("part");
    let file = unit.file.strip_prefix(&unit.root).unwrap_or(&unit.file);
    let mut gcc = Command::new(COMPILER);
    gcc.current_dir(&unit.root)
        .args(&batch.flags)
        .arg(format!(
            "-ffile-prefix-map={}={}",
            unit.root.display(),
            batch.name
        ))
        .arg("-I.")
        .arg("-c")
        .arg(file)
        .arg("-o")
        .arg(&part);
    tool::run(
        &format!("compile {} of {}", file.display(), batch.name),
        &mut gcc,
    )?;
    fs::rename(&part, object).map_err(Error::file("create", object))
}
