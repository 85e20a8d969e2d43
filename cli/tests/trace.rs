//! Traces from end to end: recorded on every monitor, shown, cut, damaged, of another version.

mod common;

use common::{bespoke, command, feed, monitors, scratch, text};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SQL: &str = "\
create table t(id integer primary key, name text, body blob);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 300)
  insert into t select x, 'name ' || (x * 7919 % 2000), zeroblob(x % 700) from c;
select count(*), sum(length(body)) from (select * from t order by name);
";
const ANSWER: &str = "300|45150\n";

fn show(file: &Path) -> (Value, String) {
    let ended = bespoke(&["trace", "show", text(file), "--json"]);
    let messages = ended.err.clone();
    (
        serde_json::from_str(&ended.success()).expect("JSON"),
        messages,
    )
}

/// Records sqlite with `options`; returns what `--stats` says of the components.
fn record(file: &Path, monitor: &str, options: &[&str]) -> Value {
    let line = [
        "trace",
        "sqlite",
        "-o",
        text(file),
        "--monitor",
        monitor,
        "--stats",
        "--json",
    ];
    let line = [&line[..], options, &["--", "/t.db"]].concat();
    let ended = feed(&mut command(&line), SQL);
    assert_eq!(
        (ended.status, ended.out.as_str()),
        (Some(0), ANSWER),
        "{ended:?}"
    );
    let json = ended.err.split_once("\nbespoke: ").map(|(json, _)| json);
    let stats: Value = serde_json::from_str(json.expect("two parts")).expect("JSON");
    stats["stats"]["components"].clone()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().expect("a list").iter();
    all.find(|entry| entry["name"] == name)
        .expect("a component")
}

#[test]
fn a_trace_holds_every_operation_that_the_image_counted() {
    let folder = scratch("trace-whole");
    for monitor in monitors() {
        // A ring of one record is full almost always: nothing may be lost.
        for ring in ["256K", "64"] {
            let file = folder.join(format!("{monitor}-{ring}"));
            let options = [
                "--component",
                "app,libos,stack",
                "--component",
                "boot",
                "--ring",
                ring,
            ];
            let stats = record(&file, monitor, &options);
            let (shown, messages) = show(&file);
            assert_eq!(messages, "", "nothing is wrong with it");
            for name in ["app", "libos", "stack", "boot"] {
                let (counted, seen) = (named(&stats, name), named(&shown["components"], name));
                for figure in ["allocations", "frees", "reallocations", "requested_bytes"] {
                    assert_eq!(
                        counted[figure], seen[figure],
                        "{name}: {figure} on {monitor}, ring of {ring}"
                    );
                }
                assert_eq!(
                    (&seen["unknown"], &seen["refused"]),
                    (&Value::from(0), &Value::from(0))
                );
            }
            assert!(named(&shown["components"], "app")["allocations"].as_u64() > Some(100));
            let ending = &shown["ending"];
            assert_eq!(
                (&ending["whole"], &ending["status"]),
                (&Value::from(true), &Value::from(0))
            );
            if ring == "64" {
                assert!(ending["waits"].as_u64() > Some(10), "{ending}");
            }
            let bytes = fs::metadata(&file).expect("the trace").len() as f64;
            let events = shown["events"].as_f64().expect("a number");
            // An image that sleeps before each event has another clock for each.
            let most = if ring == "64" { 10.0 } else { 6.0 };
            assert!(bytes / events <= most, "{bytes} bytes for {events} events");
        }
    }
}

#[test]
fn calls_have_the_names_of_the_source() {
    let file = scratch("trace-sites").join("t");
    record(&file, "process", &["--component", "app,boot"]);
    let (shown, _) = show(&file);
    let calls = shown["sites"].as_array().expect("a list");
    let has = |component: &str, start: &str| {
        calls.iter().any(|call| {
            call["component"] == component
                && call["call"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(start))
        })
    };
    assert!(has("app", "sqlite3MemMalloc (sqlite3.c:"), "{calls:?}");
    assert!(has("app", "sqlite3MemRealloc (sqlite3.c:"), "{calls:?}");
    assert!(has("boot", "install (filesystem.rs:"), "{calls:?}");
    let words = bespoke(&["trace", "show", text(&file)]).success();
    for part in [
        "bytes asked for",
        "life in operations",
        "live bytes,",
        "sqlite3MemMalloc",
    ] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn a_damaged_trace_is_read_up_to_the_damage() {
    let folder = scratch("trace-damage");
    let (file, cut) = (folder.join("whole"), folder.join("cut"));
    record(&file, "process", &[]);
    let bytes = fs::read(&file).expect("the trace");
    let whole = show(&file).0["events"].as_u64().expect("a number");
    fs::write(&cut, &bytes[..bytes.len() - 1]).expect("a shorter file");
    let (shown, messages) = show(&cut);
    assert_eq!(
        shown["events"].as_u64(),
        Some(whole),
        "only the ending is cut"
    );
    assert_eq!(shown["ending"]["whole"], false);
    assert!(
        messages.contains("the file ends here") && messages.contains(&whole.to_string()),
        "{messages}"
    );

    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(&cut, flipped).expect("a damaged file");
    let (shown, messages) = show(&cut);
    assert!(
        shown["events"].as_u64() < Some(whole),
        "{}",
        shown["events"]
    );
    assert!(
        messages.contains("the checksum does not match"),
        "{messages}"
    );

    let mut newer = bytes;
    newer[8] = 77;
    fs::write(&cut, newer).expect("a file");
    let error = bespoke(&["trace", "show", text(&cut)]).failure(1);
    assert!(
        error.contains("format version 77") && error.contains("record it again"),
        "{error}"
    );
    fs::write(&cut, "hello").expect("a file");
    let error = bespoke(&["trace", "show", text(&cut)]).failure(1);
    assert!(error.contains("not a trace file"), "{error}");
    let error = bespoke(&["trace", "show", "/nowhere"]).failure(1);
    assert!(error.contains("cannot read /nowhere"), "{error}");
}

#[test]
fn what_cannot_be_recorded_is_refused_before_anything_is_built() {
    let file = scratch("trace-refused").join("t");
    let trace = |words: &[&str]| bespoke(&[&["trace"], words].concat()).failure(2);
    assert!(trace(&["sqlite"]).contains("give -o FILE"));
    assert!(trace(&["sqlite", "-o", text(&file), "--component", "heap"]).contains("component"));
    let error = trace(&["sqlite", "-o", text(&file), "--component", "net"]);
    assert!(error.contains("sqlite has no component net"), "{error}");
    let error = trace(&["sqlit", "-o", text(&file)]);
    assert!(error.contains("did you mean \"sqlite\"?"), "{error}");
    let full = bespoke(&[
        "trace",
        "sqlite",
        "-o",
        "/dev/full",
        "--",
        ":memory:",
        "select 1",
    ])
    .failure(125);
    assert!(full.contains("cannot write /dev/full"), "{full}");
    assert!(!file.exists());
}
