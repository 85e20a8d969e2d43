//! Preemption, timers and signals of code that computes: the application does the same things as an image, on every
//! monitor, and as an ordinary Linux program, and prints the same lines.

mod common;

use common::server::Server;
use common::{Ended, all_monitors, bespoke, command, monitors, scratch, text};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

const THREADS: &[&str] = &[
    "sleeper",
    "flag",
    "fair",
    "cancel",
    "kill",
    "registers",
    "calls",
    "locks",
    "receiver",
];
const TIMERS: &[&str] = &["alarms", "cpu-timers"];
const FAULTS: &[&str] = &[
    "details",
    "moved",
    "jumped",
    "once",
    "alternate",
    "overflow",
    "nested",
    "states",
    "inside",
];
const PAGES: &[&str] = &["closed", "repaired", "ticked"];
const QUEUE: &[&str] = &["queued", "raised", "full", "limited", "ignored", "late"];

/// The application, built by the host's compiler for the host.
fn native() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/interrupts");
        let program = scratch("interrupts").join("native");
        let files = ["main.c", "compute.c", "faults.c", "queue.c"].map(|name| sources.join(name));
        let mut compiler = Command::new("gcc");
        compiler.args(["-O1", "-pthread", "-o"]).arg(&program);
        let status = compiler.args(files).arg("-lm").status();
        assert!(status.expect("gcc starts").success());
        program
    })
}

fn on_linux(parts: &[&str]) -> Ended {
    common::feed(Command::new(native()).args(parts), "")
}

fn run(monitor: &str, parts: &[&str]) -> Ended {
    let mut arguments = vec!["run", "interrupts", "--monitor", monitor, "--"];
    arguments.extend(parts);
    bespoke(&arguments)
}

fn compare(monitor: &str, parts: &[&str]) {
    for part in parts {
        let expected = on_linux(&[part]).success();
        assert_eq!(
            run(monitor, &[part]).success(),
            expected,
            "{monitor} {part}"
        );
    }
}

#[test]
fn threads_share_the_processor_with_code_that_makes_no_call() {
    for monitor in all_monitors() {
        compare(monitor, THREADS);
    }
}

/// The monitor of processes lets it go on by single instructions until it comes back to the application.
#[test]
fn a_thread_that_only_allocates_loses_the_processor() {
    compare("process", &["heap"]);
}

#[test]
fn timers_send_signals_to_code_that_computes() {
    for monitor in all_monitors() {
        compare(monitor, TIMERS);
    }
}

#[test]
fn faults_run_handlers_that_see_and_change_registers() {
    for monitor in all_monitors() {
        compare(monitor, FAULTS);
        compare(monitor, PAGES);
    }
}

#[test]
fn signals_queue_with_what_came_with_them() {
    for monitor in all_monitors() {
        compare(monitor, QUEUE);
    }
}

/// With the signal blocked, and with a handler of another one.
#[test]
fn a_fault_that_nobody_handles_is_reported_as_before() {
    for monitor in all_monitors() {
        for (part, place) in [("blocked", "0x30"), ("plain", "0x38")] {
            let report = run(monitor, &[part]).failure(139);
            for word in [place, &format!("{part} at interrupts/faults.c:")] {
                assert!(report.contains(word), "{monitor} lacks {word:?}:\n{report}");
            }
        }
    }
}

/// With a handler and without, by the first signal.
#[test]
fn a_signal_of_the_user_ends_a_program_that_computes() {
    for monitor in all_monitors() {
        for (part, status, rest) in [("terminated", 3, "signal 15\n"), ("spinning", 143, "")] {
            let (mut child, mut output) = computing(monitor, part);
            thread::sleep(Duration::from_millis(50));
            // SAFETY: our own child, not reaped yet.
            assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
            let start = Instant::now();
            let ended = loop {
                match child.try_wait().expect("our child") {
                    Some(status) => break status,
                    None if start.elapsed() > Duration::from_secs(20) => {
                        child.kill().expect("a running child");
                        panic!("{monitor} {part}: the signal never came");
                    }
                    None => thread::sleep(Duration::from_millis(5)),
                }
            };
            assert_eq!(ended.code(), Some(status), "{monitor} {part}");
            let mut said = String::new();
            output.read_to_string(&mut said).expect("text");
            assert_eq!(said, rest, "{monitor} {part}");
        }
    }
}

/// An application that computes, once it has said so.
fn computing(monitor: &str, part: &str) -> (Child, ChildStdout) {
    let mut child = command(&["run", "interrupts", "--monitor", monitor, "--", part])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut output = child.stdout.take().expect("a pipe");
    let expected = format!("{part}:\ncomputing\n");
    let mut line = vec![0; expected.len()];
    output.read_exact(&mut line).expect("a line");
    assert_eq!(line, expected.as_bytes(), "{monitor} {part}");
    (child, output)
}

