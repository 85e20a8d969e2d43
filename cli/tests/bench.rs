//! `bespoke bench`: what it measures is kept, whatever ends it, and a heap that fails has that as its result.

mod common;

use common::{bespoke, command, feed, scratch, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// A bench of hello on the process monitor, with its results in `folder`.
fn bench(folder: &Path, more: &[&str]) -> Vec<String> {
    let line = [
        "bench",
        "hello",
        "--monitor",
        "process",
        "--results",
        text(folder),
    ];
    line.iter()
        .chain(more)
        .map(|word| word.to_string())
        .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten();
    all.map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|each| each == extension))
        .collect()
}

#[test]
fn a_small_bench_measures_every_heap_and_keeps_the_raw_data() {
    let folder = scratch("bench-small");
    let line = bench(
        &folder,
        &[
            "--heaps",
            "tlsf,libos=talc+region",
            "--rounds",
            "2",
            "--metrics",
            "boot,time,image_size,heap_latency,minimum_memory",
            "--json",
        ],
    );
    let run = json(&feed(&mut command(&line), "").success());
    let labels: Vec<&str> = run["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|candidate| candidate["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["native", "tlsf", "libos=talc+region"]);
    let composed = &run["candidates"][2]["components"];
    assert_eq!(
        (
            composed["app"]["heap"].as_str(),
            composed["libos"]["heap"].as_str()
        ),
        (Some("region"), Some("talc"))
    );
    let taken = run["measurements"].as_array().unwrap();
    // Of each two plain runs and two timed ones, one search for the smallest memory, one look at the file.
    assert_eq!(taken.len(), 18, "{run:#}");
    let reading = |candidate: &str, figure: &str| {
        let of_candidate = taken.iter().filter(|each| each["candidate"] == candidate);
        let mut readings = of_candidate.flat_map(|each| each["values"].as_array().unwrap());
        readings
            .find(|reading| reading["figure"] == figure)
            .and_then(|reading| reading["value"].as_f64())
    };
    assert!(reading("tlsf", "boot") > Some(0.0) && reading("tlsf", "image_size") > Some(10_000.0));
    assert!(reading("native", "time") > Some(0.0) && reading("native", "boot").is_none());
    // It uses no heap.
    assert_eq!(reading("tlsf", "heap_latency.p99"), None);
    let megabytes =
        |label| reading(label, "minimum_memory").map(|bytes| bytes / f64::from(1 << 20));
    assert!(megabytes("tlsf") > Some(0.1) && megabytes("tlsf") < Some(16.0));
    let kept = files(&folder, "json");
    assert_eq!(kept.len(), 1);
    assert_eq!(json(&fs::read_to_string(&kept[0]).unwrap()), run);
    assert!(files(&folder, "unfinished").is_empty());
}

#[test]
fn the_operations_of_a_heap_are_timed() {
    let folder = scratch("bench-latency");
    let line = ["bench", "sqlite", "--heaps", "tlsf", "--no-native"];
    let what = ["--workloads", "inserts-10", "--metrics", "heap_latency"];
    let how = ["--rounds", "1", "--monitor", "process", "--json"];
    let place = ["--results", text(&folder)];
    let run = json(&bespoke(&[&line[..], &what, &how, &place].concat()).success());
    let values = run["measurements"][0]["values"].as_array().unwrap();
    let p99 = values
        .iter()
        .find(|value| value["figure"] == "heap_latency.p99");
    assert!(
        p99.and_then(|p99| p99["value"].as_f64()) > Some(0.0),
        "{run:#}"
    );
}

#[test]
fn the_cost_of_tracing_is_measured_and_its_trace_is_kept() {
    let (folder, traces) = (scratch("bench-traced"), scratch("bench-traces"));
    let more = [
        "--heaps",
        "tlsf",
        "--rounds",
        "2",
        "--metrics",
        "trace_cost",
        "--traces",
        text(&traces),
        "--json",
    ];
    let run = json(&feed(&mut command(&bench(&folder, &more)), "").success());
    let taken = run["measurements"].as_array().unwrap();
    assert_eq!(taken.len(), 4, "{run:#}");
    for each in taken {
        let values = each["values"]
            .as_array()
            .unwrap_or_else(|| panic!("{each}"));
        match each["candidate"].as_str() {
            Some("native") => assert!(values.is_empty()),
            _ => assert!(values[0]["value"].as_f64() > Some(0.0), "{each}"),
        }
    }
    let kept = traces.join("hello-hello-tlsf.trace");
    let shown = bespoke(&["trace", "show", text(&kept)]).success();
    assert!(shown.contains("app"), "{shown}");
}

