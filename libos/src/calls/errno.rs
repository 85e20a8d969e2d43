//! Error numbers as system calls return them: negative.

macro_rules! negative {
    ($($name:ident),* $(,)?) => {
        $(#[doc = concat!("`-", stringify!($name), "`.")]
        pub const $name: isize = -(linux_raw_sys::errno::$name as isize);)*
    };
}

negative!(
    EACCES, EAGAIN, EBADF, EEXIST, EFAULT, EINTR, EINVAL, ENODEV, ENOMEM, ENOSYS, ENOTTY, EPERM,
    EPIPE, ESRCH, ETIMEDOUT
);
