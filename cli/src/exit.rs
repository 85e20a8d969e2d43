//! Exit statuses of the command: one list.

/// Exit status of a command that failed.
pub(crate) const FAILED: u8 = 1;
/// Exit status of a wrong command line.
pub(crate) const USAGE: u8 = 2;
/// Exit status of a search that found nothing to recommend.
pub(crate) const NOTHING_BETTER: u8 = 3;
/// Exit status of a command that the user ended: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// Exit status of `run` when Bespoke itself failed, so that it is not taken for the application's.
pub(crate) const RUN_FAILED: u8 = 125;