#[test]
fn instructions_are_the_same_each_time() {
    if std::process::Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("not tested: counting instructions needs qemu-system-x86_64");
        return;
    }
    let count = |name: &str| {
        let folder = scratch(name);
        let more = [
            "--heaps",
            "region",
            "--no-native",
            "--metrics",
            "instructions",
            "--json",
        ];
        let run = json(&feed(&mut command(&bench(&folder, &more)), "").success());
        run["measurements"][0]["values"][0]["value"].as_f64()
    };
    let first = count("bench-instructions-a");
    assert!(first > Some(100.0) && first < Some(100_000.0), "{first:?}");
    assert_eq!(first, count("bench-instructions-b"));
}

#[test]
fn a_heap_that_fails_has_its_failure_as_its_result_and_the_rest_go_on() {
    let folder = scratch("bench-failure");
    let own = "test \"$LABEL\" != tlsf || { echo no luck today; exit 3; }; echo 7";
    let more = [
        "--heaps",
        "tlsf,region",
        "--rounds",
        "3",
        "--command",
        own,
        "--unit",
        "ms",
        "--metrics",
        "value",
    ];
    let shown = feed(&mut command(&bench(&folder, &more)), "").success();
    assert!(
        shown.contains("failed: command with tlsf: exit status: 3: no luck today"),
        "{shown}"
    );
    assert!(shown.contains("7.00 ms"), "{shown}");
    let run = json(&fs::read_to_string(&files(&folder, "json")[0]).unwrap());
    let of = |label: &str| {
        let taken = run["measurements"].as_array().unwrap();
        taken
            .iter()
            .filter(|each| each["candidate"] == label)
            .count()
    };
    // It is not tried again.
    assert_eq!((of("tlsf"), of("region"), of("native")), (1, 3, 3));
}

#[test]
fn a_server_that_fails_has_its_own_words_as_the_reason() {
    // SAFETY: asks for a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("not tested: measuring servers takes root and two cores");
        return;
    }
    let folder = scratch("bench-server-failure");
    // Redis does not get by with as few blocks as tinyalloc has.
    let line = ["bench", "redis", "--heaps", "tinyalloc", "--no-native"];
    let what = ["--workloads", "get", "--metrics", "boot", "--rounds", "1"];
    let place = ["--monitor", "process", "--results", text(&folder), "--json"];
    let run = json(&bespoke(&[&line[..], &what, &place].concat()).success());
    let reason = run["measurements"][0]["failed"].as_str().expect("it fails");
    // Redis runs out of memory while it tells that it ran out of memory, until its stack ends: which of its lines is the
    // last differs. Two of them stand before ours.
    let (words, crash) = reason
        .split_once(" / bespoke: the image crashed: ")
        .expect(reason);
    assert!(crash.starts_with("stack overflow at 0x"), "{reason}");
    let (status, of_redis) = words.split_once("exit status: 139; ").expect(reason);
    assert!(!status.contains(" / "), "{reason}");
    let lines: Vec<&str> = of_redis.split(" / ").collect();
    assert!(
        lines.len() == 2 && !of_redis.contains("bespoke"),
        "{reason}"
    );
    assert!(!reason.contains(['{', '}']), "{reason}");
    assert!(!reason.contains("unknown_calls"), "{reason}");
}

/// The table of replies guards `-p` against waiting for a timer of TCP.
#[test]
fn replies_are_timed_over_each_link() {
    // SAFETY: asks for a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("skipped: a lab takes root and two cores");
        return;
    }
    let line = [
        "bench",
        "redis",
        "--replies",
        "--monitor",
        "process",
        "--json",
    ];
    let links = json(&bespoke(&line).success());
    let links = links.as_array().expect("links");
    let names: Vec<&str> = links
        .iter()
        .map(|link| link["link"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["loopback", "veth", "port", "tap", "veth"]);
    for link in links {
        let replies = link["replies"].as_array().expect("replies");
        assert_eq!(replies.len(), 8);
        let of = |kib: u64| {
            replies
                .iter()
                .find(|reply| reply["kib"] == kib)
                .expect("its size")
        };
        let median = of(50)["median_ms"].as_f64().expect("a time");
        assert!(median > 0.0 && median < 10.0, "{link}");
    }
}

