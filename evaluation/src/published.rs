//! What was published of the evaluation that is redone here. Sources: *seed*, Lefeuvre, "Toward Specialization of Memory
//! Management in Unikernels" (KIT, 2020); *EuroSys'21*, Kuenzer et al., "Unikraft: Fast, Specialized Unikernels the
//! Easy Way" (i7-9700K). Data only.

/// The seed's baseline heap.
pub(crate) const BASELINE: &str = "buddy";

/// First guest instruction to nginx's `listen()`, in microseconds (EuroSys'21).
pub(crate) const NGINX_BOOT_US: [(&str, f64); 5] = [
    ("region", 488.0),
    ("tlsf", 508.0),
    ("tinyalloc", 873.0),
    ("mimalloc", 941.0),
    ("buddy", 3066.0),
];
/// Of it the start of the buddy heap itself.
pub(crate) const NGINX_BUDDY_HEAP_US: f64 = 2423.0;
/// nginx's boot that the seed reports to have got below, in microseconds.
pub(crate) const SEED_BOOT_US: f64 = 1500.0;

/// 60,000 single-row inserts into SQLite, in seconds (EuroSys'21).
pub(crate) const SQLITE_60000_S: [(&str, f64); 5] = [
    ("native", 1.154),
    ("mimalloc", 1.005),
    ("tlsf", 1.119),
    ("tinyalloc", 1.177),
    ("buddy", 4.401),
];
/// Below so many inserts tinyalloc won (EuroSys'21).
pub(crate) const TINYALLOC_WINS_BELOW: u64 = 1000;
/// Instructions of an insert on Unikraft 0.17, least and most over its heaps, counted under QEMU.
pub(crate) const UNIKRAFT_INSERT: (f64, f64) = (75_000.0, 79_000.0);

/// GETs a second of Redis (EuroSys'21).
pub(crate) const REDIS_GET: [(&str, f64); 4] = [
    ("mimalloc", 2.78e6),
    ("tlsf", 2.56e6),
    ("buddy", 2.40e6),
    ("tinyalloc", 1.02e6),
];

/// Smallest memory of an app, in MB (EuroSys'21).
pub(crate) const SMALLEST_MB: [(&str, f64); 4] = [
    ("hello", 2.0),
    ("sqlite", 4.0),
    ("nginx", 5.0),
    ("redis", 7.0),
];

/// A gain over the buddy heap that the seed reports.
pub(crate) struct Gain {
    /// What it is of.
    pub what: &'static str,
    /// How the seed puts it.
    pub words: &'static str,
    /// The baseline's value over the specialised one's, or the other way round for rates.
    pub ratio: f64,
    /// The app.
    pub app: &'static str,
    /// The metric that stands for it here.
    pub metric: &'static str,
    /// On these workloads.
    pub workloads: &'static [&'static str],
}

/// All of them.
pub(crate) const GAINS: [Gain; 5] = [
    Gain {
        what: "nginx, start",
        words: "7.4 ms to less than 1.5",
        ratio: 7.4 / 1.5,
        app: "nginx",
        metric: "boot",
        workloads: &["small"],
    },
    Gain {
        what: "Redis, throughput",
        words: "up to +12 %",
        ratio: 1.12,
        app: "redis",
        metric: "throughput",
        workloads: &["get", "set", "mixed"],
    },
    Gain {
        what: "SQLite, throughput",
        words: "up to +26 %",
        ratio: 1.26,
        app: "sqlite",
        metric: "throughput",
        workloads: &["inserts-60000", "speedtest1", "varied"],
    },
    Gain {
        what: "Redis, smallest memory",
        words: "-22 %",
        ratio: 1.0 / 0.78,
        app: "redis",
        metric: "minimum_memory",
        workloads: &["get"],
    },
    Gain {
        what: "nginx, smallest memory",
        words: "-50 %",
        ratio: 2.0,
        app: "nginx",
        metric: "minimum_memory",
        workloads: &["small"],
    },
];
