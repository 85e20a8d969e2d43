//! What the cache holds: images, what they are made of, and what `prune` takes away.

mod common;

use common::{Ended, bespoke, command, feed, scratch, text};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.success()).expect("JSON")
}

#[test]
fn an_image_tells_what_it_is_made_of() {
    bespoke(&["build", "hello", "--heap", "tlsf:sl=4"]).success();
    let listed = json(bespoke(&["images", "--json"]));
    let images = listed.as_array().expect("a list");
    let hello = images.iter().find(|image| {
        image["heaps"]
            .as_str()
            .is_some_and(|heaps| heaps.starts_with("app=tlsf:sl=4 "))
            && image["app"] == "hello"
    });
    let hello = hello.expect("it was built");
    let path = hello["path"].as_str().expect("a path");
    let bytes = fs::metadata(path).expect("a file").len();
    assert_eq!(hello["bytes"].as_u64(), Some(bytes));
    let table = bespoke(&["images"]).success();
    assert!(table.contains(path) && table.contains("ago"), "{table}");

    let told = json(bespoke(&["inspect", path, "--json"]));
    assert_eq!(
        told["composition"],
        "app=tlsf:sl=4 libos=tlsf stack=region boot=region"
    );
    assert_eq!(told["interface_version"], bespoke_abi_version());
    assert_eq!(
        (&told["network"], &told["memory_bytes"]),
        (&false.into(), &(256 << 20).into())
    );
    assert_eq!(told["bytes"].as_u64(), Some(bytes));
    assert!(
        told["origin"]["made_for"]
            .as_str()
            .is_some_and(|text| text.starts_with("hello (")),
        "{told}"
    );
    assert!(
        told["origin"]["heap tlsf"]
            .as_str()
            .is_some_and(|text| text.contains("rlsf")),
        "{told}"
    );
    assert!(
        told["origin"]["libc"]
            .as_str()
            .is_some_and(|text| text.starts_with("musl ")),
        "{told}"
    );
    assert!(Path::new(told["debug_file"].as_str().expect("a path")).exists());
    let sections = told["sections"].as_array().expect("sections");
    let section = |name: &str| {
        sections
            .iter()
            .find(|section| section["name"] == name)
            .expect("a section")
    };
    assert!(section(".text")["file_bytes"].as_u64() > Some(100_000));
    assert_eq!(section(".bss")["file_bytes"].as_u64(), Some(0));
    // By the name of the app, as `run` takes it.
    bespoke(&["build", "hello"]).success();
    let table = bespoke(&["inspect", "hello"]).success();
    assert!(
        table.contains("app=tlsf libos=tlsf") && table.contains(".rodata"),
        "{table}"
    );
    // What is none says so.
    for (file, words) in [
        ("/bin/true", "not a Bespoke image"),
        ("/etc/passwd", "not a Bespoke image"),
        ("/absent", "cannot read"),
    ] {
        let ended = bespoke(&["inspect", file]);
        assert!(
            matches!(ended.status, Some(1 | 2)) && ended.err.contains(words),
            "{ended:?}"
        );
    }
}

fn bespoke_abi_version() -> u64 {
    let doctor = bespoke_abi::VERSION;
    doctor.into()
}

/// A cache of files that are what their names say in size and age alone.
struct Cache(PathBuf);

impl Cache {
    fn new(name: &str) -> Self {
        Self(scratch(&format!("cache-{name}")))
    }

    fn add(&self, file: &str, days: u64) -> PathBuf {
        let path = self.0.join(file);
        let folder = path.parent().expect("a folder");
        fs::create_dir_all(folder).expect("a folder");
        fs::write(&path, vec![1; 100_000]).expect("a file");
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        for path in [&*path, folder] {
            let file = File::open(path).expect("it is there");
            file.set_modified(then).expect("its time can be set");
        }
        path
    }

