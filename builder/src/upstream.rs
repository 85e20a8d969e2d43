//! An application built by its own configure script and makefiles, unmodified.
//!
//! The recipe's commands run in a tree of their own, once for images (with the compiler of
//! [`super::toolchain`]) and once for the machine itself. For an image, what upstream's own link
//! command names is linked anew: its objects and archives, against the image's C library.
//!
//! A tree is complete when `bespoke-complete` stands in it; it is built where it stays, because
//! the record of the link holds its paths.

use super::key::Key;
use super::toolchain::Toolchain;
use super::work::Work;
use super::{cc, record, tool, tree};
use crate::Error;
use bespoke_recipe::app::App;
use bespoke_sources::Cache;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPLETE: &str = "bespoke-complete";

/// The tree of `app`, and the objects and archives of its program in link order; built if need be.
pub(crate) fn objects(
    app: &App,
    program: &str,
    toolchain: &Toolchain,
    sources: &Cache,
    work: &Work,
) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let folder = build(app, Some(toolchain), sources, work)?;
    let objects = record::objects(&folder, program).map_err(|reason| {
        let reason = format!("{program} cannot be linked into an image: {reason}");
        Error::invalid(&app.folder, reason)
    })?;
    Ok((folder, objects))
}

/// The program itself, built for the machine if need be.
pub(crate) fn native(
    app: &App,
    program: &str,
    sources: &Cache,
    work: &Work,
) -> Result<PathBuf, Error> {
    Ok(build(app, None, sources, work)?.join(program))
}

fn build(
    app: &App,
    toolchain: Option<&Toolchain>,
    sources: &Cache,
    work: &Work,
) -> Result<PathBuf, Error> {
    let (target, compiler) = match toolchain {
        Some(toolchain) => ("image", toolchain.key.clone()),
        None => ("native", cc::version()?),
    };
    let mut key = tree::inputs(app, Key::new("upstream").text(target).text(&compiler))?;
    for command in &app.build.make {
        key = key.texts(command);
    }
    let name = format!("{}-{target}-{}", app.name, key.finish());
    let folder = sources.root().join("trees").join(&name);
    let complete = folder.join(COMPLETE);
    let what = format!("the makefiles of {} ({target})", app.name);
    let make = || make(app, toolchain, target, &folder, sources, work);
    work.provide(&format!("tree-{name}"), &what, || complete.exists(), make)?;
    Ok(folder)
}

/// Runs upstream's build in `folder`, whose lock the caller has.
fn make(
    app: &App,
    toolchain: Option<&Toolchain>,
    target: &str,
    folder: &Path,
    sources: &Cache,
    work: &Work,
) -> Result<(), Error> {
    work.say(&format!(
        "building {} with its own makefiles ({target})",
        app.name
    ));
    tree::remove(folder)?;
    tree::unpack(app, sources, folder)?;
    let environment = match toolchain {
        Some(toolchain) => toolchain.environment(&app.name, folder)?,
        None => vec![("PATH", env::var_os("PATH").unwrap_or_default())],
    };
    for words in app.build.prepare.iter().chain(&app.build.make) {
        let purpose = format!("build {} ({target})", app.name);
        tool::run(&purpose, &mut command(words, folder, &environment))?;
    }
    let complete = folder.join(COMPLETE);
    fs::write(&complete, "").map_err(Error::file("write", &complete))
}

/// One of the recipe's commands, in an environment that does not depend on who runs it.
fn command(words: &[String], folder: &Path, environment: &[(&str, OsString)]) -> Command {
    let (program, arguments) = words
        .split_first()
        .expect("checked when the recipe was read");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("MAKEFLAGS", format!("-j{}", cc::jobs()))
        // What asks for the date of the build or for libraries of the machine gets none but those that the recipe
        // installs, by `--prefix=$HOME/installed`.
        .env("SOURCE_DATE_EPOCH", "0")
        .env("PKG_CONFIG_LIBDIR", folder.join("installed/lib/pkgconfig"))
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command
}
