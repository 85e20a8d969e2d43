//! The page of a run with every kind of thing in it: sizes, phases, components, a failure, a native program.

use super::{Part, chart, page, run};
use bespoke_bench::RunRecord;
use serde_json::{Value, json};

const ROUNDS: u32 = 8;

fn candidate(label: &str) -> Value {
    let components = match label {
        "native" => json!({}),
        heap => json!({ "app": { "heap": heap, "parameters": { "pages": "8" } } }),
    };
    json!({ "label": label, "native": label == "native", "components": components, "image_sha256": null, "image_bytes": null })
}

fn metric(id: &str, unit: &str, better: &str) -> Value {
    json!({ "id": id, "unit": unit, "better": better, "pass": "plain", "title": format!("title of {id}") })
}

fn measurement(workload: &str, candidate: &str, round: u32, factor: f64) -> Value {
    let mut readings = vec![
        json!({ "figure": "throughput", "value": 1000.0 / factor }),
        json!({ "figure": "memory", "value": 2e6 * factor }),
    ];
    if candidate != "native" {
        readings.push(json!({ "figure": "boot.heaps", "value": 40.0 * factor }));
        readings.push(
            json!({ "figure": "internal_fragmentation", "component": "app", "value": factor }),
        );
    }
    json!({ "workload": workload, "candidate": candidate, "pass": "plain", "round": round, "measured_s": 1.0, "values": readings })
}

/// A run in which `quick` is twice as fast as `slow`, and `small<er` fails.
fn record() -> RunRecord {
    let workloads = ["inserts-10", "inserts-100", "inserts-1000"];
    let mut measurements = Vec::new();
    for workload in workloads {
        for round in 0..ROUNDS {
            let noise = 1.0 + f64::from(round) / 100.0;
            for (candidate, factor) in [("quick", 1.0), ("slow", 2.0), ("native", 3.0)] {
                measurements.push(measurement(workload, candidate, round, factor * noise));
            }
        }
        measurements.push(
            json!({ "workload": workload, "candidate": "small<er", "pass": "plain", "round": 0,
            "measured_s": 0.0, "failed": "needs 3 MiB & has 2 MiB" }),
        );
    }
    let workloads = workloads
        .map(|name| json!({ "name": name, "kind": "run", "title": name, "operation": "inserts" }));
    let candidates = ["quick", "slow", "small<er", "native"].map(candidate);
    let run = json!({
        "schema": bespoke_bench::SCHEMA, "id": "demo-1", "command": "bench", "app": "demo", "started_unix_s": 1,
        "started": "2026-01-02 03:04:05",
        "machine": { "cpu": "C", "cores": 2, "memory_bytes": 1u64 << 34, "kernel": "6", "virtual_machine": true, "kvm": true, "bespoke": "0" },
        "monitor": "kvm", "rounds": ROUNDS, "reference": "native",
        "candidates": candidates,
        "workloads": workloads,
        "figures": [
            metric("throughput", "1/s", "larger"), metric("boot.heaps", "us", "smaller"),
            metric("memory", "bytes", "smaller"), metric("internal_fragmentation", "x", "smaller"),
        ],
        "measurements": measurements, "calibration_s": [0.1, 0.12],
    });
    RunRecord::parse(&run.to_string()).expect("a record by its own description")
}

fn section<'a>(part: &'a Part, heading: &str) -> &'a super::Section {
    part.sections
        .iter()
        .find(|section| section.heading == heading)
        .unwrap_or_else(|| panic!("no section {heading}"))
}

#[test]
fn a_page_refers_to_nothing_outside_itself() {
    let text = page(&[run(&record())]);
    let outside = text.replace("http://www.w3.org/2000/svg", "");
    for sign in ["http", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!outside.contains(sign), "the page has {sign}");
    }
    let links = outside.split("href=").skip(1);
    assert!(links.into_iter().all(|link| link.starts_with("\"#")));
}

