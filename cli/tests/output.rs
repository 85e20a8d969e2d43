//! Output that cannot be written: a reader that has seen enough ends nothing and is no failure, a full disk is one.

mod common;

use common::{Ended, command, scratch, text};
use std::fs::{self, File};
use std::io;
use std::process::{Command, Stdio};

/// A pipe that nobody reads any more.
fn unread() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn end(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    Ended {
        status: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const PRINTS: [&[&str]; 8] = [
    &["heaps"],
    &["heaps", "tlsf"],
    &["heaps", "--parameters"],
    &["heaps", "--json"],
    &["apps"],
    &["run", "--help"],
    &["trace", "--help"],
    &["--help"],
];

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for line in PRINTS {
        let ended = end(command(line).stdout(unread()));
        assert_eq!((ended.status, &ended.err[..]), (Some(0), ""), "{line:?}");
    }
}

#[test]
fn the_status_is_that_of_the_command_whoever_reads() {
    let line = ["heaps", "tslf"];
    let ended = end(command(&line).stdout(unread()).stderr(unread()));
    assert_eq!(ended.status, Some(2));
    // A run that cannot be read is told of on standard error, after the table.
    let runs = scratch("output-runs");
    fs::create_dir(runs.join("broken")).expect("a folder");
    fs::write(runs.join("broken/state.json"), "no state").expect("a file");
    let ps = || {
        let mut ps = command(&["ps"]);
        ps.env("BESPOKE_RUNS", text(&runs));
        ps
    };
    let ended = end(&mut ps());
    assert!(ended.err.contains("cannot be read"), "{ended:?}");
    let ended = end(ps().stderr(unread()));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.success().contains("broken"));
}

#[test]
fn a_disk_that_is_full_is_a_failure() {
    let full = || {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("it is there")
    };
    for (line, status) in [
        (&["heaps"][..], 1),
        (&["heaps", "--json"], 1),
        (&["run", "--help"], 125),
    ] {
        let error = end(command(line).stdout(full())).failure(status);
        assert!(
            error.contains("cannot write to standard output: No space left"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
