//! Keeps `passt` from clamping the windows of its sockets: a filter of its system calls.
//!
//! Versions before 2023_12 set `TCP_WINDOW_CLAMP` of the host's socket to the image's window. Linux lets that window
//! shrink and hardly grow again: once it is less than half of what the sender has seen, the sender waits for its timer
//! with every window (200 ms and more). Later versions do not clamp; they find the image's window by what they send.

use std::io;

/// Of `asm/unistd_64.h`, `linux/tcp.h`.
const SETSOCKOPT: u32 = libc::SYS_setsockopt as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;
const WINDOW_CLAMP: u32 = libc::TCP_WINDOW_CLAMP as u32;
/// Of `linux/seccomp.h`: success, without the call.
const SKIP: u32 = libc::SECCOMP_RET_ERRNO;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const LEVEL: u32 = 24;
const NAME: u32 = 32;

const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset)
}

/// Goes on when the value is `value`, else skips `otherwise` instructions.
const fn expect(value: u32, otherwise: u8) -> libc::sock_filter {
    instruction(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        otherwise,
        value,
    )
}

const fn answer(value: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, value)
}

const fn instruction(code: u32, otherwise: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: otherwise,
        k: value,
    }
}

static FILTER: [libc::sock_filter; 8] = [
    load(NUMBER),
    expect(SETSOCKOPT, 5),
    load(LEVEL),
    expect(TCP, 3),
    load(NAME),
    expect(WINDOW_CLAMP, 1),
    answer(SKIP),
    answer(libc::SECCOMP_RET_ALLOW),
];

/// From now on this process and what it becomes set no window clamp; its attempts succeed without effect.
/// Makes system calls only, so that it may stand between `fork` and `exec`.
///
/// # Errors
///
/// Those of `prctl`: a kernel without seccomp.
pub(super) fn forbid() -> io::Result<()> {
    let program = libc::sock_fprog {
        len: FILTER.len() as u16,
        // The kernel copies it and writes nothing.
        filter: FILTER.as_ptr().cast_mut(),
    };
    // SAFETY: `program` points to as many instructions as it says, and both live through the call.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn set(stream: &TcpStream, name: i32, value: i32) -> i32 {
        // SAFETY: the option is an integer of this size.
        let result = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                name,
                (&raw const value).cast(),
                4,
            )
        };
        assert_eq!(result, 0);
        let (mut now, mut bytes) = (0, 4);
        // SAFETY: as above.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                name,
                (&raw mut now).cast(),
                &raw mut bytes,
            )
        };
        assert_eq!(result, 0);
        now
    }

    #[test]
    fn only_the_clamp_is_without_effect() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(set(&stream, libc::TCP_WINDOW_CLAMP, 8192), 8192);
        // Seccomp is a matter of one thread, which ends with the test.
        std::thread::spawn(move || {
            forbid().unwrap();
            assert_eq!(set(&stream, libc::TCP_WINDOW_CLAMP, 4096), 8192);
            assert_eq!(set(&stream, libc::TCP_NODELAY, 1), 1);
        })
        .join()
        .unwrap();
    }
}
