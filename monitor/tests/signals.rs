//! Signals by which the user ends a run: an image that takes them ends by itself, any other at once, and a second
//! one always works.

#[expect(dead_code, reason = "every test file uses its part")]
mod common;

use common::{command, compile, monitors, text};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

fn taking() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| compile("signals", &["-DNOTE_FLAGS=1", "signals.c"]))
}

fn refusing() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| compile("no-signals", &["signals.c"]))
}

/// A guest that has said that it is ready.
fn ready(monitor: &str, image: &Path, case: &str) -> Child {
    let mut driver = command(monitor, image);
    driver
        .args(["--", case])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: `signal` is one system call, and SIG_DFL is no function.
    unsafe {
        // As a terminal's commands have them, though a shell may ignore them for these tests.
        driver.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut child = driver.spawn().expect("the driver runs");
    let mut line = [0; 6];
    child
        .stdout
        .as_mut()
        .expect("piped")
        .read_exact(&mut line)
        .expect("a line");
    assert_eq!(&line, b"ready\n");
    child
}

fn send(child: &Child, signal: i32) {
    // SAFETY: our own child, not reaped yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

fn end(mut child: Child) -> std::process::Output {
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > LIMIT {
            child.kill().expect("a running child");
            panic!("the guest does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("its output")
}

#[test]
fn an_image_that_takes_signals_ends_by_itself() {
    for (monitor, case) in monitors()
        .into_iter()
        .flat_map(|monitor| [(monitor, "take"), (monitor, "read")])
    {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            // Soon and late: before it sleeps, and while it does.
            for pause in [0, 30] {
                let child = ready(monitor, taking(), case);
                std::thread::sleep(Duration::from_millis(pause));
                send(&child, signal);
                let output = end(child);
                assert_eq!(
                    output.status.code(),
                    Some(7),
                    "{monitor} {case}: {}",
                    text(&output.stderr)
                );
                assert_eq!(text(&output.stdout), (1u64 << (signal - 1)).to_string());
            }
        }
    }
}

#[test]
fn a_second_signal_ends_an_image_that_does_not_listen() {
    for monitor in monitors() {
        let child = ready(monitor, taking(), "deaf");
        send(&child, libc::SIGINT);
        std::thread::sleep(Duration::from_millis(50));
        send(&child, libc::SIGINT);
        assert_eq!(end(child).status.signal(), Some(libc::SIGINT), "{monitor}");
    }
}

#[test]
fn an_image_that_takes_none_ends_at_once() {
    for monitor in monitors() {
        let child = ready(monitor, refusing(), "deaf");
        send(&child, libc::SIGTERM);
        assert_eq!(end(child).status.signal(), Some(libc::SIGTERM), "{monitor}");
    }
}
