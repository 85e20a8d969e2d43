//! Why a call failed, as Linux numbers it. Owns nothing.

use linux_raw_sys::errno;

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u32);

/// What file calls answer.
pub type Result<T = usize> = core::result::Result<T, Errno>;

impl Errno {
    /// `EPERM`.
    pub const PERM: Self = Self(errno::EPERM);
    /// `ENOENT`.
    pub const NOENT: Self = Self(errno::ENOENT);
    /// `ENXIO`.
    pub const NXIO: Self = Self(errno::ENXIO);
    /// `EBADF`.
    pub const BADF: Self = Self(errno::EBADF);
    /// `ENOMEM`.
    pub const NOMEM: Self = Self(errno::ENOMEM);
    /// `EACCES`.
    pub const ACCES: Self = Self(errno::EACCES);
    /// `EFAULT`.
    pub const FAULT: Self = Self(errno::EFAULT);
    /// `EBUSY`.
    pub const BUSY: Self = Self(errno::EBUSY);
    /// `EEXIST`.
    pub const EXIST: Self = Self(errno::EEXIST);
    /// `ENODEV`.
    pub const NODEV: Self = Self(errno::ENODEV);
    /// `ENOTDIR`.
    pub const NOTDIR: Self = Self(errno::ENOTDIR);
    /// `EISDIR`.
    pub const ISDIR: Self = Self(errno::EISDIR);
    /// `EINVAL`.
    pub const INVAL: Self = Self(errno::EINVAL);
    /// `EMFILE`.
    pub const MFILE: Self = Self(errno::EMFILE);
    /// `ENOTTY`.
    pub const NOTTY: Self = Self(errno::ENOTTY);
    /// `EFBIG`.
    pub const FBIG: Self = Self(errno::EFBIG);
    /// `ENOSPC`.
    pub const NOSPC: Self = Self(errno::ENOSPC);
    /// `ESPIPE`.
    pub const SPIPE: Self = Self(errno::ESPIPE);
    /// `EDEADLK`.
    pub const DEADLK: Self = Self(errno::EDEADLK);
    /// `ENAMETOOLONG`.
    pub const NAMETOOLONG: Self = Self(errno::ENAMETOOLONG);
    /// `ENOLCK`.
    pub const NOLCK: Self = Self(errno::ENOLCK);
    /// `ENOTEMPTY`.
    pub const NOTEMPTY: Self = Self(errno::ENOTEMPTY);
    /// `ELOOP`.
    pub const LOOP: Self = Self(errno::ELOOP);
    /// `EOPNOTSUPP`.
    pub const OPNOTSUPP: Self = Self(errno::EOPNOTSUPP);
    /// `EAGAIN`.
    pub const AGAIN: Self = Self(errno::EAGAIN);
    /// `EMLINK`.
    pub const MLINK: Self = Self(errno::EMLINK);
    /// `ERANGE`.
    pub const RANGE: Self = Self(errno::ERANGE);
    /// `EOVERFLOW`.
    pub const OVERFLOW: Self = Self(errno::EOVERFLOW);

    /// `EDOM`.
    pub const DOM: Self = Self(errno::EDOM);
    /// `ENOTSOCK`.
    pub const NOTSOCK: Self = Self(errno::ENOTSOCK);
    /// `EPROTONOSUPPORT`.
    pub const PROTONOSUPPORT: Self = Self(errno::EPROTONOSUPPORT);
    /// `ESOCKTNOSUPPORT`.
    pub const SOCKTNOSUPPORT: Self = Self(errno::ESOCKTNOSUPPORT);
    /// `EAFNOSUPPORT`.
    pub const AFNOSUPPORT: Self = Self(errno::EAFNOSUPPORT);
    /// `EADDRINUSE`.
    pub const ADDRINUSE: Self = Self(errno::EADDRINUSE);
    /// `ECONNREFUSED`.
    pub const CONNREFUSED: Self = Self(errno::ECONNREFUSED);
    /// `ECONNRESET`.
    pub const CONNRESET: Self = Self(errno::ECONNRESET);
    /// `EISCONN`.
    pub const ISCONN: Self = Self(errno::EISCONN);
    /// `ENOTCONN`.
    pub const NOTCONN: Self = Self(errno::ENOTCONN);
    /// `EPIPE`.
    pub const PIPE: Self = Self(errno::EPIPE);
    /// `EPIPE`, and the caller gets `SIGPIPE`: for the system call layer alone.
    pub const PIPE_SIGNAL: Self = Self(513);
    /// The call has to wait and be made again: for the system call layer alone (the number is that
    /// of Linux's `ERESTARTSYS`, which programs never see either).
    pub const RESTART: Self = Self(512);

    /// An error that the host answered with; `answer` is negative.
    pub const fn from_answer(answer: isize) -> Self {
        Self(answer.unsigned_abs() as u32)
    }

    /// As a system call answers it: `-errno`.
    pub const fn answer(self) -> isize {
        -(self.0 as isize)
    }
}
