//! The data model: what is written is read again, what was cut off goes on, and nobody wins untested.

use crate::candidate::{Candidate, CandidateRecord, NATIVE};
use crate::journal::Journal;
use crate::machine::Machine;
use crate::metric::{Metric, Pass};
use crate::record::{Measurement, Outcome, Reading, RunRecord, SCHEMA, WorkloadRecord};
use bespoke_recipe::composition::{Composition, HeapArgument, Preference};
use bespoke_recipe::paths;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

fn candidate(heap: &str) -> CandidateRecord {
    let composition = Composition::choose(&Preference::default(), &[HeapArgument::from(heap)]);
    Candidate::image(heap, composition.unwrap()).record(Some(("00".repeat(32), 1000)))
}

fn run(metrics: &[&str]) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        id: "sqlite-20261125-153102".into(),
        command: "bench".into(),
        app: "sqlite".into(),
        started_unix_s: 1_795_620_662,
        started: "2026-11-25 15:31:02".into(),
        machine: Machine::here().unwrap(),
        monitor: "process".into(),
        rounds: 8,
        reference: NATIVE.into(),
        candidates: vec![
            Candidate::native().record(None),
            candidate("tlsf"),
            candidate("buddy"),
            candidate("region"),
        ],
        workloads: vec![WorkloadRecord {
            name: "inserts-10".into(),
            kind: "run".into(),
            title: "10 inserts".into(),
            operation: "inserts".into(),
            value: None,
            seconds: None,
        }],
        metrics: metrics
            .iter()
            .flat_map(|id| Metric::named(id).unwrap())
            .collect(),
        measurements: Vec::new(),
        calibration_s: Vec::new(),
    }
}

fn measurement(candidate: &str, round: u32, outcome: Outcome) -> Measurement {
    Measurement {
        workload: "inserts-10".into(),
        candidate: candidate.into(),
        pass: Pass::Plain,
        round,
        measured_s: 1.5,
        outcome,
    }
}

fn readings(throughput: f64, live: f64) -> Outcome {
    Outcome::Values(vec![
        Reading::whole("throughput", throughput),
        Reading::of("peak_live", "app", live),
    ])
}

/// Eight rounds: tlsf twice as fast as buddy, region failing in its last round, native faster than all.
fn measured() -> RunRecord {
    let mut run = run(&["throughput", "peak_live"]);
    for round in 0..8 {
        let drift = 1.0 + f64::from(round) * 0.1;
        let mut add =
            |name: &str, outcome| run.measurements.push(measurement(name, round, outcome));
        add(NATIVE, readings(9.0 * drift, 1.0));
        add("tlsf", readings(2.0 * drift, 100.0));
        add("buddy", readings(1.0 * drift, 100.0));
        if round < 7 {
            add("region", readings(3.0 * drift, 100.0));
        } else {
            add("region", Outcome::Failed("out of memory".into()));
        }
    }
    run
}

#[test]
fn what_is_written_is_read_again() {
    let folder = folder("round-trip");
    let path = folder.join("run.json");
    let run = measured();
    run.write(&path).unwrap();
    assert_eq!(RunRecord::read(&path).unwrap(), run);
    assert_eq!(
        RunRecord::list(&folder).unwrap(),
        std::slice::from_ref(&path)
    );

    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"schema\": 1", "\"schema\": 2", 1);
    let error = RunRecord::parse(&newer).unwrap_err();
    assert!(error.contains("version 2"), "{error}");
    fs::write(&path, "{}").unwrap();
    let error = RunRecord::read(&path).unwrap_err().to_string();
    assert!(error.contains("run.json"), "{error}");
}

#[test]
fn a_run_that_was_cut_off_in_a_line_goes_on_with_all_lines_before() {
    let folder = folder("journal");
    let mut journal = Journal::begin(&folder, run(&["throughput"])).unwrap();
    journal.calibrated(0.02).unwrap();
    journal
        .add(measurement("tlsf", 0, readings(1.0, 2.0)))
        .unwrap();
    let failed = Outcome::Failed("it said \"no\"\nand ended".into());
    journal.add(measurement("buddy", 0, failed)).unwrap();
    let (before, path) = (journal.run().clone(), journal.path().to_path_buf());
    drop(journal);
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"{\"measurement\":{\"workload\":\"ins")
        .unwrap();

    let found = Journal::latest(&folder, "bench", "sqlite").unwrap();
    assert_eq!(found, Some(path.clone()));
    assert_eq!(Journal::latest(&folder, "bench", "nginx").unwrap(), None);
    let mut journal = Journal::resume(&path).unwrap();
    assert_eq!(*journal.run(), before);
    journal
        .add(measurement("region", 0, readings(1.0, 2.0)))
        .unwrap();
    let (run, finished) = journal.finish().unwrap();
    assert_eq!(run.measurements.len(), 3);
    assert_eq!(RunRecord::read(&finished).unwrap(), run);
    assert_eq!(Journal::latest(&folder, "bench", "sqlite").unwrap(), None);

    fs::write(&path, "{\"schema\":1").unwrap();
    assert!(Journal::resume(&path).is_err());
}

#[test]
fn columns_name_the_best_and_only_by_the_test() {
    let columns = measured().columns();
    assert_eq!(columns.len(), 2);
    let throughput = &columns[0];
    assert_eq!(throughput.winner(), Some("tlsf"));
    let region = throughput.row("region").unwrap();
    assert_eq!(region.failure.as_deref(), Some("out of memory"));
    assert_eq!(region.values.len(), 7);
    let tlsf = throughput.row("tlsf").unwrap().against_reference.unwrap();
    assert!(
        tlsf.different && (tlsf.ratio - 2.0 / 9.0).abs() < 1e-9,
        "{tlsf:?}"
    );
    assert_eq!(throughput.row(NATIVE).unwrap().against_reference, None);

    let live = &columns[1];
    assert_eq!(live.component.as_deref(), Some("app"));
    assert_eq!((live.winner(), live.best.len()), (None, 2));

    let mut few = measured();
    few.measurements.retain(|measurement| measurement.round < 7);
    assert_eq!(few.columns()[0].winner(), None);
}

fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("bespoke-measure-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    paths::create(&folder).unwrap();
    folder
}
