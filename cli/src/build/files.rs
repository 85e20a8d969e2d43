//! The files an image brings: packed into an archive, as an object to be linked.
//!
//! `libos/image.ld` gives the section its place in the data segment; the library OS unpacks it at
//! the start and leaves the contents where they are.

use super::cc;
use super::key::Key;
use super::tool;
use super::work::Work;
use crate::error::Error;
use crate::place;
use crate::recipe::App;
use bespoke_monitor::{ImportFile, pack};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a recipe writes before the path of a file of the source tree.
const IN_TREE: &str = "tree:";

/// The object with the recipe's files, then `given`, which replace them; `None` when there are none.
/// `tree` is the app's built tree.
pub fn object(
    app: &App,
    given: &[ImportFile],
    tree: Option<&Path>,
    cache: &Path,
    work: &Work,
) -> Result<Option<PathBuf>, Error> {
    let mut files = of_recipe(app, tree)?;
    files.extend_from_slice(given);
    if files.is_empty() {
        return Ok(None);
    }
    let archive = pack(&files)?;
    let folder = cache.join("objects");
    place::create(&folder)?;
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
fn of_recipe(app: &App, tree: Option<&Path>) -> Result<Vec<ImportFile>, Error> {
    let own = app.files.iter().map(|(guest, from)| {
        let host = match (from.strip_prefix(IN_TREE), tree) {
            (Some(file), Some(tree)) => tree.join(file),
            (Some(_), None) => {
                return Err(Error::Recipe {
                    path: app.folder.join("recipe.toml"),
                    reason: format!("{from:?} names a file of a source tree, and there is none"),
                });
            }
            (None, _) => app.folder.join(from),
        };
        Ok(ImportFile {
            folder: host.is_dir(),
            host,
            guest: guest.clone(),
            canonical: true,
        })
    });
    own.collect()
}

/// Copies the recipe's files to where they are in the image, below `root`.
pub fn lay_out(app: &App, tree: Option<&Path>, root: &Path) -> Result<(), Error> {
    for file in of_recipe(app, tree)? {
        let below = file.guest.trim_start_matches('/');
        copy(&file.host, &root.join(below))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if from.is_dir() {
        place::create(to)?;
        for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
            let entry = entry.map_err(Error::file("read", from))?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        place::create(folder)?;
    }
    fs::copy(from, to)
        .map(|_| ())
        .map_err(Error::file("copy", from))
}
