//! What a guest may rely on, on both monitors: boot information, descriptors, memory, statistics,
//! exports; and what the user is told when it cannot start.

mod common;

use common::{Scratch, command, finish, guest, monitors, run, run_with, text};
use std::io::{Read, Write};
use std::process::Stdio;

#[test]
fn output_input_and_exit_codes_are_the_guests() {
    for monitor in monitors() {
        let hello = run(monitor, "hello");
        assert_eq!(
            (hello.stdout.as_slice(), hello.status.code()),
            (&b"hello\n"[..], Some(0)),
            "{monitor}"
        );
        assert_eq!(run(monitor, "code").status.code(), Some(42), "{monitor}");
        assert_eq!(run(monitor, "stderr").stderr, b"oops\n", "{monitor}");
        assert_eq!(run(monitor, "wait").status.code(), Some(0), "{monitor}");
        // Less than a pipe holds: nobody reads the output before the end.
        let input: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
        assert_eq!(
            run_with(monitor, &[], "echo", &input).stdout,
            input,
            "{monitor}"
        );
    }
}

#[test]
fn boot_information_is_complete() {
    let scratch = Scratch::new("boot");
    let file = scratch.0.join("f");
    std::fs::write(&file, "contents").expect("a file");
    for monitor in monitors() {
        let mut command = command(monitor, guest());
        command
            .args(["-m", "67108864", "--env", "A=b", "--in"])
            .arg(format!("{}=/dir/name", file.display()));
        command.args(["--", "boot", "second"]);
        let output = finish(command, b"");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{monitor}: {}",
            text(&output.stderr)
        );
        let expected =
            "args 3 second env A=b exports 0 total 67108864 archive 2048 name dir/name\n";
        assert_eq!(text(&output.stdout), expected, "{monitor}");
    }
}

#[test]
fn memory_appears_whichever_instruction_reaches_it_first() {
    let kinds = [
        "store",
        "load",
        "unaligned",
        "string",
        "copy",
        "sse",
        "vector",
        "locked",
        "push",
        "call",
    ];
    for monitor in monitors() {
        for kind in kinds {
            let mut command = command(monitor, guest());
            command.args(["-m", "134217728", "--", "touch", kind]);
            let output = finish(command, b"abcd");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{monitor} {kind}: {}",
                text(&output.stderr)
            );
        }
    }
}

#[test]
fn hello_runs_in_two_mebibytes_and_in_less_it_says_what_it_needs() {
    for monitor in monitors() {
        for bytes in ["2097152", "1073741824", "4294967296", "3333333"] {
            let output = run_with(monitor, &["-m", bytes], "hello", b"");
            assert_eq!(
                output.stdout,
                b"hello\n",
                "{monitor} {bytes}: {}",
                text(&output.stderr)
            );
            let output = run_with(monitor, &["-m", bytes], "boot", b"");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{monitor} {bytes}: {}",
                text(&output.stderr)
            );
        }
        for bytes in ["0", "4096", "65536"] {
            let output = run_with(monitor, &["-m", bytes], "hello", b"");
            let error = text(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(125),
                "{monitor} {bytes}: {error}"
            );
            let has = match bytes {
                "0" => "0 bytes".to_string(),
                bytes => format!("{} KiB", bytes.parse::<u64>().expect("a number") / 1024),
            };
            assert!(
                error.contains("the image needs ") && error.contains(&format!(", has {has};")),
                "{error}"
            );
        }
        let output = run_with(monitor, &["-m", "18000000000000000000"], "hello", b"");
        assert!(
            text(&output.stderr).contains("the host has"),
            "{}",
            text(&output.stderr)
        );
        let output = run(monitor, "memory");
        assert_eq!(output.status.code(), Some(125));
        assert!(text(&output.stderr).contains("needs 64 MiB of memory to start, has 256 MiB"));
    }
}

