//! Error numbers as system calls return them: negative.

macro_rules! negative {
    ($($name:ident),* $(,)?) => {
        $(#[doc = concat!("`-", stringify!($name), "`.")]
        pub const $name: isize = -(linux_raw_sys::errno::$name as isize);)*
    };
}

negative!(
    E2BIG,
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    ECHILD,
    EDEADLK,
    EEXIST,
    EFAULT,
    EFBIG,
    EINTR,
    EINVAL,
    EMFILE,
    EMSGSIZE,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOSYS,
    ENOTTY,
    EPERM,
    EOPNOTSUPP,
    EPIPE,
    ESRCH,
    ETIMEDOUT
);
