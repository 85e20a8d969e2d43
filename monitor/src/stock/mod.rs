//! Shared code for stock monitors: passes an image its input, and reads its outcome.

mod ending;
pub(crate) mod relay;
pub(crate) mod words;

pub(crate) use ending::{Ending, ending};
pub(crate) use relay::Relay;
pub use words::encode;

use crate::MonitorError;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Makes a file in memory with these bytes.
pub(crate) fn memory_file(name: &CStr, bytes: &[u8]) -> Result<OwnedFd, MonitorError> {
    // SAFETY: a name with its NUL; the descriptor is owned from here on.
    let mut file = unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(MonitorError::host("make a file in memory"));
        }
        File::from_raw_fd(fd)
    };
    file.write_all(bytes).map_err(|source| MonitorError::Host {
        step: "keep files in memory",
        source,
    })?;
    Ok(file.into())
}

/// Returns the image's files as a file; `None` when there are none.
pub(crate) fn archive_file(bytes: &[u8]) -> Result<Option<OwnedFd>, MonitorError> {
    match bytes {
        [] => Ok(None),
        bytes => memory_file(c"bespoke-archive", bytes).map(Some),
    }
}

/// Makes a pipe: read end, write end.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), MonitorError> {
    let (read, write) = io::pipe().map_err(|source| MonitorError::Host {
        step: "create a pipe",
        source,
    })?;
    Ok((read.into(), write.into()))
}

/// Makes our end of a pipe nonblocking.
pub(crate) fn set_nonblocking(end: &OwnedFd) -> Result<(), MonitorError> {
    // SAFETY: a flag of the end of the pipe that is ours.
    match unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } {
        0 => Ok(()),
        _ => Err(MonitorError::host("set up a pipe")),
    }
}

/// Quotes `word` for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=,:+@%".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
