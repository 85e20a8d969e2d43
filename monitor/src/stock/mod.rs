//! What stock monitors have in common: how an image is told what it is to do, and how it is read when it has ended.

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

/// A file that is nowhere but in memory, with these bytes.
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

/// The files given to the image, as a file; `None` when there are none.
pub(crate) fn archive_file(bytes: &[u8]) -> Result<Option<OwnedFd>, MonitorError> {
    match bytes {
        [] => Ok(None),
        bytes => memory_file(c"bespoke-archive", bytes).map(Some),
    }
}

/// A pipe: where it is read, where it is written.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), MonitorError> {
    let (read, write) = io::pipe().map_err(|source| MonitorError::Host {
        step: "create a pipe",
        source,
    })?;
    Ok((read.into(), write.into()))
}

/// Our end of a pipe never blocks.
pub(crate) fn set_nonblocking(end: &OwnedFd) -> Result<(), MonitorError> {
    // SAFETY: a flag of the end of the pipe that is ours.
    match unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } {
        0 => Ok(()),
        _ => Err(MonitorError::host("set up a pipe")),
    }
}

/// `word` as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=,:+@%".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
