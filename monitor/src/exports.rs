//! Files the guest writes out at exit. Owns one open temporary file per export.
//!
//! Rules: 1. every file is opened before the guest starts, so that a missing folder or permission
//! ends the run before it begins; 2. the host's old file is replaced by rename, whole, or not at
//! all; 3. a file is whole when the guest said so in its statistics page, which both monitors see.

use crate::MonitorError;
use crate::config::ExportFile;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bits in the word by which the guest says which are whole.
const MAX_EXPORTS: usize = u64::BITS as usize;

/// What became of one export.
#[derive(Debug)]
pub struct ExportResult {
    /// The guest's path.
    pub guest: String,
    /// The host's path.
    pub host: PathBuf,
    /// How it ended.
    pub state: ExportState,
}

/// How an export ended.
#[derive(Debug)]
pub enum ExportState {
    /// The host file now has the guest's contents.
    Written {
        /// Its length.
        bytes: u64,
    },
    /// The guest never wrote it (it has no such file): the host's old file stands.
    NotWritten,
    /// The guest ended in the middle of it: the host's old file stands.
    Unfinished,
    /// It could not be put in place: the host's old file stands.
    Failed(io::Error),
}

struct Export {
    guest: String,
    /// Symbolic links resolved, so that they stay links.
    target: PathBuf,
    file: File,
    /// Where the file has a name already (no `O_TMPFILE` here).
    name: Option<PathBuf>,
}

/// All exports of a run.
pub(crate) struct Exports(Vec<Export>);

impl Exports {
    /// Opens a temporary file next to each target.
    pub(crate) fn open(files: &[ExportFile]) -> Result<Self, MonitorError> {
        if let Some(extra) = files.get(MAX_EXPORTS) {
            let (name, reason) = (
                extra.guest.clone(),
                "is one export too many: at most 64 fit",
            );
            return Err(MonitorError::BadName {
                what: "guest path",
                name,
                reason,
            });
        }
        files
            .iter()
            .enumerate()
            .map(|(number, file)| Export::open(number, file))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Descriptors in the order of the exports.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        self.0.iter().map(|export| export.file.as_raw_fd())
    }

    /// The file of export `number`.
    pub(crate) fn file(&self, number: usize) -> Option<&File> {
        self.0.get(number).map(|export| &export.file)
    }

    /// Puts the files in place whose bit is set in `whole`.
    pub(crate) fn finish(self, whole: u64) -> Vec<ExportResult> {
        let results = self.0.into_iter().enumerate().map(|(number, export)| {
            let state = export.finish(number, whole & 1 << number != 0);
            export.discard();
            ExportResult {
                guest: export.guest,
                host: export.target,
                state,
            }
        });
        results.collect()
    }
}

impl Export {
    fn open(number: usize, export: &ExportFile) -> Result<Self, MonitorError> {
        let failed = |source| MonitorError::File {
            purpose: "write the file for --out",
            path: export.host.clone(),
            source,
        };
        if export.guest.is_empty() || export.guest.contains('\0') {
            let name = export.guest.clone();
            return Err(MonitorError::BadName {
                what: "guest path",
                name,
                reason: "names no file",
            });
        }
        let (target, mode) = match std::fs::canonicalize(&export.host) {
            Ok(target) => {
                let metadata = target.metadata().map_err(failed)?;
                if !metadata.is_file() {
                    return Err(failed(io::Error::other(
                        "it exists and is not a regular file",
                    )));
                }
                (target, Some(metadata.mode() & 0o7777))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (export.host.clone(), None),
            Err(error) => return Err(failed(error)),
        };
        if target.file_name().is_none() {
            return Err(failed(io::Error::other("it names no file")));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let unnamed = options
            .clone()
            .custom_flags(libc::O_TMPFILE)
            .open(folder(&target));
        let (file, name) = match unnamed {
            Ok(file) => (file, None),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
                ) =>
            {
                let name = temporary_name(&target, number);
                (
                    options.create_new(true).open(&name).map_err(failed)?,
                    Some(name),
                )
            }
            Err(error) => return Err(failed(error)),
        };
        if let Some(mode) = mode {
            file.set_permissions(PermissionsExt::from_mode(mode))
                .map_err(failed)?;
        }
        Ok(Self {
            guest: export.guest.clone(),
            target,
            file,
            name,
        })
    }

    fn finish(&self, number: usize, whole: bool) -> ExportState {
        match self.file.metadata().map(|metadata| metadata.len()) {
            Ok(bytes) if whole => match self.publish(number) {
                Ok(()) => ExportState::Written { bytes },
                Err(error) => ExportState::Failed(error),
            },
            Ok(0) => ExportState::NotWritten,
            Ok(_) => ExportState::Unfinished,
            Err(error) => ExportState::Failed(error),
        }
    }

    fn publish(&self, number: usize) -> io::Result<()> {
        self.file.sync_data()?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let name = temporary_name(&self.target, number);
                link(&self.file, &name)?;
                name
            }
        };
        std::fs::rename(&name, &self.target).inspect_err(|_| remove(&name))
    }

    fn discard(&self) {
        if let Some(name) = &self.name {
            remove(name);
        }
    }
}