/// All by which programs are told what to do from outside, one after the other.
#[test]
fn signals_of_the_user_reach_their_handlers() {
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGTERM,
        libc::SIGQUIT,
    ];
    for monitor in all_monitors() {
        let (mut child, mut output) = computing(monitor, "outside");
        for signal in signals {
            // SAFETY: our own child, not reaped yet.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
            let expected = format!("signal {signal}\n");
            let mut line = vec![0; expected.len()];
            output.read_exact(&mut line).expect("a line");
            assert_eq!(String::from_utf8_lossy(&line), expected, "{monitor}");
        }
        let status = child.wait().expect("our child");
        assert_eq!(status.code(), Some(0), "{monitor}");
    }
}

/// A signal that ends nothing may come again before the application takes it. One that it does not handle ends it.
#[test]
fn a_signal_that_comes_twice_is_taken_once() {
    for monitor in all_monitors() {
        let (mut child, mut output) = computing(monitor, "twice");
        for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2].repeat(3) {
            // SAFETY: our own child, not reaped yet.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        }
        let mut said = String::new();
        output.read_to_string(&mut said).expect("text");
        // Each interrupts the handler of the one before, as on Linux.
        assert_eq!(said, "signal 12\nsignal 10\nsignal 1\nover\n", "{monitor}");
        let status = child.wait().expect("our child");
        assert_eq!(status.code(), Some(0), "{monitor}");
        for signal in [libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2] {
            let (mut child, _output) = computing(monitor, "spinning");
            // SAFETY: our own child, not reaped yet.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
            let status = child.wait().expect("our child");
            assert_eq!(status.code(), Some(128 + signal), "{monitor}");
        }
    }
}

/// What the library OS and the heaps share with the application may be interrupted by its caller alone, which is known only
/// while these functions leave the stack alone.
#[test]
fn functions_that_the_library_os_shares_leave_the_stack_alone() {
    let image = scratch("interrupts-shared").join("image");
    bespoke(&["build", "interrupts", "-o", text(&image)]).success();
    let debug = format!("{}.debug", text(&image));
    let symbols = Command::new("nm").arg(&debug).output().expect("nm starts");
    let symbols = String::from_utf8(symbols.stdout).expect("text");
    let address = |name: &str| {
        let line = symbols
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")));
        let line = line.unwrap_or_else(|| panic!("no symbol {name}"));
        u64::from_str_radix(line.split(' ').next().expect("an address"), 16).expect("a number")
    };
    let range = |part: &str| {
        address(&format!("bespoke_{part}_start"))..address(&format!("bespoke_{part}_end"))
    };
    let (shared, interruptible) = (range("shared"), range("interruptible"));
    for name in ["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"] {
        assert!(shared.contains(&address(name)), "{name}");
    }
    for name in ["main", "spin", "pthread_mutex_lock", "fmod"] {
        assert!(interruptible.contains(&address(name)), "{name}");
    }
    for name in [
        "bespoke_syscall",
        "bespoke_interrupt",
        "malloc",
        "free",
        "__errno_location",
    ] {
        let at = address(name);
        assert!(
            !interruptible.contains(&at) && !shared.contains(&at),
            "{name}"
        );
    }
    let code = Command::new("objdump")
        .args([
            "-d",
            "--no-show-raw-insn",
            &format!("--start-address={}", shared.start),
        ])
        .args([&format!("--stop-address={}", shared.end), text(&image)])
        .output()
        .expect("objdump starts");
    let code = String::from_utf8(code.stdout).expect("text");
    assert!(code.contains("ret"), "{code}");
    for line in code.lines() {
        for word in ["push", "pop", "call", "sp"] {
            let instruction = line.split('\t').nth(1).unwrap_or("");
            assert!(!instruction.contains(word), "{line}");
        }
    }
}

/// Its threads wait for each other without a call, as soon as many clients are busy at once.
#[test]
fn redis_serves_with_threads_for_input_and_output() {
    const CLIENTS: usize = 24;
    const COMMANDS: usize = 20;
    for monitor in monitors() {
        let settings = scratch(&format!("io-threads-{monitor}")).join("redis.conf");
        let lines =
            "bind * -::*\nprotected-mode no\nsave \"\"\nio-threads 4\nio-threads-do-reads yes\n";
        fs::write(&settings, lines).expect("a file");
        let file = format!("{}=/etc/redis.conf", text(&settings));
        let line = ["redis", "--monitor", monitor, "--file", &file];
        let mut server = Server::start(&line, 6379, &["/etc/redis.conf"]);
        let clients: Vec<_> = (0..CLIENTS).map(|_| server.connect("PING\r\n")).collect();
        thread::scope(|scope| {
            for (number, mut client) in clients.into_iter().enumerate() {
                scope.spawn(move || {
                    assert_eq!(client.line(), "+PONG");
                    let key = format!("key:{number}").into_bytes();
                    for command in 0..COMMANDS {
                        let value = vec![b'a' + command as u8; 1000];
                        assert_eq!(client.redis(&[b"SET", &key, &value]), b"+OK");
                        assert_eq!(client.redis(&[b"GET", &key]), value);
                    }
                });
            }
        });
        let mut last = server.connect("PING\r\n");
        assert_eq!(last.line(), "+PONG");
        last.send(b"SHUTDOWN NOSAVE\r\n");
        assert_eq!(server.ended(), Some(0), "{monitor}");
    }
}
