//! Running the tools a build needs. Their output is kept back and shown only when they fail.

use crate::error::Error;
use std::process::{Command, Output, Stdio};

/// Lines of a failed tool's output that are shown.
const LAST_LINES: usize = 30;

/// Runs `command` for `purpose` ("compile the C library") to its end.
pub fn run(purpose: &str, command: &mut Command) -> Result<Output, Error> {
    let output = start(command)?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(failure(purpose, command, &output))
    }
}

/// Runs `command` to its end, whatever that is.
pub fn start(command: &mut Command) -> Result<Output, Error> {
    let tool = || command.get_program().to_string_lossy().into_owned();
    let tool = tool();
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::NoTool { tool, source })
}

/// The error that says how `command` failed.
pub fn failure(purpose: &str, command: &Command, output: &Output) -> Error {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    let command = words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..]
        .iter()
        .map(|line| format!("  | {line}"));
    Error::Tool {
        purpose: purpose.into(),
        status: output.status.to_string(),
        command,
        output: last.collect::<Vec<_>>().join("\n"),
    }
}
