//! What runs: an image under a monitor, or the same program built natively. One run is one
//! process, started as a user would start it and timed from before the start to after the end.
//! Owns the child while it runs; must never leave one behind.

use crate::error::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program to measure.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Built with the system's C library, run by the system.
    Native(PathBuf),
    /// An image.
    Image {
        /// The image file.
        path: PathBuf,
        /// `kvm` or `process`.
        monitor: &'static str,
    },
}

/// One run to be made.
pub struct Job<'a> {
    /// The program.
    pub subject: &'a Subject,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Memory of an image in bytes; a native program takes what it wants.
    pub memory_bytes: u64,
    /// Host files given to an image, as `HOST=GUEST`.
    pub files: Vec<OsString>,
    /// Whether the image's boot time line is wanted; standard error is then not output.
    pub boot_time: bool,
}

/// One run that was made.
#[derive(Debug)]
pub struct Run {
    /// From before the start of the process to after its end.
    pub wall: Duration,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
    /// Largest resident size of the process, in bytes (of the monitor, for an image).
    pub peak_resident_bytes: u64,
    /// Points of the boot time line, microseconds since the monitor's start.
    pub boot_us: BTreeMap<String, f64>,
}

impl Job<'_> {
    fn command(&self) -> Result<Command, Error> {
        match self.subject {
            Subject::Native(path) => Ok(Command::new(path)),
            Subject::Image { path, monitor } => {
                let own = std::env::current_exe().map_err(Error::file("find", "bespoke"))?;
                let mut command = Command::new(own);
                command.arg("run").arg(path).args(["--monitor", monitor]);
                command.arg("-m").arg(self.memory_bytes.to_string());
                for file in &self.files {
                    command.arg("--file").arg(file);
                }
                if self.boot_time {
                    command.args(["--boot-time", "--json"]);
                }
                command.arg("--");
                Ok(command)
            }
        }
    }

    /// Runs it once. The exit status is the caller's to judge.
    pub fn run(&self) -> Result<Run, Error> {
        let mut command = self.command()?;
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().map_err(|source| Error::NoTool {
            tool: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let (output, messages) =
            read_both(&mut child).map_err(Error::file("read", "the output of the program"))?;
        let (status, usage) = wait(&child)?;
        let wall = start.elapsed();
        let boot_us = if self.boot_time && status.success() {
            serde_json::from_str::<TimeLine>(&messages)
                .map_err(|error| {
                    Error::Usage(format!(
                        "the boot time line is no JSON ({error}): {messages}"
                    ))
                })?
                .boot_us
        } else {
            BTreeMap::new()
        };
        let output = if self.boot_time {
            output
        } else {
            output + &messages
        };
        Ok(Run {
            wall,
            status,
            output,
            peak_resident_bytes: usage.ru_maxrss as u64 * 1024,
            boot_us,
        })
    }

    /// Runs it once and insists on success.
    pub fn succeed(&self) -> Result<Run, Error> {
        let run = self.run()?;
        if run.status.success() {
            return Ok(run);
        }
        let arguments: Vec<_> = self
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy())
            .collect();
        Err(Error::Tool {
            purpose: "a measured run".into(),
            status: run.status.to_string(),
            command: format!("{:?} {}", self.subject, arguments.join(" ")),
            output: run.output,
        })
    }
}

/// What `bespoke run --boot-time --json` prints.
#[derive(Deserialize)]
struct TimeLine {
    boot_us: BTreeMap<String, f64>,
}

/// Reads standard output, then standard error; the programs measured print little on either.
fn read_both(child: &mut Child) -> std::io::Result<(String, String)> {
    let mut text = [String::new(), String::new()];
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text[0])?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut text[1])?;
    }
    Ok(text.into())
}

/// `wait4`: the standard library does not tell the resources a child used.
pub fn wait(child: &Child) -> Result<(ExitStatus, libc::rusage), Error> {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers; both pointers are valid for the call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (
            libc::wait4(
                child.id() as libc::pid_t,
                &raw mut status,
                0,
                &raw mut usage,
            ),
            usage,
        )
    };
    if pid < 0 {
        return Err(Error::file("wait for", "the program")(
            std::io::Error::last_os_error(),
        ));
    }
    Ok((ExitStatus::from_raw(status), usage))
}
