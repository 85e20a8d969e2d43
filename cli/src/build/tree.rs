//! Source trees that a build may write to: copies of what the source cache unpacked.

use super::key::Key;
use super::tool;
use crate::error::Error;
use crate::place;
use crate::recipe::App;
use bespoke_sources::Cache;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An app's tree with its preparation done.
pub struct Tree {
    /// Its folder in the cache.
    pub folder: PathBuf,
    /// Stands for everything it was made from.
    pub key: String,
}

/// The prepared tree of `app`, whose recipe names a source; apps that prepare the same source
/// alike share it.
pub fn prepare(app: &App, sources: &Cache, say: &dyn Fn(&str)) -> Result<Option<Tree>, Error> {
    let Some(source) = app.sources.first() else {
        return Ok(None);
    };
    let key = inputs(app, Key::new("tree"))?.finish();
    let folder = sources
        .root()
        .join("trees")
        .join(format!("{}-{}-{key}", source.name, source.version));
    if !folder.exists() {
        say(&format!("preparing {} {}", source.name, source.version));
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
        fs::rename(&part, &folder).map_err(Error::file("create", &folder))?;
    }
    Ok(Some(Tree { folder, key }))
}

/// Adds to `key` what the prepared tree of `app` is made from.
pub fn inputs(app: &App, mut key: Key) -> Result<Key, Error> {
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

/// Makes `folder` a copy of the tree of `app`'s first source, with every further source, and every folder that the
/// recipe adds, in it under its name.
pub fn unpack(app: &App, sources: &Cache, folder: &Path) -> Result<(), Error> {
    for (number, source) in app.sources.iter().enumerate() {
        let to = if number == 0 {
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
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    place::create(to)?;
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
            fs::copy(&path, &target).map_err(Error::file("create", &target))?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let modified = modified.map_err(Error::file("read", &path))?;
            let set = || File::open(&target)?.set_modified(modified);
            set().map_err(Error::file("write", &target))?;
        }
    }
    Ok(())
}

/// Removes a tree, if it is there.
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::File {
            action: "remove",
            path: path.into(),
            source: error,
        }),
        _ => Ok(()),
    }
}
