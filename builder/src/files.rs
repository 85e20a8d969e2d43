//! The files an image brings: packed into an archive, as an object to be linked.
//!
//! `libos/image.ld` gives the section its place in the data segment; the library OS unpacks it at
//! the start and leaves the contents where they are.

use super::cc;
use super::key::Key;
use super::work::{Held, Work};
use super::{tool, tree};
use crate::Error;
use bespoke_monitor::{ImportFile, pack};
use bespoke_recipe::app::App;
use bespoke_recipe::paths;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a recipe writes before the path of a file of the source tree.
const IN_TREE: &str = "tree:";
/// An empty folder.
const FOLDER: &str = "folder:";
/// What a recipe writes before the target of a symbolic link.
const LINK: &str = "link:";

/// The object with the recipe's files, then `given`, which replace them; `None` when there are none.
/// `tree` is the app's built tree.
pub(crate) fn object(
    app: &App,
    given: &[ImportFile],
    tree: Option<&Path>,
    cache: &Path,
    work: &Work,
) -> Result<Option<PathBuf>, Error> {
    let made = lock_made(app, work)?;
    let mut files = of_recipe(app, tree, cache)?;
    files.extend_from_slice(given);
    if files.is_empty() {
        return Ok(None);
    }
    let archive = pack(&files)?;
    drop(made);
    let folder = cache.join("objects");
    paths::create(&folder)?;
    let name = format!("files-{}", Key::new("files").bytes(&archive).finish());
    let (tar, object) = (
        folder.join(format!("{name}.tar")),
        folder.join(format!("{name}.o")),
    );
    let part = folder.join(format!("{name}.part"));
    let make = || {
        fs::write(&tar, &archive).map_err(Error::file("write", &tar))?;
        let mut objcopy = Command::new("objcopy");
        objcopy
            .current_dir(&folder)
            .args(["-I", "binary", "-O", "elf64-x86-64"])
            .args([
                "--rename-section",
                ".data=.bespoke_files,alloc,load,data,contents",
            ])
            .args([&tar, &part]);
        tool::run("pack the image's files", &mut objcopy)?;
        fs::remove_file(&tar).map_err(Error::file("remove", &tar))?;
        fs::rename(&part, &object).map_err(Error::file("create", &object))
    };
    work.provide(&name, "the image's files", || object.exists(), make)?;
    cc::touch(&object);
    Ok(Some(object))
}

/// The recipe's files.
fn of_recipe(app: &App, tree: Option<&Path>, cache: &Path) -> Result<Vec<ImportFile>, Error> {
    let is_made = |from: &str| from == FOLDER || from.starts_with(LINK);
    let (made, own): (Vec<_>, Vec<_>) = app.files.iter().partition(|(_, from)| is_made(from));
    // First, so that files can lie in folders that are made.
    let mut files = make(app, &made, cache)?;
    let own = own.into_iter().map(|(guest, from)| {
        let host = match (from.strip_prefix(IN_TREE), tree) {
            (Some(file), Some(tree)) => tree.join(file),
            (Some(_), None) => {
                return Err(Error::invalid(
                    &app.folder,
                    format!(
                        "{from:?} names a file of a source tree, but the recipe has no source tree"
                    ),
                ));
            }
            (None, _) => app.beside(from),
        };
        Ok(ImportFile {
            folder: host.is_dir(),
            host,
            guest: guest.clone(),
            canonical: true,
        })
    });
    for file in own {
        files.push(file?);
    }
    Ok(files)
}

/// The lock of what [`make`] makes for `app`, to be kept until that was read.
fn lock_made(app: &App, work: &Work) -> Result<Held, Error> {
    work.alone(
        &format!("made-{}", app.name),
        &format!("the folders of {}", app.name),
    )
}

/// Makes what no file stands for, folders and links, in the cache: a folder for each that holds some of them.
fn make(app: &App, made: &[(&String, &String)], cache: &Path) -> Result<Vec<ImportFile>, Error> {
    let mut tops: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for (guest, from) in made {
        let path = Path::new(guest);
        let (top, link) = match from.strip_prefix(LINK) {
            Some(target) => (path.parent().and_then(Path::to_str), Some(target)),
            None => (Some(guest.as_str()), None),
        };
        let Some(top) = top.filter(|top| top.starts_with('/') && top.len() > 1) else {
            return Err(Error::invalid(
                &app.folder,
                format!("[files] {guest:?} is not an absolute path, or lies in / itself"),
            ));
        };
        let host = cache
            .join("made")
            .join(&app.name)
            .join(top[1..].replace('/', "-"));
        if !tops.contains_key(top) {
            tree::remove(&host)?;
            paths::create(&host)?;
        }
        if let (Some(target), Some(name)) = (link, path.file_name()) {
            let file = host.join(name);
            symlink(target, &file).map_err(Error::file("create", &file))?;
        }
        tops.insert(top, host);
    }
    let import = |(guest, host): (&str, PathBuf)| ImportFile {
        host,
        guest: guest.into(),
        folder: true,
        canonical: true,
    };
    Ok(tops.into_iter().map(import).collect())
}

/// Copies the recipe's files to where they are in the image, below `root`.
pub(crate) fn lay_out(
    app: &App,
    tree: Option<&Path>,
    root: &Path,
    cache: &Path,
    work: &Work,
) -> Result<(), Error> {
    let _made = lock_made(app, work)?;
    for file in of_recipe(app, tree, cache)? {
        let below = file.guest.trim_start_matches('/');
        copy(&file.host, &root.join(below))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if let Ok(target) = fs::read_link(from) {
        return symlink(target, to).map_err(Error::file("create", to));
    }
    if from.is_dir() {
        paths::create(to)?;
        for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
            let entry = entry.map_err(Error::file("read", from))?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        paths::create(folder)?;
    }
    fs::copy(from, to)
        .map(|_| ())
        .map_err(Error::file("copy", from))
}
