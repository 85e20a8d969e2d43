//! Start-up object, app, composition and C library to one image and its debug file.

use super::{cc, tool};
use crate::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes into an image.
pub(crate) struct Inputs<'a> {
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
    /// The app asks for an unwinder.
    pub unwinder: bool,
}

/// Links `image`, with `image.debug` (symbols, lines, unwind tables) beside it, and writes the link
/// map to `map`. What the linker makes, symbols and all, is `whole` for a while. Both files appear complete.
pub(crate) fn link(
    inputs: &Inputs<'_>,
    image: &Path,
    map: &Path,
    whole: &Path,
) -> Result<(), Error> {
    let mut script = inputs.script.to_path_buf();
    if inputs.unwinder {
        let text = fs::read_to_string(&script).map_err(Error::file("read", &script))?;
        script = beside(whole, "ld");
        fs::write(&script, with_unwind_tables(&text)).map_err(Error::file("write", &script))?;
    }
    // It would go without, and then calls them: its references are weak.
    let unwinder_needs: &[&str] = match inputs.unwinder {
        true => &[
            "__pthread_key_create",
            "pthread_getspecific",
            "pthread_key_create",
            "pthread_mutex_lock",
            "pthread_mutex_unlock",
            "pthread_once",
            "pthread_setspecific",
        ],
        false => &[],
    };
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
    .arg(format!("-Wl,-T,{}", script.display()))
    .arg(format!("-Wl,-Map,{}", map.display()))
    .args(inputs.unwinder.then_some("-Wl,--eh-frame-hdr"))
    .args(unwinder_needs.iter().map(|name| format!("-Wl,-u,{name}")))
    .arg("-o")
    .arg(whole)
    .arg(inputs.start)
    .args(inputs.objects)
    // The C library first: of the compiler's own mathematics, in the composition, an image needs none.
    .arg("-Wl,--start-group")
    .arg(inputs.library)
    .arg(inputs.composition)
    .args(inputs.unwinder.then_some("-lgcc_eh"))
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
    strip.args(["--strip-all", "--remove-section=.comment"]);
    if !inputs.unwinder {
        strip.args([
            "--remove-section=.eh_frame",
            "--remove-section=.gcc_except_table",
        ]);
    }
    strip
        .arg(format!("--add-gnu-debuglink={}", debug.display()))
        .arg(whole)
        .arg(&part);
    tool::run("strip the image", &mut strip)?;
    fs::remove_file(whole).map_err(Error::file("remove", whole))?;
    fs::rename(&part, image).map_err(Error::file("create", image))
}

/// The linker script `text` with the unwind tables in memory, for an application that unwinds by itself, as Rust does at a
/// panic; see `libc/overlay/src/ldso/_dl_find_object.c`.
fn with_unwind_tables(text: &str) -> String {
    const TABLES: &str = "\
  .eh_frame_hdr : { bespoke_eh_frame_hdr = .; *(.eh_frame_hdr .eh_frame_entry .eh_frame_entry.*) } :constants
  .eh_frame : { KEEP(*(.eh_frame .eh_frame.*)) } :constants
  .gcc_except_table : { *(.gcc_except_table .gcc_except_table.*) } :constants
  .tdata :";
    let kept = text.lines().filter(|line| {
        !line.starts_with("  .eh_frame 0") && !line.starts_with("  .gcc_except_table 0")
    });
    let kept: Vec<&str> = kept.collect();
    kept.join("\n").replacen("  .tdata :", TABLES, 1) + "\n"
}

/// The debug file of `image`.
pub(crate) fn debug_file(image: &Path) -> PathBuf {
    beside(image, "debug")
}

/// `image` with `.ending` added to its name.
pub(crate) fn beside(image: &Path, ending: &str) -> PathBuf {
    let mut name = image.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::with_unwind_tables;

    #[test]
    fn unwind_tables_move_into_memory() {
        let script = with_unwind_tables(include_str!("../../libos/image.ld"));
        for section in [".eh_frame", ".gcc_except_table"] {
            let lines = script.lines().map(str::trim_start);
            let lines: Vec<&str> = lines
                .filter(|line| line.split(' ').next() == Some(section))
                .collect();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].ends_with(":constants"), "{lines:?}");
        }
        assert!(script.contains("bespoke_eh_frame_hdr = ."));
    }
}
