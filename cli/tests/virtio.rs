//! The console and entropy devices of our own virtual machine, driven by an image (`--monitor kvm-virtio`).
//!
//! There the monitor refuses to read and write the console by hypercall, and gives a seed of zeros: what comes out
//! came through the devices.

mod common;

use common::server::Server;
use common::{bespoke, command, feed, scratch, text};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const MONITOR: [&str; 2] = ["--monitor", "kvm-virtio"];

/// Whether there is a KVM to test with; says so where there is none.
fn has_kvm() -> bool {
    let probe = bespoke_monitor::probe_kvm();
    if let Err(error) = &probe {
        eprintln!("not tested without kvm: {error}");
    }
    probe.is_ok()
}

/// More than a buffer of the device each way, all bytes a program can be given, and the end of the input.
#[test]
fn sqlite_reads_and_writes_the_console_device() {
    if !has_kvm() {
        return;
    }
    let mut sqlite = command(&[&["run"], &MONITOR[..], &["sqlite"]].concat());
    let words = "\u{4}\u{16}\u{16}\u{4}x".repeat(4000);
    let input = format!("select length('{words}');\nselect '{words}';\nselect * from missing;\n");
    let ended = feed(&mut sqlite, &input);
    assert!(ended.out == format!("20000\n{words}\n"), "other bytes");
    assert!(ended.err.contains("no such table: missing"), "{ended:?}");
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

/// Each answer comes before the next question, so that the image sleeps in between and input wakes it.
#[test]
fn sqlite_answers_a_question_at_a_time() {
    if !has_kvm() {
        return;
    }
    let mut child = command(&[&["run"], &MONITOR[..], &["sqlite"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for number in 0..20 {
        writeln!(stdin, "select {number} * 2;").expect("the image reads");
        let answer = answers.next().expect("an answer").expect("text");
        assert_eq!(answer, (number * 2).to_string());
    }
    stdin.write_all(b".exit 7\n").expect("the image reads");
    assert_eq!(child.wait().expect("a child").code(), Some(7));
}

#[test]
fn every_start_has_its_seed_from_the_entropy_device() {
    if !has_kvm() {
        return;
    }
    let draw = || {
        let question = "select hex(randomblob(32));";
        bespoke(
            &[
                &["run"],
                &MONITOR[..],
                &["sqlite", "--", ":memory:", question],
            ]
            .concat(),
        )
        .success()
    };
    let drawn = [draw(), draw()];
    assert_eq!(drawn[0].trim().len(), 64, "{drawn:?}");
    assert_ne!(drawn[0], drawn[1]);
}

/// All three devices at once; the log goes to the console.
#[test]
fn redis_serves_beside_the_console_device() {
    if !has_kvm() {
        return;
    }
    let mut server = Server::start(&[&["redis"], &MONITOR[..]].concat(), 6379, &[]);
    let mut client = server.connect("PING\r\n");
    assert_eq!(client.line(), "+PONG");
    assert_eq!(client.redis(&[b"SET", b"k", b"v"]), b"+OK");
    client.send(b"SHUTDOWN NOSAVE\r\n");
    let (out, _) = server.said();
    assert!(out.contains("User requested shutdown"), "{out}");
    assert_eq!(server.ended(), Some(0));
}

/// Little memory, files out, and reports of a crash are as without the devices.
#[test]
fn images_end_as_ever() {
    if !has_kvm() {
        return;
    }
    let run = |more: &[&str]| bespoke(&[&["run"], &MONITOR[..], more].concat());
    assert_eq!(
        run(&["-m", "2M", "hello"]).success().trim(),
        "Hello from a Bespoke image."
    );
    let file = scratch("virtio-out").join("x.db");
    let out = format!("/x.db={}", text(&file));
    run(&["--out", &out, "sqlite", "--", "/x.db", "create table t(x);"]).success();
    assert!(
        fs::read(file)
            .expect("a file")
            .starts_with(b"SQLite format 3")
    );
    let report = run(&["crash", "--", "null"]).failure(139);
    assert!(report.contains("null"), "{report}");
}
