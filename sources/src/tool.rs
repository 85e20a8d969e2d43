//! Runs the clients of registries. Must never inherit standard output: the caller may be a build
//! script, whose standard output cargo reads.

use crate::Error;
use std::io;
use std::process::{Command, Stdio};

/// Runs `command` to its end and returns what it printed; `install` says how to get the tool.
pub(crate) fn run(command: &mut Command, install: &'static str) -> Result<String, Error> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::MissingTool {
                tool: tool.clone(),
                install,
            },
            _ => Error::Tool {
                command: tool.clone(),
                status: "not started".into(),
                stderr: error.to_string(),
            },
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = stderr.lines().rev().take(6).collect();
    Err(Error::Tool {
        command: format!("{tool} {}", arguments.join(" ")),
        status: output.status.to_string(),
        stderr: last.into_iter().rev().collect::<Vec<_>>().join("\n"),
    })
}
