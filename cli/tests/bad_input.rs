//! What the user gets wrong, and what the machine lacks: one clear error, a non-zero exit status, and
//! nothing lost.

mod common;

use common::{bespoke, command, feed, monitors, scratch, text};
use std::fs;
use std::io;
use std::process::Stdio;

/// What went to another place says where it is now.
#[test]
fn a_command_that_was_removed_says_what_to_do() {
    let error = bespoke(&["results", "--quick"]).failure(2);
    assert!(error.contains("make results"), "{error}");
    let other = bespoke(&["result"]).failure(2);
    assert!(!other.contains("make results"), "{other}");
}

/// No value of an option begins like an option, so clap's own advice is not given; the memory of a measurement is the recipe's.
#[test]
fn unknown_options_get_the_advice_that_fits() {
    let error = bespoke(&["bench", "hello", "-m", "4M"]).failure(2);
    assert!(error.contains("`memory` in the app's recipe"), "{error}");
    let error = bespoke(&["tune", "hello", "--nonsense"]).failure(2);
    assert!(!error.contains("-- --nonsense"), "{error}");
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    for (line, name, nearest) in [
        (&["build", "sqlit"][..], "app named \"sqlit\"", "sqlite"),
        (&["run", "helo"], "app named \"helo\"", "hello"),
        (
            &["build", "hello", "--heap", "tslf"],
            "heap named \"tslf\"",
            "tlsf",
        ),
        (
            &["run", "hello", "--heap", "libos=tal"],
            "heap named \"tal\"",
            "talc",
        ),
        (
            &["build", "hello", "--heap", "lib=talc"],
            "component named \"lib\"",
            "libos",
        ),
    ] {
        let error = bespoke(line).failure(2);
        assert!(
            error.contains(name) && error.contains(&format!("did you mean \"{nearest}\"?")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn who_measures_is_told_where_memory_is_set() {
    for line in [
        &["bench", "redis", "-m", "1G"][..],
        &["bench", "redis", "-m1G"],
        &["tune", "redis", "--for", "boot", "--memory=1G"],
    ] {
        let error = bespoke(line).failure(2);
        assert!(error.contains("unexpected argument"), "{error}");
        assert!(error.contains("`memory` in the app's recipe"), "{error}");
        assert!(!error.contains("-- -"), "{error}");
    }
    // What is no value of anything is not said to be one.
    let error = bespoke(&["bench", "redis", "--heap", "tlsf"]).failure(2);
    assert!(error.contains("'--heaps'"), "{error}");
    let error = bespoke(&["replay", "-x"]).failure(2);
    assert!(
        error.contains("'-x'") && !error.contains("-- -x"),
        "{error}"
    );
}

#[test]
fn parameters_are_checked_by_what_the_heap_declares() {
    for (heap, reason) in [
        (
            "tlsf:x=4",
            "tlsf has no parameter \"x\"; it has fl, sl, run",
        ),
        ("mimalloc:purge_dely=4", "did you mean \"purge_delay\"?"),
        (
            "buddy:run=4K",
            "buddy has no parameter \"run\"; it has huge",
        ),
        ("libos=tlsf:huge=off", "set huge with the heap of app"),
        ("tlsf:huge=0", "huge is off or on"),
        ("tlsf:sl=5", "sl is 2 to 64, a power of two"),
        ("net=talc:trim=1", "trim is 16K to 4M, a power of two"),
    ] {
        let error = bespoke(&["build", "hello", "--heap", heap]).failure(2);
        assert!(error.contains(reason), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let list = bespoke(&["heaps", "--parameters"]).success();
    for words in ["purge_delay", "256K to 4M", "off or on"] {
        assert!(list.contains(words), "{list}");
    }
}

#[test]
fn sizes_of_memory_that_cannot_be_are_refused() {
    bespoke(&["build", "hello"]).success();
    for (size, status) in [
        ("0", 2),
        ("0G", 2),
        ("lots", 2),
        ("99999999999G", 2),
        ("1G1", 2),
        ("4096", 125),
        ("100000G", 125),
    ] {
        for monitor in monitors() {
            let error =
                bespoke(&["run", "hello", "-m", size, "--monitor", monitor]).failure(status);
            assert_eq!(error.lines().count(), 1, "{size} on {monitor}: {error}");
        }
    }
}

#[test]
fn files_that_are_no_images_are_refused() {
    let folder = scratch("no-images");
    let image = folder.join("whole");
    bespoke(&["build", "hello", "-o", text(&image)]).success();
    let whole = fs::read(&image).unwrap();
    let cases = [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\necho no image\n".to_vec()),
        ("header", whole[..64].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("program", fs::read("/bin/true").unwrap()),
    ];
    for (name, content) in cases {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        for monitor in monitors() {
            let error = bespoke(&["run", text(&path), "--monitor", monitor]).failure(125);
            assert!(error.contains(text(&path)), "{name}: {error}");
        }
    }
    let error = bespoke(&["run", text(&folder.join("absent"))]).failure(125);
    assert!(error.contains("absent"), "{error}");
}

#[test]
fn a_missing_host_file_ends_the_run_before_it_begins() {
    let folder = scratch("missing");
    let file = format!("{}=/x", text(&folder.join("absent")));
    let ended = bespoke(&["run", "hello", "--file", &file]);
    assert!(ended.out.is_empty());
    assert!(ended.failure(125).contains("absent"));
    let out = format!("/x={}", text(&folder.join("no/such/folder/x")));
    let ended = bespoke(&["run", "hello", "--out", &out]);
    assert!(ended.out.is_empty());
    assert!(ended.failure(125).contains("no/such/folder"));
}

#[test]
fn a_file_the_image_never_made_leaves_the_host_as_it_was() {
    let folder = scratch("never-made");
    let host = folder.join("kept");
    fs::write(&host, "kept").unwrap();
    let error =
        bespoke(&["run", "hello", "--out", &format!("/absent={}", text(&host))]).failure(125);
    assert!(error.contains("/absent"), "{error}");
    assert_eq!(fs::read_to_string(&host).unwrap(), "kept");
}

#[test]
fn a_wrong_download_is_refused_with_both_hashes() {
    let folder = scratch("wrong-hash");
    let sources = folder.join("sources");
    fs::create_dir(&sources).unwrap();
    fs::write(sources.join("musl-1.2.3.tar.gz"), "not musl").unwrap();
    let mut fetch = command(&["build", "hello"]);
    fetch
        .env("BESPOKE_CACHE", folder.join("cache"))
        .env("BESPOKE_SOURCES", &sources);
    let error = feed(&mut fetch, "").failure(1);
    assert!(
        error.contains("7d5b0b6062521e4627e099e4c9dc8248d32a30285e959b7eecaa780cf8cfd4a4"),
        "{error}"
    );
    assert!(error.contains("musl-1.2.3.tar.gz"), "{error}");
}

#[test]
fn a_home_without_sources_is_named() {
    let folder = scratch("no-home");
    let error = feed(
        command(&["build", "hello"]).env("BESPOKE_HOME", &folder),
        "",
    )
    .failure(1);
    assert!(
        error.contains(text(&folder)) && error.contains("BESPOKE_HOME"),
        "{error}"
    );
}

#[test]
fn without_kvm_a_run_says_so_and_goes_on_as_a_process() {
    bespoke(&["build", "hello"]).success();
    let mut run = command(&["run", "hello"]);
    let ended = feed(run.env("BESPOKE_KVM_DEVICE", "/dev/no-kvm-here"), "");
    assert!(
        ended.err.contains("/dev/no-kvm-here") && ended.err.contains("process"),
        "{ended:?}"
    );
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    assert_eq!(ended.success(), "Hello from a Bespoke image.\n");
    let mut run = command(&["run", "hello", "--monitor", "kvm"]);
    feed(run.env("BESPOKE_KVM_DEVICE", "/dev/no-kvm-here"), "").failure(125);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for line in [
        &["heaps"][..],
        &["heaps", "--json"],
        &["apps"],
        &["--help"],
        &["--version"],
    ] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let child = command(line)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let output = child.wait_with_output().expect("the command ends");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &messages[..]),
            (Some(0), ""),
            "{line:?}"
        );
    }
}
