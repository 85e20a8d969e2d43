//! Start-up object, app, composition and C library to one image and its debug file.

use super::{cc, tool};
use crate::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes into an image.
pub struct Inputs<'a> {
    /// The linker script.
    pub script: &'a Path,
    /// `crt1.o`.
    pub start: &'a Path,
    /// The app's objects.
    pub objects: &'a [PathBuf],
    /// The static library of the composition.
    pub composition: &'a Path,
    /// `libc.a`.
    pub library: &'a Path,
}

/// Links `image`, with `image.debug` (symbols, lines, unwind tables) beside it, and writes the link
/// map to `map`. What the linker makes, symbols and all, is `whole` for a while. Both files appear complete.
pub fn link(inputs: &Inputs<'_>, image: &Path, map: &Path, whole: &Path) -> Result<(), Error> {
    let mut gcc = Command::new(cc::COMPILER);
    gcc.args([
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,-n",
        "-Wl,--gc-sections",
        "-Wl,--wrap=main",
    ])
    .args([
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
        "-Wl,--build-id=sha1",
        "-Wl,--no-warn-rwx-segments",
    ])
    .arg(format!("-Wl,-T,{}", inputs.script.display()))
    .arg(format!("-Wl,-Map,{}", map.display()))
    .arg("-o")
    .arg(whole)
    .arg(inputs.start)
    .args(inputs.objects)
    // The C library first: of the compiler's own mathematics, in the composition, an image needs none.
    .arg("-Wl,--start-group")
    .arg(inputs.library)
    .arg(inputs.composition)
    .args(["-lgcc", "-Wl,--end-group"]);
    tool::run("link the image", &mut gcc)?;

    let debug = debug_file(image);
    let debug_part = beside(&debug, "part");
    tool::run(
        "make the debug file",
        Command::new("objcopy")
            .arg("--only-keep-debug")
            .arg(whole)
            .arg(&debug_part),
    )?;
    // Before the image, which holds its name and checksum.
    fs::rename(&debug_part, &debug).map_err(Error::file("create", &debug))?;
    let part = beside(image, "part");
    let mut strip = Command::new("objcopy");
    strip
        .args([
            "--strip-all",
            "--remove-section=.eh_frame",
            "--remove-section=.gcc_except_table",
        ])
        .arg("--remove-section=.comment")
        .arg(format!("--add-gnu-debuglink={}", debug.display()))
        .arg(whole)
        .arg(&part);
    tool::run("strip the image", &mut strip)?;
    fs::remove_file(whole).map_err(Error::file("remove", whole))?;
    fs::rename(&part, image).map_err(Error::file("create", image))
}

/// The debug file of `image`.
pub fn debug_file(image: &Path) -> PathBuf {
    beside(image, "debug")
}

/// `image` with `.ending` added to its name.
pub fn beside(image: &Path, ending: &str) -> PathBuf {
    let mut name = image.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}
