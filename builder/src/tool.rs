//! Running the tools a build needs. Their output is kept back. When one fails, its first error is shown, and all of it goes
//! to a file.

use super::work;
use crate::{Error, ToolFailure};
use bespoke_recipe::paths;
use bespoke_sources::has_room;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Lines at the end of a failed tool's output that are shown where none is known for an error.
const LAST_LINES: usize = 8;
/// Lines that are shown after the first error: the place in the source.
const LINES_AFTER: usize = 7;
/// By what the first error is known.
const ERRORS: [&str; 11] = [
    "error:",
    "error[",
    "Error:",
    "ERROR:",
    "undefined reference",
    "multiple definition",
    "cannot find",
    "is not supported",
    "No rule to make target",
    "command not found",
    ": not found",
];
/// Characters of a line that are shown.
const LINE_CHARACTERS: usize = 200;
/// What the C library calls a full disk, in the language that tools speak unless told otherwise.
const NO_SPACE: &str = "No space left on device";

/// Runs `command` for `purpose` ("compile the C library") to its end.
pub(crate) fn run(purpose: &str, command: &mut Command) -> Result<Output, Error> {
    let output = start(command)?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(failure(purpose, command, &output))
    }
}

/// Runs `command` to its end, whatever that is.
pub(crate) fn start(command: &mut Command) -> Result<Output, Error> {
    let tool = || command.get_program().to_string_lossy().into_owned();
    let tool = tool();
    work::bind(command);
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::NoTool { tool, source })
}

/// The error that says how `command` failed.
pub(crate) fn failure(purpose: &str, command: &Command, output: &Output) -> Error {
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
    let log = keep(purpose, &format!("{purpose}: {status}\n{command}\n{text}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let told = first_error(&errors).or_else(|| first_error(&text));
    let told = told.unwrap_or_else(|| {
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        last.iter().map(|line| shortened(line)).collect()
    });
    let told: Vec<String> = told.iter().map(|line| format!("  | {line}")).collect();
    ToolFailure {
        purpose: purpose.into(),
        status,
        command: shortened(&command),
        output: told.join("\n"),
        log,
    }
    .into()
}

/// The first error in what a compiler, a linker or make wrote, with what it says of the place; the error itself is whole.
fn first_error(text: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_error = |line: &&str| ERRORS.iter().any(|words| line.contains(words));
    let at = lines.iter().position(&is_error)?;
    let leads = |line: &&&str| {
        let line = line.trim_start();
        line.starts_with("In file included from")
            || line.starts_with("from ")
            || line.contains(": In function")
            || line.contains("in function `")
    };
    let before = lines[..at].iter().rev().take_while(leads).count();
    let mut told: Vec<String> = lines[at - before..at]
        .iter()
        .map(|line| shortened(line))
        .collect();
    told.push(lines[at].into());
    let of_make = |line: &&str| line.starts_with("make") && line.contains(": ***");
    let after = lines[at + 1..]
        .iter()
        .take_while(|line| !line.trim().is_empty() && !is_error(line) && !of_make(line));
    told.extend(after.take(LINES_AFTER).map(|line| shortened(line)));
    Some(told)
}

/// The folder that tools write to and where nothing more can be written.
fn full_folder() -> Option<PathBuf> {
    let folders = paths::cache().ok().into_iter().chain([env::temp_dir()]);
    folders.into_iter().find(|folder| !has_room(folder))
}

/// Writes down all that is known of a failure, in place of the last one of this purpose; where that lies.
fn keep(purpose: &str, text: &str) -> Option<PathBuf> {
    let folder = paths::cache().ok()?.join("failed");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = purpose.chars().map(plain).take(100).collect();
    let path = folder.join(format!("{name}.log"));
    // What is shown must do where nothing can be written.
    paths::create(&folder).ok()?;
    fs::write(&path, text).ok().map(|()| path)
}

/// The beginning of a long line.
pub(crate) fn shortened(line: &str) -> String {
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
        assert!(text.contains("failed/link-the-image.log"), "{text}");
    }

    #[test]
    fn the_first_error_is_shown_whole_and_alone() {
        let long = "y".repeat(400);
        let compiler = format!(
            "cc -c a.c\na.c:1:5: warning: unused\nIn file included from a.c:2:\na.h:3:1: error: unknown type {long}\n    3 | x y;\n      | ^\na.c:9:1: error: second\nmake: *** [a.o] Error 1\n"
        );
        let text = failed(&compiler).to_string();
        assert!(
            text.contains(&format!("| a.h:3:1: error: unknown type {long}")),
            "{text}"
        );
        assert!(text.contains("In file included from a.c:2:") && text.contains("3 | x y;"));
        assert!(
            !text.contains("second") && !text.contains("warning"),
            "{text}"
        );
        let linker = "/usr/bin/ld: a.o: in function `main':\na.c:3: undefined reference to `f'\ncollect2: error: ld returned 1\n";
        let text = failed(linker).to_string();
        assert!(text.contains("in function `main'") && text.contains("undefined reference to `f'"));
        assert!(!text.contains("collect2"), "{text}");
    }

    #[test]
    fn a_full_disk_is_told_in_one_line() {
        let text = failed("cc1: fatal error: /x/y.s: No space left on device\n").to_string();
        assert!(text.contains("no space"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
