//! Threads, waiting and events in real images, on every monitor. The application checks itself;
//! here it is started, and its ways to end are read.

mod common;

use common::{all_monitors, bespoke, command};
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

fn run(monitor: &str, part: &[&str]) -> common::Ended {
    let mut arguments = vec!["run", "threads", "--monitor", monitor, "--"];
    arguments.extend(part);
    bespoke(&arguments)
}

#[test]
fn every_part_of_the_thread_test_is_right() {
    for monitor in all_monitors() {
        let told = run(monitor, &[]).success();
        let right = told.lines().filter(|line| line.ends_with(": right"));
        assert_eq!(right.count(), 15, "{monitor}: {told}");
    }
}

#[test]
fn a_stack_that_overflows_meets_its_guard() {
    for monitor in all_monitors() {
        let report = run(monitor, &["overflow"]).failure(139);
        for word in ["stack overflow", "descend at threads/threads.c:"] {
            assert!(report.contains(word), "{monitor} lacks {word:?}:\n{report}");
        }
    }
}

#[test]
fn a_deadlock_names_who_waits_for_what() {
    for monitor in all_monitors() {
        let report = run(monitor, &["deadlock"]).failure(134);
        for word in [
            "deadlock",
            "thread 1 waits for the futex at",
            "deadlock at threads/threads.c:",
            "thread 2 (locker) waits for the futex at",
            "lock_mutex at threads/threads.c:",
        ] {
            assert!(report.contains(word), "{monitor} lacks {word:?}:\n{report}");
        }
    }
}

#[test]
fn an_image_lives_as_long_as_its_last_thread() {
    for monitor in all_monitors() {
        assert_eq!(run(monitor, &["leave"]).success(), "the last thread ends\n");
    }
}

/// With a heap that frees and with one that does not.
#[test]
fn memory_for_stacks_runs_out_and_comes_back() {
    for monitor in all_monitors() {
        for heap in ["stack=region", "stack=tlsf"] {
            let run = &[
                "run",
                "threads",
                "--monitor",
                monitor,
                "--heap",
                heap,
                "--",
                "exhaust",
            ];
            assert_eq!(
                bespoke(run).success(),
                "exhaust: right\n",
                "{monitor} {heap}"
            );
        }
    }
}

/// The input comes only after the other thread has written what it had to.
#[test]
fn a_thread_that_reads_the_console_lets_others_run() {
    for monitor in all_monitors() {
        let run = &["run", "threads", "--monitor", monitor, "--", "console"];
        let mut child = command(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut dots = [0; 3];
        output.read_exact(&mut dots).expect("dots before the input");
        assert_eq!(&dots, b"...", "{monitor}");
        input.write_all(b"a line\n").expect("the image reads");
        drop(input);
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "console: right\n", "{monitor}");
        assert!(child.wait().expect("it ends").success(), "{monitor}");
    }
}

#[test]
fn a_signal_that_comes_right_before_a_wait_ends_it() {
    for monitor in all_monitors() {
        let run = &["run", "threads", "--monitor", monitor, "--", "late"];
        let mut child = command(run)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut output = child.stdout.take().unwrap();
        let mut line = [0; 10];
        output.read_exact(&mut line).expect("a line");
        assert_eq!(&line, b"computing\n", "{monitor}");
        // SAFETY: our own child, not reaped yet.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
        let start = Instant::now();
        while child.try_wait().expect("our child").is_none() {
            if start.elapsed() > Duration::from_secs(30) {
                child.kill().expect("a running child");
                panic!("{monitor}: the signal is lost");
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "late: right\n", "{monitor}");
    }
}
