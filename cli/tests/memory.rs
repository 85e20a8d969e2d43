//! Mappings, page protection and pointers of the application: one program tells what it sees, natively and in images.

mod common;

use common::{all_monitors, bespoke, scratch, text};
use std::path::Path;
use std::process::{Command, Output};

/// The program of `apps/memory`, for this machine.
fn native(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("memory");
    let source = |name| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../apps/memory")
            .join(name)
    };
    let cc = Command::new("cc")
        .args(["-O1", "-w", "-D_GNU_SOURCE", "-pthread", "-o"])
        .args([&program, &source("memory.c"), &source("space.c")])
        .status();
    assert!(cc.expect("a C compiler").success());
    program
}

fn output(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("the native program runs")
}

#[test]
fn mappings_and_pointers_are_as_on_linux() {
    let folder = scratch("memory-calls");
    let on_linux = output(&native(&folder), &[]);
    assert!(on_linux.status.success(), "{on_linux:?}");
    let on_linux = String::from_utf8(on_linux.stdout).expect("text");
    assert!(on_linux.lines().count() > 250, "{on_linux}");
    for monitor in all_monitors() {
        let told = bespoke(&["run", "memory", "--monitor", monitor]).success();
        for (line, (told, expected)) in told.lines().zip(on_linux.lines()).enumerate() {
            assert_eq!(told, expected, "{monitor}, line {}", line + 1);
        }
        assert_eq!(told.lines().count(), on_linux.lines().count(), "{monitor}");
    }
}

/// Fixed addresses, reservations larger than the image, moves, what is resident, the list of mappings, stacks of threads.
#[test]
fn the_address_space_is_as_on_linux() {
    let on_linux = output(&native(&scratch("memory-space")), &["space"]);
    assert!(on_linux.status.success(), "{on_linux:?}");
    let on_linux = String::from_utf8(on_linux.stdout).expect("text");
    assert!(on_linux.lines().count() > 220, "{on_linux}");
    for monitor in all_monitors() {
        let told = bespoke(&["run", "memory", "--monitor", monitor, "--", "space"]).success();
        for (told, expected) in told.lines().zip(on_linux.lines()) {
            assert_eq!(told, expected, "{monitor}");
        }
        assert_eq!(told.lines().count(), on_linux.lines().count(), "{monitor}");
    }
}

/// Each touches memory it may not, at an address that it prints first.
const FAULTS: [&str; 23] = [
    "load-reserved",
    "store-second",
    "load-none",
    "store-none",
    "vector-none",
    "string-none",
    "store-read-only",
    "vector-read-only",
    "string-read-only",
    "load-unmapped",
    "load-whole",
    "store-whole",
    "load-end-shared",
    "store-end-shared",
    "store-end-private",
    "load-cut-shared",
    "store-view",
    "load-gone",
    "load-lost",
    "store-break",
    "store-moved",
    "store-data",
    "direct-data",
];

#[test]
fn touching_what_is_closed_is_a_fault_at_that_address() {
    let program = native(&scratch("memory-faults"));
    for monitor in all_monitors() {
        // Stock monitors start slowly, and their tables know two kinds of closed pages and the end of a file.
        let is_stock = monitor.starts_with("qemu");
        let few = |kind: &&str| {
            !is_stock
                || matches!(
                    *kind,
                    "store-read-only" | "load-unmapped" | "load-cut-shared" | "load-reserved"
                )
        };
        for kind in FAULTS.into_iter().filter(few) {
            let run = &["run", "memory", "--monitor", monitor, "--", kind];
            let ended = bespoke(run);
            let address = ended.out.trim().strip_prefix("touches ");
            let address = address.unwrap_or_else(|| panic!("{monitor} {kind}: {ended:?}"));
            let ends =
                std::os::unix::process::ExitStatusExt::signal(&output(&program, &[kind]).status);
            let signal = ends.expect("it ends so on Linux");
            assert_eq!(
                ended.status,
                Some(128 + signal),
                "{monitor} {kind}: {ended:?}"
            );
            let is_past = signal == libc::SIGBUS;
            let says = ended.err.contains("past the end of a mapped file");
            assert_eq!(says, is_past, "{monitor} {kind}: {ended:?}");
            let place = format!(" at {address} (");
            assert!(ended.err.contains(&place), "{monitor} {kind}: {ended:?}");
        }
    }
}

