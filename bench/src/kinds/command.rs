//! A workload of the user's own: a shell command that prints a number.
//!
//! It finds in its environment
//! - `RUN`: a program that runs the candidate, image or native, with the arguments it is given;
//! - `LABEL`: the candidate's label, `SCRATCH`: an empty folder in memory;
//! - for an image `BESPOKE` (this command), `IMAGE`, `MONITOR` and `MEMORY` (bytes), for `"$BESPOKE" run "$IMAGE" ...`;
//! - for an app that serves, `ADDRESS` and `PORT` of its server, which runs; the command itself runs where clients do.
//!
//! The last word on its standard output is the value; it must be a number above 0.

use crate::Error;
use crate::candidate::Candidate;
use crate::kinds::server::Serving;
use crate::record::Reading;
use crate::session::Session;
use crate::testbed::namespaces::Side;
use crate::testbed::process::{Subject, die_with_us, last_words};
use bespoke_recipe::workload::{Shell, Workload};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One measurement: seconds, readings.
pub(crate) fn measure(
    session: &Session,
    candidate: &Candidate,
    workload: &Workload,
    shell: &Shell,
) -> Result<(f64, Vec<Reading>), Error> {
    let subject = session.subject(candidate, workload)?;
    let mut command = Command::new("sh");
    command
        .args(["-c", &shell.command])
        .stdin(Stdio::null())
        .env("LABEL", &candidate.label)
        .env("SCRATCH", session.folder.empty("scratch")?)
        .env("RUN", runner(session, &subject, workload.memory_bytes)?);
    if let Subject::Image {
        command: own,
        path,
        monitor,
    } = &subject
    {
        command
            .env("BESPOKE", own)
            .env("IMAGE", path)
            .env("MONITOR", monitor.name())
            .env("MEMORY", workload.memory_bytes.to_string());
    }
    let mut server = None;
    if session.service.is_some() {
        let serving = Serving::new(session, candidate, workload, &BTreeMap::new())?;
        let started = serving.start(workload.memory_bytes)?;
        command
            .env("ADDRESS", started.address.ip().to_string())
            .env("PORT", started.address.port().to_string());
        session.lab()?.place(&mut command, Side::Client)?;
        server = Some(started);
    }
    die_with_us(&mut command);
    let start = Instant::now();
    let output = command
        .output()
        .map_err(|source| bespoke_builder::Error::NoTool {
            tool: "sh".into(),
            source,
        })?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(server) = server {
        server.stop()?;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let words = || last_words(&text, &String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(Error::Workload(format!("{}: {}", output.status, words())));
    }
    let value: Option<f64> = text
        .split_whitespace()
        .last()
        .and_then(|word| word.parse().ok());
    match value {
        Some(value) if value.is_finite() && value > 0.0 => {
            Ok((seconds, vec![Reading::whole("value", value)]))
        }
        _ => Err(Error::Workload(format!(
            "its last word is not a number above 0: {}",
            words()
        ))),
    }
}

/// A script that runs the candidate.
fn runner(session: &Session, subject: &Subject, memory_bytes: u64) -> Result<PathBuf, Error> {
    let mut command = subject.command();
    if !subject.is_native() {
        command.args(["-m", &memory_bytes.to_string(), "--"]);
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| quoted(word.as_ref())).collect();
    let line = words.join(" ");
    let path = session.folder.path("run");
    fs::write(&path, format!("#!/bin/sh\nexec {line} \"$@\"\n"))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(Error::file("write", &path))?;
    Ok(path)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
