//! `--out` keeps its promise: a run that fails leaves the host's files alone, and what it may write is whole.

mod common;

use common::sqlite::{
    BLOB_BYTES, advance, ask, companion, crash_within, create, files, generation, hold,
};
use common::{Ended, bespoke, command, feed, monitors, scratch, text};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A database, given to an image and taken from it.
struct Shop {
    database: PathBuf,
    file: String,
    out: String,
}

impl Shop {
    fn new(folder: &Path) -> Self {
        let database = folder.join("shop.db");
        create(&database, "delete");
        Self {
            file: format!("{}=/shop.db", text(&database)),
            out: format!("/shop.db={}", text(&database)),
            database,
        }
    }

    fn line<'a>(&'a self, monitor: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        let line = ["run", "sqlite", "--monitor", monitor, "--file", &self.file];
        let end = ["--out", &self.out, "--", "-bail", "/shop.db"];
        [&line, options, &end].concat()
    }

    fn run(&self, monitor: &str, options: &[&str], sql: &str) -> Ended {
        feed(&mut command(&self.line(monitor, options)), sql)
    }

    /// An image that has done `sql` and waits for more.
    fn start(&self, monitor: &str, options: &[&str], sql: &str) -> Child {
        let mut child = command(&self.line(monitor, options))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let input = child.stdin.as_mut().expect("a pipe");
        input
            .write_all(format!("{sql}; select 'waits';\n").as_bytes())
            .expect("it reads");
        let output = child.stdout.as_mut().expect("a pipe");
        let mut said = Vec::new();
        while !said.ends_with(b"waits\n") {
            let mut byte = [0];
            assert_eq!(output.read(&mut byte).expect("output"), 1);
            said.push(byte[0]);
        }
        child
    }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: our own child, not reaped yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// Ends it by SIGTERM alone: its standard input stays open until it has ended.
fn terminate(mut child: Child) -> Ended {
    let input = child.stdin.take();
    signal(&child, libc::SIGTERM);
    let ended = end(child);
    drop(input);
    ended
}

