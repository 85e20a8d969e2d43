//! Opens files that must be regular ones.
//! Opening a FIFO waits for its other end, reading a device may never end, and a file that was
//! checked before it is opened may have been replaced.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens the regular file at `path` for reading.
///
/// # Errors
///
/// Errors of opening it; or, without waiting, that it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open_regular_with(path, OpenOptions::new().read(true))
}

/// Like [`open_regular`], with these options.
///
/// # Errors
///
/// As for [`open_regular`].
pub fn open_regular_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // O_NONBLOCK has no effect on a regular file; a terminal must not
    // become our controlling terminal.
    let options = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            // A socket, or a FIFO for writing that has no reader.
            Some(libc::ENXIO) => path
                .metadata()
                .map_or(error, |metadata| irregular(metadata.file_type())),
            _ => error,
        })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else {
        Err(irregular(kind))
    }
}

/// Reads all bytes of the regular file at `path`.
///
/// # Errors
///
/// Errors of [`open_regular`] and of reading.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the error that names the type of a file that is not regular.
pub(crate) fn irregular(kind: FileType) -> io::Error {
    let what = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO (named pipe)"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    io::Error::other(format!("it is {what}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = std::env::temp_dir().join(format!("bespoke-regular-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let fifo = folder.join("fifo");
        let name = CString::new(fifo.as_os_str().as_bytes()).expect("a plain name");
        // SAFETY: a path.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let socket = folder.join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let cases = [
            (fifo.as_path(), "a FIFO"),
            (&socket, "a socket"),
            (Path::new("/dev/null"), "a device"),
            (&folder, "a folder"),
        ];
        for (path, what) in cases {
            let error = open_regular(path).expect_err(what).to_string();
            assert!(error.contains(what), "{error}");
        }
        for path in [&fifo, &socket] {
            let error = open_regular_with(path, OpenOptions::new().write(true));
            let error = error.expect_err("no file").to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
        let file = folder.join("file");
        std::fs::write(&file, "contents").expect("a file");
        assert_eq!(read_regular(&file).expect("a file"), b"contents");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
