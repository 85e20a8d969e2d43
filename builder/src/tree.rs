//! Source trees that a build may write to: copies of what the source cache unpacked.

use super::key::{Key, files_below};
use super::tool;
use super::work::Work;
use crate::Error;
use bespoke_recipe::app::App;
use bespoke_recipe::paths;
use bespoke_sources::Cache;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An app's tree with its preparation done.
pub(crate) struct Tree {
    /// Its folder in the cache.
    pub folder: PathBuf,
    /// Stands for everything it was made from.
    pub key: String,
}

/// The prepared tree of `app`, whose recipe names a source; apps that prepare the same source
/// alike share it.
pub(crate) fn prepare(app: &App, sources: &Cache, work: &Work) -> Result<Option<Tree>, Error> {
    let (source, version) = match (&app.build.folder, app.sources.first()) {
        (Some(_), _) => (&app.name, "folder"),
        (None, Some(source)) => (&source.name, source.version.as_str()),
        (None, None) => return Ok(None),
    };
    let key = inputs(app, Key::new("tree"))?.finish();
    let name = format!("{source}-{version}-{key}");
    let folder = sources.root().join("trees").join(&name);
    let make = || {
        work.say(&format!("preparing {source} {version}"));
        let part = folder.with_extension("part");
        remove(&part)?;
        unpack(app, sources, &part)?;
        for command in &app.build.prepare {
            let (program, arguments) = command
                .split_first()
                .expect("checked when the recipe was read");
            let purpose = format!("prepare {}", app.name);
            tool::run(
                &purpose,
                Command::new(program).args(arguments).current_dir(&part),
            )?;
        }
        fs::rename(&part, &folder).map_err(Error::file("create", &folder))
    };
    let what = format!("the sources of {}", app.name);
    work.provide(&format!("tree-{name}"), &what, || folder.exists(), make)?;
    Ok(Some(Tree { folder, key }))
}

/// Adds to `key` what the prepared tree of `app` is made from.
pub(crate) fn inputs(app: &App, mut key: Key) -> Result<Key, Error> {
    if let Some(folder) = app.tree_folder() {
        key = key.text("folder");
        for path in own_files(&folder)? {
            let content = fs::read(&path).map_err(Error::file("read", &path))?;
            let name = path.strip_prefix(&folder).unwrap_or(&path);
            let mode = fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode());
            let mode = (mode & 0o111 != 0).to_string();
            key = key
                .text(&name.to_string_lossy())
                .text(&mode)
                .bytes(&content);
        }
    }
    for source in &app.sources {
        key = key.text(&source.name).text(&source.sha256.to_string());
    }
    for name in &app.build.add {
        key = key.text(name).folder(&app.beside(name))?;
    }
    for command in &app.build.prepare {
        key = key.texts(command);
    }
    Ok(key)
}

/// What belongs to a tree of the user's own. Left out is what the user's builds made there, which a makefile would take for
/// the image's: object files and programs (archives may be sources, so they stay), and what version control keeps.
pub(crate) fn own_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut kept = Vec::new();
    for path in files_below(folder)? {
        let inside = path.strip_prefix(folder).unwrap_or(&path);
        let is_kept_by_git = inside.components().any(|part| part.as_os_str() == ".git");
        if !is_kept_by_git && !is_elf(&path)? {
            kept.push(path);
        }
    }
    Ok(kept)
}

fn is_elf(path: &Path) -> Result<bool, Error> {
    let mut magic = [0; 4];
    let file = bespoke_monitor::open_regular(path).map_err(Error::file("read", path))?;
    Ok((&file).read_exact(&mut magic).is_ok() && magic == *b"\x7fELF")
}

/// Makes `folder` a copy of the tree of `app`'s first source, or of the folder that the recipe names, with every further
/// source, and every folder that the recipe adds, in it under its name.
pub(crate) fn unpack(app: &App, sources: &Cache, folder: &Path) -> Result<(), Error> {
    let own = app.tree_folder();
    if let Some(own) = &own {
        for file in own_files(own)? {
            let to = folder.join(file.strip_prefix(own).unwrap_or(&file));
            paths::create(to.parent().unwrap_or(folder))?;
            copy_file(&file, &to)?;
        }
    }
    for (number, source) in app.sources.iter().enumerate() {
        let to = if number == 0 && own.is_none() {
            folder.to_path_buf()
        } else {
            folder.join(&source.name)
        };
        copy(&sources.tree(source)?, &to)?;
    }
    for name in &app.build.add {
        copy(&app.beside(name), &folder.join(name))?;
    }
    Ok(())
}

/// Copies a tree; links stay links, and files keep their times, by which makefiles judge what is new.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    paths::create(to)?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::file("read", &path))?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&path).map_err(Error::file("read", &path))?;
            std::os::unix::fs::symlink(link, &target).map_err(Error::file("create", &target))?;
        } else {
            copy_file(&path, &target)?;
        }
    }
    Ok(())
}

fn copy_file(path: &Path, target: &Path) -> Result<(), Error> {
    fs::copy(path, target).map_err(Error::file("create", target))?;
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let modified = modified.map_err(Error::file("read", path))?;
    let set = || File::open(target)?.set_modified(modified);
    set().map_err(Error::file("write", target))
}

/// Removes a tree, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}
