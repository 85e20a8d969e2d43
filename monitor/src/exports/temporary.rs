//! Temporary files and folders. Each lies in its final folder, so that a rename or a link suffices,
//! and is removed if dropped before it got a name.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A file without a permanent name.
pub(super) struct Temporary {
    pub file: File,
    /// The file's name, if it already has one (without `O_TMPFILE`).
    name: Option<PathBuf>,
}

impl Temporary {
    /// Makes a new file in the folder of `target`.
    pub(super) fn beside(target: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let unnamed = options
            .clone()
            .custom_flags(libc::O_TMPFILE)
            .open(folder(target));
        match unnamed {
            Ok(file) => Ok(Self { file, name: None }),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
                ) =>
            {
                let name = hidden_name(target);
                Ok(Self {
                    file: options.create_new(true).open(&name)?,
                    name: Some(name),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the file the name `path`, which must be free.
    ///
    /// # Errors
    ///
    /// `EEXIST` when `path` exists.
    pub(super) fn link(&mut self, path: &Path) -> io::Result<()> {
        rename_new(&self.named(path)?, path)
    }

    /// Removes the name that [`Temporary::link`] gave.
    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        rename_new(path, &self.named(path)?)
    }

    /// Gives the file the name `path`, and replaces an existing file in one step.
    pub(super) fn replace(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(self.named(path)?, path)
    }

    /// Returns the file's temporary name. It is given here, because an
    /// unnamed file can be linked only once.
    fn named(&mut self, target: &Path) -> io::Result<PathBuf> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let name = hidden_name(target);
        let from = CString::new(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?;
        let to = c_path(&name)?;
        // SAFETY: both are NUL-terminated paths.
        check(unsafe {
            libc::linkat(
                libc::AT_FDCWD,
                from.as_ptr(),
                libc::AT_FDCWD,
                to.as_ptr(),
                libc::AT_SYMLINK_FOLLOW,
            )
        })?;
        self.name = Some(name.clone());
        Ok(name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            remove(name);
        }
    }
}

/// A folder with a temporary name, removed with its contents when dropped.
pub(super) struct TemporaryFolder(pub PathBuf);

impl TemporaryFolder {
    /// Makes a new folder in the folder of `target`.
    pub(super) fn beside(target: &Path) -> io::Result<Self> {
        let path = hidden_name(target);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // It no longer exists if it got its final name.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Best effort: the name no longer exists if the file was put in place.
pub(super) fn remove(name: &Path) {
    let _ = fs::remove_file(name);
}

/// Renames `from` to `to`, which must be free.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both are NUL-terminated paths.
    let result = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    check(result)
}

/// Returns the folder of `target`.
pub(super) fn folder(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Appends `suffix` to the name of `target`.
pub(crate) fn with_suffix(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    target.with_file_name(name)
}

/// Returns a name in the folder of `target` that no other file of ours has.
fn hidden_name(target: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let number = NUMBER.fetch_add(1, Relaxed);
    name.push(format!(".bespoke-{}-{number}", std::process::id()));
    target.with_file_name(name)
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
