//! What others may have left where the command looks: text that a terminal would obey, files that are none, full disks.

mod common;

use common::{Ended, command, feed, scratch, text};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// Runs `bespoke`, and fails where it waits for ever.
fn ends(arguments: &[&str], variables: &[(&str, &Path)]) -> Ended {
    let bespoke = command(arguments);
    let mut limited = Command::new("timeout");
    limited.arg("60").arg(bespoke.get_program());
    limited.args(arguments).env_remove("RUSTFLAGS");
    limited.envs(variables.iter().copied());
    let ended = feed(&mut limited, "");
    assert_ne!(
        ended.status,
        Some(124),
        "{arguments:?} does not end: {ended:?}"
    );
    ended
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo is part of coreutils").success());
}

fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
}

#[test]
fn a_state_file_cannot_speak_to_the_terminal() {
    let runs = scratch("foreign-state");
    let evil = "\u{1b}]0;title\u{7}\u{9b}2J\nother  line";
    let state = serde_json::json!({
        "target": evil, "image": "/x", "monitor": evil, "memory_bytes": 1, "ports": [evil], "detached": true,
        "started_ms": 0, "phase": { "exited": { "status": 0, "at_ms": 0 } },
    });
    let write = |name: &str, text: &str| {
        fs::create_dir(runs.join(name)).expect("a folder");
        fs::write(runs.join(name).join("state.json"), text).expect("a file");
    };
    write("evil", &state.to_string());
    write("worse", &format!("{{\"{evil}\": 1}}"));
    write(
        "worst",
        &state.to_string().replace("\"image\"", "\"\\u001b[2J\""),
    );
    let runs = [("BESPOKE_RUNS", runs.as_path())];
    let listed = ends(&["ps"], &runs);
    assert!(is_plain(&listed.out) && is_plain(&listed.err), "{listed:?}");
    assert!(listed.out.contains("\\u{1b}]0;title"), "{listed:?}");
    assert_eq!(listed.out.lines().count(), 4, "{listed:?}");
    let listed = ends(&["ps", "--json"], &runs).success();
    assert!(is_plain(&listed), "{listed:?}");
    let values: Vec<serde_json::Value> = serde_json::from_str(&listed).expect("JSON");
    assert!(
        listed.contains("\\u009b2J") && values.len() == 3,
        "{listed}"
    );
    let error = ends(&["logs", "nobody\u{1b}[2J"], &runs).failure(2);
    assert!(is_plain(&error), "{error:?}");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = scratch("no-files");
    let (pipe, socket, root) = (
        folder.join("fifo"),
        folder.join("socket"),
        folder.join("root"),
    );
    fifo(&pipe);
    let _listener = UnixListener::bind(&socket).expect("a socket");
    fs::create_dir(&root).expect("a folder");
    fifo(&root.join("inside"));
    let root = format!("{}:/srv", text(&root));
    for (path, what) in [
        (pipe.as_path(), "FIFO"),
        (&socket, "socket"),
        (Path::new("/dev/zero"), "device"),
    ] {
        let file = format!("{}=/x", text(path));
        for line in [
            &["run", text(path)][..],
            &["run", "hello", "--file", &file],
            &["build", "hello", "--file", &file, "-o", "/dev/null"],
        ] {
            let ended = ends(line, &[]);
            assert!(matches!(ended.status, Some(1 | 125)), "{line:?}: {ended:?}");
            assert!(ended.err.contains(what), "{line:?}: {ended:?}");
        }
    }
    for line in [
        &["run", "hello", "--root", &root][..],
        &["build", "hello", "--root", &root, "-o", "/dev/null"],
    ] {
        let ended = ends(line, &[]);
        assert!(
            ended.err.contains("FIFO") && ended.err.contains("inside"),
            "{line:?}: {ended:?}"
        );
    }
}

#[test]
fn foreign_things_in_the_folder_of_runs_keep_nobody_waiting() {
    let runs = scratch("foreign-runs");
    for name in ["fifo-state", "fifo-lock", "fifo-log", "empty"] {
        fs::create_dir(runs.join(name)).expect("a folder");
    }
    fifo(&runs.join("fifo-state/state.json"));
    fifo(&runs.join("fifo-lock/lock"));
    fifo(&runs.join("fifo-log/log"));
    fifo(&runs.join("a-fifo"));
    fs::write(runs.join("a-file"), "x").expect("a file");
    let variables = [("BESPOKE_RUNS", runs.as_path())];
    let listed = ends(&["ps"], &variables);
    assert_eq!(listed.status, Some(0), "{listed:?}");
    for name in ["fifo-state", "fifo-lock", "fifo-log", "empty"] {
        assert!(listed.out.contains(name), "{listed:?}");
        for line in [&["logs", name][..], &["stats", name], &["stop", name]] {
            let ended = ends(line, &variables);
            assert!(!ended.err.contains("panicked"), "{line:?}: {ended:?}");
        }
        ends(&["rm", name], &variables).success();
    }
}

#[test]
fn a_build_on_a_full_disk_says_so_and_ends() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not tested: mounting a small disk takes root");
        return;
    }
    let folder = scratch("full-disk");
    let bespoke = command(&["build"]);
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" || exit 99; exec timeout 100 \"$2\" build hello -o /dev/null";
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]);
    unshare.arg(&folder).arg(bespoke.get_program());
    unshare
        .env("BESPOKE_CACHE", &folder)
        .env_remove("RUSTFLAGS");
    let ended = feed(&mut unshare, "");
    if ended.status == Some(99) {
        eprintln!("not tested: no disk can be mounted here: {}", ended.err);
        return;
    }
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let last = ended.err.lines().last().unwrap_or_default();
    assert!(
        last.contains("space") && last.contains("BESPOKE_CACHE"),
        "{ended:?}"
    );
}
