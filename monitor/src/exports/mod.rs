//! Files and folders that the guest writes out at exit: `--out`.
//!
//! Rules:
//! 1. Obstacles to writing a file are checked before the guest starts.
//! 2. The host's files change only after exit code 0, unless the caller asks for more.
//! 3. The host's old file, with its companions, is replaced completely or not at all (`place`).
//! 4. If a file has changed on the host meanwhile, both it and the image's version are kept.
//! 5. A file is complete when the guest has said so in its statistics page. All other data of
//!    the guest is untrusted (`list`).

mod companion;
mod list;
mod mark;
mod pipes;
mod place;
mod target;
mod temporary;

pub(crate) use companion::{Companion, SuperJournal};
pub(crate) use temporary::with_suffix;

use crate::MonitorError;
use crate::config::ExportFile;
use bespoke_abi::export::MAX_EXPORTS;
use list::{Companions, Refused, Unpacked};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use target::Target;
use temporary::Temporary;

/// The result of one export.
#[derive(Debug)]
pub struct ExportResult {
    /// The guest's path.
    pub guest: String,
    /// The host's path, as given.
    pub host: PathBuf,
    /// Its final state.
    pub state: ExportState,
}

/// The final state of an export. Unless stated otherwise, the host is unchanged.
#[derive(Debug)]
pub enum ExportState {
    /// The host now has the guest's file or folder.
    Written,
    /// The image failed, and files were requested only after exit code 0.
    Withheld,
    /// The guest has no such file or folder.
    NotWritten,
    /// The guest ended while it was writing it.
    Unfinished,
    /// The guest wrote more than the limit of all exports.
    OverLimit {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// It could not be read from the guest.
    Failed(io::Error),
    /// It could not be put in place and was put beside the host's file.
    Kept {
        /// Why.
        why: Obstacle,
        /// Its path, or an error if that failed too and it is lost.
        beside: io::Result<PathBuf>,
    },
}

/// Why an export could not be put in place.
#[derive(Debug)]
pub enum Obstacle {
    /// The host's file, or one of its companions, has changed since the start of the run.
    Changed,
    /// Another process has the host's file locked.
    Locked,
    /// The system's error.
    System(io::Error),
}

struct Export {
    guest: String,
    host: PathBuf,
    target: Target,
    /// Receives the guest's writes.
    spool: Temporary,
    /// Why no more data was accepted from the guest.
    ended: RefCell<Option<Refused>>,
    /// The pipe through which a process writes. With direct access to the file
    /// it could fill the host's disk.
    reader: RefCell<Option<File>>,
    writer: RefCell<Option<OwnedFd>>,
}

/// All exports of a run.
pub(crate) struct Exports {
    list: Vec<Export>,
    always: bool,
    limit_bytes: u64,
    left_bytes: Cell<u64>,
}

impl Exports {
    /// Opens a temporary file next to each target. `always`: export after a failure, too.
    /// `limit_bytes` is the limit for all together.
    pub(crate) fn open(
        files: &[ExportFile],
        always: bool,
        limit_bytes: u64,
    ) -> Result<Self, MonitorError> {
        if let Some(extra) = files.get(MAX_EXPORTS) {
            let (name, reason) = (extra.guest.clone(), "exceeds the limit of 32 --out");
            return Err(MonitorError::BadName {
                what: "guest path",
                name,
                reason,
            });
        }
        let list: Vec<Export> = files.iter().map(Export::open).collect::<Result<_, _>>()?;
        for (index, export) in list.iter().enumerate() {
            for other in &list[..index] {
                if let Some(reason) = target::clash(&other.target.path, &export.target.path) {
                    return Err(failed(&export.host, io::Error::other(reason)));
                }
            }
        }
        Ok(Self {
            list,
            always,
            limit_bytes,
            left_bytes: Cell::new(limit_bytes),
        })
    }

