//! Queries and changes network interfaces on Linux.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Returns an address that is the same for every run on this device, so that
/// neighbours need not learn it again.
pub(super) fn own_mac(name: &str) -> [u8; 6] {
    const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0100_0000_01b3;
    // Absent in some containers: then only the name determines the address.
    let host = std::fs::read("/etc/machine-id").unwrap_or_default();
    let hash = host
        .iter()
        .copied()
        .chain(name.bytes())
        .fold(FNV_OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
        });
    let bytes = hash.to_be_bytes();
    // Locally administered unicast.
    [2, bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// Reads `IFF_UP` and the other flags.
pub(super) fn read_flags(control: &OwnedFd, name: &str) -> io::Result<i32> {
    let mut request = request(name);
    configure(control, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the ioctl just filled this member.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }))
}

/// Reads the MTU in bytes.
pub(super) fn read_mtu(control: &OwnedFd, name: &str) -> io::Result<u16> {
    let mut request = request(name);
    configure(control, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the ioctl just filled this member.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(mtu.clamp(0, i32::from(u16::MAX)) as u16)
}

/// Makes a request about the interface `name`, otherwise zero.
pub(super) fn request(name: &str) -> libc::ifreq {
    // SAFETY: zero is valid for every member.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The name was checked to be shorter than the field.
    for (target, byte) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(name.bytes())
    {
        *target = byte as libc::c_char;
    }
    request
}

/// Opens a socket for such requests.
pub(super) fn socket() -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor, owned from here on.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        result(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Performs one request.
pub(super) fn configure(
    control: &OwnedFd,
    operation: libc::Ioctl,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: interface ioctls read and fill one `ifreq`.
    result(unsafe { libc::ioctl(control.as_raw_fd(), operation, request) })
}

/// Converts the result of a system call that returns -1 for an error.
pub(super) fn result(value: libc::c_int) -> io::Result<()> {
    if value < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
