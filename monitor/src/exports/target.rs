//! The target of an export on the host: checked before the guest starts, written after its end.

use super::list::Companions;
use super::mark::{self, Marks};
use super::temporary::{Temporary, TemporaryFolder, folder, with_suffix};
use super::{ExportState, Obstacle, failed, place};
use crate::MonitorError;
use bespoke_abi::export::COMPANIONS;
use std::fs::Metadata;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A target on the host.
pub(super) struct Target {
    /// The path with symbolic links resolved, so that they stay links.
    pub path: PathBuf,
    /// The existing file.
    replaced: Option<Metadata>,
    before: Marks,
}

impl Target {
    /// Examines `host`.
    pub(super) fn open(host: &Path) -> Result<Self, MonitorError> {
        let failed = |source| failed(host, source);
        let refused = |reason: &str| failed(io::Error::other(reason));
        let (path, replaced) = match std::fs::canonicalize(host) {
            Ok(target) => {
                let metadata = target.metadata().map_err(failed)?;
                if metadata.is_dir() {
                    if target.read_dir().map_err(failed)?.next().is_some() {
                        return Err(refused(
                            "it is a folder that is not empty; name an empty folder, or one that does not exist",
                        ));
                    }
                } else if !metadata.is_file() {
                    return Err(refused("it is neither a regular file nor a folder"));
                }
                (target, Some(metadata))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = host.file_name();
                let name = name.ok_or_else(|| refused("it does not name a file"))?;
                let folder = folder(host).canonicalize().map_err(failed)?;
                (folder.join(name), None)
            }
            Err(error) => return Err(failed(error)),
        };
        if path.file_name().is_none() {
            return Err(refused("it does not name a file"));
        }
        let before = with_suffix(&path, place::BEFORE);
        if before.symlink_metadata().is_ok() {
            return Err(failed(io::Error::other(format!(
                "an earlier run was killed while it replaced the file; the old file is in {}: move it back or remove it first",
                before.display()
            ))));
        }
        Ok(Self {
            before: Marks::settle(&path).map_err(failed)?,
            path,
            replaced,
        })
    }

    /// Whether it has changed.
    pub(super) fn has_changed(&self) -> io::Result<bool> {
        Ok(Marks::look(&self.path)? != self.before)
    }

    /// Puts a folder there, or beside it.
    pub(super) fn put_folder(&self, from: &TemporaryFolder) -> ExportState {
        let put = match self.obstacle() {
            Some(obstacle) => Err(obstacle),
            None => place::put_folder(&self.path, from).map_err(Obstacle::System),
        };
        conclude(put, || place::keep_folder(&self.path, from))
    }

    /// Puts a file with its companions there, or beside it.
    pub(super) fn put_file(
        &self,
        main: &mut Temporary,
        companions: &mut Companions,
    ) -> ExportState {
        let put = match self.obstacle() {
            Some(obstacle) => Err(obstacle),
            None => self
                .adopt(main, companions)
                .and_then(|()| place::put(&self.path, main, companions))
                .map_err(Obstacle::System),
        };
        conclude(put, || place::keep(&self.path, main, companions))
    }

    /// Returns why the existing file cannot be replaced.
    fn obstacle(&self) -> Option<Obstacle> {
        let look = || -> io::Result<Option<Obstacle>> {
            if self.has_changed()? {
                return Ok(Some(Obstacle::Changed));
            }
            let is_file = self.replaced.as_ref().is_some_and(Metadata::is_file);
            Ok((is_file && mark::is_locked(&self.path)?).then_some(Obstacle::Locked))
        };
        look().unwrap_or_else(|error| Some(Obstacle::System(error)))
    }

    /// Gives the new files the permissions and the owner of the old one.
    /// Set-user-ID and set-group-ID bits are excluded, because the image could choose the program.
    fn adopt(&self, main: &Temporary, companions: &Companions) -> io::Result<()> {
        let Some(old) = self.replaced.as_ref().filter(|old| old.is_file()) else {
            return Ok(());
        };
        for file in [main].into_iter().chain(companions.iter().map(|(_, c)| c)) {
            // SAFETY: no structure is passed. Whoever may not give files away makes them his own, as any editor does.
            unsafe { libc::fchown(file.file.as_raw_fd(), old.uid(), old.gid()) };
            let mode = old.mode() & 0o777;
            file.file.set_permissions(PermissionsExt::from_mode(mode))?;
        }
        Ok(())
    }
}

/// Returns the final state; if the file was not put in place, by calling `keep`.
fn conclude(put: Result<(), Obstacle>, keep: impl FnOnce() -> io::Result<PathBuf>) -> ExportState {
    match put {
        Ok(()) => ExportState::Written,
        Err(why) => ExportState::Kept {
            why,
            beside: keep(),
        },
    }
}

/// Explains why two targets cannot both be written, in words about the second.
pub(super) fn clash(first: &Path, second: &Path) -> Option<&'static str> {
    let belongs = |file: &Path, to: &Path| {
        let mut suffixes = COMPANIONS.into_iter().chain(["-shm"]);
        suffixes.any(|suffix| with_suffix(to, suffix) == *file)
    };
    if first == second {
        Some("two --out cannot write to one file")
    } else if belongs(second, first) || belongs(first, second) {
        Some("a -journal, -wal or -shm comes with the --out of its database")
    } else if first.starts_with(second) || second.starts_with(first) {
        Some("one --out cannot write into the folder of another")
    } else {
        None
    }
}
