//! The outcome of a run. Plain data.

use crate::exports::ExportResult;
use crate::report::CrashReport;
use crate::trace::Traced;
use bespoke_abi::stats::StatsPage;

/// How the guest ended.
#[derive(Debug)]
pub enum Exit {
    /// It ended itself, with this code.
    Code(u8),
    /// It ended by a fault or a fatal condition; print the report.
    Crash(Box<CrashReport>),
}

/// Everything known after the guest has ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// The statistics page at the end; `None` if the guest corrupted it.
    pub stats: Option<Box<StatsPage>>,
    /// Frequency of the counter whose values are in [`StatsPage::boot`].
    pub tsc_khz: u64,
    /// The result of each export, in the given order.
    pub exports: Vec<ExportResult>,
    /// The result of the trace, if one was requested.
    pub trace: Option<Traced>,
}

impl Outcome {
    /// Returns the exit status for `bespoke run`: the guest's own, or 128 + signal.
    pub fn status(&self) -> u8 {
        match &self.exit {
            Exit::Code(code) => *code,
            Exit::Crash(report) => 128 + report.signal,
        }
    }
}