#[test]
fn every_metric_is_shown_with_what_the_test_says_of_it() {
    let part = run(&record());
    let speed = section(&part, "Speed");
    let throughput = speed
        .plots
        .iter()
        .find(|plot| plot.name == "throughput-inserts-100")
        .unwrap();
    assert_eq!(throughput.note, "more is better; quick is best");
    assert!(
        speed
            .plots
            .iter()
            .any(|plot| plot.name == "curve-inserts-throughput")
    );
    assert!(
        section(&part, "Memory")
            .plots
            .iter()
            .any(|plot| plot.name == "pareto-inserts-10")
    );
    assert!(
        section(&part, "Fragmentation")
            .plots
            .iter()
            .any(|plot| plot.title.text.contains("component app"))
    );
    let start = section(&part, "Start");
    assert_eq!(
        start.plots.len(),
        1,
        "the start does not depend on the workload"
    );
}

#[test]
fn a_failure_is_a_result_with_its_reason() {
    let text = page(&[run(&record())]);
    assert!(text.contains("needs 3 MiB &amp; has 2 MiB") && text.contains("small&lt;er"));
}

#[test]
fn what_failed_and_what_makes_metrics_doubtful_is_seen_at_once() {
    let part = run(&record());
    assert!(!section(&part, "What failed").is_detail);
    let few = RunRecord {
        rounds: 4,
        ..record()
    };
    assert_eq!(few.doubts().len(), 1, "{:?}", few.doubts());
    let doubt = &few.doubts()[0];
    assert!(run(&few).introduction.into_string().contains(doubt));
    assert!(!part.introduction.into_string().contains(doubt));
}

#[test]
fn every_plot_is_a_file_with_a_name_of_its_own() {
    let part = run(&record());
    let mut names: Vec<String> = part.files().map(|(name, _)| name).collect();
    assert!(
        names.contains(&"demo-throughput-inserts-10.svg".to_string()),
        "{names:?}"
    );
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    for (name, plot) in part.files() {
        let file = chart::file(&plot.title, &plot.chart);
        assert_eq!(file.matches("<svg").count(), 1, "{name}");
        assert!(!file.contains("NaN") && !file.contains("inf\""), "{name}");
    }
}

#[test]
fn a_replay_is_drawn_over_its_operations_and_an_outsize_heap_is_named() {
    let heap = |name: &str, held: u64| {
        let points: Vec<Value> = (1..=4u64)
            .map(|step| {
                json!({ "operations": step * 100, "requested_bytes": step << 20, "granted_bytes": step << 20,
                    "held_bytes": held * step, "resident_bytes": held * step })
            })
            .collect();
        json!({ "heap": name, "failure": null, "instructions": 100.0, "cycles": null, "cycles_by_round": [], "check": null,
            "memory": { "operations": 400, "skipped": { "refused": 0, "unknown": 0 }, "failure": null, "cycles": 0,
                "usage": { "requested_peak_bytes": 4 << 20, "granted_peak_bytes": 4 << 20, "held_peak_bytes": held * 4,
                    "resident_peak_bytes": held * 4, "held_at_end_bytes": held, "points": points } } })
    };
    let failed = json!({ "heap": "broken", "failure": "out of memory", "instructions": null, "cycles": null,
        "cycles_by_round": [], "check": null, "memory": null });
    let record = json!({ "command": "replay", "app": "demo", "workload": "small", "file": "t.trace", "component": "app",
        "arena_bytes": 1u64 << 30, "rounds": 2, "counted_events": 10, "uncounted": null, "against": [],
        "heaps": [heap("tight", 1 << 20), heap("loose", 2 << 20), heap("greedy", 1 << 28), failed] });
    let part = super::replay(&serde_json::from_value(record).expect("a replay"));
    let names: Vec<String> = part.files().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["held", "resident", "overhead", "internal"].map(|name| format!("demo-replay-{name}.svg"))
    );
    let (_, held) = part.files().next().expect("a plot");
    assert!(
        held.note.contains("Not drawn: greedy, up to 1024"),
        "{}",
        held.note
    );
    let chart = held.chart.clone().into_string();
    assert!(
        chart.contains("asked for") && chart.contains("loose") && !chart.contains("greedy"),
        "{chart}"
    );
    let page = page(&[part]);
    assert!(
        page.contains("out of memory") && page.contains("broken"),
        "{page}"
    );
}
