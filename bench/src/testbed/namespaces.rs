//! Where servers and their clients run: two network namespaces and a core for each side.
//!
//! ```text
//! native   client's namespace 10.77.0.1 -- veth pair -- 10.77.0.2 server's namespace
//! process  client's namespace 10.77.2.1 -- veth pair -- 10.77.2.2 image, its monitor in the server's namespace
//! others   client's namespace 10.77.1.1 -- TAP -------- 10.77.1.2 image, its monitor in the client's namespace
//! ```
//! Loopback, whose packets pass no link at all, only for the table of replies, which compares links. Owns the namespaces: each is held by a sleeping
//! process that dies with the benchmark, so nothing is left behind however it ends.

use crate::Error;
use crate::cores::bind_to_core;
use bespoke_builder::ToolFailure;
use bespoke_monitor::Monitor;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;

/// How a server is reached.
pub(crate) struct Reach {
    /// Where it runs, or the monitor of an image.
    pub side: Side,
    /// Its address.
    pub address: IpAddr,
    /// What `bespoke run` is told of its network.
    pub network: Vec<String>,
}

/// The link between a server and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// A veth pair.
    Veth,
    /// A TAP device, made for each run: images alone.
    Tap,
    /// A led-in port of the host: images alone.
    Port,
    /// Loopback: native servers alone.
    Loopback,
}

impl Over {
    /// The link over which servers are measured: of images by `monitor`, of native servers without.
    pub(crate) fn usual(monitor: Option<Monitor>) -> Self {
        match monitor {
            None | Some(Monitor::Process) => Self::Veth,
            Some(_) => Self::Tap,
        }
    }

    /// How an image, or a native server, that serves `port` is reached.
    pub(crate) fn reach(self, is_image: bool, port: u16) -> Reach {
        let options = |option: &str, value: String| vec![option.to_string(), value];
        let (side, address, network) = match self {
            Self::Veth if is_image => (
                Side::Server,
                Ipv4Addr::new(10, 77, 2, 2),
                options(
                    "--net",
                    "veth:bench1,address=10.77.2.2/24,gateway=10.77.2.1".into(),
                ),
            ),
            Self::Veth => (Side::Server, Ipv4Addr::new(10, 77, 0, 2), Vec::new()),
            Self::Tap => (
                Side::TapMonitor,
                Ipv4Addr::new(10, 77, 1, 2),
                options(
                    "--net",
                    "tap:bench,address=10.77.1.2/24,gateway=10.77.1.1".into(),
                ),
            ),
            Self::Port => (
                Side::TapMonitor,
                Ipv4Addr::LOCALHOST,
                options("-p", format!("127.0.0.1:{port}:{port}")),
            ),
            Self::Loopback => (Side::TapMonitor, Ipv4Addr::LOCALHOST, Vec::new()),
        };
        Reach {
            side,
            address: address.into(),
            network,
        }
    }
}

/// Whose core and namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Clients.
    Client,
    /// Native servers, and monitors of images on a veth pair.
    Server,
    /// Monitors of other images, and servers on loopback: the server's core, and the client's namespace, where the TAP device is.
    TapMonitor,
}

/// The namespaces of one benchmark.
pub struct Testbed {
    client: Space,
    server: Space,
}

impl std::fmt::Debug for Testbed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Testbed").finish_non_exhaustive()
    }
}

impl Testbed {
    /// Makes the namespaces and the veth pairs between them.
    pub fn new() -> Result<Self, Error> {
        // SAFETY: asks for a number.
        if unsafe { libc::geteuid() } != 0 {
            return Err(Error::Usage(
                "measuring servers takes network namespaces of its own, and these take root: run it with sudo"
                    .into(),
            ));
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            return Err(Error::Usage(
                "measuring a server takes two cores, one for the server and one for its client; here is one".into(),
            ));
        }
        let lab = Self {
            client: Space::new()?,
            server: Space::new()?,
        };
        lab.client.ip(&["link", "set", "lo", "up"])?;
        let server = lab.server.holder.id().to_string();
        for (link, client, server_side) in [
            ("bench0", "10.77.0.1/24", Some("10.77.0.2/24")),
            // The image answers there; the namespace's own kernel keeps silent.
            ("bench1", "10.77.2.1/24", None),
        ] {
            lab.client.ip(&[
                "link", "add", link, "type", "veth", "peer", "name", link, "netns", &server,
            ])?;
            lab.client.ip(&["address", "add", client, "dev", link])?;
            lab.client.ip(&["link", "set", link, "up"])?;
            if let Some(address) = server_side {
                lab.server.ip(&["address", "add", address, "dev", link])?;
            }
            let quiet = ["link", "set", link, "addrgenmode", "none", "up"];
            lab.server.ip(&quiet)?;
        }
        Ok(lab)
    }

    /// Makes `command` run on `side`'s core and in its namespace.
    pub fn place(&self, command: &mut Command, side: Side) -> Result<(), Error> {
        let space = match side {
            Side::Client | Side::TapMonitor => &self.client,
            Side::Server => &self.server,
        };
        let namespace = space.namespace()?;
        let core = core(side);
        // SAFETY: between fork and exec only system calls are made, on a descriptor that the
        // closure owns.
        unsafe {
            command.pre_exec(move || {
                enter(namespace.as_raw_fd())?;
                bind_to_core(core)
            });
        }
        Ok(())
    }

    /// Does `work` on a thread that stands where clients stand.
    pub fn as_client<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
        let namespace = self.client.namespace()?;
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(namespace.as_raw_fd()).and_then(|()| bind_to_core(core(Side::Client)))?;
                Ok(work())
            });
            let result = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.map_err(Error::file("enter", "the clients' network namespace"))
        })
    }
}

/// The core of `side`.
pub(crate) const fn core(side: Side) -> usize {
    match side {
        Side::Client => 1,
        Side::Server | Side::TapMonitor => 0,
    }
}

/// One network namespace.
struct Space {
    holder: Child,
}

impl Space {
    fn new() -> Result<Self, Error> {
        let mut holder = Command::new("sleep");
        holder
            .arg("infinity")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: between fork and exec only system calls are made.
        unsafe { holder.pre_exec(unshare_and_die_with_parent) };
        let holder = holder
            .spawn()
            .map_err(Error::file("make", "a network namespace"))?;
        Ok(Self { holder })
    }

    fn namespace(&self) -> Result<File, Error> {
        let path = format!("/proc/{}/ns/net", self.holder.id());
        File::open(&path).map_err(Error::file("open", path))
    }

    /// Runs iproute2's `ip` in the namespace.
    fn ip(&self, arguments: &[&str]) -> Result<(), Error> {
        let namespace = self.namespace()?;
        let mut command = Command::new("ip");
        command.args(arguments);
        // SAFETY: as in `place`.
        unsafe { command.pre_exec(move || enter(namespace.as_raw_fd())) };
        let output = command
            .output()
            .map_err(|source| bespoke_builder::Error::NoTool {
                tool: "ip (Debian package iproute2)".into(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(bespoke_builder::Error::from(ToolFailure {
            purpose: "set up the benchmark's network".into(),
            status: output.status.to_string(),
            command: format!("ip {}", arguments.join(" ")),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
            log: None,
        })
        .into())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // It does nothing but sleep; should it be gone already, so is the namespace.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Moves the calling thread into a network namespace.
fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: a system call on a descriptor.
    succeeded(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })
}

fn unshare_and_die_with_parent() -> io::Result<()> {
    // SAFETY: system calls without pointers.
    unsafe {
        succeeded(libc::unshare(libc::CLONE_NEWNET))?;
        succeeded(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))
    }
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
