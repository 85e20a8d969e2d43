//! The composition crate of an image: a few generated lines that say which heap stands in which
//! component, compiled with the library OS into one static library.
//!
//! All compositions share one cargo target folder, so that another choice of heaps recompiles only
//! these lines and what they instantiate. Versions are those of the workspace's `Cargo.lock`.

use super::musl::Libc;
use super::tool;
use super::work::Work;
use crate::Error;
use bespoke_recipe::composition::{Component, Composition};
use bespoke_recipe::paths;
use bespoke_sources::{Cache, read_sources};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The only target there is.
pub(super) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the composition; returns the static library.
pub(crate) fn build(
    home: &Path,
    sources: &Cache,
    composition: &Composition,
    stack_bytes: u64,
    libc: &Libc,
    work: &Work,
) -> Result<PathBuf, Error> {
    let cache = sources.root();
    let mut variables = trees(home, sources, &composition.distinct())?;
    let choices = composition.components().map(|(_, heap)| heap);
    variables.extend(choices.filter_map(|heap| heap.definitions()));
    let name = format!("composition-{}-{stack_bytes}", composition.slug());
    let folder = cache.join("compositions").join(&name);
    let what = "the library OS and these heaps";
    let alone = work.alone(&name, what)?;
    paths::create(&folder.join("src"))?;
    write_changed(
        &folder.join("Cargo.toml"),
        &manifest(home, &name, composition),
    )?;
    write_changed(
        &folder.join("src/lib.rs"),
        &library(composition, stack_bytes),
    )?;
    let (lock, own_lock) = (home.join("Cargo.lock"), folder.join("Cargo.lock"));
    fs::copy(&lock, &own_lock).map_err(Error::file("create", &own_lock))?;

    // Other compiler flags: in a folder of their own, so that the two do not build each other anew.
    let target_name = if composition.records() {
        "guest-target-recording"
    } else {
        "guest-target"
    };
    let target = cache.join(target_name);
    let turn = work.alone(target_name, "cargo's target folder for images")?;
    work.say("building the library OS and the heaps");
    let purpose = "build the library OS and the heaps";
    let frame_pointers = composition.records();
    let command = || cargo(home, &folder, &target, libc, &variables, frame_pointers);
    run_cargo(purpose, command)?;
    drop(turn);
    work.keep(alone, &name, what)?;
    Ok(target
        .join(TARGET)
        .join("release")
        .join(format!("lib{}.a", name.replace('-', "_"))))
}

/// Runs cargo without the network, and with it when a crate is missing from cargo's own cache; anything else would
/// fail the same way again.
pub(super) fn run_cargo(
    purpose: &str,
    command: impl Fn() -> Result<Command, Error>,
) -> Result<(), Error> {
    let mut offline = command()?;
    offline.arg("--offline");
    let output = tool::start(&mut offline)?;
    if output.status.success() {
        return Ok(());
    }
    if !String::from_utf8_lossy(&output.stderr).contains("--offline") {
        return Err(tool::failure(purpose, &offline, &output));
    }
    tool::run(purpose, &mut command()?).map(drop)
}

/// Where the sources of the C heaps are, as variables for their build scripts, which then need not
/// bring along what downloads and unpacks.
pub(super) fn trees(
    home: &Path,
    sources: &Cache,
    heaps: &[&str],
) -> Result<Vec<(String, OsString)>, Error> {
    let mut trees = Vec::new();
    for heap in heaps {
        let list = source_list(home, heap);
        if list.exists() {
            for source in read_sources(&list)? {
                let variable = format!("BESPOKE_TREE_{}", source.name.to_uppercase());
                trees.push((variable, sources.tree(&source)?.into()));
            }
        }
    }
    Ok(trees)
}

/// Names the sources of a heap in C; other heaps have none.
fn source_list(home: &Path, heap: &str) -> PathBuf {
    home.join("heaps").join(heap).join("source.toml")
}

fn cargo(
    home: &Path,
    folder: &Path,
    target: &Path,
    libc: &Libc,
    variables: &[(String, OsString)],
    frame_pointers: bool,
) -> Result<Command, Error> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--target", TARGET, "--target-dir"])
        .arg(target)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            rust_flags(home, target, frame_pointers)?.join("\x1f"),
        )
        .env("BESPOKE_GUEST_INCLUDE", libc.include())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        // What a surrounding cargo (a test, a build script) means for itself.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET");
    Ok(cargo)
}

