//! Why a call failed, as Linux numbers it. Owns nothing.

use linux_raw_sys::errno;

/// A Linux error number, negative as system calls answer it and as wide as their other answers: so a
/// [`Result`] travels in two registers and turns into an answer without a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(isize);

/// What file calls answer.
pub type Result<T = usize> = core::result::Result<T, Errno>;

impl Errno {
    const fn of(number: u32) -> Self {
        Self(-(number as isize))
    }

    /// `EPERM`.
    pub const PERM: Self = Self::of(errno::EPERM);
    /// `ENOENT`.
    pub const NOENT: Self = Self::of(errno::ENOENT);
    /// `ESRCH`.
    pub const SRCH: Self = Self::of(errno::ESRCH);
    /// `EPROTOTYPE`.
    pub const PROTOTYPE: Self = Self::of(errno::EPROTOTYPE);
    /// `ENXIO`.
    pub const NXIO: Self = Self::of(errno::ENXIO);
    /// `E2BIG`.
    pub const TOOBIG: Self = Self::of(errno::E2BIG);
    /// `EBADF`.
    pub const BADF: Self = Self::of(errno::EBADF);
    /// `ENOMEM`.
    pub const NOMEM: Self = Self::of(errno::ENOMEM);
    /// `EACCES`.
    pub const ACCES: Self = Self::of(errno::EACCES);
    /// `EFAULT`.
    pub const FAULT: Self = Self::of(errno::EFAULT);
    /// `EBUSY`.
    pub const BUSY: Self = Self::of(errno::EBUSY);
    /// `EEXIST`.
    pub const EXIST: Self = Self::of(errno::EEXIST);
    /// `ENODEV`.
    pub const NODEV: Self = Self::of(errno::ENODEV);
    /// `ENOTDIR`.
    pub const NOTDIR: Self = Self::of(errno::ENOTDIR);
    /// `EISDIR`.
    pub const ISDIR: Self = Self::of(errno::EISDIR);
    /// `EINVAL`.
    pub const INVAL: Self = Self::of(errno::EINVAL);
    /// `EMFILE`.
    pub const MFILE: Self = Self::of(errno::EMFILE);
    /// `ENOTTY`.
    pub const NOTTY: Self = Self::of(errno::ENOTTY);
    /// `EFBIG`.
    pub const FBIG: Self = Self::of(errno::EFBIG);
    /// `EXDEV`.
    pub const XDEV: Self = Self::of(errno::EXDEV);
    /// `ENOSPC`.
    pub const NOSPC: Self = Self::of(errno::ENOSPC);
    /// `ESPIPE`.
    pub const SPIPE: Self = Self::of(errno::ESPIPE);
    /// `EDEADLK`.
    pub const DEADLK: Self = Self::of(errno::EDEADLK);
    /// `ENAMETOOLONG`.
    pub const NAMETOOLONG: Self = Self::of(errno::ENAMETOOLONG);
    /// `ENOLCK`.
    pub const NOLCK: Self = Self::of(errno::ENOLCK);
    /// `ENOTEMPTY`.
    pub const NOTEMPTY: Self = Self::of(errno::ENOTEMPTY);
    /// `ELOOP`.
    pub const LOOP: Self = Self::of(errno::ELOOP);
    /// `ENODATA`.
    pub const NODATA: Self = Self::of(errno::ENODATA);
    /// `EOPNOTSUPP`.
    pub const OPNOTSUPP: Self = Self::of(errno::EOPNOTSUPP);
    /// `EAGAIN`.
    pub const AGAIN: Self = Self::of(errno::EAGAIN);
    /// `EMLINK`.
    pub const MLINK: Self = Self::of(errno::EMLINK);
    /// `ERANGE`.
    pub const RANGE: Self = Self::of(errno::ERANGE);
    /// `EOVERFLOW`.
    pub const OVERFLOW: Self = Self::of(errno::EOVERFLOW);

    /// `EDOM`.
    pub const DOM: Self = Self::of(errno::EDOM);
    /// `ENOTSOCK`.
    pub const NOTSOCK: Self = Self::of(errno::ENOTSOCK);
    /// `ENOPROTOOPT`.
    pub const NOPROTOOPT: Self = Self::of(errno::ENOPROTOOPT);
    /// `EPROTO`.
    pub const PROTO: Self = Self::of(errno::EPROTO);
    /// `EPROTONOSUPPORT`.
    pub const PROTONOSUPPORT: Self = Self::of(errno::EPROTONOSUPPORT);
    /// `ESOCKTNOSUPPORT`.
    pub const SOCKTNOSUPPORT: Self = Self::of(errno::ESOCKTNOSUPPORT);
    /// `EAFNOSUPPORT`.
    pub const AFNOSUPPORT: Self = Self::of(errno::EAFNOSUPPORT);
    /// `EADDRNOTAVAIL`.
    pub const ADDRNOTAVAIL: Self = Self::of(errno::EADDRNOTAVAIL);
    /// `EADDRINUSE`.
    pub const ADDRINUSE: Self = Self::of(errno::EADDRINUSE);
    /// `EMSGSIZE`.
    pub const MSGSIZE: Self = Self::of(errno::EMSGSIZE);
    /// `ECONNREFUSED`.
    pub const CONNREFUSED: Self = Self::of(errno::ECONNREFUSED);
    /// `ECONNRESET`.
    pub const CONNRESET: Self = Self::of(errno::ECONNRESET);
    /// `EISCONN`.
    pub const ISCONN: Self = Self::of(errno::EISCONN);
    /// `ENOTCONN`.
    pub const NOTCONN: Self = Self::of(errno::ENOTCONN);
    /// `EPIPE`.
    pub const PIPE: Self = Self::of(errno::EPIPE);
    /// `EPIPE`, and the caller gets `SIGPIPE`: for the system call layer alone.
    pub const PIPE_SIGNAL: Self = Self::of(513);
    /// `EFBIG`, and the caller gets `SIGXFSZ`: for the system call layer alone.
    pub const SIZE_SIGNAL: Self = Self::of(514);
    /// The call has to wait and be made again: for the system call layer alone (the number is that
    /// of Linux's `ERESTARTSYS`, which programs never see either).
    pub const RESTART: Self = Self::of(512);

    /// An error that the host answered with; `answer` is negative.
    pub const fn from_answer(answer: isize) -> Self {
        Self(answer)
    }

    /// As a system call answers it: `-errno`.
    pub const fn answer(self) -> isize {
        self.0
    }
}
