//! One run to its end: an image under a monitor, or the same program built natively. It is one process,
//! started as a user would start it and timed from before the start to after the end.
//! Owns the child while it runs; must never leave one behind, nor wait for one for ever.

use crate::Error;
use crate::testbed::image_report::ImageReport;
use bespoke_monitor::Monitor;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A program to measure.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Built with the system's C library, run by the system.
    Native(PathBuf),
    /// An image.
    Image {
        /// The `bespoke` command, which runs it.
        command: PathBuf,
        /// The image file.
        path: PathBuf,
        /// What it runs under.
        monitor: Monitor,
    },
    /// An app's image that records its allocations, run by `bespoke trace`.
    Traced {
        /// The `bespoke` command, which runs it.
        command: PathBuf,
        /// The app.
        app: String,
        /// Its heaps, as after `--heap`.
        heaps: Vec<String>,
        /// What it runs under.
        monitor: Monitor,
        /// Where the trace goes.
        trace: PathBuf,
        /// Core of the thread that writes it, if not any.
        writer_core: Option<usize>,
    },
}

impl Subject {
    /// The command that runs it, up to the options of a run.
    pub fn command(&self) -> Command {
        match self {
            Self::Native(path) => Command::new(path),
            Self::Image {
                command,
                path,
                monitor,
            } => {
                let mut command = Command::new(command);
                command.arg("run").arg(path);
                command.args(["--monitor", monitor.name()]);
                command
            }
            Self::Traced {
                command,
                app,
                heaps,
                monitor,
                trace,
                writer_core,
            } => {
                let mut command = Command::new(command);
                command.args(["trace", app, "--monitor", monitor.name(), "-o"]);
                command.arg(trace);
                if let Some(core) = writer_core {
                    command.args(["--writer-core", &core.to_string()]);
                }
                for heap in heaps {
                    command.args(["--heap", heap]);
                }
                command
            }
        }
    }

    /// Whether it is the native program.
    pub fn is_native(&self) -> bool {
        self.monitor().is_none()
    }

    /// What an image runs under.
    pub fn monitor(&self) -> Option<Monitor> {
        match self {
            Self::Native(_) => None,
            Self::Image { monitor, .. } | Self::Traced { monitor, .. } => Some(*monitor),
        }
    }
}

/// One run to be made.
pub(crate) struct Job<'a> {
    /// The program.
    pub subject: &'a Subject,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Memory of an image in bytes; a native program takes what it wants.
    pub memory_bytes: u64,
    /// Host files given to an image, as `HOST=GUEST`.
    pub files: Vec<OsString>,
    /// Whether the image's time line and statistics are wanted.
    pub report: bool,
}

/// One run that was made.
#[derive(Debug)]
pub(crate) struct Run {
    /// From before the start of the process to after its end.
    pub wall: Duration,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
    /// What it printed to standard error.
    pub messages: String,
    /// Largest resident size of the process, in bytes (of the monitor, for an image).
    pub peak_resident_bytes: u64,
    /// The image's time line and statistics, where they were wanted.
    pub report: Option<ImageReport>,
}

impl Job<'_> {
    fn command(&self) -> Command {
        let mut command = self.subject.command();
        if !self.subject.is_native() {
            command.arg("-m").arg(self.memory_bytes.to_string());
            for file in &self.files {
                command.arg("--file").arg(file);
            }
            if self.report {
                command.args(["--boot-time", "--stats", "--json"]);
            }
            command.arg("--");
        }
        command
    }

    /// Runs it once. The exit status is the caller's to judge.
    ///
    /// # Errors
    ///
    /// [`Error::Workload`] when it takes longer than any workload may.
    pub(crate) fn run(&self) -> Result<Run, Error> {
        let mut command = self.command();
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_us(&mut command);
        let start = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|source| bespoke_builder::Error::NoTool {
                tool: command.get_program().to_string_lossy().into_owned(),
                source,
            })?;
        let readers = readers(&mut child);
        let watch = Watch::new(child.id(), None, LIMIT);
        await_end(&child);
        let wall = start.elapsed();
        let cut = watch.end();
        let (status, usage) = wait(&child)?;
        let [output, messages] = texts(readers);
        if cut.is_some() {
            return Err(Error::Workload(format!(
                "it had not ended after {} s",
                LIMIT.as_secs()
            )));
        }
        let report = (self.report && !self.subject.is_native())
            .then(|| ImageReport::read(&messages))
            .flatten();
        Ok(Run {
            wall,
            status,
            output,
            messages,
            peak_resident_bytes: usage.ru_maxrss as u64 * 1024,
            report,
        })
    }
}

/// How often a [`Watch`] looks whether the other child is there.
const LOOK: Duration = Duration::from_millis(50);

/// Why a [`Watch`] killed its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It took too long.
    TooLate,
    /// The child that it needs had ended.
    Alone,
}

/// Kills a child that takes too long, or has nothing left to wait for.
pub(crate) struct Watch {
    ended: mpsc::Sender<()>,
    thread: JoinHandle<Option<Cut>>,
}

