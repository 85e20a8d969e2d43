//! Running the tools a build needs. Their output is kept back. When one fails, its end is shown, in lines that a
//! terminal can hold, and all of it goes to a file.

use super::work;
use crate::error::Error;
use crate::place;
use bespoke_sources::has_room;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Lines of a failed tool's output that are shown.
const LAST_LINES: usize = 30;
/// Characters of a line that are shown.
const LINE_CHARACTERS: usize = 200;
/// What the C library calls a full disk, in the language that tools speak unless told otherwise.
const NO_SPACE: &str = "No space left on device";

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
    work::bind(command);
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
    let full = full_folder();
    if full.is_some() || text.contains(NO_SPACE) {
        return Error::DiskFull {
            purpose: purpose.into(),
            folder: full,
        };
    }
    let status = output.status.to_string();
    let log = keep(&format!("{purpose}: {status}\n{command}\n{text}"));
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..]
        .iter()
        .map(|line| format!("  | {}", shortened(line)));
    Error::Tool {
        purpose: purpose.into(),
        status,
        command: shortened(&command),
        output: last.collect::<Vec<_>>().join("\n"),
        log,
    }
}

/// The folder that tools write to and where nothing more can be written.
fn full_folder() -> Option<PathBuf> {
    let folders = place::cache().ok().into_iter().chain([env::temp_dir()]);
    folders.into_iter().find(|folder| !has_room(folder))
}

/// Writes down all that is known of a failure, in place of the one before; where that lies.
fn keep(text: &str) -> Option<PathBuf> {
    let path = place::cache().ok()?.join("failed.log");
    // What is shown must do where nothing can be written.
    fs::write(&path, text).ok().map(|()| path)
}

/// The beginning of a long line.
pub fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARACTERS) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn failed(output: &str) -> Error {
        let output = Output {
            status: ExitStatus::from_raw(1 << 8),
            stdout: Vec::new(),
            stderr: output.into(),
        };
        let mut command = Command::new("gcc");
        command.args((0..1000).map(|number| format!("object-{number}.o")));
        failure("link the image", &command, &output)
    }

    #[test]
    fn every_line_of_a_failure_fits_a_terminal() {
        let text = failed(&format!("why\n{}\n", "x".repeat(12_000))).to_string();
        assert!(text.contains("link the image") && text.contains("| why"));
        assert!(text.lines().all(|line| line.len() < 300), "{text}");
        assert!(text.contains("failed.log"), "{text}");
    }

    #[test]
    fn a_full_disk_is_told_in_one_line() {
        let text = failed("cc1: fatal error: /x/y.s: No space left on device\n").to_string();
        assert!(text.contains("no space"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
