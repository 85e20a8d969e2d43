//! What the page says follows the metrics: the same page of other metrics says otherwise.

use crate::evaluation::Evaluation;
use crate::evaluation::Measured;
use crate::page::page;
use bespoke_bench::RunRecord;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ROUNDS: u32 = 10;

/// A run of `app` in which each heap's `metric` on `workload` is `value`, with a little noise.
fn run(app: &str, workload: &str, metric: (&str, &str, &str), values: &[(&str, f64)]) -> Measured {
    let (id, unit, better) = metric;
    let mut measurements = Vec::new();
    for round in 0..ROUNDS {
        for (place, (label, value)) in values.iter().enumerate() {
            let noise = 1.0 + 0.001 * f64::from((round * 7 + place as u32 * 3) % 5);
            let values = json!([{ "figure": id, "value": value * noise }]);
            measurements.push(json!({
                "workload": workload, "candidate": label, "pass": "plain", "round": round, "measured_s": 1.0, "values": values
            }));
        }
    }
    let candidates: Vec<Value> = values
        .iter()
        .map(|(label, _)| json!({ "label": label, "native": *label == "native", "components": {} }))
        .collect();
    let record = json!({
        "schema": bespoke_bench::SCHEMA, "id": "x", "command": "bench", "app": app, "started_unix_s": 1,
        "started": "2026-01-02 03:04:05",
        "machine": { "cpu": "C", "cores": 2, "memory_bytes": 1u64 << 34, "kernel": "6", "virtual_machine": true, "kvm": true, "bespoke": "0" },
        "monitor": "kvm", "rounds": ROUNDS, "reference": values[0].0, "candidates": candidates,
        "workloads": [{ "name": workload, "kind": "run", "title": workload, "operation": "operations" }],
        "figures": [{ "id": id, "unit": unit, "better": better, "pass": "plain", "title": id }],
        "measurements": measurements, "calibration_s": [0.01, 0.01, 0.01, 0.01],
    });
    let run = RunRecord::parse(&record.to_string()).expect("a run");
    Measured {
        step: format!("{app}-{id}"),
        columns: run.columns(),
        run,
    }
}

fn text(runs: Vec<Measured>) -> String {
    let evaluation = Evaluation {
        runs,
        replays: BTreeMap::new(),
        searches: BTreeMap::new(),
    };
    page(&evaluation, "results").text
}

const BOOT: (&str, &str, &str) = ("boot", "us", "smaller");
const RATE: (&str, &str, &str) = ("throughput", "1/s", "larger");

/// The row of the first table that begins so.
fn row<'a>(page: &'a str, begins: &str) -> &'a str {
    page.lines()
        .find(|line| line.starts_with(&format!("| {begins}")))
        .unwrap_or_else(|| panic!("no row {begins}: {page}"))
}

#[test]
fn a_gain_is_reached_only_where_the_metrics_say_so() {
    let with = |buddy: f64| {
        text(vec![run(
            "nginx",
            "small",
            BOOT,
            &[("tlsf", 700.0), ("region", 690.0), ("buddy", buddy)],
        )])
    };
    let reached = with(5000.0);
    assert!(
        row(&reached, "nginx, start").ends_with("| reached |"),
        "{reached}"
    );
    assert!(
        reached.contains("buddy takes 7.2") && reached.contains("below the 1500 us"),
        "{reached}"
    );
    let less = with(1400.0);
    assert!(
        row(&less, "nginx, start").ends_with("| less than the seed's |"),
        "{less}"
    );
    let none = with(691.0);
    assert!(
        row(&none, "nginx, start").ends_with("| no difference found |"),
        "{none}"
    );
    assert!(
        none.contains("no difference found between") && !none.contains("Reproduced or exceeded")
    );
    let reversed = with(100.0);
    assert!(
        row(&reversed, "nginx, start").ends_with("| the baseline is better |"),
        "{reversed}"
    );
}