#[test]
fn closed_descriptors_are_errors_the_guest_sees() {
    for monitor in monitors() {
        let mut command = command(monitor, guest());
        command
            .args(["--", "closed-pipe"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        drop(child.stdout.take());
        assert_eq!(
            child.wait().expect("ends").code(),
            Some(libc::EPIPE),
            "{monitor}"
        );
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let mut command = common::command(monitor, guest());
        command
            .args(["--", "closed-pipe"])
            .stdin(Stdio::null())
            .stdout(full);
        assert_eq!(
            command.status().expect("ends").code(),
            Some(libc::ENOSPC),
            "{monitor}"
        );
    }
    if monitors().contains(&"kvm") {
        assert_eq!(run("kvm", "bad-descriptor").status.code(), Some(0));
    }
    assert_eq!(run("process", "bad-descriptor").status.code(), Some(159));
}

/// Resident KiB of a process and its children.
fn resident(pid: u32) -> u64 {
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let status = read(format!("/proc/{pid}/status"));
    let own = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    let children = read(format!("/proc/{pid}/task/{pid}/children"));
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(resident);
    own.unwrap_or(0) + children.sum::<u64>()
}

#[test]
fn memory_given_back_leaves_the_host_and_reads_as_zero() {
    for monitor in monitors() {
        let mut command = command(monitor, guest());
        let mut child = command
            .args(["--", "give-back"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let (mut stdin, mut stdout) = (
            child.stdin.take().expect("piped"),
            child.stdout.take().expect("piped"),
        );
        let mut line = [0; 5];
        stdout.read_exact(&mut line).expect("full");
        let full = resident(child.id());
        stdin.write_all(b"x").expect("go on");
        stdout.read_exact(&mut line).expect("back");
        let back = resident(child.id());
        stdin.write_all(b"x").expect("go on");
        assert_eq!(child.wait().expect("ends").code(), Some(0), "{monitor}");
        assert!(
            full >= 64 << 10 && full - back >= 63 << 10,
            "{monitor}: {full} KiB, then {back} KiB"
        );
    }
}

#[test]
fn statistics_are_readable_while_the_guest_runs() {
    for monitor in monitors() {
        let mut command = command(monitor, guest());
        command
            .args(["--watch", "--stats", "--", "watch"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        let mut seen = [0; 6];
        // The guest waits for input: what is printed now was read while it lives.
        child
            .stderr
            .as_mut()
            .expect("piped")
            .read_exact(&mut seen)
            .expect("seen");
        assert_eq!(&seen, b"seen 5", "{monitor}");
        child
            .stdin
            .as_mut()
            .expect("piped")
            .write_all(b"x")
            .expect("go on");
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(0), "{monitor}");
        assert!(text(&output.stderr).contains("us: ready "), "{monitor}");
    }
}

fn export_options(scratch: &Scratch) -> Vec<String> {
    ["a", "b"]
        .iter()
        .flat_map(|name| {
            [
                "--out".into(),
                format!("/{name}={}", scratch.0.join(name).display()),
            ]
        })
        .collect()
}

fn run_exports(monitor: &str, scratch: &Scratch, options: &[&str], case: &str) -> (i32, String) {
    let mut command = command(monitor, guest());
    command.args(export_options(scratch)).args(options);
    command.args(["--", case]);
    let output = finish(command, b"");
    (output.status.code().unwrap_or(-1), text(&output.stderr))
}

#[test]
fn exports_replace_the_host_files_and_survive_crashes_where_asked_to() {
    for monitor in monitors() {
        let scratch = Scratch::new(&format!("exports-{monitor}"));
        let content = |name: &str| text(&std::fs::read(scratch.0.join(name)).unwrap_or_default());
        let reset = || {
            for name in ["a", "b"] {
                std::fs::write(scratch.0.join(name), "old").expect("old file");
            }
        };
        let expect = |options: &[&str], case, status, a: &str, b: &str| {
            reset();
            let (code, errors) = run_exports(monitor, &scratch, options, case);
            assert_eq!(code, status, "{monitor} {case}: {errors}");
            assert_eq!(
                (content("a").as_str(), content("b").as_str()),
                (a, b),
                "{monitor} {case}: {errors}"
            );
            assert_eq!(
                std::fs::read_dir(&scratch.0).expect("list").count(),
                2,
                "{monitor} {case}: leftovers"
            );
            errors
        };
        expect(&[], "exports", 0, "first", "second");
        expect(&[], "hello", 0, "old", "old");
        expect(&[], "empty-export", 0, "", "old");
        let report = expect(&[], "rescue", 139, "old", "old");
        assert!(report.contains("Withheld"), "{report}");
        let always = &["--out-always"];
        let report = expect(always, "rescue", 139, "first", "second");
        assert!(report.contains("were still written"), "{report}");
        let report = expect(always, "rescue-crashes", 139, "old", "old");
        assert!(report.contains("crashed again"), "{report}");
    }
}

#[test]
fn a_rescue_that_hangs_is_cut_short() {
    for monitor in monitors() {
        let scratch = Scratch::new(&format!("hang-{monitor}"));
        let (code, report) = run_exports(monitor, &scratch, &["--out-always"], "rescue-hangs");
        assert_eq!(code, 139, "{monitor}: {report}");
        assert!(report.contains("took too long"), "{monitor}: {report}");
    }
}

#[test]
fn files_that_are_no_images_are_refused_in_words() {
    let scratch = Scratch::new("bad");
    let image = scratch.0.join("image");
    let whole = std::fs::read(guest()).expect("the guest");
    let cuts = (0..300).chain((300..whole.len()).step_by(997));
    for end in cuts {
        std::fs::write(&image, &whole[..end]).expect("a cut image");
        let output = finish(command("process", &image), b"");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "cut at {end}: {error}");
        let said = if end < 4 {
            "is not an ELF file"
        } else {
            "is truncated"
        };
        assert!(error.contains(said), "cut at {end}: {error}");
    }
    for monitor in monitors() {
        let error = text(&finish(command(monitor, "/bin/true".as_ref()), b"").stderr);
        assert!(error.contains("is not a Bespoke image"), "{error}");
        let error = text(&finish(command(monitor, "/nonexistent".as_ref()), b"").stderr);
        assert!(error.contains("/nonexistent"), "{error}");
    }
    let mut other = whole.clone();
    let at = other
        .windows(8)
        .position(|bytes| bytes == b"Bespoke\0")
        .expect("our note")
        + 8;
    other[at] = 9;
    std::fs::write(&image, other).expect("another version");
    let error = text(&finish(command("process", &image), b"").stderr);
    assert!(
        error.contains("version 9") && error.contains("version 8"),
        "{error}"
    );
}

#[test]
fn any_header_byte_may_be_wrong_without_harm() {
    let scratch = Scratch::new("flip");
    let image = scratch.0.join("image");
    let whole = std::fs::read(guest()).expect("the guest");
    for at in 0..64 + 4 * 56 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&image, bytes).expect("a damaged image");
        let output = finish(command("process", &image), b"");
        let code = output.status.code().expect("an exit, not a signal");
        assert!(code != 101, "byte {at}: {}", text(&output.stderr));
    }
}

#[test]
fn without_kvm_the_error_says_so_and_is_typed() {
    let mut command = command("kvm", guest());
    command
        .env("BESPOKE_KVM_DEVICE", "/nonexistent/kvm")
        .args(["--", "hello"]);
    let output = finish(command, b"");
    assert_eq!(
        output.status.code(),
        Some(124),
        "the driver's code for KvmUnavailable"
    );
    assert!(text(&output.stderr).contains("/nonexistent/kvm"));
}

#[test]
fn a_guest_process_does_not_outlive_its_monitor() {
    let mut command = command("process", guest());
    let mut child = command
        .args(["--", "echo"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut byte = [0];
    child
        .stdin
        .as_mut()
        .expect("piped")
        .write_all(b"x")
        .expect("input");
    child
        .stdout
        .as_mut()
        .expect("piped")
        .read_exact(&mut byte)
        .expect("the echo");
    child.kill().expect("a running monitor");
    child.wait().expect("reaped");
    // The guest held the other end of standard output: it ends when the guest does.
    let mut rest = Vec::new();
    child
        .stdout
        .take()
        .expect("piped")
        .read_to_end(&mut rest)
        .expect("the end");
}
