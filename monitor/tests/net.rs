//! The network of a guest: through TAP devices in network namespaces of these tests' own,
//! and through the monitor's relay of ports in others.
//!
//! `net.c` answers ARP, echoes UDP on port 7 and ends when told "quit".

#[expect(dead_code, reason = "every test file uses its part")]
mod common;

use common::{command, compile, finish, monitors, text};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const GUEST: &str = "10.99.0.2:7";
/// The most that one packet of an Ethernet carries, and one of the relay's link.
const TAP_BYTES: usize = 1472;
const RELAY_BYTES: usize = 16_384 - 28;
const TAP: &str = "bespoke0,address=10.99.0.2/24,gateway=10.99.0.1";
const LIMIT: Duration = Duration::from_secs(30);

/// The guest, compiled once.
fn net_guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| compile("net", &["net.c", "link.c", "virtio.c"]))
}

/// Moves this thread, and what it starts, into a network namespace of its own; says why when it may not.
fn own_namespace() -> bool {
    // SAFETY: changes the network namespace of this thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        eprintln!(
            "skipped: no network namespace: {}",
            std::io::Error::last_os_error()
        );
        return false;
    }
    if let Err(error) = std::fs::File::open("/dev/net/tun") {
        eprintln!("skipped: /dev/net/tun: {error}");
        return false;
    }
    true
}