/// Best effort: the name is gone already where the file was put in place.
fn remove(name: &Path) {
    let _ = std::fs::remove_file(name);
}

fn folder(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary_name(target: &Path, number: usize) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".bespoke-{}-{number}", std::process::id()));
    folder(target).join(name)
}

fn link(file: &File, name: &Path) -> io::Result<()> {
    let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let to = CString::new(name.as_os_str().as_bytes())?;
    // SAFETY: both are NUL-terminated paths.
    let result = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn scratch(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("bespoke-exports-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("scratch folder");
        folder
    }

    fn exports(folder: &Path, names: &[&str]) -> Exports {
        let files: Vec<_> = names
            .iter()
            .map(|name| ExportFile {
                guest: format!("/{name}"),
                host: folder.join(name),
            })
            .collect();
        Exports::open(&files).expect("opens")
    }

    #[test]
    fn a_crash_keeps_the_old_file_and_leaves_nothing_behind() {
        let folder = scratch("crash");
        for name in ["a", "b"] {
            std::fs::write(folder.join(name), "old").expect("old file");
        }
        let exports = exports(&folder, &["a", "b", "c"]);
        exports
            .file(0)
            .expect("a")
            .write_all(b"new a")
            .expect("write");
        exports
            .file(1)
            .expect("b")
            .write_all(b"half")
            .expect("write");
        let results = exports.finish(0b001);
        assert!(matches!(
            results[0].state,
            ExportState::Written { bytes: 5 }
        ));
        assert!(matches!(results[1].state, ExportState::Unfinished));
        assert!(matches!(results[2].state, ExportState::NotWritten));
        assert_eq!(std::fs::read(folder.join("a")).expect("a"), b"new a");
        assert_eq!(std::fs::read(folder.join("b")).expect("b"), b"old");
        assert_eq!(std::fs::read_dir(&folder).expect("list").count(), 2);
        std::fs::remove_dir_all(folder).expect("clean");
    }

    #[test]
    fn an_empty_file_is_not_a_missing_one() {
        let folder = scratch("empty");
        let exports = exports(&folder, &["a"]);
        assert!(matches!(
            exports.finish(1)[0].state,
            ExportState::Written { bytes: 0 }
        ));
        assert_eq!(std::fs::read(folder.join("a")).expect("a"), b"");
        std::fs::remove_dir_all(folder).expect("clean");
    }

    #[test]
    fn a_missing_folder_or_a_folder_as_target_is_an_early_error() {
        for host in ["/nonexistent/x", "/tmp"] {
            let file = ExportFile {
                guest: "/x".into(),
                host: host.into(),
            };
            let error = Exports::open(&[file])
                .err()
                .expect("cannot work")
                .to_string();
            assert!(error.contains(host), "{error}");
        }
    }
}
