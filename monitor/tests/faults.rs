//! Every way a guest can end badly, on both monitors: the report names the kind, the status
//! is that of the signal, and nothing hangs.

mod common;

use common::{monitors, run, run_with, text};

/// Case, status, words of the report.
const FAULTS: [(&str, i32, &[&str]); 32] = [
    (
        "null",
        139,
        &[
            "null dereference at 0x8",
            "inner_null at ",
            "cases.c:",
            "outer_null",
        ],
    ),
    ("null-call", 139, &["wild jump", "guest at "]),
    (
        "wild-jump",
        139,
        &["wild jump", "0x123456789000", "guest at "],
    ),
    ("far-jump", 139, &["general protection"]),
    (
        "stack",
        139,
        &[
            "stack overflow",
            "recurse",
            "on_small_stack",
            "the image's data",
        ],
    ),
    (
        "guard",
        139,
        &["access to a guard page", "the image's data"],
    ),
    ("ram-guard", 139, &["access to a guard page", "RAM, 0x8000"]),
    (
        "write-text",
        139,
        &["write to read-only memory", "the image's text"],
    ),
    (
        "write-constant",
        139,
        &["write to read-only memory", "the image's constants"],
    ),
    (
        "execute-data",
        139,
        &["execution of non-executable memory", "the image's data"],
    ),
    (
        "execute-ram",
        139,
        &["execution of non-executable memory", "RAM, 0x0 bytes"],
    ),
    (
        "execute-big-ram",
        139,
        &["execution of non-executable memory", "RAM, 0x1000000 bytes"],
    ),
    (
        "execute-constant",
        139,
        &[
            "execution of non-executable memory",
            "the image's constants",
        ],
    ),
    (
        "outside",
        139,
        &["memory the image does not have", "outside"],
    ),
    (
        "high",
        139,
        &["memory the image does not have at 0x700000000000"],
    ),
    ("non-canonical", 139, &["general protection"]),
    ("divide", 136, &["division by zero", "guest at "]),
    ("illegal", 132, &["illegal instruction"]),
    ("breakpoint", 133, &["breakpoint"]),
    ("halt", 139, &["general protection"]),
    ("cli", 139, &["general protection"]),
    ("port", 139, &["general protection"]),
    ("alignment", 135, &["misaligned access"]),
    ("garbage-stack", 132, &["illegal instruction"]),
    ("no-stack", 139, &["memory the image does not have"]),
    ("loop-frames", 132, &["illegal instruction"]),
    ("abort", 134, &["abort", "abort called", "fatal at "]),
    ("segv-signal", 139, &["signal 11"]),
    (
        "panic",
        134,
        &["panic in the library OS", "state impossible"],
    ),
    (
        "double-free",
        134,
        &["heap corruption at ", "double free", "the image's data"],
    ),
    ("fatal-wild", 134, &["cannot be read"]),
    ("fatal-text", 134, &["\\u{1b}[2Jred"]),
];

#[test]
fn every_fault_ends_in_a_report_that_names_it() {
    for monitor in monitors() {
        for (case, status, words) in FAULTS {
            let output = run(monitor, case);
            let report = text(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(status),
                "{monitor} {case}:\n{report}"
            );
            for word in words {
                assert!(
                    report.contains(word),
                    "{monitor} {case} lacks {word:?}:\n{report}"
                );
            }
            assert!(
                report.contains("rip "),
                "{monitor} {case}: no registers\n{report}"
            );
            assert!(
                report.lines().count() < 90,
                "{monitor} {case}: endless report"
            );
        }
    }
}

#[test]
fn page_tables_are_out_of_reach() {
    if monitors().contains(&"kvm") {
        let output = run("kvm", "tables");
        assert_eq!(output.status.code(), Some(139), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("a gap"));
    }
}

#[test]
fn the_page_below_the_main_stack_is_never_mapped() {
    for monitor in monitors() {
        let output = run(monitor, "stack-guard");
        assert_eq!(
            output.status.code(),
            Some(139),
            "{monitor}: {}",
            text(&output.stderr)
        );
        assert!(
            text(&output.stderr).contains("a gap"),
            "{monitor}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn malformed_hypercalls_end_in_a_report() {
    for monitor in monitors() {
        let mut cases = vec!["unknown-call", "bad-request"];
        let own: &[&str] = if monitor == "kvm" {
            &["narrow-port", "in-port"]
        } else {
            &["open-file", "self-exec"]
        };
        cases.extend(own);
        for case in cases {
            let output = run(monitor, case);
            let report = text(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(159),
                "{monitor} {case}:\n{report}"
            );
            assert!(
                report.contains("malformed hypercall") || report.contains("forbidden system call"),
                "{report}"
            );
        }
    }
}

#[test]
fn wild_pointers_in_hypercalls_are_refused() {
    for monitor in monitors() {
        let output = run_with(monitor, &[], "wild-spans", &[b'x'; 4096]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{monitor}: {}",
            text(&output.stderr)
        );
        assert_eq!(output.stdout, b"k", "{monitor}");
    }
}

#[test]
fn a_destroyed_statistics_page_hurts_nobody_else() {
    for monitor in monitors() {
        assert_eq!(
            run_with(monitor, &["--stats"], "kill-stats", b"")
                .status
                .code(),
            Some(3),
            "{monitor}"
        );
    }
    if monitors().contains(&"kvm") {
        assert_eq!(run("kvm", "protect-stats").status.code(), Some(0));
    }
}

#[test]
fn without_a_debug_file_the_report_has_addresses_and_a_hint() {
    let scratch = common::Scratch::new("bare");
    let image = scratch.0.join("bare");
    std::fs::copy(common::guest(), &image).expect("copy");
    let check = |hint: &str| {
        for monitor in monitors() {
            let mut command = common::command(monitor, &image);
            command.args(["--", "null"]);
            let output = common::finish(command, b"");
            let report = text(&output.stderr);
            assert_eq!(output.status.code(), Some(139), "{report}");
            let addresses = report.contains("#0  0x20");
            assert!(addresses && report.contains("no source lines"), "{report}");
            assert!(report.contains(hint), "{report}");
        }
    };
    check("No such file");
    // One that would keep the report waiting.
    let mut mkfifo = std::process::Command::new("mkfifo");
    let made = mkfifo.arg(scratch.0.join("bare.debug")).status();
    assert!(made.expect("mkfifo is part of coreutils").success());
    check("FIFO");
}