#[test]
fn a_published_order_agrees_or_does_not() {
    let order = |values: [f64; 5]| {
        let heaps = ["region", "tlsf", "tinyalloc", "mimalloc", "buddy"];
        let values: Vec<(&str, f64)> = heaps.into_iter().zip(values).collect();
        text(vec![run("nginx", "small", BOOT, &values)])
    };
    let same = order([488.0, 508.0, 873.0, 941.0, 3066.0]);
    assert!(
        same.contains("the rankings agree (Spearman's +1.00, n = 5, p = 0.017)"),
        "{same}"
    );
    let opposite = order([3066.0, 941.0, 873.0, 508.0, 488.0]);
    assert!(opposite.contains("the rankings are opposite"), "{opposite}");
    let mixed = order([508.0, 3066.0, 488.0, 941.0, 873.0]);
    assert!(
        mixed.contains("no agreement of the rankings is shown"),
        "{mixed}"
    );
}

#[test]
fn a_rate_that_falls_is_no_gain_and_what_is_missing_is_said() {
    let page = text(vec![run(
        "redis",
        "get",
        RATE,
        &[
            ("native", 2e6),
            ("tlsf", 1e6),
            ("mimalloc", 1.3e6),
            ("buddy", 1e6),
        ],
    )]);
    assert!(
        row(&page, "Redis, throughput (get)").ends_with("| reached |"),
        "{page}"
    );
    assert!(
        page.contains("native does 1.54 times as much as mimalloc"),
        "{page}"
    );
    assert!(
        row(&page, "nginx, start").ends_with("| not measured |"),
        "{page}"
    );
    assert!(
        page.contains("Not measured in these runs: replays."),
        "{page}"
    );
}

#[test]
fn the_page_is_made_from_folders_of_steps_and_refuses_what_it_cannot_read() {
    let folder = std::env::temp_dir().join(format!("bespoke-results-{}", std::process::id()));
    let step = folder.join("start-nginx");
    std::fs::create_dir_all(&step).unwrap();
    let refused = |words: &str| {
        let error = Evaluation::read(&folder)
            .err()
            .expect("an error")
            .to_string();
        assert!(error.contains(words), "{error}");
    };
    refused("there is no run in");
    let measured = run(
        "nginx",
        "small",
        BOOT,
        &[("tlsf", 700.0), ("buddy", 5000.0)],
    );
    measured.run.write(&step.join("a.json")).unwrap();
    std::fs::write(step.join("a.unfinished"), "half").unwrap();
    let read = Evaluation::read(&folder).unwrap();
    assert_eq!(read.runs.len(), 1);
    assert!(
        read.column("nginx", "small", "boot").is_some()
            && read.column("nginx", "small", "time").is_none()
    );
    std::fs::write(folder.join("other.json"), "{}").unwrap();
    refused("cannot parse results file");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_choice_that_loses_to_a_heap_used_everywhere_is_said_to() {
    let measured = |chosen: f64| {
        let mut run = run(
            "redis",
            "set",
            RATE,
            &[("chosen", chosen), ("app=talc", 100.0), ("app=tlsf", 90.0)],
        );
        run.step = "everywhere-redis-throughput".into();
        text(vec![run])
    };
    let (wins, ties, loses) = (measured(120.0), measured(101.0), measured(80.0));
    for page in [&wins, &ties] {
        assert!(
            page.contains("redis, set, throughput: the choice loses to no heap"),
            "{page}"
        );
    }
    assert!(
        loses.contains("redis, set, throughput: the choice loses. app=talc does 1.25 times"),
        "{loses}"
    );
    assert!(
        loses.contains("app=tlsf does 1.12 times") || loses.contains("app=tlsf does 1.13 times"),
        "{loses}"
    );
}

#[test]
fn a_run_of_a_choice_is_not_taken_for_one_of_heaps_for_malloc() {
    let heaps = run(
        "nginx",
        "small",
        BOOT,
        &[("tlsf", 700.0), ("buddy", 9000.0)],
    );
    let mut choice = run(
        "nginx",
        "small",
        BOOT,
        &[
            ("app=tlsf+boot=region", 600.0),
            ("app=buddy+boot=buddy", 9500.0),
        ],
    );
    choice.step = "everywhere-nginx-boot".into();
    let page = text(vec![choice, heaps]);
    let reached = row(&page, "nginx, start");
    assert!(
        reached.contains("| tlsf |") && reached.contains("reached"),
        "{reached}"
    );
    assert!(page.contains("the choice loses to no heap"), "{page}");
}