fn ip(words: &str) -> bool {
    Command::new("ip")
        .args(words.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("ip is installed")
        .success()
}

fn start(monitor: &str, options: &[&str], case: &str) -> Running {
    let mut command = command(monitor, net_guest());
    command.args(options).args(["--", case]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver runs");
    Running(Some(child))
}

/// A driver that does not survive a test that fails.
struct Running(Option<Child>);

impl Running {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("not finished")
    }

    fn kill(&mut self) {
        self.child().kill().expect("a running child");
        self.child().wait().expect("an end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Both fail only when it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends until the same bytes come back: the guest takes a moment to be there.
fn echo(socket: &UdpSocket, guest: SocketAddr, message: &[u8]) {
    let mut answer = vec![0; message.len() + 1];
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Err(error) = socket.send_to(message, guest) {
            let waiting = [
                ErrorKind::NetworkUnreachable,
                ErrorKind::HostUnreachable,
                ErrorKind::ConnectionRefused,
            ];
            assert!(waiting.contains(&error.kind()), "{error:?}");
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        match socket.recv(&mut answer) {
            Ok(bytes) if answer[..bytes] == *message => return,
            // The answer to an earlier attempt.
            Ok(_) => {}
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                        | ErrorKind::Interrupted
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::HostUnreachable
                ),
                "{error:?}"
            ),
        }
    }
    panic!("no answer to {} bytes", message.len());
}

/// Echoes several sizes, then ends the guest.
fn converse(child: Running, guest: SocketAddr, largest_bytes: usize) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    for bytes in [5, 1, 600, largest_bytes] {
        let message: Vec<u8> = (0..bytes).map(|n| (n * 7) as u8).collect();
        echo(&socket, guest, &message);
    }
    let end = finish_after(child, || drop(socket.send_to(b"quit", guest)));
    assert_eq!(end.status.code(), Some(0), "{}", text(&end.stderr));
}

/// Repeats `poke` until the child ends.
fn finish_after(mut running: Running, poke: impl Fn()) -> std::process::Output {
    let start = Instant::now();
    while running.child().try_wait().expect("a child").is_none() {
        assert!(start.elapsed() < LIMIT, "the guest does not end");
        poke();
        std::thread::sleep(Duration::from_millis(10));
    }
    let child = running.0.take().expect("not finished");
    child.wait_with_output().expect("its output")
}

#[test]
fn a_tap_of_our_making_carries_frames_and_is_gone_afterwards() {
    if !own_namespace() {
        return;
    }
    for monitor in monitors() {
        for case in ["serve", "notify"] {
            let child = start(monitor, &["--tap", TAP], case);
            converse(child, GUEST.parse().expect("an address"), TAP_BYTES);
        }
        assert!(
            !ip("link show bespoke0"),
            "{monitor} left its device behind"
        );
    }
}

#[test]
fn a_tap_of_the_users_making_is_used_as_it_is_and_stays() {
    if !own_namespace() {
        return;
    }
    for (monitor, kind) in monitors()
        .into_iter()
        .flat_map(|monitor| [(monitor, ""), (monitor, "multi_queue")])
    {
        assert!(ip(&format!("tuntap add bespoke0 mode tap {kind}")));
        let mut driver = command(monitor, net_guest());
        driver.args(["--tap", TAP, "--", "serve"]);
        let output = finish(driver, b"");
        assert_eq!(output.status.code(), Some(125));
        assert!(
            text(&output.stderr).contains("ip link set bespoke0 up"),
            "{}",
            text(&output.stderr)
        );
        assert!(ip("link set bespoke0 up") && ip("address add 10.99.0.1/24 dev bespoke0"));
        converse(
            start(monitor, &["--tap", TAP], "serve"),
            GUEST.parse().expect("an address"),
            TAP_BYTES,
        );
        assert!(ip("link show bespoke0") && ip("link delete bespoke0"));
    }
}

#[test]
fn a_killed_monitor_leaves_neither_guest_nor_device() {
    if !own_namespace() {
        return;
    }
    for monitor in monitors() {
        let mut child = start(monitor, &["--tap", TAP], "serve");
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        echo(&socket, GUEST.parse().expect("an address"), b"there");
        child.kill();
        let start = Instant::now();
        while ip("link show bespoke0") {
            assert!(start.elapsed() < LIMIT, "{monitor} left its device behind");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn taps_that_cannot_be_had_say_what_to_do() {
    if !own_namespace() {
        return;
    }
    let refused = |tap: &str, advice: &str| {
        let mut driver = command("process", net_guest());
        driver.args(["--tap", tap, "--", "serve"]);
        let output = finish(driver, b"");
        let error = text(&output.stderr);
        assert!(
            output.status.code() == Some(125) && error.contains(advice),
            "{error}"
        );
    };
    refused("lo", "is it a TAP device?");
    let mut first = start("process", &["--tap", TAP], "serve");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    echo(&socket, GUEST.parse().expect("an address"), b"there");
    refused("bespoke0", "another program uses it");
    first.kill();
}

#[test]
fn a_guest_without_a_network_is_told_so_and_one_with_may_use_that_descriptor_alone() {
    if !own_namespace() {
        return;
    }
    let none = finish(command_for("process", &[], "serve"), b"");
    assert_eq!(text(&none.stdout), "no network\n");
    let built_without = compile("no-net", &["-DNOTE_FLAGS=2", "net.c", "link.c", "virtio.c"]);
    let mut driver = command("process", &built_without);
    driver.args(["--tap", TAP, "--", "serve"]);
    let refused = text(&finish(driver, b"").stderr);
    assert!(refused.contains("without a network"), "{refused}");
    let other = finish(
        command_for("process", &["--tap", TAP], "other-descriptor"),
        b"",
    );
    assert_eq!(
        other.status.code(),
        Some(128 + libc::SIGSYS),
        "{}",
        text(&other.stderr)
    );
}

/// Runs a case that says when it is ready, does `then`, and expects a good end.
fn when_ready(monitor: &str, case: &str, then: impl FnOnce(&mut ChildStdin)) {
    let mut driver = command_for(monitor, &["--tap", TAP], case);
    driver
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running(Some(driver.spawn().expect("the driver runs")));
    let child = running.child();
    let mut line = [0; 6];
    child
        .stdout
        .as_mut()
        .expect("piped")
        .read_exact(&mut line)
        .expect("a line");
    assert_eq!(&line, b"ready\n");
    // Open until the end: its end would be an event of the console.
    let mut input = child.stdin.take().expect("piped");
    then(&mut input);
    let end = finish_after(running, || ());
    assert_eq!(
        end.status.code(),
        Some(0),
        "{monitor} {case}: {}",
        text(&end.stderr)
    );
}

#[test]
fn waits_end_by_time_by_the_console_and_by_frames_that_came_before() {
    if !own_namespace() {
        return;
    }
    // The kernel's own packets on a new device must not be what ends a wait.
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").expect("a setting");
    for monitor in monitors() {
        let timer = finish(command_for(monitor, &[], "wait-timer"), b"");
        assert_eq!(
            timer.status.code(),
            Some(0),
            "{monitor}: {}",
            text(&timer.stderr)
        );
        let key = |input: &mut ChildStdin| input.write_all(b"x").expect("a reader");
        when_ready(monitor, "wait-console", key);
        when_ready(monitor, "wait-console", |input| {
            std::thread::sleep(Duration::from_millis(50));
            key(input);
        });
        when_ready(monitor, "wait-after", |_| {
            let socket = UdpSocket::bind("10.99.0.1:0").expect("a socket");
            socket.set_broadcast(true).expect("a setting");
            socket
                .send_to(b"once", "10.99.0.255:9")
                .expect("a way there");
        });
    }
}

#[test]
fn a_ring_in_closed_memory_stops_the_device_and_nothing_else() {
    if !own_namespace() || !monitors().contains(&"kvm") {
        return;
    }
    let output = finish(command_for("kvm", &["--tap", TAP], "closed-ring"), b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// A namespace with a loopback device and no other: led-in ports need no more.
fn bare_namespace() -> bool {
    if !own_namespace() {
        return false;
    }
    assert!(ip("link set lo up"));
    true
}

/// Whether nobody listens at these ports, which `ports_lead_into_the_image_and_are_free_after_it` leads in.
fn are_free() -> bool {
    TcpListener::bind("127.0.0.1:4080").is_ok() && UdpSocket::bind("127.0.0.1:4007").is_ok()
}

#[test]
fn ports_lead_into_the_image_and_are_free_after_it() {
    if !bare_namespace() {
        return;
    }
    for monitor in monitors() {
        let ports = ["-p", "127.0.0.1:4007:7/udp", "-p", "4080:80"];
        let child = start(monitor, &ports, "serve");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let guest = "127.0.0.1:4007".parse().expect("an address");
        echo(&socket, guest, b"there");
        assert!(!are_free());
        // The guest refuses the connection: that it ends at once shows that the SYN came there.
        let mut stream = TcpStream::connect("127.0.0.1:4080").expect("somebody listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let end = stream.read(&mut [0]);
        assert!(
            matches!(&end, Ok(0))
                || matches!(&end, Err(error) if error.kind() == ErrorKind::ConnectionReset),
            "{end:?}"
        );
        converse(child, guest, RELAY_BYTES);
        assert!(are_free(), "{monitor}");
        let mut killed = start(monitor, &ports, "serve");
        echo(&socket, guest, b"there");
        killed.kill();
        let start = Instant::now();
        while !are_free() {
            assert!(start.elapsed() < LIMIT, "{monitor} left a port behind");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn ports_that_cannot_be_had_say_what_to_do() {
    if !bare_namespace() {
        return;
    }
    let refused = |options: &[&str], advice: &[&str]| {
        let output = finish(command_for("process", options, "serve"), b"");
        let error = text(&output.stderr);
        assert!(
            output.status.code() == Some(125) && advice.iter().all(|advice| error.contains(advice)),
            "{error}"
        );
        assert!(are_free());
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    for forward in [format!("127.0.0.1:{port}:80"), format!("{port}:80")] {
        refused(
            &["-p", "4080:80", "-p", &forward],
            &[
                &format!("cannot listen on 127.0.0.1:{port} for -p {forward}"),
                &format!("grep :{port}"),
                "another port",
            ],
        );
    }
    refused(
        &["-p", "192.0.2.77:4000:80"],
        &["does not have this address"],
    );
}

fn command_for(monitor: &str, options: &[&str], case: &str) -> Command {
    let mut command = command(monitor, net_guest());
    command.args(options).args(["--", case]);
    command
}
