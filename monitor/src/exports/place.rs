//! Gives files of the image their names on the host, so that a crash in between destroys nothing.
//!
//! A single file is put in place by one rename. Two names cannot change in one step, and opening a
//! database beside another one's journal damages it.
//! So a database that has companions, before or after, is replaced in these steps:
//!
//! 1. The existing files get second names: `NAME.bespoke-before`, and likewise for the companions.
//! 2. Their first names are removed, the database's first, so files that do not belong
//!    together are never visible as a pair.
//! 3. The image's companions get their names, then its database.
//! 4. The second names are removed.
//!
//! A crash after step 1 leaves the old database complete under its second name. The next
//! run with this target reports it.

use super::companion::Companion;
use super::list::Companions;
use super::temporary::{Temporary, TemporaryFolder, folder, remove, rename_new, with_suffix};
use bespoke_abi::export::COMPANIONS;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Appended to the names of the previous files.
pub(super) const BEFORE: &str = ".bespoke-before";
/// Appended to the names of files that could not be put in place.
const BESIDE: &str = ".from-image";

/// Puts a file with its companions in place.
///
/// # Errors
///
/// The system's error. The host's files are then unchanged, or have their
/// second names, as the error says.
pub(super) fn put(
    target: &Path,
    main: &mut Temporary,
    companions: &mut Companions,
) -> io::Result<()> {
    main.file.sync_data()?;
    for (_, companion) in &*companions {
        companion.file.sync_data()?;
    }
    let mut replaced = Vec::new();
    let mut is_alone = companions.is_empty();
    for suffix in COMPANIONS {
        let path = with_suffix(target, suffix);
        let is_replaced = companions.iter().any(|(with, _)| *with == suffix);
        match Companion::look(&path)? {
            Companion::Live => is_alone = false,
            Companion::Foreign if is_replaced => {
                let text = format!("{} exists and is not an SQLite file", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Companion::Foreign => continue,
            Companion::None | Companion::Spent => {}
        }
        if path.symlink_metadata().is_ok() {
            replaced.push(suffix);
        }
    }
    if is_alone {
        main.replace(target)?;
    } else {
        exchange(target, main, companions, &replaced, &mut || ())?;
    }
    // The index of a write-ahead log that no longer exists.
    if is_database(target) {
        remove(&with_suffix(target, "-shm"));
    }
    Ok(())
}

/// Replaces a database with companions, of which `replaced` existed
/// before; calls `step` after each change.
fn exchange(
    target: &Path,
    main: &mut Temporary,
    companions: &mut Companions,
    replaced: &[&str],
    step: &mut dyn FnMut(),
) -> io::Result<()> {
    let before = with_suffix(target, BEFORE);
    let existed = target.symlink_metadata().is_ok();
    let main_name: &[&str] = if existed { &[""] } else { &[] };
    // The database first: a companion without a database is harmless.
    let names: Vec<&str> = [main_name, replaced].concat();
    let there = |suffix: &str| with_suffix(target, suffix);
    let second = |suffix: &str| with_suffix(&before, suffix);
    for (done, suffix) in names.iter().enumerate() {
        if let Err(error) = fs::hard_link(there(suffix), second(suffix)) {
            for suffix in &names[..done] {
                remove(&second(suffix));
            }
            return Err(error);
        }
        step();
    }
    sync_folder(target)?;
    let mut placed = 0;
    let mut place = || {
        for suffix in &names {
            fs::remove_file(there(suffix))?;
            step();
        }
        sync_folder(target)?;
        for (suffix, companion) in &mut *companions {
            companion.link(&there(suffix))?;
            placed += 1;
            step();
        }
        sync_folder(target)?;
        main.link(target)?;
        step();
        sync_folder(target)
    };
    if let Err(error) = place() {
        for (suffix, companion) in &mut companions[..placed] {
            companion.unlink(&there(suffix))?;
        }
        let is_taken = |suffix: &&str| is_another(&there(suffix), &second(suffix));
        let undone =
            match is_taken(&"") || names.iter().any(is_taken) {
                true => Err(io::ErrorKind::AlreadyExists.into()),
                // Companions first, as above. First names that were not removed still exist.
                false => names.iter().rev().try_for_each(|suffix| {
                    match there(suffix).symlink_metadata() {
                        Ok(_) => fs::remove_file(second(suffix)),
                        Err(_) => rename_new(&second(suffix), &there(suffix)),
                    }
                }),
            };
        if let Err(failed) = undone {
            let before = before.display();
            let text = format!("{error}, then {failed}: the old file is in {before}");
            return Err(io::Error::other(text));
        }
        return Err(error);
    }
    for suffix in names {
        remove(&second(suffix));
        step();
    }
    Ok(())
}

/// Whether there is a file at `target` other than the one with the second name `before`.
fn is_another(target: &Path, before: &Path) -> bool {
    let identity = |path: &Path| {
        let file = path.symlink_metadata().ok()?;
        Some((file.dev(), file.ino()))
    };
    let there = identity(target);
    there.is_some() && there != identity(before)
}

/// Puts a folder in place if nothing or an empty folder is there.
pub(super) fn put_folder(target: &Path, from: &TemporaryFolder) -> io::Result<()> {
    sync_file_system(&from.0)?;
    // Replaces only an empty folder.
    match target.symlink_metadata() {
        Ok(_) => fs::rename(&from.0, target),
        Err(_) => rename_new(&from.0, target),
    }
}

/// Gives a file and its companions new names beside `target`; returns the name of the file.
pub(super) fn keep(
    target: &Path,
    main: &mut Temporary,
    companions: &mut Companions,
) -> io::Result<PathBuf> {
    beside(target, |path| {
        let mut placed = 0;
        let mut place = || {
            for (suffix, companion) in &mut *companions {
                companion.link(&with_suffix(path, suffix))?;
                placed += 1;
            }
            main.link(path)
        };
        place().or_else(|error| {
            for (suffix, companion) in &mut companions[..placed] {
                companion.unlink(&with_suffix(path, suffix))?;
            }
            Err(error)
        })
    })
}

/// Gives a folder a new name beside `target`.
pub(super) fn keep_folder(target: &Path, from: &TemporaryFolder) -> io::Result<PathBuf> {
    beside(target, |path| rename_new(&from.0, path))
}

/// Lets `name` try names beside `target` until one is free.
fn beside(target: &Path, mut name: impl FnMut(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = match number {
            1 => with_suffix(target, BESIDE),
            number => with_suffix(target, &format!("{BESIDE}-{number}")),
        };
        match name(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_database(path: &Path) -> bool {
    let mut start = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"SQLite format 3\0"
}

/// Makes the names in the folder of `target` durable.
fn sync_folder(target: &Path) -> io::Result<()> {
    File::open(folder(target))?.sync_all()
}

fn sync_file_system(path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let folder = File::open(path)?;
    // SAFETY: no structure is passed.
    if unsafe { libc::syncfs(folder.as_raw_fd()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