fn end(child: Child) -> Ended {
    let output = child.wait_with_output().expect("the command ends");
    Ended {
        status: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("UTF-8")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// Leaves the file torn as long as it is not committed: it does not fit into the cache.
const UNCOMMITTED: &str =
    "pragma cache_size=10; begin; update t set generation=9, b=randomblob(2000)";

/// The first of the runs that hand a file on has none; the next ones have it.
#[test]
fn a_file_that_out_writes_need_not_be_there_yet() {
    let folder = scratch("out-first");
    let database = folder.join("new.db");
    let file = format!("{}=/new.db", text(&database));
    let out = format!("/new.db={}", text(&database));
    for monitor in monitors() {
        let _ = fs::remove_file(&database);
        for count in 1..=2 {
            let line = [
                "run",
                "sqlite",
                "--monitor",
                monitor,
                "--file",
                &file,
                "--out",
                &out,
            ];
            let sql = "create table if not exists t(x); insert into t values (1); select count(*) from t;";
            let ended = bespoke(&[&line[..], &["--", "-bail", "/new.db", sql]].concat());
            assert_eq!(
                ended.err.contains("does not exist yet"),
                count == 1,
                "{ended:?}"
            );
            assert_eq!(ended.success(), format!("{count}\n"), "{monitor}");
        }
    }
    // Another name is a mistake, as it is without --out.
    let missing = format!("{}=/new.db", text(&folder.join("nwe.db")));
    let line = [
        "run", "sqlite", "--file", &missing, "--out", &out, "--", "/new.db", "select 1",
    ];
    assert!(bespoke(&line).failure(125).contains("nwe.db"));
}

#[test]
fn a_full_image_leaves_the_hosts_database_alone() {
    let folder = scratch("out-full");
    for monitor in monitors() {
        let shop = Shop::new(&folder);
        let before = files(&shop.database);
        let sql = "pragma cache_size=10; update t set b=zeroblob(40000);";
        let error = shop.run(monitor, &["-m", "8M"], sql).failure(1);
        assert!(error.contains("/shop.db was not written"), "{error}");
        assert!(error.contains("status 1"), "{error}");
        assert!(error.contains("--out-always"), "{error}");
        assert!(files(&shop.database) == before, "{monitor}");
        assert_eq!(names(&folder), ["shop.db"]);
        // What is taken all the same is what a crash leaves: whoever opens it rolls back.
        shop.run(monitor, &["-m", "8M", "--out-always"], sql)
            .failure(1);
        assert_eq!(generation(&shop.database), 0);
        let bytes = ask(&shop.database, "select max(length(b)) from t;");
        assert_eq!(bytes.trim_end(), BLOB_BYTES.to_string());
    }
}

#[test]
fn a_signal_in_a_transaction_leaves_what_can_be_rolled_back() {
    let folder = scratch("out-signal");
    for monitor in monitors() {
        for always in [false, true] {
            let shop = Shop::new(&folder);
            let before = files(&shop.database);
            let options: &[&str] = if always { &["--out-always"] } else { &[] };
            let sql = advance(1) + UNCOMMITTED;
            let child = shop.start(monitor, options, &sql);
            let error = terminate(child).failure(143);
            assert_eq!(error.contains("was not written"), !always, "{error}");
            if always {
                assert!(companion(&shop.database, "-journal").exists(), "{monitor}");
                assert_eq!(generation(&shop.database), 1, "{monitor}");
                continue;
            }
            assert!(files(&shop.database) == before, "{monitor}");
            let mut child = shop.start(monitor, &["--out-always"], &sql);
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            assert!(files(&shop.database) == before, "{monitor}");
            assert_eq!(names(&folder), ["shop.db"]);
        }
    }
}

#[test]
fn a_database_after_a_crash_goes_in_with_its_journal_and_comes_out_without() {
    let folder = scratch("out-hot");
    for monitor in monitors() {
        let shop = Shop::new(&folder);
        ask(&shop.database, &advance(1));
        crash_within(&shop.database, UNCOMMITTED);
        assert!(companion(&shop.database, "-journal").exists());
        shop.run(monitor, &[], &advance(2)).success();
        assert_eq!(names(&folder), ["shop.db"], "{monitor}");
        assert_eq!(generation(&shop.database), 2, "{monitor}");
        // The same with a write-ahead log, which an image alone with its files can read.
        let wal = "pragma journal_mode=wal; pragma wal_autocheckpoint=0; ".to_string();
        crash_within(&shop.database, &(wal + &advance(3)));
        assert!(companion(&shop.database, "-wal").exists());
        let sql = "pragma locking_mode=exclusive; ".to_string() + &advance(4);
        shop.run(monitor, &[], &sql).success();
        assert_eq!(names(&folder), ["shop.db"], "{monitor}");
        assert_eq!(generation(&shop.database), 4, "{monitor}");
    }
}

#[test]
fn a_row_of_another_process_is_kept_and_so_is_the_images_database() {
    let folder = scratch("out-changed");
    for monitor in monitors() {
        let shop = Shop::new(&folder);
        let beside = folder.join("shop.db.from-image");
        let _ = fs::remove_file(&beside);
        let child = shop.start(monitor, &[], &advance(1));
        ask(&shop.database, "insert into log values(77);");
        let error = end(child).failure(125);
        assert!(error.contains("changed while the image ran"), "{error}");
        assert!(error.contains("shop.db.from-image"), "{error}");
        assert_eq!(ask(&shop.database, "select * from log;"), "77\n");
        assert_eq!(generation(&beside), 1);
        // One that has it open in WAL mode would write to a file without a name.
        fs::remove_file(&beside).expect("it is there");
        create(&shop.database, "wal");
        let mut holder = hold(&shop.database, "select count(*) from t");
        let sql = "pragma locking_mode=exclusive; ".to_string() + &advance(1);
        let error = shop.run(monitor, &[], &sql).failure(125);
        assert!(error.contains("another process"), "{error}");
        holder.kill().expect("it runs");
        holder.wait().expect("it ends");
        assert_eq!(generation(&shop.database), 0);
        assert_eq!(generation(&beside), 1);
    }
}

#[test]
fn a_folder_comes_out_where_none_is() {
    let folder = scratch("out-folder");
    let site = folder.join("site");
    fs::create_dir_all(site.join("sub")).expect("folders");
    fs::write(site.join("sub/page"), "page").expect("a file");
    std::os::unix::fs::symlink("sub/page", site.join("link")).expect("a link");
    let root = format!("{}:/srv", text(&site));
    for monitor in monitors() {
        let out = folder.join(monitor);
        let line = |out: &Path, arguments: &[&str]| {
            let out = format!("/srv={}", text(out));
            let line = [
                "run",
                "sqlite",
                "--monitor",
                monitor,
                "--root",
                &root,
                "--out",
                &out,
                "--",
            ];
            bespoke(&[&line, arguments].concat())
        };
        line(&out, &["/srv/sub/new.db", "create table t(x);"]).success();
        assert_eq!(names(&out), ["link", "sub"]);
        assert_eq!(fs::read(out.join("link")).expect("a link"), b"page");
        assert_eq!(
            ask(&out.join("sub/new.db"), "select count(*) from t;"),
            "0\n"
        );
        let error = line(&out, &[":memory:", "select 1;"]);
        assert!(error.out.is_empty(), "it ran: {error:?}");
        assert!(error.failure(125).contains("a folder that is not empty"));
        // A file stands where the folder is to go.
        let file = folder.join("file");
        fs::write(&file, "mine").expect("a file");
        let error = line(&file, &[":memory:", "select 1;"]).failure(125);
        assert!(error.contains("file.from-image"), "{error}");
        assert_eq!(fs::read(&file).expect("a file"), b"mine");
        let beside = folder.join("file.from-image");
        assert_eq!(names(&beside), ["link", "sub"]);
        fs::remove_dir_all(beside).expect("it is there");
    }
}

#[test]
fn an_image_writes_no_more_than_its_limit_and_no_rights_of_others() {
    let folder = scratch("out-limit");
    for monitor in monitors() {
        let shop = Shop::new(&folder);
        let before = files(&shop.database);
        let error = shop
            .run(monitor, &["--out-limit", "100K"], &advance(1))
            .failure(125);
        assert!(error.contains("exceed their limit of 100.0 KiB"), "{error}");
        assert!(files(&shop.database) == before, "{monitor}");
        assert_eq!(names(&folder), ["shop.db"]);
        let mode = |mode| fs::set_permissions(&shop.database, PermissionsExt::from_mode(mode));
        mode(0o6755).expect("the mode is set");
        shop.run(monitor, &[], &advance(1)).success();
        let metadata = fs::metadata(&shop.database).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
        assert_eq!(generation(&shop.database), 1);
    }
}

#[test]
fn stop_says_that_a_file_was_not_written() {
    let folder = scratch("out-stop");
    let runs = folder.join("runs");
    let out = format!("/x={}", text(&folder.join("x")));
    let bespoke = |line: &[&str]| {
        let mut command = command(line);
        command.env("BESPOKE_RUNS", &runs);
        feed(&mut command, "")
    };
    for monitor in monitors() {
        let line = [
            "run",
            "-d",
            "memcached",
            "--name",
            "m",
            "--monitor",
            monitor,
            "--out",
            &out,
        ];
        bespoke(&line).success();
        let error = bespoke(&["stop", "m"]).failure(1);
        assert!(error.contains("/x was not written"), "{error}");
        let ps = bespoke(&["ps"]).success();
        assert!(ps.contains("--out not written"), "{ps}");
        let log = bespoke(&["logs", "m"]).success();
        assert!(log.contains("/x was not written"), "{log}");
    }
}
