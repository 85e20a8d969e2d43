//! One server that runs: an image under its monitor, or the native program, placed in the lab.
//! Owns the process; must never leave one behind, nor lose what it said when it fails. That a server fails is
//! [`Error::Workload`]: the candidate's own result.

use crate::Error;
use crate::resident;
use crate::testbed::client::Service;
use crate::testbed::image_report::ImageReport;
use crate::testbed::load::{Amount, Loader, Rate, Target};
use crate::testbed::namespaces::{Over, Testbed};
use crate::testbed::process::{Subject, die_with_us, is_running, last_words, readers, texts, wait};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a server may take to give its first answer.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait for its end before asking once more.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to end when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A server to be started.
pub(crate) struct Plan<'lab, 'a> {
    /// Where.
    pub lab: &'lab Testbed,
    /// What it serves.
    pub service: &'lab Service,
    /// The program.
    pub subject: &'a Subject,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Memory of an image in bytes.
    pub memory_bytes: u64,
    /// Host files given to an image, as `HOST=GUEST`.
    pub files: &'a [OsString],
    /// By which link clients reach it.
    pub over: Over,
}

/// A server that gave its first answer.
pub(crate) struct Server<'a> {
    lab: &'a Testbed,
    service: &'a Service,
    child: Child,
    output: Vec<JoinHandle<String>>,
    ended: bool,
    is_image: bool,
    /// Where it listens.
    pub address: SocketAddr,
    /// From before the process was started to its first right answer.
    pub first_answer: Duration,
}

/// What a server left behind.
pub(crate) struct Ended {
    /// Most memory of the host that its process had.
    pub peak_resident_bytes: u64,
    /// An image's time line and statistics.
    pub report: Option<ImageReport>,
}

impl<'lab> Plan<'lab, '_> {
    /// Starts the server and waits for its first answer.
    pub(crate) fn start(&self) -> Result<Server<'lab>, Error> {
        let mut command = self.subject.command();
        let is_image = !self.subject.is_native();
        let reach = self.over.reach(is_image, self.service.port);
        if is_image {
            command
                .args(&reach.network)
                .args(["--boot-time", "--stats", "--json", "-m"])
                .arg(self.memory_bytes.to_string());
            for file in self.files {
                command.arg("--file").arg(file);
            }
            command.arg("--");
        }
        command
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.lab.place(&mut command, reach.side)?;
        die_with_us(&mut command);
        let start = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|source| bespoke_builder::Error::NoTool {
                tool: command.get_program().to_string_lossy().into_owned(),
                source,
            })?;
        let output = readers(&mut child);
        let mut server = Server {
            lab: self.lab,
            service: self.service,
            child,
            output,
            ended: false,
            is_image,
            address: SocketAddr::new(reach.address, self.service.port),
            first_answer: Duration::ZERO,
        };
        let (service, address) = (self.service, server.address);
        let child = &mut server.child;
        let answered = self.lab.as_client(|| {
            let mut is_gone = || !matches!(child.try_wait(), Ok(None));
            service
                .first_answer(address, START_LIMIT, &mut is_gone)
                .map(|()| start.elapsed())
        })?;
        match answered {
            Ok(elapsed) => server.first_answer = elapsed,
            Err(error) => {
                return Err(server.fail(&format!("it never gave a right answer: {error}")));
            }
        }
        Ok(server)
    }
}

impl Server<'_> {
    /// Asks for every key or page and compares the answers.
    pub(crate) fn verify(&mut self) -> Result<(), Error> {
        let (service, address) = (self.service, self.address);
        let verified = self.lab.as_client(|| service.verify(address))?;
        verified.map_err(|error| self.fail(&error.to_string()))
    }

    /// Loads it. A request that was not answered right is the server's failure.
    pub(crate) fn load(&mut self, loader: &Loader, amount: Amount) -> Result<Rate, Error> {
        let target = Target {
            address: self.address,
            process: self.child.id(),
        };
        match loader.run(target, amount) {
            Err(Error::Workload(why)) => Err(self.fail(&why)),
            other => other,
        }
    }

    /// Memory of the host that it has now.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        resident::bytes(self.child.id() as i32)
    }

    /// Ends the server as its user would, with SIGTERM.
    pub(crate) fn stop(mut self) -> Result<Ended, Error> {
        self.ask_to_end();
        let (start, mut asked) = (Instant::now(), Instant::now());
        // Waiting without reaping, so that the resources can be asked for below.
        while is_running(self.child.id()) {
            if start.elapsed() > STOP_LIMIT {
                return Err(self.fail("it does not end on SIGTERM"));
            }
            // nginx notes the signal in a flag, and does not look at it again before it waits for
            // events: one that comes right before a wait is seen when the next event comes.
            if asked.elapsed() > ASK_AGAIN {
                self.ask_to_end();
                asked = Instant::now();
            }
            thread::sleep(Duration::from_millis(1));
        }
        let (status, usage) = wait(&self.child)?;
        self.ended = true;
        let [out, messages] = self.texts();
        let asked_to =
            status.signal() == Some(libc::SIGTERM) || status.code() == Some(128 + libc::SIGTERM);
        if !(status.success() || asked_to) {
            return Err(Error::Workload(format!(
                "it was asked to end: {status}; {}",
                last_words(&out, &messages)
            )));
        }
        let report = match self.is_image {
            true => Some(ImageReport::read(&messages).ok_or_else(|| {
                Error::Workload(format!(
                    "it left no report: {}",
                    last_words(&out, &messages)
                ))
            })?),
            false => None,
        };
        Ok(Ended {
            peak_resident_bytes: usage.ru_maxrss as u64 * 1024,
            report,
        })
    }

    /// Ends the server, whatever it does, with an error that has all it said.
    fn fail(&mut self, why: &str) -> Error {
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => "it still ran".into(),
        };
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
        let [out, messages] = self.texts();
        Error::Workload(format!("{why}; {status}; {}", last_words(&out, &messages)))
    }

    fn texts(&mut self) -> [String; 2] {
        texts(std::mem::take(&mut self.output))
    }

    fn ask_to_end(&self) {
        // SAFETY: the process is our child and not reaped, so the number is its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // There is nothing more to learn from it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
