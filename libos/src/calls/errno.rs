//! Error numbers as system calls return them: negative.

macro_rules! negative {
    ($($name:ident),* $(,)?) => {
        $(#[doc = concat!("`-", stringify!($name), "`.")]
        pub const $name: isize = -(linux_raw_sys::errno::$name as isize);)*
    };
}

negative!(
    EACCES, EAGAIN, EBADF, ECHILD, EDEADLK, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, ENODEV, ENOMEM,
    ENOSYS, ENOTTY, EPERM, EOPNOTSUPP, EPIPE, ESRCH, ETIMEDOUT
);
