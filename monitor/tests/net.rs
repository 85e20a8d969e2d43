//! The network of a guest: through TAP devices in network namespaces of these tests' own.
//!
//! `net.c` answers ARP, echoes UDP on port 7 and ends when told "quit".

#[expect(dead_code, reason = "every test file uses its part")]
mod common;

use common::{command, compile, finish, text};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const MONITORS: [&str; 1] = ["process"];
const GUEST: &str = "10.99.0.2:7";
const TAP: &str = "bespoke0,address=10.99.0.2/24,gateway=10.99.0.1";
const LIMIT: Duration = Duration::from_secs(30);

/// The guest, compiled once.
fn net_guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| compile("net", &["net.c", "link.c"]))
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

fn start(monitor: &str, options: &[&str], case: &str) -> Child {
    let mut command = command(monitor, net_guest());
    command.args(options).args(["--", case]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver runs")
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
            assert!(waiting.contains(&error.kind()), "{error}");
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
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::HostUnreachable
                ),
                "{error}"
            ),
        }
    }
    panic!("no answer to {} bytes", message.len());
}

/// Echoes several sizes, then ends the guest.
fn converse(child: Child, guest: SocketAddr) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    for bytes in [5, 1, 600, 1472] {
        let message: Vec<u8> = (0..bytes).map(|n| (n * 7) as u8).collect();
        echo(&socket, guest, &message);
    }
    let end = finish_after(child, || drop(socket.send_to(b"quit", guest)));
    assert_eq!(end.status.code(), Some(0), "{}", text(&end.stderr));
}

/// Repeats `poke` until the child ends.
fn finish_after(mut child: Child, poke: impl Fn()) -> std::process::Output {
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > LIMIT {
            child.kill().expect("a running child");
            panic!("the guest does not end: {:?}", child.wait_with_output());
        }
        poke();
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("its output")
}

#[test]
fn a_tap_of_our_making_carries_frames_and_is_gone_afterwards() {
    if !own_namespace() {
        return;
    }
    for monitor in MONITORS {
        let child = start(monitor, &["--tap", TAP], "serve");
        converse(child, GUEST.parse().expect("an address"));
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
    for (monitor, kind) in MONITORS
        .iter()
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
        );
        assert!(ip("link show bespoke0") && ip("link delete bespoke0"));
    }
}

#[test]
fn a_killed_monitor_leaves_neither_guest_nor_device() {
    if !own_namespace() {
        return;
    }
    for monitor in MONITORS {
        let mut child = start(monitor, &["--tap", TAP], "serve");
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        echo(&socket, GUEST.parse().expect("an address"), b"there");
        child.kill().expect("a running child");
        child.wait().expect("an end");
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
    first.kill().expect("a running child");
    first.wait().expect("an end");
}

#[test]
fn a_guest_without_a_network_is_told_so_and_one_with_may_use_that_descriptor_alone() {
    if !own_namespace() {
        return;
    }
    let none = finish(command_for("process", &[], "serve"), b"");
    assert_eq!(text(&none.stdout), "no network\n");
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

fn command_for(monitor: &str, options: &[&str], case: &str) -> Command {
    let mut command = command(monitor, net_guest());
    command.args(options).args(["--", case]);
    command
}