    /// Checks that files that were read since [`Exports::open`] have not changed meanwhile.
    pub(crate) fn check_unchanged(&self) -> Result<(), MonitorError> {
        for export in &self.list {
            let changed = export.target.has_changed();
            if changed.map_err(|source| failed(&export.host, source))? {
                let reason = "another process is changing it; run again when that process is done";
                return Err(failed(&export.host, io::Error::other(reason)));
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether files are exported from a guest that failed.
    pub(crate) fn survive_failure(&self) -> bool {
        self.always && !self.list.is_empty()
    }

    /// Returns the file of export `number`, if it may take `bytes` more from the guest.
    pub(crate) fn admit(&self, number: u64, bytes: u64) -> Result<i32, i32> {
        let export = usize::try_from(number).ok().and_then(|n| self.list.get(n));
        let export = export.ok_or(libc::EBADF)?;
        let Some(left) = self.left_bytes.get().checked_sub(bytes) else {
            export.end(Refused::OverLimit);
            return Err(libc::EFBIG);
        };
        self.left_bytes.set(left);
        Ok(export.spool.file.as_raw_fd())
    }

    /// Records that the host refused to write to export `number`.
    pub(crate) fn refused(&self, number: u64, errno: i32) {
        if let Some(export) = self.list.get(number as usize) {
            export.end(Refused::Failed(io::Error::from_raw_os_error(errno)));
        }
    }

    /// Puts the complete files in place, given by the bits in `exported`.
    pub(crate) fn finish(self, exported: u64, has_succeeded: bool) -> Vec<ExportResult> {
        let limit_bytes = self.limit_bytes;
        let bit = |number: usize| exported & 1 << number != 0;
        let finish = |(number, export): (usize, Export)| {
            let state = if !has_succeeded && !self.always {
                ExportState::Withheld
            } else {
                match export.ended.take() {
                    Some(Refused::OverLimit) => ExportState::OverLimit { limit_bytes },
                    Some(Refused::Failed(error)) => ExportState::Failed(error),
                    None if bit(number) => {
                        return export.put(bit(number + MAX_EXPORTS), limit_bytes);
                    }
                    None => export.unfinished(),
                }
            };
            export.result(state)
        };
        self.list.into_iter().enumerate().map(finish).collect()
    }
}

fn failed(host: &Path, source: io::Error) -> MonitorError {
    MonitorError::File {
        purpose: "write the file for --out",
        path: host.into(),
        source,
    }
}

impl Export {
    fn open(export: &ExportFile) -> Result<Self, MonitorError> {
        let failed = |source| failed(&export.host, source);
        if export.guest.is_empty() || export.guest.contains('\0') {
            let name = export.guest.clone();
            return Err(MonitorError::BadName {
                what: "guest path",
                name,
                reason: "does not name a file",
            });
        }
        let target = Target::open(&export.host)?;
        Ok(Self {
            guest: export.guest.clone(),
            host: export.host.clone(),
            spool: Temporary::beside(&target.path).map_err(failed)?,
            target,
            ended: RefCell::new(None),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
        })
    }

    /// Accepts no more data; the first reason is kept.
    fn end(&self, reason: Refused) {
        self.ended.borrow_mut().get_or_insert(reason);
    }

    fn result(self, state: ExportState) -> ExportResult {
        ExportResult {
            guest: self.guest,
            host: self.host,
            state,
        }
    }

    fn unfinished(&self) -> ExportState {
        match self.spool.file.metadata() {
            Ok(metadata) if metadata.len() == 0 => ExportState::NotWritten,
            Ok(_) => ExportState::Unfinished,
            Err(error) => ExportState::Failed(error),
        }
    }

    /// Puts it in place, or beside the existing file.
    fn put(self, is_list: bool, limit_bytes: u64) -> ExportResult {
        let Self {
            guest,
            host,
            target,
            mut spool,
            ..
        } = self;
        let state = match is_list {
            false => target.put_file(&mut spool, &mut Companions::new()),
            true => match list::unpack(&spool.file, &target.path, limit_bytes) {
                Err(Refused::OverLimit) => ExportState::OverLimit { limit_bytes },
                Err(Refused::Failed(error)) => ExportState::Failed(error),
                Ok(Unpacked::Folder(from)) => target.put_folder(&from),
                Ok(Unpacked::File(mut main, mut companions)) => {
                    target.put_file(&mut main, &mut companions)
                }
            },
        };
        ExportResult { guest, host, state }
    }
}

#[cfg(test)]
mod tests;
