//! Which metrics there are: what each means, its unit, which direction is better, and by which kind of
//! run it is had. One list; a metric that is not in it cannot be measured.

use crate::Error;
use bespoke_recipe::size;
use bespoke_recipe::workload::Better;
use serde::{Deserialize, Serialize};

/// One kind of run. A pass yields all of its metrics at once; metrics of different passes are
/// never taken from one run, for what one of them records would disturb the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// The workload as a user runs it.
    Plain,
    /// With the time of every operation of the heaps recorded, by an image of its own.
    HeapLatency,
    /// With instructions counted, by QEMU.
    Instructions,
    /// Many runs with less and less memory.
    MinimumMemory,
    /// The same load ten times on one start.
    Creep,
    /// The same load twenty times on one start.
    Repeat,
    /// Once as it is and once with its allocations traced.
    Traced,
    /// No run at all: the image is looked at.
    Image,
}

impl Pass {
    /// Whether one measurement tells as much as many: what it yields does not vary.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Instructions | Self::MinimumMemory | Self::Image)
    }
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Name on the command line and in files: `throughput`, `boot.heaps`.
    pub id: String,
    /// Unit of its values.
    pub unit: String,
    /// Which direction is better.
    pub better: Better,
    /// How it is had.
    pub pass: Pass,
    /// One line for people.
    pub title: String,
}

