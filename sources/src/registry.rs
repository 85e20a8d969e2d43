//! Archives that are crates: `cargo` fetches them with the user's own configuration, and the file
//! is taken from cargo's download cache.
//! This module never names a registry.

use crate::cache::{copy, lock_folder, remove_tree};
use crate::{Error, Source, tool};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const GET_CARGO: &str = "install Rust with its package manager, cargo";

/// Copies the `.crate` file of `spec` (`NAME=VERSION`) to `part`.
pub(crate) fn fetch(
    root: &Path,
    source: &Source,
    spec: &str,
    part: &Path,
) -> Result<String, Error> {
    let recipe = |why: String| Error::Recipe {
        source_name: source.name.clone(),
        why,
    };
    let (name, version) = spec
        .split_once('=')
        .ok_or_else(|| recipe(format!("crate = {spec:?} is not NAME=VERSION")))?;
    let file = format!("{name}-{version}.crate");
    let home = cargo_home()?;
    if downloaded(&home, &file).is_none() {
        run_cargo(root, name, version)?;
    }
    let found = downloaded(&home, &file).ok_or_else(|| {
        let cache = home.join("registry/cache");
        Error::Elsewhere(format!(
            "cargo succeeded but {file} is not under {}; cargo may be set up with vendored sources",
            cache.display()
        ))
    })?;
    copy(&found, part)?;
    Ok(found.display().to_string())
}

fn cargo_home() -> Result<PathBuf, Error> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    folder("CARGO_HOME")
        .or_else(|| Some(folder("HOME")?.join(".cargo")))
        .ok_or(Error::MissingTool {
            tool: "cargo's home folder".to_owned(),
            install: "set HOME or CARGO_HOME",
        })
}

/// Finds the file in any of cargo's registry caches.
fn downloaded(home: &Path, file: &str) -> Option<PathBuf> {
    let registries = fs::read_dir(home.join("registry/cache")).ok()?;
    registries
        .flatten()
        .map(|registry| registry.path().join(file))
        .find(|path| path.is_file())
}

/// Runs `cargo fetch` on a package that depends on exactly this crate.
fn run_cargo(root: &Path, name: &str, version: &str) -> Result<(), Error> {
    let folder = root.join("cargo").join(format!("{name}-{version}"));
    let _lock = lock_folder(&folder)?;
    let package = folder.join("package");
    remove_tree(&package)?;
    let write = |path: PathBuf, text: &str| {
        fs::write(&path, text).map_err(|error| Error::Write { path, error })
    };
    fs::create_dir_all(package.join("src")).map_err(|error| Error::Write {
        path: package.clone(),
        error,
    })?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [dependencies]\n\"{name}\" = \"={version}\"\n\n[workspace]\n"
    );
    write(package.join("Cargo.toml"), &manifest)?;
    write(package.join("src/lib.rs"), "")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("fetch").arg("--quiet").current_dir(&package);
    tool::run(&mut command, &folder, GET_CARGO)?;
    Ok(())
}
