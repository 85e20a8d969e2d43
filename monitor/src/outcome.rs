//! How a run ended. Plain data; owns no resource.

use crate::exports::ExportResult;
use crate::report::CrashReport;
use crate::trace::Traced;
use bespoke_abi::stats::StatsPage;

/// How the guest ended.
#[derive(Debug)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// By a fault or a fatal condition; print the report.
    Crash(Box<CrashReport>),
}

/// Everything known once the guest has ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// The statistics page at the end; `None` when the guest destroyed it.
    pub stats: Option<Box<StatsPage>>,
    /// Frequency of the counter that [`StatsPage::boot`] is stamped with.
    pub tsc_khz: u64,
    /// What became of each export, in the order given.
    pub exports: Vec<ExportResult>,
    /// What became of the trace, if one was asked for.
    pub trace: Option<Traced>,
}

impl Outcome {
    /// The exit status `bespoke run` ends with: the guest's own, or 128 + signal.
    pub fn status(&self) -> u8 {
        match &self.exit {
            Exit::Code(code) => *code,
            Exit::Crash(report) => 128 + report.signal,
        }
    }
}
