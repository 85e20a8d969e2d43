//! What an image says of itself at the end (`bespoke run --boot-time --stats --json`), as readings of metrics.
//! Owns nothing; leaves out what did not happen, for a metric of 0 is none.

use crate::record::Reading;
use bespoke_abi::PAGE_BYTES;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The report.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ImageReport {
    /// Points of the time line, microseconds since the monitor's first instruction.
    pub boot_us: BTreeMap<String, f64>,
    /// The statistics page.
    stats: Stats,
    /// Of an image whose heaps are timed, before the report.
    #[serde(skip)]
    heap_latency: Vec<Reading>,
}

#[derive(Clone, Debug, Deserialize)]
struct Stats {
    components: Vec<Component>,
    pages: Pages,
}

#[derive(Clone, Debug, Deserialize)]
struct Component {
    name: String,
    requested_bytes: u64,
    granted_bytes: u64,
    peak_bytes: u64,
    peak_pages: u64,
    start_us: f64,
}

#[derive(Clone, Debug, Deserialize)]
struct Pages {
    high_water: u64,
}

/// Phases of a start: metric, and the points it lies between.
const PHASES: &[(&str, &str, &str)] = &[
    ("boot.machine", "monitor_start", "machine_ready"),
    ("boot.enter", "machine_ready", "first_instruction"),
    ("boot.pages", "first_instruction", "pages"),
    ("boot.heaps", "pages", "heaps"),
    ("boot.files", "heaps", "files"),
    ("boot.libc", "files", "main"),
    ("boot.app", "main", "ready"),
];

impl ImageReport {
    /// The report at the end of what was printed to standard error; a trace says what it wrote after it.
    pub(crate) fn read(messages: &str) -> Option<Self> {
        let start = messages.rfind("\n{").map_or(0, |at| at + 1);
        let mut values = serde_json::Deserializer::from_str(&messages[start..]).into_iter();
        let mut report: Self = values.next()?.ok()?;
        report.heap_latency = heap_latency(messages, bespoke_monitor::tsc_khz());
        Some(report)
    }

    /// Bytes of the page source's high-water mark.
    pub(crate) fn memory_bytes(&self) -> f64 {
        (self.stats.pages.high_water * PAGE_BYTES as u64) as f64
    }

    /// Microseconds from `main()` to the application's end; `None` when it did not get there.
    pub(crate) fn inside_us(&self) -> Option<f64> {
        Some(self.boot_us.get("exit")? - self.boot_us.get("main")?)
    }

    /// Everything it tells.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        let mut found = self.heap_latency.clone();
        let between = |from: &str, to: &str| Some(self.boot_us.get(to)? - self.boot_us.get(from)?);
        let start = "first_instruction";
        let ready = between(start, "ready").or_else(|| between(start, "main"));
        found.extend(ready.map(|us| Reading::whole("boot", us)));
        for (metric, from, to) in PHASES {
            found.extend(between(from, to).map(|us| Reading::whole(metric, us)));
        }
        found.extend(between("monitor_start", "exit").map(|us| Reading::whole("life", us)));
        for component in &self.stats.components {
            let mut add = |metric, value| found.push(Reading::of(metric, &component.name, value));
            let held = (component.peak_pages * PAGE_BYTES as u64) as f64;
            let live = component.peak_bytes as f64;
            add("heap_start", component.start_us);
            add("peak_live", live);
            add("peak_held", held);
            add(
                "internal_fragmentation",
                component.granted_bytes as f64 / component.requested_bytes as f64,
            );
            add("external_fragmentation", held / live);
        }
        found.retain(|reading| reading.value.is_finite() && reading.value > 0.0);
        // A program that never asks its heap takes no page: that is a value too.
        found.push(Reading::whole("memory", self.memory_bytes()));
        found
    }
}

/// What `libos/src/latency.rs` tells, less what reading the counter takes, in nanoseconds; at least a cycle.
fn heap_latency(messages: &str, tsc_khz: u64) -> Vec<Reading> {
    const METRICS: [&str; 4] = [
        "heap_latency.p50",
        "heap_latency.p99",
        "heap_latency.p999",
        "heap_latency.max",
    ];
    let mut found = Vec::new();
    for line in messages.lines() {
        let Some(rest) = line.strip_prefix("bespoke-heap-latency ") else {
            continue;
        };
        let mut words = rest.split(' ');
        let name = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        if let [_operations, floor, quantiles @ ..] = &numbers[..] {
            found.extend(METRICS.iter().zip(quantiles).map(|(metric, cycles)| {
                let own = cycles.saturating_sub(*floor).max(1);
                Reading::of(metric, name, own as f64 * 1e6 / tsc_khz.max(1) as f64)
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::ImageReport;

    #[test]
    fn the_timer_s_own_cycles_are_not_the_heap_s() {
        let line =
            "x\nbespoke-heap-latency app 1000 20 120 220 320 20\nbespoke-heap-latency libos 1 2\n";
        let readings = super::heap_latency(line, 1_000_000);
        let values: Vec<f64> = readings.iter().map(|reading| reading.value).collect();
        assert_eq!(values, [100.0, 200.0, 300.0, 1.0]);
        assert_eq!(readings[0].component.as_deref(), Some("app"));
    }

    const TEXT: &str = r#"a message {of} the application
{ "boot_us": { "monitor_start": 0.0, "machine_ready": 100.0, "first_instruction": 150.0, "pages": 151.0,
    "heaps": 160.0, "files": 170.0, "main": 190.0, "exit": 900.0 },
  "stats": { "calls": 3, "pages": { "high_water": 10 }, "components": [
    { "name": "app", "requested_bytes": 1000, "granted_bytes": 1100, "peak_bytes": 4096, "peak_pages": 2, "start_us": 3.5 },
    { "name": "stack", "requested_bytes": 0, "granted_bytes": 0, "peak_bytes": 0, "peak_pages": 0, "start_us": 0.5 } ] } }
"#;

    #[test]
    fn what_a_trace_says_after_the_report_does_not_hide_it() {
        let text = format!("{TEXT}bespoke: 3 events in 1 KiB, 3.40 bytes each: x.trace\n");
        assert_eq!(ImageReport::read(&text).unwrap().inside_us(), Some(710.0));
    }

    #[test]
    fn what_happened_becomes_readings_and_what_did_not_does_not() {
        let readings = ImageReport::read(TEXT).unwrap().readings();
        let value = |metric: &str, component: Option<&str>| {
            let found = readings.iter().find(|reading| {
                reading.metric == metric && reading.component.as_deref() == component
            });
            found.map(|reading| reading.value)
        };
        assert_eq!(value("boot", None), Some(40.0));
        assert_eq!(value("boot.heaps", None), Some(9.0));
        assert_eq!(value("boot.app", None), None);
        assert_eq!(value("life", None), Some(900.0));
        assert_eq!(value("memory", None), Some(40_960.0));
        assert_eq!(value("internal_fragmentation", Some("app")), Some(1.1));
        assert_eq!(value("external_fragmentation", Some("app")), Some(2.0));
        assert_eq!(value("external_fragmentation", Some("stack")), None);
        assert_eq!(value("heap_start", Some("stack")), Some(0.5));
        assert!(ImageReport::read("no report").is_none());
    }
}
