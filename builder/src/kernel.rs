//! The kernel's headers (`linux/`, `asm/` and the like) as the machine's package has them, for C code of images.
//!
//! They come behind the C library's own in every search, so that they shadow nothing. `linux/libc-compat.h` keeps the
//! kernel's definitions apart from the C library's where both have one (`struct ifreq`, `struct in6_addr`), and knows
//! glibc alone; a header of ours in front of it makes it look at the same guards of musl's headers. Must never offer another
//! header of the machine's C library.

use super::key::Key;
use super::work::Work;
use super::{tool, tree};
use crate::Error;
use bespoke_recipe::paths;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of headers that are the kernel's alone.
const FOLDERS: [&str; 10] = [
    "linux",
    "asm",
    "asm-generic",
    "drm",
    "misc",
    "mtd",
    "rdma",
    "sound",
    "video",
    "xen",
];

const COMPAT: &str = "\
/* Makes the kernel's own file look at the C library's include guards, which are named alike. */
#ifdef __GLIBC__
#include_next <linux/libc-compat.h>
#else
#define __GLIBC__ 2
#define __USE_MISC 1
#include_next <linux/libc-compat.h>
#undef __GLIBC__
#undef __USE_MISC
#endif
";

/// See the module.
pub(crate) struct Kernel {
    /// Stands for the headers.
    pub key: String,
    /// `compat` and `host`, in the order in which they are searched; `None`: the machine has none.
    pub folder: Option<PathBuf>,
}

/// The kernel's headers, if the machine has them.
pub(crate) fn headers(cache: &Path, work: &Work) -> Result<Kernel, Error> {
    let output = tool::run(
        "ask the compiler for its system",
        Command::new(super::cc::COMPILER).arg("-print-multiarch"),
    )?;
    let system = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let include = Path::new("/usr/include");
    let find = |name: &str| {
        let places = [include.join(&system).join(name), include.join(name)];
        places.into_iter().find(|folder| folder.is_dir())
    };
    let found = FOLDERS
        .into_iter()
        .filter_map(|name| Some((name, find(name)?)));
    let found: Vec<(&str, PathBuf)> = found.collect();
    let Ok(version) = fs::read(include.join("linux/version.h")) else {
        return Ok(Kernel {
            key: "none".into(),
            folder: None,
        });
    };
    let mut key = Key::new("kernel headers").text(COMPAT).bytes(&version);
    for (name, place) in &found {
        key = key.text(name).text(&place.to_string_lossy());
    }
    let key = key.finish();
    let folder = cache.join("kernel-headers").join(&key);
    let make = || {
        let part = folder.with_extension("part");
        tree::remove(&part)?;
        let (host, compat) = (part.join("host"), part.join("compat/linux"));
        paths::create(&host)?;
        paths::create(&compat)?;
        for (name, place) in &found {
            let link = host.join(name);
            symlink(place, &link).map_err(Error::file("create", &link))?;
        }
        let file = compat.join("libc-compat.h");
        fs::write(&file, COMPAT).map_err(Error::file("write", &file))?;
        fs::rename(&part, &folder).map_err(Error::file("create", &folder))
    };
    let lock = format!("kernel-headers-{key}");
    work.provide(&lock, "the kernel's headers", || folder.exists(), make)?;
    Ok(Kernel {
        key,
        folder: Some(folder),
    })
}

impl Kernel {
    /// The options by which the compiler finds them.
    pub(crate) fn flags(&self) -> Vec<String> {
        let folders = self.folder.iter().flat_map(|folder| {
            ["compat", "host"].map(|name| folder.join(name).to_string_lossy().into_owned())
        });
        folders
            .flat_map(|folder| ["-idirafter".to_string(), folder])
            .collect()
    }
}
