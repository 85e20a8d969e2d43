//! One run of one heap, in a process of its own. Owns the child; must never take what it printed for more than it is.

use super::per_operation;
use crate::Error;
use bespoke_replay::{Answer, COUNTED_FUNCTION, Task};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const VALGRIND: &str = "valgrind";

/// Why instructions cannot be counted; `None`: they can.
pub(super) fn no_valgrind() -> Option<String> {
    let mut version = Command::new(VALGRIND);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match version.status() {
        Ok(status) if status.success() => None,
        _ => Some("valgrind is not installed; as root: apt-get install valgrind".into()),
    }
}

/// The program of one heap.
pub(super) struct Program {
    /// Where it is.
    pub path: PathBuf,
}

impl Program {
    /// Runs `task`; the inner error is what became of the heap.
    pub(super) fn run(&self, task: &Task) -> Result<Result<Answer, String>, Error> {
        let mut command = Command::new(&self.path);
        let output = start(command.arg(json(task)))?;
        Ok(answer(&output))
    }

    /// Instructions of an operation of `task`; `None` when the heap does not serve it.
    pub(super) fn count(&self, task: &Task) -> Result<Option<f64>, Error> {
        let mut command = Command::new(VALGRIND);
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(format!("--toggle-collect={COUNTED_FUNCTION}"))
            .arg(&self.path)
            .arg(json(task));
        let output = start(&mut command)?;
        let text = String::from_utf8_lossy(&output.stderr);
        let count = text.lines().find_map(|line| {
            let (_, count) = line.split_once("Collected : ")?;
            count.trim().parse::<u64>().ok()
        });
        Ok(match (answer(&output), count) {
            (Ok(answer), Some(count)) if answer.failure.is_none() && count > 0 => {
                Some(per_operation(count, &answer))
            }
            _ => None,
        })
    }
}

fn json(task: &Task) -> String {
    serde_json::to_string(task).expect("plain data becomes JSON")
}

fn start(command: &mut Command) -> Result<Output, Error> {
    let tool = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| bespoke_builder::Error::NoTool { tool, source }.into())
}

fn answer(output: &Output) -> Result<Answer, String> {
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return serde_json::from_str(&text)
            .map_err(|error| format!("its output cannot be parsed: {error}"));
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(panic_message(&text).unwrap_or_else(|| {
        let last = text
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        match output.status.signal() {
            Some(signal) => format!("ended by signal {signal} {last}")
                .trim_end()
                .to_string(),
            None => last.to_string(),
        }
    }))
}

/// What a panic said: the lines between `panicked at PLACE:` and the notes about backtraces.
fn panic_message(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains(" panicked at "));
    lines.next()?;
    let message: Vec<_> = lines
        .take_while(|line| !line.starts_with("note: "))
        .collect();
    Some(message.join(" ").trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_by_its_message() {
        let text = "\nthread 'main' (7) panicked at src/shadow.rs:9:5:\ncontents lost: byte 3\nnote: run with\n";
        assert_eq!(
            panic_message(text).as_deref(),
            Some("contents lost: byte 3")
        );
        assert_eq!(panic_message("no such file"), None);
    }
}