    fn prune(&self, options: &[&str]) -> Value {
        let mut prune = command(&["prune", "--json"]);
        let runs = self.0.join("runs");
        prune
            .args(options)
            .env("BESPOKE_CACHE", &self.0)
            .env("BESPOKE_RUNS", runs);
        json(feed(&mut prune, ""))
    }
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    let mut names: Vec<&str> = list
        .iter()
        .map(|item| item["name"].as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn prune_removes_by_age_and_by_size() {
    let cache = Cache::new("age");
    let old = cache.add("trees/old-1/file", 40);
    let image = cache.add("images/app/slug/app", 35);
    let middle = cache.add("trees/middle-1/file", 5);
    let young = cache.add("trees/young-1/file", 0);
    let download = cache.add("sources/x-1/x.tar", 100);
    let would = cache.prune(&["--dry-run"]);
    assert_eq!(names(&would["removed"]), ["app slug", "trees/old-1"]);
    assert!(
        old.exists() && would["freed_bytes"].as_u64() >= Some(200_000),
        "{would}"
    );
    let done = cache.prune(&[]);
    assert_eq!(done["freed_bytes"], would["freed_bytes"]);
    assert!(!old.exists() && !image.exists() && middle.exists());
    // The longest unused goes first.
    let done = cache.prune(&["--max-size", "150K"]);
    assert_eq!(names(&done["removed"]), ["trees/middle-1"]);
    assert!(
        young.exists() && done["kept_bytes"].as_u64() <= Some(150 << 10),
        "{done}"
    );
    let mut prune = command(&["prune", "--all"]);
    prune
        .env("BESPOKE_CACHE", &cache.0)
        .env("BESPOKE_RUNS", cache.0.join("runs"));
    let said = feed(&mut prune, "").success();
    assert!(
        said.contains("freed ") && said.contains(" bytes)"),
        "{said}"
    );
    assert!(!young.exists() && download.exists());
}

#[test]
fn prune_leaves_what_is_in_use() {
    let cache = Cache::new("use");
    let tree = cache.add("trees/built-1/file", 40);
    let image = cache.add("images/app/slug/app", 40);
    let running = cache.add("images/other/slug/other", 40);
    let object = cache.add("objects/x-1.o", 40);
    let free = cache.add("trees/free-1/file", 40);
    let lock = |name: &str| {
        fs::create_dir_all(cache.0.join("locks")).expect("a folder");
        let path = cache.0.join(format!("locks/{name}.lock"));
        let file = File::create(&path).expect("a file");
        let then = SystemTime::now() - Duration::from_secs(40 * 86_400);
        file.set_modified(then).expect("its time can be set");
        file
    };
    // A build that makes a tree, one that uses objects, a run that uses an image, and a process that has one open.
    let making = lock("tree-built-1");
    making.lock().expect("a lock");
    let using = lock("objects-app");
    using.lock_shared().expect("a lock");
    let runs = lock("use-app-slug");
    runs.lock_shared().expect("a lock");
    let mut reader = Command::new("tail")
        .arg("-f")
        .arg(&running)
        .stdout(Stdio::null())
        .spawn()
        .expect("tail is there");
    let pruned = cache.prune(&["--all"]);
    assert_eq!(
        names(&pruned["in_use"]),
        ["app slug", "objects/x-1.o", "other slug", "trees/built-1"]
    );
    assert!(
        [&tree, &image, &running, &object]
            .iter()
            .all(|path| path.exists())
            && !free.exists()
    );
    reader.kill().expect("it lives");
    reader.wait().expect("a child");
    drop((making, using, runs));
    cache.prune(&["--all"]);
    assert!(
        [&tree, &image, &running, &object]
            .iter()
            .all(|path| !path.exists()),
        "{}",
        text(&cache.0)
    );
}

#[test]
fn an_app_that_runs_keeps_its_image() {
    bespoke(&["build", "sqlite"]).success();
    let mut run = command(&["run", "sqlite", "--monitor", "process", "--", ":memory:"]);
    let run = run.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = run.spawn().expect("it starts");
    let mut asked = run.stdin.take().expect("a pipe");
    asked.write_all(b"select 42;\n").expect("it reads");
    let mut answer = [0; 2];
    let told = run.stdout.as_mut().expect("a pipe");
    told.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"42");
    let would = json(bespoke(&["prune", "--all", "--dry-run", "--json"]));
    let used = names(&would["in_use"]);
    assert!(
        used.iter().any(|name| name.starts_with("sqlite ")),
        "{used:?}"
    );
    drop(asked);
    assert!(run.wait().expect("a child").success());
}