/// A row of [`METRICS`]: id, unit, direction, pass, title.
type Row = (&'static str, &'static str, Better, Pass, &'static str);

use Better::{Larger, Smaller};
use Pass::{Creep, HeapLatency, Image, Instructions, MinimumMemory, Plain, Repeat, Traced};

/// Every metric there is. Those by component say so in their titles.
const METRICS: &[Row] = &[
    ("throughput", "1/s", Larger, Plain, "operations in a second"),
    (
        "time",
        "s",
        Smaller,
        Plain,
        "start of the process to its end",
    ),
    (
        "latency.p50",
        "ms",
        Smaller,
        Plain,
        "median latency of requests",
    ),
    (
        "latency.p99",
        "ms",
        Smaller,
        Plain,
        "latency that 1 % of requests exceed",
    ),
    (
        "latency.p999",
        "ms",
        Smaller,
        Plain,
        "latency that 0.1 % of requests exceed",
    ),
    (
        "latency.max",
        "ms",
        Smaller,
        Plain,
        "longest latency of a request",
    ),
    ("value", "", Smaller, Plain, "what the command printed"),
    (
        "boot",
        "us",
        Smaller,
        Plain,
        "first guest instruction to ready: listen(), else main()",
    ),
    (
        "boot.machine",
        "us",
        Smaller,
        Plain,
        "monitor's first instruction to the machine's being built",
    ),
    (
        "boot.enter",
        "us",
        Smaller,
        Plain,
        "machine built to first guest instruction",
    ),
    (
        "boot.pages",
        "us",
        Smaller,
        Plain,
        "first guest instruction to page source ready",
    ),
    ("boot.heaps", "us", Smaller, Plain, "start of all heaps"),
    (
        "boot.files",
        "us",
        Smaller,
        Plain,
        "files unpacked, stack built",
    ),
    (
        "boot.libc",
        "us",
        Smaller,
        Plain,
        "files unpacked to main()",
    ),
    ("boot.app", "us", Smaller, Plain, "main() to listen()"),
    (
        "heap_start",
        "us",
        Smaller,
        Plain,
        "start of a component's heap, by component",
    ),
    (
        "life",
        "us",
        Smaller,
        Plain,
        "monitor's first instruction to the end of the application",
    ),
    (
        "life.floor",
        "us",
        Smaller,
        Plain,
        "what the kernel alone takes to make and run a machine",
    ),
    (
        "answer",
        "ms",
        Smaller,
        Plain,
        "start of the process to its first right answer",
    ),
    (
        "memory",
        "bytes",
        Smaller,
        Plain,
        "most memory in use at once (native: resident)",
    ),
    (
        "peak_live",
        "bytes",
        Smaller,
        Plain,
        "most bytes live at once, by component",
    ),
    (
        "peak_held",
        "bytes",
        Smaller,
        Plain,
        "most bytes of pages held at once, by component",
    ),
    (
        "internal_fragmentation",
        "x",
        Smaller,
        Plain,
        "bytes granted over bytes requested, by component",
    ),
    (
        "external_fragmentation",
        "x",
        Smaller,
        Plain,
        "most bytes held over most bytes live, by component",
    ),
    (
        "resident.peak",
        "bytes",
        Smaller,
        Plain,
        "most host memory resident (monitor and image)",
    ),
    (
        "resident.after",
        "bytes",
        Smaller,
        Plain,
        "host memory resident after the load (monitor and image)",
    ),
    (
        "heap_latency.p50",
        "ns",
        Smaller,
        HeapLatency,
        "median time of a heap operation, by component",
    ),
    (
        "heap_latency.p99",
        "ns",
        Smaller,
        HeapLatency,
        "time that 1 % of heap operations exceed, by component",
    ),
    (
        "heap_latency.p999",
        "ns",
        Smaller,
        HeapLatency,
        "time that 0.1 % of heap operations exceed, by component",
    ),
    (
        "heap_latency.max",
        "ns",
        Smaller,
        HeapLatency,
        "longest heap operation, by component",
    ),
    (
        "instructions",
        "1/op",
        Smaller,
        Instructions,
        "instructions of an operation, from main() to the end",
    ),
    (
        "minimum_memory",
        "bytes",
        Smaller,
        MinimumMemory,
        "smallest memory to pass the workload",
    ),
    (
        "creep",
        "x",
        Smaller,
        Creep,
        "most memory in use after ten identical loads, over that after one",
    ),
    (
        "creep.memory",
        "bytes",
        Smaller,
        Creep,
        "most memory in use after ten identical loads",
    ),
    (
        "repeat",
        "x",
        Smaller,
        Repeat,
        "throughput of the first of twenty identical loads, over that of the last",
    ),
    (
        "trace_cost",
        "x",
        Smaller,
        Traced,
        "throughput as it is, over that with allocations traced",
    ),
    (
        "image_size",
        "bytes",
        Smaller,
        Image,
        "size of the stripped image",
    ),
];

impl Metric {
    fn of(&(id, unit, better, pass, title): &Row) -> Self {
        Self {
            id: id.into(),
            unit: unit.into(),
            better,
            pass,
            title: title.into(),
        }
    }

    /// Every metric, in the order of tables.
    pub fn all() -> Vec<Self> {
        METRICS.iter().map(Self::of).collect()
    }

    /// The metric whose name is exactly `id`.
    pub fn exactly(id: &str) -> Option<Self> {
        METRICS.iter().find(|row| row.0 == id).map(Self::of)
    }

    /// The metrics that `name` stands for: itself, and those below it (`boot` names `boot.heaps` too).
    ///
    /// # Errors
    ///
    /// When there is none of that name; the error has the nearest.
    pub fn named(name: &str) -> Result<Vec<Self>, Error> {
        let below = format!("{name}.");
        let found: Vec<Self> = METRICS
            .iter()
            .filter(|row| row.0 == name || row.0.starts_with(&below))
            .map(Self::of)
            .collect();
        if found.is_empty() {
            let mut known: Vec<&str> = METRICS.iter().map(|row| row.0).collect();
            // The families.
            known.extend(["latency", "resident", "heap_latency"]);
            let list = known.join(", ");
            return Err(Error::unknown(
                "metric",
                name,
                known,
                format!("there are {list}"),
            ));
        }
        Ok(found)
    }
}

/// A value for reading, in a unit that suits it.
pub fn show(value: f64, unit: &str) -> String {
    match unit {
        "bytes" => size::show(value as u64),
        "1/s" if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
        "1/s" if value >= 1e4 => format!("{:.1} k/s", value / 1e3),
        "1/s" => format!("{}/s", number(value)),
        "" => number(value),
        "x" => format!("{value:.3}x"),
        unit => format!("{} {unit}", number(value)),
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, Pass};

    #[test]
    fn a_name_stands_for_its_family_and_unknown_ones_get_the_nearest() {
        let ids = |name: &str| -> Vec<String> {
            let found = Metric::named(name).unwrap();
            found.into_iter().map(|metric| metric.id).collect()
        };
        assert_eq!(ids("throughput"), ["throughput"]);
        assert_eq!(ids("latency").len(), 4);
        assert!(ids("boot").contains(&"boot.heaps".to_string()));
        assert_eq!(ids("memory"), ["memory"]);
        let error = Metric::named("thruput").unwrap_err().to_string();
        assert!(error.contains("did you mean \"throughput\"?"), "{error}");
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<String> = Metric::all().into_iter().map(|metric| metric.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(Pass::Image.is_exact() && !Pass::Plain.is_exact());
    }
}