/// The shell, built for this machine.
fn native_sqlite() -> String {
    let told = bespoke(&["build", "sqlite", "--native"]).success();
    told.lines().next().expect("a path").to_string()
}

/// A database in every journal mode, locked for one or for all, with and without a mapping of it, and one that arrives
/// with its log: the answers are those of the native shell.
#[test]
fn sqlite_answers_as_natively_in_every_mode() {
    let folder = scratch("memory-sqlite");
    let shell = native_sqlite();
    // Both know this folder: the host, and the image.
    let copy = "/tmp/bespoke-memory-copy.db";
    let script = |mode: &str, locking: &str, mapped: &str| {
        format!(
            "pragma page_size=1024; pragma mmap_size={mapped}; pragma locking_mode={locking}; pragma journal_mode={mode};\n\
             create table t(a integer primary key, b);\n\
             with recursive n(i) as (select 1 union all select i+1 from n where i<3000) \
             insert into t select i, hex(i*7919) || i || 'abcdefghijklmnopqrstuvwxyz' from n;\n\
             create index tb on t(b);\n\
             begin; update t set b=b||b; delete from t where a%3=0; rollback; select count(*), sum(length(b)) from t;\n\
             begin; update t set b=b||'x' where a%2=0; commit; select count(*), sum(length(b)) from t;\n\
             delete from t where a%5=0; vacuum; pragma integrity_check; select count(*), max(b) from t;\n\
             savepoint s; insert into t(b) select b from t; rollback to s; release s; select count(*) from t;\n\
             pragma wal_checkpoint(truncate); vacuum into '{copy}';\n\
             attach '{copy}' as c; select count(*), sum(length(b)) from c.t; pragma c.integrity_check;\n"
        )
    };
    for mode in ["delete", "truncate", "persist", "memory", "off", "wal"] {
        for locking in ["normal", "exclusive"] {
            for mapped in ["0", "268435456"] {
                // A rollback without a journal leaves whatever it leaves.
                let script = match mode {
                    "off" => script(mode, locking, mapped).replace("rollback;", "commit;"),
                    _ => script(mode, locking, mapped),
                };
                let database = folder.join("native.db");
                for end in ["", "-wal", "-shm", "-journal"] {
                    let _ = std::fs::remove_file(format!("{}{end}", text(&database)));
                }
                let _ = std::fs::remove_file(copy);
                let expected = common::feed(Command::new(&shell).arg(&database), &script);
                let _ = std::fs::remove_file(copy);
                for monitor in common::monitors() {
                    let run = ["run", "sqlite", "--monitor", monitor, "--", "/m.db"];
                    let told = common::feed(&mut common::command(&run), &script);
                    let place = format!("{mode} {locking} {mapped} {monitor}");
                    assert_eq!(
                        (told.status, &told.out),
                        (expected.status, &expected.out),
                        "{place}: {}",
                        told.err
                    );
                }
            }
        }
    }
}

/// The log holds rows that the database does not: it was copied while the shell had it open.
#[test]
fn a_database_arrives_with_its_log() {
    let folder = scratch("memory-wal");
    let shell = native_sqlite();
    let at = |name: &str| text(&folder.join(name)).to_string();
    let mut script = "pragma journal_mode=wal; create table t(a); pragma wal_checkpoint;\n\
                      insert into t values(1),(2),(3);\n"
        .to_string();
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (at("open.db"), at("copy.db"));
        script += &format!(".system cp {from}{end} {to}{end}\n");
    }
    let made = common::feed(Command::new(&shell).arg(at("open.db")), &script);
    assert_eq!(made.status, Some(0), "{made:?}");
    let question = "select count(*), sum(a) from t; insert into t values(4); pragma journal_mode; \
                    pragma integrity_check;";
    let files = ["", "-wal", "-shm"].map(|end| format!("{}{end}=/m.db{end}", at("copy.db")));
    for monitor in common::monitors() {
        for count in [3, 2] {
            let mut run = vec!["run", "sqlite", "--monitor", monitor];
            for file in &files[..count] {
                run.extend(["--file", file]);
            }
            run.extend(["--", "/m.db", question]);
            let told = bespoke(&run).success();
            assert_eq!(told, "3|6\nwal\nok\n", "{monitor}, {count} files");
        }
    }
}
