//! Reasons why an image did not start, with the values that caused them.
//! Failures of a running guest are not errors but an [`crate::Outcome`].

use crate::net::PortForward;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why an image did not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum MonitorError {
    /// A file could not be opened, read or created.
    File {
        /// The purpose, such as "read the image".
        purpose: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not an image of ours.
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// The missing or wrong part.
        reason: String,
    },
    /// The file is shorter than its headers require.
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes the file has.
        bytes: u64,
        /// Bytes that its headers require.
        needed_bytes: u64,
    },
    /// The image was built for another version of the monitor's interface.
    Version {
        /// The file.
        path: PathBuf,
        /// Version the image was built for.
        image: u32,
        /// Version that this monitor supports.
        monitor: u32,
    },
    /// The given memory is less than image and boot information need.
    TooLittleMemory {
        /// Least bytes needed.
        needed_bytes: u64,
        /// Bytes given.
        given_bytes: u64,
    },
    /// The given memory is more than the host has.
    TooMuchMemory {
        /// Bytes given.
        given_bytes: u64,
        /// Bytes of memory that the host has, or the most that a guest may have.
        limit_bytes: u64,
    },
    /// A guest path or an argument cannot be passed on.
    BadName {
        /// What it is, such as "guest path".
        what: &'static str,
        /// The name.
        name: String,
        /// The fault.
        reason: &'static str,
    },
    /// `/dev/kvm` is absent, inaccessible or does not work: use the process monitor.
    KvmUnavailable {
        /// The device tried.
        device: PathBuf,
        /// The step that failed.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A network was requested for an image that was built without one.
    NoNetwork {
        /// The image.
        path: PathBuf,
    },
    /// A trace was requested of an image that was not built for tracing.
    NotTraced {
        /// The image.
        path: PathBuf,
    },
    /// The device behind all TAP devices (`/dev/net/tun`) cannot be opened.
    TunDevice {
        /// The system's error.
        source: io::Error,
    },
    /// A TAP device cannot be used.
    Tap {
        /// The interface.
        name: String,
        /// The step that failed.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A TAP device that another program made is down.
    TapDown {
        /// The interface.
        name: String,
    },
    /// An end of a veth pair cannot be used.
    Veth {
        /// The interface.
        name: String,
        /// The step that failed.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// An interface is not suitable as an image's end of a veth pair.
    VethUnfit {
        /// The interface.
        name: String,
        /// The fault.
        reason: String,
        /// Next step for the user.
        advice: String,
    },
    /// A veth pair works only with the process monitor.
    VethMonitor {
        /// The interface.
        name: String,
    },
    /// A port of the host is not available.
    Port {
        /// The requested forward.
        forward: PortForward,
        /// The address on the host.
        at: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A stock monitor is not installed.
    StockMissing {
        /// Its name.
        program: &'static str,
        /// How to install it.
        advice: String,
    },
    /// A stock monitor is too old to start images.
    StockTooOld {
        /// Its name.
        program: &'static str,
        /// Its version.
        found: String,
        /// The oldest supported version.
        oldest: String,
        /// How to get a newer one.
        advice: &'static str,
    },
    /// A stock monitor ended, and the image left no record of its end.
    Stock {
        /// Its name.
        program: &'static str,
        /// Its message.
        reason: String,
    },
    /// The files given to the image are larger than it can hold.
    FilesTooLarge {
        /// Most bytes that it can hold.
        limit_bytes: u64,
    },
    /// The image cannot start on this machine.
    Machine {
        /// The image's own message.
        reason: String,
    },
    /// Arguments and environment are longer than the monitor can pass on.
    LineTooLong {
        /// Their length as the monitor must write them, in bytes.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// This monitor does not support a requested feature.
    Unsupported {
        /// The feature.
        what: &'static str,
        /// The monitor.
        monitor: &'static str,
        /// What to use instead.
        instead: &'static str,
    },
    /// The host refused a resource that the monitor needs.
    Host {
        /// The step that failed.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl MonitorError {
    /// Whether the process monitor may work where this monitor did not.
    pub fn is_kvm_unavailable(&self) -> bool {
        matches!(self, Self::KvmUnavailable { .. })
    }

    pub(crate) fn host(step: &'static str) -> Self {
        Self::Host {
            step,
            source: io::Error::last_os_error(),
        }
    }
}

/// Formats the needed and the given bytes in the largest unit of the
/// command line in which they differ.
/// The needed value is rounded up, the given one down.
fn figures(needed_bytes: u64, given_bytes: u64) -> [String; 2] {
    for (unit, name) in [(1 << 20, "MiB"), (1 << 10, "KiB")] {
        let (needed, given) = (needed_bytes.div_ceil(unit), given_bytes / unit);
        if given != 0 && needed != given {
            return [needed, given].map(|size| format!("{size} {name}"));
        }
    }
    [needed_bytes, given_bytes].map(|bytes| format!("{bytes} bytes"))
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                purpose,
                path,
                source,
            } => {
                write!(f, "cannot {purpose} {}: {source}", path.display())
            }
            Self::NotAnImage { path, reason } => {
                write!(
                    f,
                    "{} is not a Bespoke image: {reason}; build one with `bespoke build`",
                    path.display()
                )
            }
            Self::Truncated {
                path,
                bytes,
                needed_bytes,
            } => write!(
                f,
                "{} is truncated: it has {bytes} bytes, its headers need {needed_bytes}; build it again",
                path.display()
            ),
            Self::Version {
                path,
                image,
                monitor,
            } => write!(
                f,
                "{} was built for version {image} of the monitor interface, this is version {monitor}; build it again",
                path.display()
            ),
            Self::TooLittleMemory {
                needed_bytes,
                given_bytes,
            } => {
                let [needed, given] = figures(*needed_bytes, *given_bytes);
                write!(
                    f,
                    "the image needs {needed} of memory to start, has {given}; give more with -m"
                )
            }
            Self::TooMuchMemory {
                given_bytes,
                limit_bytes,
            } => {
                let [given, limit] = figures(*given_bytes, *limit_bytes);
                write!(f, "-m asks for {given}, the host has {limit}; give less")
            }
            Self::BadName { what, name, reason } => write!(f, "{what} {name:?} {reason}"),
            Self::KvmUnavailable {
                device,
                step,
                source,
            } => {
                write!(
                    f,
                    "KVM does not work here: {step} {}: {source}",
                    device.display()
                )
            }
            Self::NoNetwork { path } => write!(
                f,
                "{} was built without a network; run it without -p and --net, or build it with one",
                path.display()
            ),
            Self::NotTraced { path } => write!(
                f,
                "{} was not built for tracing; name the app instead: `bespoke trace APP` builds an image that is",
                path.display()
            ),
            Self::TunDevice { source } => {
                let advice = match source.raw_os_error() {
                    Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => "as root: modprobe tun",
                    Some(libc::EACCES | libc::EPERM) => {
                        "as root: chmod 666 /dev/net/tun, or use ports instead: -p HOST:GUEST"
                    }
                    _ => "use ports instead: -p HOST:GUEST",
                };
                write!(f, "cannot open /dev/net/tun: {source}; {advice}")
            }
            Self::Tap { name, step, source } => {
                let advice = match source.raw_os_error() {
                    Some(libc::EPERM | libc::EACCES) => format!(
                        "as root: ip tuntap add {name} mode tap user $USER && ip link set {name} up; \
                         or use ports instead: -p HOST:GUEST"
                    ),
                    Some(libc::ENODEV) => format!(
                        "as root: ip tuntap add {name} mode tap user $USER && ip link set {name} up"
                    ),
                    Some(libc::EBUSY) => "another program uses it; choose another name".into(),
                    Some(libc::EINVAL) => {
                        format!("is it a TAP device? `ip -d link show {name}` tells")
                    }
                    _ => format!("`ip -d link show {name}` tells its state"),
                };
                write!(f, "cannot {step} the TAP device {name}: {source}; {advice}")
            }
            Self::TapDown { name } => write!(
                f,
                "the TAP device {name} is down; as root: ip link set {name} up"
            ),
            Self::Veth { name, step, source } => {
                let advice = match source.raw_os_error() {
                    Some(libc::ENODEV | libc::ENXIO) => format!(
                        "as root: ip link add {name} type veth peer name host0 && ip link set {name} up && \
                         ip link set host0 up, and give host0 the gateway's address"
                    ),
                    Some(libc::EPERM | libc::EACCES) => {
                        "this needs CAP_NET_RAW: run it as root, or use a TAP device that belongs to you: --net tap:NAME".into()
                    }
                    _ => format!("`ip -d link show {name}` tells its state"),
                };
                write!(f, "cannot {step} the veth {name}: {source}; {advice}")
            }
            Self::VethUnfit {
                name,
                reason,
                advice,
            } => write!(f, "the interface {name} {reason}; {advice}"),
            Self::VethMonitor { name } => write!(
                f,
                "--net veth:{name} works only on the process monitor; give --monitor process, or use a TAP device: --net tap:NAME"
            ),
            Self::Port {
                forward,
                at,
                source,
            } => {
                let advice = match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        format!(
                            "`ss -lnp | grep :{}` shows which process uses it; choose another port of the host",
                            forward.host
                        )
                    }
                    io::ErrorKind::PermissionDenied => format!(
                        "choose a port from 1024 on, or as root: sysctl net.ipv4.ip_unprivileged_port_start={}",
                        forward.host
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        "the host does not have this address; `ip address` lists its addresses"
                            .into()
                    }
                    _ => "choose another one".into(),
                };
                write!(
                    f,
                    "cannot listen on {at} for -p {forward}: {source}; {advice}"
                )
            }
            Self::StockMissing { program, advice } => {
                write!(f, "{program} is not installed; {advice}")
            }
            Self::StockTooOld {
                program,
                found,
                oldest,
                advice,
            } => write!(
                f,
                "{program} has version {found}, but images need {oldest} or newer; {advice}"
            ),
            Self::Stock { program, reason } => {
                write!(f, "{program} did not run the image: {reason}")
            }
            Self::FilesTooLarge { limit_bytes } => {
                let [limit, _] = figures(*limit_bytes, u64::MAX);
                write!(
                    f,
                    "the files of --file and --root exceed the {limit} that the image can hold; give fewer, or more memory with -m"
                )
            }
            Self::Machine { reason } => {
                write!(f, "the image cannot start on this machine: {reason}")
            }
            Self::LineTooLong { bytes, limit_bytes } => write!(
                f,
                "arguments and environment take {bytes} bytes on the machine's command line, which has room for {limit_bytes}; \
                 put them into a file: --file HOST=GUEST"
            ),
            Self::Unsupported {
                what,
                monitor,
                instead,
            } => write!(
                f,
                "{what} does not work with --monitor {monitor}; use {instead}"
            ),
            Self::Host { step, source } => write!(f, "the host refused to {step}: {source}"),
        }
    }
}