/// These take the place of the flags in any configuration file.
fn rust_flags(home: &Path, target: &Path, frame_pointers: bool) -> Result<Vec<String>, Error> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![
        "-Crelocation-model=static".to_string(),
        // Names the heap in every instance of generic code, for the sizes and for backtraces.
        "-Csymbol-mangling-version=v0".to_string(),
        remap(home, "bespoke"),
        remap(target, "target"),
    ];
    // A recording image finds by them who allocates.
    flags.extend(frame_pointers.then(|| "-Cforce-frame-pointers=yes".to_string()));
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home =
        cargo_home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    flags.extend(cargo_home.map(|home| remap(&home, "cargo")));
    Ok(flags)
}

fn manifest(home: &Path, name: &str, composition: &Composition) -> String {
    let folder = home.display();
    let network = composition.has_network().then_some("\"net\"");
    let recording = composition.records().then_some("\"trace\"");
    let timing = composition.times().then_some("\"latency\"");
    let chosen: Vec<_> = [network, recording, timing].into_iter().flatten().collect();
    let chosen = chosen.join(", ");
    let mut text = format!(
        "# Generated by `bespoke build`.\n\
         [package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"staticlib\"]\n\n\
         [workspace]\n\n\
         [dependencies]\nbespoke-libos = {{ path = \"{folder}/libos\", default-features = false, features = [{chosen}] }}\n"
    );
    for heap in composition.distinct() {
        text += &dependency(home, heap);
    }
    // Across crates, so that the heap is inlined into malloc and what an image does not use is dropped;
    // on two cores that takes 3 s, within the 5 s another heap may take. For size where no inner loop is:
    // 60,000 inserts of SQLite take 0.259 s either way, and its image is 40 KiB smaller.
    text += "\n[profile.release]\nopt-level = 3\npanic = \"abort\"\ndebug = \"line-tables-only\"\n\
             lto = \"fat\"\ncodegen-units = 1\n";
    // With a network, the library OS and smoltcp are made as small as can be: 33 and 20 KiB of nginx for some percent of
    // the instructions of a request, most of which are in `net`. Without one it drives a console at most.
    let levels: &[(&str, &str)] = match network {
        Some(_) => &[
            ("bespoke-libos", "z"),
            ("bespoke-heap", "s"),
            ("smoltcp", "s"),
        ],
        None => &[
            ("bespoke-libos", "s"),
            ("bespoke-heap", "s"),
            ("bespoke-virtio", "s"),
        ],
    };
    for (name, level) in levels {
        text += &format!("[profile.release.package.{name}]\nopt-level = \"{level}\"\n");
    }
    text
}

/// The line of a manifest that brings a heap.
pub(super) fn dependency(home: &Path, heap: &str) -> String {
    // What downloads is left out: `trees`.
    let features = match source_list(home, heap).exists() {
        true => ", default-features = false, features = [\"c\"]",
        false => "",
    };
    let folder = home.display();
    format!("heap-{heap} = {{ path = \"{folder}/heaps/{heap}\"{features} }}\n")
}

fn library(composition: &Composition, stack_bytes: u64) -> String {
    let mut text = String::from(
        "//! Generated by `bespoke build`.\n#![no_std]\n\nbespoke_libos::compose! {\n",
    );
    for (component, heap) in composition.components() {
        if !heap.is_plain() {
            text += &format!("    // {heap}\n");
        }
        let adapter = if component == Component::App {
            "AppHeap"
        } else {
            "Heap"
        };
        text += &format!("    {}: {},\n", component.name(), heap.rust_type(adapter));
    }
    if !composition.is_huge() {
        text += "    huge_pages: false,\n";
    }
    text + &format!("    stack_bytes: {stack_bytes},\n}}\n")
}

/// Writes `path` unless it says so already, so that cargo sees no change where there is none.
pub(super) fn write_changed(path: &Path, text: &str) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(Error::file("write", path))
}
