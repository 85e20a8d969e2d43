//! What the build scripts of heaps in C share: where the sources are, and the flags of an image.
//!
//! A heap in C has `source.toml` (the first source carries it) and `c/NAME.c`, which includes what it
//! takes from there. Environment:
//! - `BESPOKE_TREE_NAME`, `NAME` the source's name in capitals: its unpacked tree; without it and
//!   with the feature `fetch`, the tree is downloaded;
//! - `BESPOKE_GUEST_INCLUDE`, a colon-separated list: the C library headers of an image; without it
//!   the host's are used, for the tests.
//!
//! Must never leave a path of this machine in the objects: equal sources make equal bytes.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `c/NAME.c` to `libbespoke_NAME.a` and links it; `adjust` is given the compilation and the
/// tree of the source named `source`. To be called by a build script, which it ends with an error
/// message when it fails.
pub fn compile(name: &str, source: &str, adjust: impl FnOnce(&mut cc::Build, &Path)) {
    for file in ["build.rs", "source.toml", "c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    if let Err(error) = try_compile(name, source, adjust) {
        println!("cargo::error={}", error.to_string().replace('\n', " "));
    }
}

fn try_compile(
    name: &str,
    source: &str,
    adjust: impl FnOnce(&mut cc::Build, &Path),
) -> Result<(), Box<dyn Error>> {
    let tree = tree(source)?;
    let mut build = cc::Build::new();
    build
        .file(format!("c/{name}.c"))
        .include("c")
        .opt_level(3)
        .debug(true)
        .warnings(false)
        .flag("-fno-stack-protector");
    for (path, place) in [(env::current_dir()?, name), (tree.clone(), source)] {
        build.flag(format!("-ffile-prefix-map={}={place}", path.display()));
    }
    adjust(&mut build, &tree);
    for_guest(&mut build)?;
    build.try_compile(&format!("bespoke_{name}"))?;
    Ok(())
}

fn tree(source: &str) -> Result<PathBuf, Box<dyn Error>> {
    let variable = format!("BESPOKE_TREE_{}", source.to_uppercase());
    println!("cargo::rerun-if-env-changed={variable}");
    match env::var_os(&variable) {
        Some(tree) => Ok(tree.into()),
        None => download(source, &variable),
    }
}

#[cfg(feature = "fetch")]
fn download(source: &str, _: &str) -> Result<PathBuf, Box<dyn Error>> {
    for variable in ["BESPOKE_CACHE", "BESPOKE_SOURCES"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let sources = bespoke_sources::read_sources(Path::new("source.toml"))?;
    let found = sources.iter().find(|found| found.name == source);
    let found = found.ok_or_else(|| format!("source.toml names no source {source}"))?;
    Ok(bespoke_sources::Cache::from_environment()?.tree(found)?)
}

#[cfg(not(feature = "fetch"))]
fn download(source: &str, variable: &str) -> Result<PathBuf, Box<dyn Error>> {
    Err(format!("{variable} does not say where {source} is, and feature `fetch` is off").into())
}

/// An image is linked statically at a fixed address and has headers of its own.
fn for_guest(build: &mut cc::Build) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=BESPOKE_GUEST_INCLUDE");
    let Some(headers) = env::var_os("BESPOKE_GUEST_INCLUDE") else {
        return Ok(());
    };
    build
        .pic(false)
        .flag("-fno-pic")
        .flag("-static")
        .flag("-nostdinc");
    let compiler = build.get_compiler();
    // The compiler's own headers (stdatomic.h and the like) come after the C library's.
    let own = Command::new(compiler.path())
        .arg("-print-file-name=include")
        .output()?;
    let own = PathBuf::from(String::from_utf8(own.stdout)?.trim());
    for folder in env::split_paths(&headers).chain([own]) {
        build.flag("-isystem").flag(folder);
    }
    Ok(())
}
