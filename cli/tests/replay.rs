//! Replays from end to end: a trace of SQLite against every heap, sound and measured; heaps that fail; bad input.

mod common;

use common::{bespoke, command, feed, heaps, scratch, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SQL: &str = "\
create table t(id integer primary key, name text);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 2000)
  insert into t select x, 'name ' || (x * 7919 % 2000) from c;
select group_concat(name || hex(zeroblob(id % 90)), ',') from t group by id % 20;
";

fn record(folder: &Path) -> PathBuf {
    let file = folder.join("t");
    let line = [
        "trace",
        "sqlite",
        "-o",
        text(&file),
        "--monitor",
        "process",
        "--component",
        "app,libos",
    ];
    feed(&mut command(&[&line[..], &["--", "/t.db"]].concat()), SQL).success();
    file
}

fn replay(words: &[&str]) -> Value {
    let json = bespoke(&[&["replay"], words, &["--json"]].concat()).success();
    serde_json::from_str(&json).expect("JSON")
}

#[test]
fn every_heap_serves_a_trace_soundly_and_what_it_took_is_measured() {
    let file = record(&scratch("replay"));
    let line = [
        text(&file),
        "--check",
        "--rounds",
        "2",
        "--count-events",
        "2000",
        "-m",
        "64M",
    ];
    let results = replay(&line);
    let rows = results["heaps"].as_array().expect("a list");
    let names: Vec<_> = rows
        .iter()
        .map(|row| row["heap"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, heaps());
    let operations = &rows[0]["memory"]["operations"];
    assert!(operations.as_u64() > Some(4_000), "{operations}");
    for row in rows {
        assert_eq!(row["failure"], Value::Null, "{row}");
        assert_eq!(
            (&row["check"]["sound"], &row["check"]["operations"]),
            (&Value::from(true), operations),
            "{row}"
        );
        assert_eq!(&row["memory"]["operations"], operations, "all do the same");
        assert_eq!(row["cycles_by_round"].as_array().map(Vec::len), Some(2));
        let usage = &row["memory"]["usage"];
        let bytes = |name: &str| usage[name].as_u64().expect("a number");
        assert!(
            bytes("granted_peak_bytes") >= bytes("requested_peak_bytes"),
            "{usage}"
        );
        assert!(
            bytes("held_peak_bytes") >= bytes("requested_peak_bytes"),
            "{usage}"
        );
        assert_eq!(usage["points"].as_array().map(Vec::len), Some(64));
    }
    if results["uncounted"] == Value::Null {
        let two = [&line[..], &["--heaps", "tlsf,mimalloc"]].concat();
        for second in replay(&two)["heaps"].as_array().expect("a list") {
            let same = |row: &&Value| row["heap"] == second["heap"];
            let first = rows.iter().find(same).expect("among all");
            assert!(first["instructions"].as_f64() > Some(1.0), "{first}");
            assert_eq!(
                first["instructions"], second["instructions"],
                "repeatable to the last digit"
            );
        }
    } else {
        eprintln!("tested without instructions: {}", results["uncounted"]);
    }
    let libos = replay(&[
        text(&file),
        "--component",
        "libos",
        "--heaps",
        "tlsf,tlsf:sl=4",
        "--rounds",
        "1",
        "--count-events",
        "0",
    ]);
    assert_eq!(libos["heaps"][1]["heap"], "tlsf:sl=4");
    assert!(
        libos["heaps"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|row| row["failure"] == Value::Null),
        "{libos}"
    );
}

#[test]
fn a_heap_that_fails_has_its_failure_as_its_result_and_the_rest_go_on() {
    let file = record(&scratch("replay-fails"));
    let results = replay(&[
        text(&file),
        "--heaps",
        "region,tlsf",
        "-m",
        "1M",
        "--rounds",
        "1",
        "--count-events",
        "0",
        "--check",
    ]);
    let (region, tlsf) = (&results["heaps"][0], &results["heaps"][1]);
    let failure = region["failure"].as_str().expect("it never frees");
    assert!(
        failure.starts_with("out of memory at operation"),
        "{failure}"
    );
    let reason = region["check"]["reason"].as_str().expect("here, too");
    assert!(reason.contains("refused to"), "{reason}");
    assert_eq!(
        (&tlsf["failure"], &tlsf["check"]["sound"]),
        (&Value::Null, &Value::from(true)),
        "{tlsf}"
    );
    assert_eq!(tlsf["cycles_by_round"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let file = record(&scratch("replay-refused"));
    let refused = |words: &[&str]| bespoke(&[&["replay", text(&file)], words].concat());
    assert!(
        refused(&["--heaps", "tslf"])
            .failure(2)
            .contains("did you mean \"tlsf\"?")
    );
    let error = refused(&["--component", "net"]).failure(2);
    assert!(error.contains("the trace has app, libos"), "{error}");
    assert!(
        refused(&["--against", "/nowhere"])
            .failure(1)
            .contains("cannot read /nowhere")
    );
    let error = bespoke(&["replay", "/etc/passwd"]).failure(1);
    assert!(error.contains("not a trace file"), "{error}");
}
