//! What calls answer, in an image and on Linux: one program makes them, and every line that it prints must be the same
//! in both (`apps/calls`). So an observation more is a line more in one of its C files.

mod common;

use common::{bespoke, command, feed, monitors};
use std::process::Command;

/// Observations that an image refuses with an error where Linux does them, by how their lines begin. Nothing else may
/// differ but the number of an error.
const REFUSED: &[&str] = &[
    // A queue has no position.
    "queue_messages: lseek(queue, 0, SEEK_SET)",
    // There are no children, no other users and no real-time processes.
    "schedulers: S(sched_setscheduler, 0, SCHED_FIFO",
    "prctl: prctl(PR_CAP_AMBIENT",
    "limits: set(RLIMIT_NICE",
    // The clock is the host's.
    "clocks: S(settimeofday",
    // Time stamps, errors and headers of datagrams are not delivered; data in pieces is not put together.
    "peeking: send(c, \"a\", 1, MSG_MORE)",
    "packet_info: send_control(s, &client, sizeof client, IPPROTO_IP, IP_TTL, &ttl",
    "sockets: close(socket(AF_INET, SOCK_STREAM, 262))",
    "epolls: epoll_wait(epoll, 0, 1, 0)",
    // There are no extended attributes.
    "extended_attributes: ",
    "states: S(process_vm_readv",
];

/// What Linux before 6.6 refuses, in part before 6.0.
const NEWER: &[&str] = &[
    "epolls: lseek",
    "counters: lseek",
    "timer_files: lseek",
    "rights: S(fchmodat2",
];

/// Lines that follow from a refusal above, or tell of the machine: not compared.
const OF_THE_MACHINE: &[&str] = &[
    "peeking: recv(s, buffer, 4, MSG_DONTWAIT)",
    "transfers: left",
    "extended_attributes: listxattr(\"file\", value, 3)",
    "limits: get(RLIMIT_NICE",
];

/// Options of which an image takes nothing but "off", because their effect would be missed: it refuses what Linux sets.
const OPTIONS: &[&str] = &[
    "SO_TIMESTAMP",
    "SO_RCVLOWAT",
    "SO_RXQ_OVFL",
    "TCP_SAVE_SYN",
    "TCP_TIMESTAMP",
    "TCP_INQ",
    "IP_RECVTOS",
    "IP_RECVTTL",
    "IP_RECVERR",
    "IP_MINTTL",
    "IPPROTO_ICMP",
    "IPPROTO_IP 99",
    "UDP_CORK",
];

/// Options whose first value is a size that the system chose.
const SIZES: &[&str] = &["SO_SNDBUF 20000", "SO_RCVBUF 20000"];

fn begins(line: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| line.starts_with(start))
}

fn is_error(line: &str) -> bool {
    line.contains(" = error ")
}

/// The part of a line about an option that is compared.
fn option_part(line: &str) -> &str {
    match line.split_once(": get ") {
        Some((_, told)) if SIZES.iter().any(|size| line.contains(size)) => {
            told.split_once(", set ").map_or(told, |(_, rest)| rest)
        }
        _ => line,
    }
}

/// Whether the image refuses to set an option, or does with it what Linux does: only the value before may be another one,
/// for what was refused earlier is missing in it.
fn refuses_to_set(linux: &str, image: &str) -> bool {
    match (linux.split_once(", set "), image.split_once(", set ")) {
        (Some((_, linux)), Some((_, image))) => linux == image || !image.starts_with("0,"),
        _ => false,
    }
}

/// Whether an image that prints `image` answers as Linux, which prints `linux`.
fn agrees(linux: &str, image: &str) -> bool {
    linux == image
        || begins(linux, OF_THE_MACHINE)
        || is_error(linux) && is_error(image)
        || is_error(image) && begins(image, REFUSED)
        || is_error(linux) && begins(linux, NEWER)
        || option_part(linux) == option_part(image)
        || linux.contains("_options: ")
            && OPTIONS.iter().any(|option| linux.contains(option))
            && refuses_to_set(linux, image)
        // A file that an image has is the same file; those it has not are missing.
        || linux.starts_with("proc: /") && (image.contains(": stat 2,") || image.contains(" open 13,") || image.contains(" open 2,"))
        || linux.starts_with("proc: /proc/self/cwd")
        || linux.starts_with("proc: /proc/self/root")
        || linux.starts_with("proc: /dev/stdin")
        || linux.starts_with("proc: readlink") && image.ends_with("none 2")
        || linux.starts_with("proc_links: open(\"/proc/self/stat\", O_WRONLY") && is_error(image)
        || linux.starts_with("proc_links: chdir(\"/proc/self\")") && is_error(image)
        || linux.starts_with("proc_links: again")
}

/// Whether this process may do what an image may: its network and its priority are its own.
fn has_rights() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_NICE: u64 = 1 << 23;
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux machine");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok());
    effective.is_some_and(|rights| rights & (NET_ADMIN | SYS_NICE) == NET_ADMIN | SYS_NICE)
}

#[test]
fn calls_answer_as_on_linux() {
    if !has_rights() {
        eprintln!(
            "skipped: an image is root of itself, and here Linux refuses what it lets root do"
        );
        return;
    }
    let program = bespoke(&["build", "calls", "--native"]).success();
    let program = program.trim();
    compare(program, &[], 4000);
    // The process can do next to nothing afterwards.
    compare(program, &["capabilities"], 50);
}

/// What the native `program` and an image print with `arguments`, `least` lines at least.
fn compare(program: &str, arguments: &[&str], least: usize) {
    let native = feed(Command::new(program).args(arguments), "").success();
    let expected: Vec<&str> = native.lines().collect();
    assert!(expected.len() > least, "{}", expected.len());
    for monitor in monitors() {
        let mut image = command(&["run", "calls", "--monitor", monitor, "--"]);
        let told = feed(image.args(arguments), "").success();
        let told: Vec<&str> = told.lines().collect();
        let pairs = expected.iter().zip(&told);
        let wrong: Vec<String> = pairs
            .filter(|(linux, image)| !agrees(linux, image))
            .map(|(linux, image)| format!("Linux: {linux}\nimage: {image}"))
            .collect();
        assert!(wrong.is_empty(), "{monitor}:\n{}", wrong.join("\n"));
        assert_eq!(expected.len(), told.len(), "{monitor}");
    }
}
