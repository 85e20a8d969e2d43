//! Runs the clients of registries. They never inherit standard output, because cargo reads the
//! standard output of a build script.
//!
//! A client may hang, as apt-get does on a full disk. So each has a time limit, and a full
//! disk is checked for while it runs.

use crate::Error;
use crate::room::has_room;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than any of our downloads takes on a slow line.
const LIMIT: Duration = Duration::from_secs(600);
/// Interval between checks of the disk.
const LOOK: Duration = Duration::from_secs(1);
/// Number of consecutive checks with a full disk that end the client. A single
/// one may occur while it cleans up.
const FULL_LOOKS: u32 = 3;
/// Upper bound of the growing wait steps.
const LONGEST_STEP: Duration = Duration::from_millis(50);

/// Runs `command`, which writes to `folder`, to its end and returns its output.
/// `install` says how to get the tool.
pub(crate) fn run(
    command: &mut Command,
    folder: &Path,
    install: &'static str,
) -> Result<String, Error> {
    run_within(command, folder, install, LIMIT)
}

fn run_within(
    command: &mut Command,
    folder: &Path,
    install: &'static str,
    limit: Duration,
) -> Result<String, Error> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| match error.kind() {
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
    let (out, err) = (gather(child.stdout.take()), gather(child.stderr.take()));
    let failed = |status: String, stderr: String| Error::Tool {
        command: line(command),
        status,
        stderr,
    };
    let status = match wait(&mut child, folder, limit) {
        Ok(Some(status)) => status,
        ended => {
            // It may have ended by itself meanwhile. Its children end with its
            // pipes; nothing waits for them.
            let _ = child.kill();
            let _ = child.wait();
            return Err(match ended {
                Ok(_) => failed(
                    "ended by Bespoke".into(),
                    format!("it took {} s", limit.as_secs()),
                ),
                Err(Unfinished::Full) => full(folder),
                Err(Unfinished::Lost(error)) => failed("lost".into(), error.to_string()),
            });
        }
    };
    let [out, err] = [out, err].map(|text| text.join().unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    if !has_room(folder) {
        return Err(full(folder));
    }
    let last: Vec<&str> = err.lines().rev().take(6).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(failed(status.to_string(), last))
}

fn full(folder: &Path) -> Error {
    Error::Full {
        folder: folder.into(),
    }
}

/// Formats program and arguments.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Reads all data from a pipe in a thread, so that no pipe fills up.
fn gather(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // Data before an error is shown.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

enum Unfinished {
    Full,
    Lost(io::Error),
}

/// Waits for the child's exit status; returns `None` when it took too long.
fn wait(
    child: &mut Child,
    folder: &Path,
    limit: Duration,
) -> Result<Option<ExitStatus>, Unfinished> {
    let start = Instant::now();
    let (mut looked, mut full_looks) = (start, 0);
    let mut step = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(Unfinished::Lost)? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            return Ok(None);
        }
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            full_looks = if has_room(folder) { 0 } else { full_looks + 1 };
            if full_looks == FULL_LOOKS {
                return Err(Unfinished::Full);
            }
        }
        thread::sleep(step);
        step = (step * 2).min(LONGEST_STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, Error> {
        let mut shell = Command::new("sh");
        run_within(shell.args(["-c", script]), &std::env::temp_dir(), "", limit)
    }

    #[test]
    fn output_comes_back_however_much_it_is() {
        let long = Duration::from_secs(60);
        let text = shell("yes | head -c 300000; yes 2 | head -c 300000 >&2", long);
        assert_eq!(text.expect("it succeeds").len(), 300_000);
        let error = shell("echo why >&2; exit 3", long).expect_err("it fails");
        assert!(matches!(error, Error::Tool { stderr, .. } if stderr == "why"));
    }

    #[test]
    fn a_client_that_does_not_end_is_ended() {
        let start = Instant::now();
        // The inner process keeps the pipes open.
        let error = shell("sleep 20 & sleep 20", Duration::from_millis(100));
        let error = error.expect_err("it is ended").to_string();
        assert!(error.contains("ended by Bespoke"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
