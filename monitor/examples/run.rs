//! Runs one image and prints what became of it: the driver of the tests, and the shortest use of
//! the crate. `run kvm|process IMAGE [-m BYTES] [--in HOST=GUEST] [--out GUEST=HOST] [--out-always]
//! [--out-limit BYTES] [--stats] [--watch] [--env NAME=VALUE] [--tap NAME,...] [-p PORTS] [-- ARGS]`

use bespoke_abi::stats::BootPoint;
use bespoke_monitor::{
    Archive, ExportFile, ExportState, ImportFile, Monitor, MonitorError, Network, RunConfig,
};
use std::time::Duration;

fn main() {
    let start = bespoke_monitor::tsc();
    let mut arguments = std::env::args_os().skip(1);
    let mut text = || {
        arguments
            .next()
            .map(|text| text.to_string_lossy().into_owned())
    };
    let monitor = match text().as_deref() {
        Some("kvm") => Monitor::Kvm,
        Some("process") => Monitor::Process,
        other => panic!("monitor {other:?}"),
    };
    let mut config = RunConfig::new(text().expect("an image"), monitor);
    config.monitor_start_tsc = start;
    let (mut files, mut ports, mut stats) = (Vec::new(), Vec::new(), false);
    let pair = |text: Option<String>| {
        let text = text.expect("a pair");
        let (left, right) = text.split_once('=').expect("LEFT=RIGHT");
        (left.to_owned(), right.to_owned())
    };
    while let Some(option) = text() {
        match option.as_str() {
            "-m" => config.memory_bytes = text().and_then(|size| size.parse().ok()).expect("bytes"),
            "--in" => {
                let (host, guest) = pair(text());
                files.push(ImportFile {
                    host: host.into(),
                    guest,
                    folder: false,
                    canonical: false,
                });
            }
            "--out" => {
                let (guest, host) = pair(text());
                config.exports.push(ExportFile {
                    guest,
                    host: host.into(),
                });
            }
            "--out-always" => config.export_always = true,
            "--out-limit" => {
                config.export_limit = text().and_then(|size| size.parse().ok());
            }
            "--tap" => {
                config.net = Network::Tap(text().and_then(|tap| tap.parse().ok()).expect("a TAP"))
            }
            "-p" => ports.push(text().and_then(|port| port.parse().ok()).expect("a port")),
            "--env" => config.environment.push(text().expect("NAME=VALUE").into()),
            "--stats" => stats = true,
            "--watch" => config.on_start = Some(Box::new(watch)),
            "--" => break,
            other => panic!("option {other}"),
        }
    }
    if !ports.is_empty() {
        config.net = Network::Ports(ports);
    }
    config.archive = Archive::Files(files);
    config.arguments.extend(arguments);
    let outcome = match bespoke_monitor::run(config) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(if matches!(error, MonitorError::KvmUnavailable { .. }) {
                124
            } else {
                125
            });
        }
    };
    let end = bespoke_monitor::tsc();
    if let bespoke_monitor::Exit::Crash(report) = &outcome.exit {
        eprint!("{report}");
    }
    for export in &outcome.exports {
        let state = match &export.state {
            ExportState::Written => "written".to_owned(),
            other => format!("{other:?}"),
        };
        eprintln!("export {}: {state}", export.guest);
    }
    if let (true, Some(page)) = (stats, &outcome.stats) {
        let since = |tsc: u64| (tsc.wrapping_sub(start)) as f64 * 1e3 / outcome.tsc_khz as f64;
        let at = |point: BootPoint| since(page.boot[point as usize].get());
        let (ready, enter, first) = (
            at(BootPoint::MachineReady),
            at(BootPoint::Enter),
            at(BootPoint::FirstInstruction),
        );
        eprintln!(
            "us: ready {ready:.1} enter {enter:.1} first {first:.1} end {:.1}",
            since(end)
        );
        eprintln!("calls {}", page.calls.get());
    }
    std::process::exit(i32::from(outcome.status()));
}

/// Prints the guest's call counter once it has risen to 5, while the guest goes on.
fn watch(view: bespoke_monitor::StatsView) {
    std::thread::spawn(move || {
        while view.page().calls.get() < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        eprintln!("seen {} calls", view.page().calls.get());
    });
}
