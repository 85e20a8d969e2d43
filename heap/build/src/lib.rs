//! Shared code of the build scripts of C heaps: it finds the
//! sources and sets the flags of an image.
//!
//! A C heap has `source.toml`, whose first source carries the code, and `c/NAME.c`, which
//! includes the files it needs from there.
//! Environment variables:
//! - `BESPOKE_TREE_NAME` (`NAME`: the source's name in capitals): its unpacked tree. Without it,
//!   and with the feature `fetch`, the tree is downloaded.
//! - `BESPOKE_GUEST_INCLUDE`, a colon-separated list: the C library headers of an image. Without it
//!   the host's headers are used, for the tests.
//! - `BESPOKE_PARAMETERS_NAME` (`NAME`: the heap's name): the parameters to compile the C code
//!   with, as `name=number` separated by spaces. Without it all have their defaults. C sees each as
//!   `NAME_PARAMETER`, Rust as `env!("NAME_PARAMETER")`.
//!
//! No path of the build machine gets into the objects: equal sources make equal bytes.
#![allow(
    clippy::print_stdout,
    reason = "cargo reads what a build script prints"
)]

use bespoke_heap::Info;
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `c/NAME.c` of the heap `info` to `libbespoke_NAME.a` and links it.
/// `adjust` receives the compilation and the tree of the source named `source`.
/// For build scripts: on failure it ends the process with an error message.
pub fn compile(info: &Info, source: &str, adjust: impl FnOnce(&mut cc::Build, &Path)) {
    for file in ["build.rs", "source.toml", "c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    if let Err(error) = try_compile(info, source, adjust) {
        println!("cargo::error={}", error.to_string().replace('\n', " "));
    }
}

fn try_compile(
    info: &Info,
    source: &str,
    adjust: impl FnOnce(&mut cc::Build, &Path),
) -> Result<(), Box<dyn Error>> {
    let name = info.name;
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
    define_parameters(info, &mut build)?;
    adjust(&mut build, &tree);
    for_guest(&mut build)?;
    build.try_compile(&format!("bespoke_{name}"))?;
    Ok(())
}

/// See the module's documentation.
fn define_parameters(info: &Info, build: &mut cc::Build) -> Result<(), Box<dyn Error>> {
    let heap = info.name.to_uppercase();
    let variable = format!("BESPOKE_PARAMETERS_{heap}");
    println!("cargo::rerun-if-env-changed={variable}");
    let given = env::var(&variable).unwrap_or_default();
    for parameter in info.parameters.iter().filter(|one| one.defined_in_c) {
        let value = given
            .split(' ')
            .find_map(|pair| pair.strip_prefix(parameter.name)?.strip_prefix('='));
        let value: usize = value.map_or(Ok(parameter.default), str::parse)?;
        if !parameter.allows(value) {
            return Err(format!("{variable}: {value} is no value of {}", parameter.name).into());
        }
        let define = format!("{heap}_{}", parameter.name.to_uppercase());
        build.define(&define, value.to_string().as_str());
        println!("cargo::rustc-env={define}={value}");
    }
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
