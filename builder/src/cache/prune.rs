//! Removing what was not used for long, or what is too much. Must never take what runs or is being built: a piece goes only
//! when its locks are free and no process has a file of it.

use super::items::{self, Item, Kind};
use crate::Error;
use crate::work;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is to go.
#[derive(Debug)]
pub struct Limits {
    /// What was not used for longer.
    pub age: Duration,
    /// What is beyond so many bytes, the longest unused first.
    pub bytes: u64,
}

/// What became of a cache.
#[derive(Default, Debug)]
pub struct Pruned {
    /// What was removed, or would be.
    pub gone: Vec<Item>,
    /// What was to go, and is in use.
    pub busy: Vec<Item>,
    /// Bytes that stay, downloads apart.
    pub kept_bytes: u64,
}

/// Removes from the cache at `root` what is beyond `limits`, or with `dry` only says what that is. `images` are in use
/// although no process need have them open: those of instances in the background.
pub fn prune(
    root: &Path,
    limits: &Limits,
    dry: bool,
    images: impl IntoIterator<Item = PathBuf>,
) -> Result<Pruned, Error> {
    let mut items = items::all(root);
    // The longest unused first; of those, what is quickly made again first.
    items.sort_by_key(|item| (item.used_unix_s, item.kind));
    let now = super::images::unix_s(SystemTime::now());
    let mut total: u64 = items.iter().map(|item| item.bytes).sum();
    let used = in_use(root, images);
    let mut pruned = Pruned::default();
    for item in items {
        let is_old = now.saturating_sub(item.used_unix_s) > limits.age.as_secs();
        if !is_old && total <= limits.bytes {
            continue;
        }
        // An image in the background names its file; another process may have any of ours open.
        let is_open = used
            .iter()
            .any(|file| item.paths.iter().any(|path| file.starts_with(path)));
        let locks = match is_open {
            true => None,
            false => locks(root, &item)?,
        };
        let Some(locks) = locks else {
            pruned.busy.push(item);
            continue;
        };
        if !dry {
            item.paths.iter().try_for_each(|path| remove(path))?;
        }
        drop(locks);
        total -= item.bytes;
        pruned.gone.push(item);
    }
    pruned.kept_bytes = total;
    Ok(pruned)
}

fn locks(root: &Path, item: &Item) -> Result<Option<Vec<work::Held>>, Error> {
    if item.kind == Kind::Object {
        // A build has the lock of its app's objects until it ends.
        return work::try_all(root, &["objects-", "files-", "run-"]);
    }
    let mut all = Vec::new();
    for lock in &item.locks {
        match work::try_alone(root, lock)? {
            Some(held) => all.push(held),
            None => return Ok(None),
        }
    }
    if item.kind == Kind::Target {
        // Nobody may link what is to go.
        let Some(more) = work::try_all(root, &["composition-", "replay-"])? else {
            return Ok(None);
        };
        all.extend(more);
    }
    Ok(Some(all))
}

/// Files below `root` that are among `images` or that processes have.
fn in_use(root: &Path, images: impl IntoIterator<Item = PathBuf>) -> BTreeSet<PathBuf> {
    let mut used: BTreeSet<PathBuf> = images.into_iter().collect();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let folder = process.path();
        used.extend(fs::read_link(folder.join("exe")));
        used.extend(fs::read_link(folder.join("cwd")));
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0);
        used.extend(words.map(|word| PathBuf::from(&*String::from_utf8_lossy(word))));
        for open in fs::read_dir(folder.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            used.extend(fs::read_link(open.path()));
        }
    }
    used.retain(|path| path.starts_with(root));
    used
}

fn remove(path: &Path) -> Result<(), Error> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}
