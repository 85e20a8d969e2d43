//! Detects a full disk by writing to it, because only this test respects quotas and reserves, too.

use std::fs;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::path::Path;

/// Less space than this counts as full: every step of a build writes more.
const BYTES: usize = 64 << 10;

/// Whether a little more can be written in `folder`.
/// A folder that is not writable for another reason counts as having room; the code
/// that writes there reports the error.
pub fn has_room(folder: &Path) -> bool {
    let probe = folder.join(format!(".room-{}", std::process::id()));
    let written = fs::write(&probe, [0; BYTES]);
    // The file may not exist.
    let _ = fs::remove_file(probe);
    !written.is_err_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}
