//! What is said about files and folders of `--out` that did not come to be.

use bespoke_monitor::{ExportResult, ExportState, Obstacle, Outcome};
use bespoke_recipe::size;

/// A message for each that was not written as asked, in the order given.
pub(super) fn unwritten(outcome: &Outcome) -> Vec<String> {
    let status = outcome.status();
    let exports = outcome.exports.iter();
    exports
        .filter_map(|export| message(export, status))
        .collect()
}

/// Whether a file could not be put on the host. Another run with the same `--out` could cost what there is of it.
pub(super) fn are_refused(outcome: &Outcome) -> bool {
    let refused = |export: &ExportResult| {
        matches!(
            export.state,
            ExportState::Kept { .. } | ExportState::Failed(_) | ExportState::OverLimit { .. }
        )
    };
    outcome.exports.iter().any(refused)
}

fn message(export: &ExportResult, status: u8) -> Option<String> {
    let (guest, host) = (&export.guest, export.host.display());
    let not_written = |why: String| {
        Some(format!(
            "{guest} was not written: {why}; {host} is unchanged"
        ))
    };
    match &export.state {
        ExportState::Written => None,
        ExportState::Withheld => not_written(format!("the image ended with status {status}"))
            .map(|text| text + " (--out-always writes it after a failure, too)"),
        ExportState::NotWritten => not_written("the image has no such file or folder".into()),
        ExportState::Unfinished => not_written("the image ended while it wrote the file".into()),
        ExportState::OverLimit { limit_bytes } => not_written(format!(
            "the files of --out exceed their limit of {}; --out-limit SIZE raises it",
            size::show(*limit_bytes)
        )),
        ExportState::Failed(error) => not_written(error.to_string()),
        ExportState::Kept { why, beside } => {
            let why = match why {
                Obstacle::Changed => format!("{host} changed while the image ran, and was kept"),
                Obstacle::Locked => format!("another process uses {host}, so it was kept"),
                Obstacle::System(error) => format!("{host} cannot be replaced: {error}"),
            };
            Some(match beside {
                Ok(path) => format!("{why}; the image's {guest} is in {}", path.display()),
                Err(error) => format!("{why}; the image's {guest} is lost: {error}"),
            })
        }
    }
}