#[test]
fn a_command_of_ones_own_runs_the_candidate() {
    let folder = scratch("bench-command");
    let own = "\"$RUN\" | grep -c 'Hello from a Bespoke image'";
    let more = [
        "--heaps",
        "region",
        "--rounds",
        "1",
        "--command",
        own,
        "--json",
    ];
    let run = json(&feed(&mut command(&bench(&folder, &more)), "").success());
    for taken in run["measurements"].as_array().unwrap() {
        if taken["pass"] == "plain" {
            assert_eq!(taken["values"][0]["value"], 1.0, "{taken}");
        }
    }
}

#[test]
fn what_was_measured_before_an_end_of_any_kind_is_not_measured_again() {
    // SIGINT as from Ctrl-C, and SIGKILL as nobody can catch.
    for (signal, status) in [(libc::SIGINT, Some(130)), (libc::SIGKILL, None)] {
        let folder = scratch(&format!("bench-resume-{signal}"));
        let tally = folder.join("tally");
        let own = format!("echo $LABEL >> {}; sleep 0.05; echo 1", text(&tally));
        let more = [
            "--heaps",
            "region",
            "--rounds",
            "12",
            "--command",
            &own,
            "--metrics",
            "value",
        ];
        let line = bench(&folder, &more);
        let mut first = command(&line)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let lines = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
        while lines(&tally) < 6 {
            assert!(start.elapsed() < Duration::from_secs(60), "it measures");
            thread::sleep(Duration::from_millis(5));
        }
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(first.id() as i32, signal) };
        assert_eq!(first.wait().unwrap().code(), status);
        let left = files(&folder, "unfinished");
        let text_of = fs::read_to_string(&left[0]).unwrap();
        let kept = text_of.matches("{\"measurement\":").count();
        assert!((5..24).contains(&kept), "{kept} kept");

        let other: Vec<String> = line.iter().map(|word| word.replace("12", "11")).collect();
        let mut resumed = command(&other);
        let error = feed(resumed.arg("--resume"), "").failure(2);
        assert!(error.contains("different rounds"), "{error}");
        let before = lines(&tally);
        let mut resumed = command(&line);
        let run = json(&feed(resumed.args(["--resume", "--json"]), "").success());
        assert_eq!(run["measurements"].as_array().unwrap().len(), 24);
        assert_eq!(lines(&tally) - before, 24 - kept);
        let mut again = command(&line);
        let error = feed(again.arg("--resume"), "").failure(2);
        assert!(error.contains("no unfinished run of hello"), "{error}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_runs() {
    let folder = scratch("bench-refused");
    for (more, words) in [
        (
            &["--metrics", "thruput"][..],
            "metric named \"thruput\" (did you mean \"throughput\"?)",
        ),
        (
            &["--figures", "thruput"],
            "--figures is deprecated; use --metrics\nbespoke: no metric named \"thruput\"",
        ),
        (
            &["--workloads", "helo"],
            "workload named \"helo\" (did you mean \"hello\"?)",
        ),
        (
            &["--heaps", "tslf"],
            "heap named \"tslf\" (did you mean \"tlsf\"?)",
        ),
        (&["--heaps", "tlsf,tlsf"], "twice"),
        (&["--heaps", "none", "--no-native"], "nothing to measure"),
        (&["--metrics", "creep"], "no workload has the metric"),
    ] {
        let error = feed(&mut command(&bench(&folder, more)), "").failure(2);
        assert!(error.contains(words), "{error}");
    }
    let error = bespoke(&["bench", "crash", "--results", text(&folder)]).failure(2);
    assert!(error.contains("declares no workload"), "{error}");
    assert!(files(&folder, "json").is_empty() && files(&folder, "unfinished").is_empty());
}
