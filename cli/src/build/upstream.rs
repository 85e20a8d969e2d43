//! An application built by its own configure script and makefiles, unmodified.
//!
//! The recipe's commands run in a tree of their own, once for images (with the compiler of
//! [`super::toolchain`]) and once for the machine itself. For an image, what upstream's own link
//! command names is linked anew: its objects and archives, against the image's C library.
//!
//! A tree is complete when `bespoke-complete` stands in it; it is built where it stays, because
//! the record of the link holds its paths.

use super::key::Key;
use super::toolchain::{LIBC_PARTS, Toolchain};
use super::work::Work;
use super::{cc, tool, tree};
use crate::error::Error;
use crate::recipe::App;
use bespoke_sources::Cache;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPLETE: &str = "bespoke-complete";

/// The tree of `app`, and the objects and archives of its program in link order; built if need be.
pub fn objects(
    app: &App,
    program: &str,
    toolchain: &Toolchain,
    sources: &Cache,
    work: &Work,
) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let folder = build(app, Some(toolchain), sources, work)?;
    let record = folder.join(format!("{program}.link"));
    let text = fs::read_to_string(&record).map_err(Error::file("read", &record))?;
    let objects = inputs(&text).map_err(|reason| Error::Recipe {
        path: app.folder.join("recipe.toml"),
        reason: format!("{program} cannot be linked into an image: {reason}"),
    })?;
    Ok((folder, objects))
}

/// The program itself, built for the machine if need be.
pub fn native(app: &App, program: &str, sources: &Cache, work: &Work) -> Result<PathBuf, Error> {
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
        // What asks for the date of the build or for libraries of the machine gets none.
        .env("SOURCE_DATE_EPOCH", "0")
        .env("PKG_CONFIG_LIBDIR", folder.join("none"))
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// What a recorded link names, in its order: objects, archives, and the archives that `-lNAME`
/// finds in the folders given by `-L`.
fn inputs(record: &str) -> Result<Vec<PathBuf>, String> {
    let mut words = record.lines();
    let folder = Path::new(words.next().ok_or("its link was not recorded")?);
    let (mut libraries, mut found) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "-o" | "-I" | "-D" | "-U" | "-x" | "-include" | "-isystem" | "-MF" | "-MT" | "-MQ"
            | "-Xlinker" | "-u" | "-z" => {
                words.next();
            }
            "-L" => libraries.extend(words.next().map(|path| folder.join(path))),
            _ => match (word.strip_prefix("-L"), word.strip_prefix("-l")) {
                (Some(path), _) => libraries.push(folder.join(path)),
                (_, Some(name)) if LIBC_PARTS.contains(&name) => {}
                (_, Some(name)) => {
                    let archive = format!("lib{name}.a");
                    let candidates = || libraries.iter().map(|path| path.join(&archive));
                    let path = candidates().find(|path| path.exists()).ok_or_else(|| {
                        format!("its makefile asks for -l{name}, and no {archive} was built")
                    })?;
                    found.push(path);
                }
                _ if word.ends_with(".o") || word.ends_with(".a") => found.push(folder.join(word)),
                _ if word.starts_with('-') => {}
                _ => return Err(format!("its link command compiles {word} as well")),
            },
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_link_names_objects_and_archives_in_order() {
        let folder = env::temp_dir().join(format!("bespoke-link-{}", std::process::id()));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/libevent.a"), "").unwrap();
        let record = format!(
            "{}\n-O2\n-o\nserver\nmain.o\n-Llib\n../deps/x.a\n-levent\n-lpthread\n-rdynamic\n",
            folder.display()
        );
        let found = inputs(&record).unwrap();
        let expected = ["main.o", "../deps/x.a", "lib/libevent.a"].map(|name| folder.join(name));
        assert_eq!(found, expected);
        let error = inputs(&record.replace("-levent", "-lssl")).unwrap_err();
        assert!(error.contains("-lssl"), "{error}");
        assert!(inputs("/x\nmain.c\n-o\nserver\n").is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