impl Watch {
    /// A watch on a child that is not reaped before [`Watch::end`], nor is the one that it `needs`, if any.
    pub(crate) fn new(child: u32, needs: Option<u32>, limit: Duration) -> Self {
        let (ended, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let cut = loop {
                let left = limit.saturating_sub(start.elapsed());
                let nap = needs.map_or(left, |_| LOOK.min(left));
                if wait.recv_timeout(nap) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return None;
                }
                if needs.is_some_and(|needed| !is_running(needed)) {
                    break Cut::Alone;
                }
                if start.elapsed() >= limit {
                    break Cut::TooLate;
                }
            };
            // SAFETY: the number is the child's: it is reaped only after this thread has ended.
            unsafe { libc::kill(child as libc::pid_t, libc::SIGKILL) };
            Some(cut)
        });
        Self { ended, thread }
    }

    /// Ends the watch; why it killed the child, if it did.
    pub(crate) fn end(self) -> Option<Cut> {
        // The thread is gone when it killed.
        let _ = self.ended.send(());
        self.thread.join().unwrap_or(None)
    }
}

/// Whether a child that is not reaped yet has not ended.
pub(crate) fn is_running(child: u32) -> bool {
    // SAFETY: `siginfo_t` is plain data, valid for the call; the child is not reaped (WNOWAIT).
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, child, &raw mut info, flags) == 0 && info.si_pid() == 0
    }
}

/// Makes a child end when this process does, however that ends.
pub(crate) fn die_with_us(command: &mut Command) {
    // SAFETY: between fork and exec one system call without pointers is made.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
}

/// Threads that read standard output and standard error to their ends, so that neither pipe fills.
pub(crate) fn readers(child: &mut Child) -> Vec<JoinHandle<String>> {
    let read = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A broken pipe ends what there is to read.
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = child.stdout.take().map(|pipe| read(Box::new(pipe)));
    let err = child.stderr.take().map(|pipe| read(Box::new(pipe)));
    out.into_iter().chain(err).collect()
}

/// What the threads of [`readers`] read: standard output, then standard error.
pub(crate) fn texts(readers: Vec<JoinHandle<String>>) -> [String; 2] {
    let mut texts = [String::new(), String::new()];
    for (text, reader) in texts.iter_mut().zip(readers) {
        *text = reader.join().unwrap_or_default();
    }
    texts
}

/// The last lines of what a failed run printed, for the reason of a failure. Of a crash, the line that names it: what
/// follows is indented, as is the report of an image, which comes last.
pub(crate) fn last_words(output: &str, messages: &str) -> String {
    let told = messages
        .lines()
        .filter(|line| !line.starts_with([' ', '{', '}']));
    let lines: Vec<&str> = output
        .lines()
        .chain(told)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let from = lines.len().saturating_sub(3);
    lines[from..].join(" / ")
}

/// Waits until a child has ended, and leaves it to be reaped.
pub(crate) fn await_end(child: &Child) {
    // SAFETY: `siginfo_t` is plain data, valid for the call. A call that a signal ends is made again.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOWAIT;
        while libc::waitid(libc::P_PID, child.id(), &raw mut info, flags) != 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// `wait4`: the standard library does not tell the resources a child used.
pub(crate) fn wait(child: &Child) -> Result<(ExitStatus, libc::rusage), Error> {
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

#[cfg(test)]
mod tests {
    use super::{Cut, Watch, await_end, last_words, wait};
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    fn sleep(seconds: &str) -> Child {
        Command::new("sleep").arg(seconds).spawn().expect("sleep")
    }

    #[test]
    fn a_client_is_killed_when_its_time_or_its_server_has_ended() {
        for (client, server, limit, expected) in [
            ("60", "0", 30, Some(Cut::Alone)),
            ("60", "60", 0, Some(Cut::TooLate)),
            ("0", "60", 30, None),
        ] {
            let start = Instant::now();
            let (client, mut server) = (sleep(client), sleep(server));
            let limit = Duration::from_secs(limit);
            let watch = Watch::new(client.id(), Some(server.id()), limit);
            await_end(&client);
            assert_eq!(watch.end(), expected);
            assert_eq!(wait(&client).unwrap().0.success(), expected.is_none());
            server.kill().unwrap();
            server.wait().unwrap();
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn what_a_program_says_of_its_end_is_kept_and_what_is_told_beside_it_is_not() {
        let messages = "note\nbespoke: the image crashed: null dereference at 0x0\n  #0  0x215253 main at a.c:9\n  \
            rip 0000000000215253\n{\n  \"boot_us\": {\n    \"enter\": 3.5\n  },\n  \"stats\": {\n    \"calls\": 1\n  }\n}\n";
        assert_eq!(
            last_words("started\nOut of memory!\n\n", messages),
            "Out of memory! / note / bespoke: the image crashed: null dereference at 0x0"
        );
        assert_eq!(last_words("1\n 2\n3\n4\n", ""), "2 / 3 / 4");
        assert_eq!(last_words("", "{\n  \"stats\": 1\n}\n"), "");
    }
}
