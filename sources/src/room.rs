//! Whether a disk is full, found by writing to it: the one test that also knows quotas and reserves.

use std::fs;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::path::Path;

/// Less than this is no room: every step of a build writes more.
const BYTES: usize = 64 << 10;

/// Whether a little more can be written in `folder`. A folder where nothing can be written for another reason counts as one
/// with room: whoever writes there says what is wrong.
pub fn has_room(folder: &Path) -> bool {
    let probe = folder.join(format!(".room-{}", std::process::id()));
    let written = fs::write(&probe, [0; BYTES]);
    // It may not be there.
    let _ = fs::remove_file(probe);
    !written.is_err_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}
