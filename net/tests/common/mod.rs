//! A network namespace with a TAP device: Linux's TCP on one side, the stack on the other.
//! Needs root; tests say why they skip without it.

use bespoke_net::device::Offload;
pub(crate) mod apps;

use bespoke_net::device::descriptor::{Description, Io, Tap};
use bespoke_net::{
    Change, Configuration, Ipv4Address, Ipv4Configuration, Ipv6Address, Ipv6Configuration, Stack,
};
use std::ffi::c_int;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

/// Address of Linux's side.
pub(crate) const HOST: &str = "10.77.0.1";
/// Address of the stack.
pub(crate) const GUEST: &str = "10.77.0.2";
/// IPv6 address of the stack.
pub(crate) const GUEST6: &str = "fd77::2";

/// Bytes of buffers the stack may use.
pub(crate) const BUDGET_BYTES: usize = 128 << 20;

/// A descriptor of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor(pub c_int);

impl Io for Descriptor {
    fn read(&mut self, to: &mut [u8]) -> Option<usize> {
        // SAFETY: the buffer is ours and as long as said.
        let read = unsafe { libc::read(self.0, to.as_mut_ptr().cast(), to.len()) };
        usize::try_from(read).ok()
    }
    fn write(&mut self, from: &[u8]) -> Option<usize> {
        // SAFETY: the buffer is ours and as long as said.
        let written = unsafe { libc::write(self.0, from.as_ptr().cast(), from.len()) };
        usize::try_from(written).ok()
    }
}

/// The stack as the tests use it.
pub(crate) type TapStack = Stack<Tap<Descriptor>>;

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .map_err(|error| format!("ip {arguments}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("ip {arguments}: {}", text.trim()))
    }
}

fn open_tap(offload: bool) -> Result<c_int, String> {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
    const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
    const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
    const OFFLOADS: libc::c_ulong = 1 | 2 | 4;
    let failed = |what: &str| format!("{what}: {}", std::io::Error::last_os_error());
    // SAFETY: a constant path.
    let tap = unsafe { libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_NONBLOCK) };
    if tap < 0 {
        return Err(failed("/dev/net/tun"));
    }
    let mut request = [0_u8; 40];
    request[..4].copy_from_slice(b"tap0");
    request[16..18].copy_from_slice(&FLAGS.to_ne_bytes());
    let header: c_int = 12;
    // SAFETY: each request has the argument the kernel expects for it.
    let results = unsafe {
        [
            libc::ioctl(tap, TUNSETIFF, request.as_mut_ptr()),
            libc::ioctl(tap, TUNSETVNETHDRSZ, &raw const header),
            libc::ioctl(tap, TUNSETOFFLOAD, if offload { OFFLOADS } else { 0 }),
        ]
    };
    if results.iter().any(|result| *result < 0) {
        return Err(failed("configure the TAP"));
    }
    Ok(tap)
}

/// Moves this thread into a network namespace of its own with a TAP; threads started from
/// here are in it too. `None`, with the reason printed, where that is not possible.
pub(crate) fn namespace(offload: bool) -> Option<c_int> {
    let make = || -> Result<c_int, String> {
        // SAFETY: affects this thread alone.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(format!("unshare: {}", std::io::Error::last_os_error()));
        }
        let tap = open_tap(offload)?;
        ip("link set lo up")?;
        ip("link set tap0 up")?;
        ip("addr add 10.77.0.1/24 dev tap0")?;
        ip("-6 addr add fd77::1/64 dev tap0 nodad")?;
        Ok(tap)
    };
    match make() {
        Ok(tap) => Some(tap),
        Err(reason) => {
            eprintln!("SKIPPED: no network namespace with a TAP: {reason}");
            None
        }
    }
}

/// The stack on a TAP.
pub(crate) fn stack(tap: c_int, offload: bool) -> TapStack {
    let offload = if offload {
        Offload {
            checksum: true,
            segment_bytes: 65_000,
        }
    } else {
        Offload::default()
    };
    let description = Description {
        hardware_address: [2, 0, 0, 0, 0, 2],
        mtu: 1500,
        offload,
    };
    let memory = &allocator_api2::alloc::Global;
    let device = Tap::new(Descriptor(tap), description, memory).unwrap();
    let configuration = Configuration {
        ipv4: Ipv4Configuration::Static {
            address: GUEST.parse::<Ipv4Address>().unwrap(),
            prefix_bits: 24,
            gateway: Some(HOST.parse().unwrap()),
            name_server: None,
        },
        ipv6: Some(Ipv6Configuration {
            address: GUEST6.parse::<Ipv6Address>().unwrap(),
            prefix_bits: 64,
            gateway: None,
        }),
        relayed: false,
        serves_all: false,
        budget_bytes: BUDGET_BYTES,
        seed: 0x5eed,
    };
    Stack::new(Some(device), &configuration, memory).unwrap()
}

/// An application on the stack, told of every change.
pub(crate) trait App: Send + 'static {
    /// Called once, before anything else.
    fn start(&mut self, stack: &mut TapStack);
    /// A socket has changed.
    fn change(&mut self, stack: &mut TapStack, change: Change);
    /// Called once every turn.
    fn turn(&mut self, _stack: &mut TapStack) {}
}

/// A running stack.
pub(crate) struct Running<A> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<A>>,
}

impl<A> Running<A> {
    /// Stops the stack; the application as it was then.
    pub(crate) fn stop(mut self) -> A {
        self.stop.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Runs `app` on a stack in a thread of its own.
pub(crate) fn run<A: App>(tap: c_int, offload: bool, mut app: A) -> Running<A> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let begin = Instant::now();
        let mut stack = stack(tap, offload);
        let now = || begin.elapsed().as_nanos() as u64;
        stack.poll(now());
        app.start(&mut stack);
        ready.send(()).unwrap();
        while !flag.load(Relaxed) {
            let more = stack.poll(now());
            while let Some(change) = stack.take_change() {
                app.change(&mut stack, change);
            }
            app.turn(&mut stack);
            if more {
                continue;
            }
            let wait = stack.next_deadline().map_or(20, |due| {
                due.saturating_sub(now()).div_ceil(1_000_000).min(20) as c_int
            });
            let mut descriptor = libc::pollfd {
                fd: tap,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid descriptor.
            unsafe { libc::poll(&mut descriptor, 1, wait) };
        }
        // What the application closed last still goes out.
        let end = Instant::now() + std::time::Duration::from_millis(50);
        while Instant::now() < end {
            stack.poll(now());
        }
        app
    });
    started.recv().unwrap();
    Running {
        stop,
        thread: Some(thread),
    }
}
