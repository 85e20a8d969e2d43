//! Databases of the host for tests of `--out`, and the native `sqlite3` that judges them.

use super::{bespoke, feed};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Rows of [`create`].
pub(crate) const ROWS: usize = 400;
/// Bytes of a blob in each.
pub(crate) const BLOB_BYTES: usize = 2000;

/// The native program, of the same source as the image.
pub(crate) fn native() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = bespoke(&["build", "sqlite", "--native"]).success();
        program.trim_end().into()
    })
}

/// What the native program answers; it must succeed.
pub(crate) fn ask(database: &Path, sql: &str) -> String {
    feed(Command::new(native()).arg("-bail").arg(database), sql).success()
}

/// Makes a database of [`ROWS`] rows in generation 0.
pub(crate) fn create(database: &Path, journal_mode: &str) {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let _ = fs::remove_file(companion(database, suffix));
    }
    let sql = format!(
        "pragma journal_mode={journal_mode}; create table t(id integer primary key, generation int, b blob); \
         create index i on t(generation); create table log(generation int); \
         with recursive c(i) as (select 1 union all select i+1 from c where i<{ROWS}) \
         insert into t select i, 0, randomblob({BLOB_BYTES}) from c;"
    );
    ask(database, &sql);
}

/// SQL that takes every row to `generation`, and says so once it is committed.
pub(crate) fn advance(generation: usize) -> String {
    format!(
        "begin; update t set generation={generation}, b=randomblob({BLOB_BYTES}); \
         insert into log values({generation}); commit; select 'committed {generation}';\n"
    )
}

/// The generation of a database that is whole: every page is in order, all rows are of one generation, and the log has
/// a row for each that was committed.
pub(crate) fn generation(database: &Path) -> usize {
    let said = ask(
        database,
        "pragma integrity_check; select count(*), min(generation), max(generation) from t; \
         select count(*), coalesce(max(generation), 0) from log;",
    );
    let lines: Vec<&str> = said.lines().collect();
    let [check, rows, log] = lines[..] else {
        panic!("{said}");
    };
    assert_eq!(check, "ok", "{said}");
    let numbers = |line: &str| -> Vec<usize> {
        let numbers = line.split('|').map(|n| n.parse().expect("a number"));
        numbers.collect()
    };
    let (rows, log) = (numbers(rows), numbers(log));
    let generation = rows[1];
    assert_eq!(rows, [ROWS, generation, generation], "{said}");
    assert_eq!(log, [generation, generation], "{said}");
    generation
}

/// The name of a companion.
pub(crate) fn companion(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_os_string();
    path.push(suffix);
    path.into()
}

/// The files of a database as they are, by suffix; the index of a write-ahead log is rebuilt by whoever needs it, and
/// does not count.
pub(crate) fn files(database: &Path) -> Vec<Option<Vec<u8>>> {
    let suffixes = ["", "-journal", "-wal"];
    let read = suffixes.map(|suffix| fs::read(companion(database, suffix)).ok());
    read.to_vec()
}

/// A native shell in which `sql` has been run and that has not ended.
pub(crate) fn hold(database: &Path, sql: &str) -> Child {
    let mut shell = Command::new(native())
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the native program starts");
    let input = shell.stdin.as_mut().expect("a pipe");
    writeln!(input, "{sql}; select 'held';").expect("it reads");
    input.flush().expect("it reads");
    let output = shell.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(output).lines();
    assert!(lines.any(|line| line.expect("a line") == "held"));
    shell
}

/// Leaves the database as a crash in the middle of `sql` does.
pub(crate) fn crash_within(database: &Path, sql: &str) {
    let mut shell = hold(database, sql);
    shell.kill().expect("it runs");
    shell.wait().expect("it ends");
}