impl std::error::Error for MonitorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. }
            | Self::KvmUnavailable { source, .. }
            | Self::Port { source, .. }
            | Self::TunDevice { source }
            | Self::Tap { source, .. }
            | Self::Veth { source, .. }
            | Self::Host { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn figures_that_differ_are_shown_so_that_they_differ() {
        for (needed, given, shown) in [
            (3 << 20, 2 << 20, ["3 MiB", "2 MiB"]),
            ((1 << 20) - 4096, 64 << 10, ["1020 KiB", "64 KiB"]),
            ((1 << 20) + 4096, (1 << 20) + 4095, ["2 MiB", "1 MiB"]),
            (1 << 20, (1 << 20) - 4096, ["1024 KiB", "1020 KiB"]),
            // Less than it has, as an image may say of its heap.
            ((2 << 20) - 4096, 2 << 20, ["2044 KiB", "2048 KiB"]),
            (4096, 4095, ["4 KiB", "3 KiB"]),
            (4096, 0, ["4096 bytes", "0 bytes"]),
            (64 << 20, 256 << 20, ["64 MiB", "256 MiB"]),
            ((100 << 30) + 1, 100 << 30, ["102401 MiB", "102400 MiB"]),
        ] {
            assert_eq!(figures(needed, given), shown, "{needed} {given}");
        }
    }
}
