//! Every way a program can crash ends in a report that names it, on every monitor.

mod common;

use common::{all_monitors, bespoke, command, feed, monitors};

/// Argument of the `crash` app, exit status, and what the report says: the kind of fault and the
/// function that did it.
const WAYS: &[(&str, i32, &[&str])] = &[
    (
        "null",
        139,
        &[
            "null dereference at 0x0",
            "null_dereference at crash/crash.c:",
        ],
    ),
    (
        "jump",
        139,
        &["wild jump", "0x123456789000", "wild_jump at crash/crash.c:"],
    ),
    (
        "stack",
        139,
        &["stack overflow", "stack_overflow at crash/crash.c:"],
    ),
    (
        "thread-stack",
        139,
        &["stack overflow", "stack_overflow at crash/crash.c:"],
    ),
    (
        "write-constant",
        139,
        &[
            "write to read-only memory",
            "the image's constants",
            "write_constant at crash/crash.c:",
        ],
    ),
    (
        "write-text",
        139,
        &[
            "write to read-only memory",
            "the image's text",
            "write_text at crash/crash.c:",
        ],
    ),
    (
        "run-data",
        139,
        &[
            "execution of non-executable memory",
            "the image's data",
            "run_data at crash/crash.c:",
        ],
    ),
    (
        "run-heap",
        139,
        &[
            "execution of non-executable memory",
            "run_heap at crash/crash.c:",
        ],
    ),
    (
        "divide",
        136,
        &["division by zero", "division_by_zero at crash/crash.c:"],
    ),
    ("abort", 134, &["abort", "main at crash/crash.c:"]),
    (
        "double-free",
        134,
        &[
            "heap corruption",
            "double free",
            "double_free at crash/crash.c:",
        ],
    ),
    (
        "panic",
        134,
        &["panic in the library OS", "panic at crash/crash.c:"],
    ),
];

#[test]
fn every_crash_ends_in_a_report_and_a_status() {
    for monitor in all_monitors() {
        for (way, status, words) in WAYS {
            let run = &[
                "run",
                "crash",
                "--heap",
                "mallocng",
                "--monitor",
                monitor,
                "--",
                way,
            ];
            let report = bespoke(run).failure(*status);
            for word in *words {
                assert!(
                    report.contains(word),
                    "{monitor} {way} lacks {word:?}:\n{report}"
                );
            }
        }
    }
}

#[test]
fn memory_that_runs_out_is_an_answer() {
    for monitor in all_monitors() {
        for heap in ["tlsf", "region"] {
            let run = &[
                "run",
                "crash",
                "--heap",
                heap,
                "--monitor",
                monitor,
                "--",
                "memory",
            ];
            let answer = bespoke(run).success();
            assert!(answer.contains("then NULL"), "{monitor} {heap}: {answer}");
        }
    }
}

#[test]
fn the_exit_status_is_the_applications() {
    for monitor in all_monitors() {
        let ended = bespoke(&["run", "crash", "--monitor", monitor, "--", "exit"]);
        assert_eq!(
            (ended.status, ended.err.as_str()),
            (Some(42), ""),
            "{monitor}"
        );
    }
}

/// A full file system reaches SQLite as an error, and the database is the one before.
#[test]
fn a_full_file_system_leaves_the_database_consistent() {
    const SCRIPT: &str = "create table t(x);
        insert into t values('kept');
        insert into t select hex(randomblob(50000)) from
          (with recursive c(n) as (select 1 union all select n + 1 from c where n < 1000) select n from c);
        select count(*) from t;
        pragma integrity_check;
        ";
    for monitor in all_monitors() {
        let run = &[
            "run",
            "sqlite",
            "-m",
            "16M",
            "--monitor",
            monitor,
            "--",
            "/full.db",
        ];
        let ended = feed(&mut command(run), SCRIPT);
        assert!(
            ended.err.contains("full (13)") || ended.err.contains("out of memory"),
            "{monitor}: {ended:?}"
        );
        assert!(ended.out.ends_with("1\nok\n"), "{monitor}: {ended:?}");
    }
}

/// SQL that wants more memory than there is gets SQLite's own error (SQLITE_NOMEM, 7).
#[test]
fn sql_that_exhausts_memory_is_refused_by_sqlite() {
    const SQL: &str = "with recursive c(x) as (select 1 union all select x + 1 from c limit 100000)
        select length(group_concat(hex(zeroblob(1000)))) from c";
    for monitor in monitors() {
        let run = &[
            "run",
            "sqlite",
            "-m",
            "6M",
            "--monitor",
            monitor,
            "--",
            ":memory:",
            SQL,
        ];
        let error = bespoke(run).failure(7);
        assert!(error.contains("out of memory (7)"), "{monitor}: {error}");
    }
}
