//! The pieces of the cache that can be removed one by one, each with the locks of those who make or use it.

use super::images::{folders, unix_s};
use crate::work;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An image with its debug file and map.
    Image,
    /// A source tree that was prepared or built.
    Tree,
    /// An object of an app.
    Object,
    /// A C library or a toolchain.
    Libc,
    /// Heaps and library OS of a kind of image, as cargo made them.
    Composition,
    /// A program of this machine, to compare with.
    Native,
    /// What failed tools wrote.
    Log,
    /// What cargo made of everything else; it takes a minute to make again.
    Target,
}

/// A piece of the cache.
#[derive(Serialize, Debug)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// A name for people.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last made or used, in seconds since 1970.
    pub used_unix_s: u64,
    /// Files and folders it consists of.
    pub paths: Vec<PathBuf>,
    /// Names of the locks of those who make or use it.
    #[serde(skip)]
    pub locks: Vec<String>,
}

/// All pieces of the cache at `root`.
pub(super) fn all(root: &Path) -> Vec<Item> {
    let mut scan = Scan {
        root,
        seen: BTreeSet::new(),
        items: Vec::new(),
    };
    for app in folders(&root.join("images")) {
        for slug in folders(&app) {
            let (app, slug_name) = (name(&app), name(&slug));
            let locks = vec![
                format!("image-{app}-{slug_name}"),
                work::use_name(&app, &slug_name),
            ];
            scan.add(Kind::Image, format!("{app} {slug_name}"), vec![slug], locks);
        }
    }
    for (folder, kind, lock) in [
        ("trees", Kind::Tree, "tree-"),
        ("libc", Kind::Libc, "libc-"),
        ("toolchains", Kind::Libc, "toolchain-"),
    ] {
        for path in folders(&root.join(folder)) {
            let name = name(&path);
            // What a killed build left has the lock of what it was to be.
            let stem = name.trim_end_matches(".part");
            scan.add(
                kind,
                format!("{folder}/{name}"),
                vec![path.clone()],
                vec![format!("{lock}{stem}")],
            );
        }
    }
    for path in files(&root.join("objects")) {
        scan.add(
            Kind::Object,
            format!("objects/{}", name(&path)),
            vec![path],
            Vec::new(),
        );
    }
    for path in files(&root.join("failed")) {
        scan.add(
            Kind::Log,
            format!("failed/{}", name(&path)),
            vec![path],
            Vec::new(),
        );
    }
    for path in files(&root.join("native")) {
        let name = name(&path);
        scan.add(
            Kind::Native,
            format!("native/{name}"),
            vec![path.clone()],
            vec![format!("native-{name}")],
        );
    }
    scan.compositions();
    for (folder, lock) in [
        ("guest-target", "guest-target"),
        ("guest-target-recording", "guest-target-recording"),
        ("host-target", "host-target"),
    ] {
        let path = root.join(folder);
        if path.is_dir() {
            scan.add(Kind::Target, folder.into(), vec![path], vec![lock.into()]);
        }
    }
    scan.items
}

struct Scan<'a> {
    root: &'a Path,
    /// Files that were counted: cargo gives one file several names.
    seen: BTreeSet<(u64, u64)>,
    items: Vec<Item>,
}

impl Scan<'_> {
    fn add(&mut self, kind: Kind, name: String, paths: Vec<PathBuf>, locks: Vec<String>) {
        let (mut bytes, mut used) = (0, SystemTime::UNIX_EPOCH);
        for path in &paths {
            self.count(path, &mut bytes);
            used = used.max(modified(path));
        }
        for lock in &locks {
            let path = self.root.join("locks").join(format!("{lock}.lock"));
            used = used.max(modified(&path));
        }
        self.items.push(Item {
            kind,
            name,
            bytes,
            used_unix_s: unix_s(used),
            paths,
            locks,
        });
    }

    /// Adds up the blocks of all files below `path` that were not counted before.
    fn count(&mut self, path: &Path, bytes: &mut u64) {
        let Ok(metadata) = path.symlink_metadata() else {
            return;
        };
        if self.seen.insert((metadata.dev(), metadata.ino())) {
            *bytes += metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.count(&entry.path(), bytes);
            }
        }
    }

    /// A composition is its folder and, in cargo's, the files that carry its name.
    fn compositions(&mut self) {
        let mut made: Vec<PathBuf> = Vec::new();
        for target in ["guest-target", "guest-target-recording"] {
            let release = self
                .root
                .join(target)
                .join("x86_64-unknown-linux-gnu/release");
            for folder in ["", "deps", ".fingerprint", "build"] {
                let entries = fs::read_dir(release.join(folder)).into_iter().flatten();
                made.extend(entries.flatten().map(|entry| entry.path()));
            }
        }
        for folder in folders(&self.root.join("compositions")) {
            let name = name(&folder);
            let of_it = made.iter().filter(|path| is_of(path, &name)).cloned();
            let paths = std::iter::once(folder.clone()).chain(of_it).collect();
            let locks = vec![
                name.clone(),
                "guest-target".into(),
                "guest-target-recording".into(),
            ];
            self.add(Kind::Composition, name, paths, locks);
        }
    }
}

/// Whether cargo made `path` for the package `package`: `libNAME.a`, `NAME-HASH.d` and the like.
fn is_of(path: &Path, package: &str) -> bool {
    let file = name(path).replace('-', "_");
    let package = package.replace('-', "_");
    let rest = file.strip_prefix("lib").unwrap_or(&file);
    let Some(rest) = rest.strip_prefix(&package) else {
        return false;
    };
    let end = rest.split('.').next().unwrap_or_default();
    let is_hash =
        |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    end.is_empty() || end.strip_prefix('_').is_some_and(is_hash)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_file()).collect()
}

fn modified(path: &Path) -> SystemTime {
    let time = path
        .symlink_metadata()
        .and_then(|metadata| metadata.modified());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::is_of;
    use std::path::Path;

    #[test]
    fn files_of_cargo_belong_to_the_composition_whose_name_they_carry() {
        let package = "composition-tlsf-region-65536";
        for (file, expected) in [
            ("libcomposition_tlsf_region_65536.a", true),
            ("composition_tlsf_region_65536-0123456789abcdef.d", true),
            ("composition-tlsf-region-65536-0123456789abcdef", true),
            ("libcomposition_tlsf_region_655360.a", false),
            ("libcomposition_tlsf_region_65536_more.a", false),
            ("libbespoke_libos-0123456789abcdef.rlib", false),
        ] {
            assert_eq!(is_of(Path::new(file), package), expected, "{file}");
        }
    }
}
