//! Where a run was made: what a reader of its metrics has to know of the machine.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fs;

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Whether the machine is itself a virtual one.
    pub virtual_machine: bool,
    /// Whether /dev/kvm works.
    pub kvm: bool,
    /// Version of Bespoke.
    pub bespoke: String,
}

impl Machine {
    /// This machine.
    ///
    /// # Errors
    ///
    /// Where /proc cannot be read.
    pub fn here() -> Result<Self, Error> {
        let read = |path: &'static str| fs::read_to_string(path).map_err(Error::file("read", path));
        let (processors, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let field = |text: &str, name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_string())
            })
        };
        let total = field(&memory, "MemTotal").and_then(|value| {
            let digits = value.strip_suffix("kB")?.trim();
            digits.parse::<u64>().ok()
        });
        let flags = field(&processors, "flags").unwrap_or_default();
        Ok(Self {
            cpu: field(&processors, "model name").unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            memory_bytes: total.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().into(),
            virtual_machine: flags.split_whitespace().any(|flag| flag == "hypervisor"),
            kvm: bespoke_monitor::probe_kvm().is_ok(),
            bespoke: env!("CARGO_PKG_VERSION").into(),
        })
    }
}
